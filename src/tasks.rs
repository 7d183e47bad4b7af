//! What is done with tasks, and how they are stored.
//!
//! In come calls of the contract's trait, in its words, with the owner as a value; out come its nouns or its errors. No HTTP is
//! known here; SQL is known in `statements` alone, and which database it is in `storage`.
//!
//! Each file uses those below it:
//!
//! | file | what it is for |
//! | --- | --- |
//! | `service` | what each operation does |
//! | `waiting` | who waits for changes |
//! | `export` | all that is held of a user, for whoever takes it with them |
//! | `changes` | what changed, and up to where; what is forgotten |
//! | `transactions` | writes of several statements: under a key, under a client's own ids, of several tasks |
//! | `repository` | which statements an operation runs, each for an owner |
//! | `statements` | the texts of all statements, made once |
//! | `search` | those of lists in any order and by any filter |
//! | `model` | the rows, and what they mean |
//! | `fold` | texts as they are looked for |

pub mod changes;
pub mod export;
pub mod fold;
pub mod model;
pub mod repository;
mod search;
pub mod service;
mod statements;
mod transactions;
mod waiting;
