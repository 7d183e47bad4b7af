//! The document, and the pages about it.
//!
//! In come the operations and types of `router` and `schemas`; out come `openapi.json`, Swagger UI, the reference and the pages of
//! problems. Nothing here serves a task.

pub(crate) mod examples;
pub(crate) mod links;
pub mod openapi;
pub(crate) mod pages;
pub(crate) mod reference;
pub(crate) mod tools;
