//! The server among faults: real databases and poolers that end, hang, refuse and come back, seen only from outside.
//!
//! Each test states what may be relied on. It starts the program on a database of its own, puts it under load, does
//! something to the database or to what leads there ([`relay`], [`cluster`], [`pgbouncer`]), and judges every answer
//! ([`load`]) and what is stored afterwards ([`people`], [`look`]). In all of them a failure is a 503 with `Retry-After`,
//! never another 5xx, and no acknowledged write is lost or doubled.
//!
//! They are short by default; `FAULTS=long` (`just faults`) makes them as long and as heavy as the promises are worded,
//! and holds the times that need a quiet machine and an optimized program.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../support/cluster.rs"]
#[expect(dead_code, reason = "the tests over HTTP use sockets")]
mod cluster;
#[path = "../support/pgbouncer.rs"]
#[expect(dead_code, reason = "the tests over HTTP name poolers")]
mod pgbouncer;

#[path = "../support/length.rs"]
mod length;
#[path = "../support/load.rs"]
mod load;
mod look;
mod parts;
mod people;
mod relay;
mod scene;
#[path = "../support/server.rs"]
#[expect(dead_code, reason = "the tests of the edge look closer")]
mod server;

mod away;
mod changes;
mod file;
mod kills;
mod leaving;
mod locks;
mod poolers;
mod sessions;
mod silence;
mod start;
