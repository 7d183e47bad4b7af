//! The edge: what every request meets, whichever operation it is for.
//!
//! In come connections of strangers; out goes an answer to each request, whatever happens inside, and a line in the log.
//! Whatever a stranger can hold open is bounded in time, size and number here. No task, no user and no token is known.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `bind` | where the server listens |
//! | `listener` | accepts connections, counts them, ends them in order |
//! | `connection` | one connection: HTTP/1.1 or HTTP/2, within limits |
//! | `request` | a request's id, time limit, panics and line in the log |
//! | `receiving` | a request's body on its way in |
//! | `share` | what bodies and answers may hold together, and each user's |
//! | `activity` | which connections only hold a place |
//! | `framing` | what a request must say of itself |
//! | `limits` | how many requests a user and an address may send |
//! | `compression` | which answers are compressed, and how |
//! | `cors` | what pages of other origins are told |
//! | `security_headers` | what every answer tells browsers not to do |
//! | `healthcheck` | asks a running server how it is |
//! | `metrics` | what happens, in numbers |
//! | `trace` | the trace that a request belongs to |
//! | `otlp` | spans for a collector, where the program is built with the feature `otlp` |
//! | `log`, `log_line` | who writes the log, and the form of its lines |
//! | `systemd` | what systemd is told |

mod activity;
pub mod bind;
mod compression;
mod connection;
pub mod cors;
mod framing;
pub mod healthcheck;
pub mod limits;
pub(crate) mod listener;
pub mod log;
mod log_line;
pub(crate) mod metrics;
#[cfg(feature = "otlp")]
pub(crate) mod otlp;
mod receiving;
pub mod request;
mod security_headers;
mod share;
pub mod systemd;
mod trace;
