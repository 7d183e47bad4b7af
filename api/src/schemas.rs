//! The nouns of the contract, as `components.schemas` has them: each carries its schema and its check side by side. Knows no
//! operation and no server.

pub(crate) mod bulk;
pub(crate) mod changes;
pub(crate) mod condition;
pub(crate) mod cursor;
pub(crate) mod details;
pub(crate) mod export;
pub(crate) mod filter;
pub(crate) mod health;
pub(crate) mod idempotency;
pub(crate) mod mark;
pub(crate) mod page;
pub(crate) mod task;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod user;
pub(crate) mod written;
