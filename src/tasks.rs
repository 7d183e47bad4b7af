//! What is done with tasks, and how they are stored.
//!
//! In come calls of the contract's trait, in its words, with the owner as a value; out come its nouns or its errors. No HTTP is
//! known here; SQL is known in `statements` alone, and which database it is in `storage`.
//!
//! Each file uses those above it:
//!
//! | file | what it is for |
//! | --- | --- |
//! | `model` | the rows, and what they mean |
//! | `statements` | the texts of all statements, made once |
//! | `repository` | which statements an operation runs, each for an owner |
//! | `service` | what each operation does |

pub mod model;
pub mod repository;
pub mod service;
mod statements;
