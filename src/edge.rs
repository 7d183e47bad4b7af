//! The edge: what every request meets, whichever operation it is for.
//!
//! In come requests as they were sent; out goes an answer to each, whatever happens inside, and a line in the log. No task, no
//! user and no token is known here.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `log` | the form of the log |
//! | `request` | a request's id, time limit, panics and line in the log |
//! | `cors` | what pages of other origins are told |
//! | `healthcheck` | asks a running server how it is |

pub mod cors;
pub mod healthcheck;
pub mod log;
pub mod request;
