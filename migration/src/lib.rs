//! The schema's history: every change of the database's tables, oldest first, for SQLite and PostgreSQL.
//!
//! Changes run one process at a time and all or none ([`up`]), so any number of servers may start at once. They ask
//! for no timeouts of their own: poolers such as Neon's refuse start-up options, so limits belong to the role, once:
//!
//! ```sql
//! ALTER ROLE tasks SET statement_timeout = '10s';
//! ALTER ROLE tasks SET lock_timeout = '5s';
//! ALTER ROLE tasks SET idle_in_transaction_session_timeout = '10s';
//! ```

use std::collections::HashSet;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait,
};

mod m20261122_000001_create_tasks;
mod m20261122_000002_create_idempotency_keys;
mod m20261122_000003_index_expiring_keys;

/// The changes, oldest first.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_create_tasks::Migration),
            Box::new(m20261122_000002_create_idempotency_keys::Migration),
            Box::new(m20261122_000003_index_expiring_keys::Migration),
        ]
    }
}

/// Where a database stands in the history; changes by name, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// What the database has.
    pub applied: Vec<String>,
    /// What it lacks: it is behind.
    pub pending: Vec<String>,
    /// What it has and this program does not know: a newer version was here.
    pub unknown: Vec<String>,
}

/// Where the database stands. Only reads, so it needs no right to change the schema.
///
/// # Errors
/// Those of the database.
pub async fn history<C: ConnectionTrait>(db: &C) -> Result<History, DbErr> {
    let backend = db.get_database_backend();
    let probe = match backend {
        DbBackend::Sqlite => "SELECT 1 FROM sqlite_master WHERE name = 'seaql_migrations'",
        _ => "SELECT 1 FROM pg_catalog.pg_class WHERE oid = to_regclass('seaql_migrations')",
    };
    let mut has = Vec::new();
    if db.query_one_raw(Statement::from_string(backend, probe)).await?.is_some() {
        let list = "SELECT version FROM seaql_migrations ORDER BY version";
        for row in db.query_all_raw(Statement::from_string(backend, list)).await? {
            has.push(row.try_get::<String>("", "version")?);
        }
    }
    let knows: Vec<_> = Migrator::migrations().iter().map(|m| m.name().to_owned()).collect();
    let (applied, unknown) = has.into_iter().partition::<Vec<_>, _>(|name| knows.contains(name));
    let seen: HashSet<&String> = applied.iter().collect();
    let pending = knows.into_iter().filter(|name| !seen.contains(name)).collect();
    Ok(History { applied, pending, unknown })
}

/// Brings the database up to date; the names of the changes that it made.
///
/// # Errors
/// Those of the database; nothing is changed then. [`DbErr::Custom`] when the database lacks a change and has one
/// that this program does not know: the histories have parted.
pub async fn up(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let alone = lock(db).await?;
    let pending = history(&alone).await?.pending;
    if !pending.is_empty() {
        Migrator::up(&alone, None).await?;
    }
    alone.commit().await?;
    Ok(pending)
}

/// Takes the newest change back, with the data that it holds; its name, or `None` when there is none.
///
/// # Errors
/// Those of the database; nothing is changed then. [`DbErr::Custom`] when the database has a change that this program
/// does not know, and so cannot take back.
pub async fn down(db: &DatabaseConnection) -> Result<Option<String>, DbErr> {
    let alone = lock(db).await?;
    let last = history(&alone).await?.applied.pop();
    if last.is_some() {
        Migrator::down(&alone, Some(1)).await?;
    }
    alone.commit().await?;
    Ok(last)
}

/// A transaction that only one process has at a time. The lock ends with it, so it cannot be left behind, not even on
/// a pooled connection.
async fn lock(db: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    if db.get_database_backend() == DbBackend::Sqlite {
        let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
        db.begin_with_options(TransactionOptions { sqlite_transaction_mode, ..Default::default() }).await
    } else {
        let transaction = db.begin().await?;
        // Any number does, as long as it stays: these are the first digits of the first change.
        transaction.execute_unprepared("SELECT pg_advisory_xact_lock(20261122)").await?;
        Ok(transaction)
    }
}
