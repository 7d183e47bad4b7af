//! Every address and variable by which people name a PostgreSQL, and the real program that connects by it.
//!
//! A test says what a person writes into the settings, and runs the program on it: `migrate status` goes by the storage's
//! own sessions, `migrate up` by the driver of the migrations too ([`program`]). What the database saw of it stands in
//! its log ([`parts`]).
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/cluster.rs"]
#[expect(dead_code, reason = "the faults stop and kill it")]
mod cluster;
#[path = "../support/load.rs"]
#[expect(dead_code, reason = "the faults need more of it")]
mod load;
#[path = "../faults/look.rs"]
#[expect(dead_code, reason = "the faults need more of it")]
mod look;
#[path = "../support/server.rs"]
#[expect(dead_code, reason = "the faults need more of it")]
mod server;

mod parts;
mod program;

mod index;
mod parameters;
mod passwords;
mod reserved;
mod schema;
mod tls;
