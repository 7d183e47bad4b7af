//! HTTP, as every operation has it: bodies, headers, refusals. Knows no task: what a noun needs of it, the noun implements.

pub(crate) mod body;
pub(crate) mod code;
pub(crate) mod diagnosis;
pub(crate) mod error;
pub(crate) mod field;
pub(crate) mod header;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod newtype;
pub(crate) mod problem;
pub(crate) mod public_url;
pub(crate) mod refusal;
