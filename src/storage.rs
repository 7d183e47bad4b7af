//! How tasks are stored: statements in, rows out. Knows no task.
//!
//! [`database`] is the whole: where it is, its schema, what runs statements. Below it, `postgres` lends sessions with
//! PostgreSQL (`session`, `reader`; `address` and `tls` say where and how), `sqlite` connections to SQLite's file;
//! `snapshot` has one of its own, for what takes long. [`role`] makes the role that a server has on PostgreSQL, [`backup`] copies SQLite's file.
//! `timing` counts how long requests wait for it. `statement` has what both take and give, `failure` what can go wrong and what that means.

pub(crate) mod address;
pub mod backup;
mod connection;
pub mod database;
mod driver;
mod engine;
pub(crate) mod failure;
pub mod figures;
mod postgres;
mod race;
mod reader;
pub mod role;
pub mod schema;
mod session;
pub mod settings;
pub(crate) mod snapshot;
mod sqlite;
pub(crate) mod statement;
pub(crate) mod timing;
mod tls;
pub(crate) mod transaction;
