//! The edge: what every request meets, whichever operation it is for.
//!
//! In come requests as they were sent; out goes an answer to each, whatever happens inside, and a line in the log. No task, no
//! user and no token is known here.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `bind` | where the server listens |
//! | `systemd` | what systemd is told |
//! | `log` | the form of the log |
//! | `request` | a request's id, time limit, panics and line in the log |
//! | `cors` | what pages of other origins are told |
//! | `security_headers` | what every answer tells browsers not to do |

pub mod bind;
pub mod cors;
pub mod log;
pub mod request;
mod security_headers;
pub mod systemd;
