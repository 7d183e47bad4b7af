//! The schema's history: every change of the database's tables, oldest first, for SQLite and PostgreSQL.
//!
//! [`up`] and [`down`] make changes (`runner` tells how), [`History`] says where a database stands.

use std::collections::HashSet;

use sea_orm_migration::MigrationTrait;

mod m20261122_000001_create_tasks;
mod m20261122_000002_create_idempotency_keys;
mod m20261122_000003_index_expiring_keys;
mod m20261128_000004_index_open_tasks;
mod m20261128_000005_describe_tasks;
mod m20261129_000006_remember_deletions;
mod m20261129_000007_count_changes;
mod runner;

pub use runner::{LOCK, Place, down, quoted, up};

/// The table of the history, as SeaORM names it.
pub const HISTORY: &str = "seaql_migrations";

/// The tables that the changes make, which the server reads and writes.
pub const TABLES: [&str; 4] = ["users", "tasks", "idempotency_keys", "deletions"];

/// The changes, oldest first.
fn migrations(place: &Place) -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(m20261122_000001_create_tasks::Migration),
        Box::new(m20261122_000002_create_idempotency_keys::Migration),
        Box::new(m20261122_000003_index_expiring_keys::Migration),
        Box::new(m20261128_000004_index_open_tasks::Migration(place.clone())),
        Box::new(m20261128_000005_describe_tasks::Migration),
        Box::new(m20261129_000006_remember_deletions::Migration(place.clone())),
        Box::new(m20261129_000007_count_changes::Migration(place.clone())),
    ]
}

/// Where a database stands in the history; changes by name, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// What the database has.
    pub applied: Vec<String>,
    /// What it lacks: it is behind.
    pub pending: Vec<String>,
    /// What it has and this program does not know: a newer version was here, or another application.
    pub unknown: Vec<String>,
}

impl History {
    /// Of a database whose table of the history has these names, in their order.
    #[must_use]
    pub fn of(has: Vec<String>) -> Self {
        let place = Place::default();
        let knows: Vec<_> = migrations(&place).iter().map(|change| change.name().to_owned()).collect();
        let (applied, unknown) = has.into_iter().partition::<Vec<_>, _>(|name| knows.contains(name));
        let seen: HashSet<&String> = applied.iter().collect();
        let pending = knows.into_iter().filter(|name| !seen.contains(name)).collect();
        Self { applied, pending, unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_sorted_into_what_is_there_what_lacks_and_what_is_strange() {
        let new = History::of(Vec::new());
        assert!(new.applied.is_empty() && new.unknown.is_empty() && new.pending.is_sorted());
        let (first, rest) = new.pending.split_first().unwrap();
        let old = History::of(vec![first.clone(), "m99991231_000001_other".to_owned()]);
        assert_eq!(old.applied, std::slice::from_ref(first));
        assert_eq!(old.pending, rest);
        assert_eq!(old.unknown, ["m99991231_000001_other"]);
    }
}
