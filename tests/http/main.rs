//! The server over HTTP, on both databases, each answer held against `api/openapi.json`.
//!
//! A test is an async function of a fresh [`server::Server`]; [`on_each_engine!`] runs it on the embedded database and on
//! PostgreSQL. The client ([`client`]) refuses every answer that the document does not promise ([`contract`]), so each
//! test is a test of the contract too.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

/// Runs each of these tests once on every engine, as `sqlite::name` and `postgres::name`.
macro_rules! on_each_engine {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::server::Server::on_sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(server) = crate::server::Server::on_postgres().await {
                    super::$name(server).await;
                }
            })+
        }
    };
}

#[path = "../support/cluster.rs"]
#[expect(dead_code, reason = "the faults need more of it")]
mod cluster;
#[path = "../support/pgbouncer.rs"]
mod pgbouncer;

mod client;
mod contract;
mod issuer;
mod postgres;
mod request;
mod server;

mod backup;
mod bulk;
mod bulk_patch;
mod changes;
mod clock;
mod conditions;
mod cors;
mod details;
mod erasure;
mod export;
mod forgery;
mod framework;
mod headers;
mod idempotency;
mod input;
mod isolation;
mod keys;
mod lists;
mod mcp;
mod mcp_messages;
mod model;
mod own_ids;
mod pages;
mod process;
mod public_url;
mod role;
#[rustfmt::skip]
#[expect(dead_code, unused_variables, clippy::too_many_lines, reason = "compiling it is the test")]
mod samples;
mod search;
mod statuses;
mod tasks;
mod tokens;
mod upgrade;
