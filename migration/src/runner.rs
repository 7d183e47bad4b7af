//! How changes are made: one after another, each in a transaction of its own, and those that must not stop anybody
//! without one.
//!
//! A change and its line in the history are one transaction, so a process that is killed leaves all of a change or none
//! of it, and the next `up` goes on from there. A change without a transaction ([`MigrationTrait::use_transaction`] is
//! `Some(false)`: `CREATE INDEX CONCURRENTLY`) cleans up behind one that was killed, and gets its line when it is done.
//!
//! On PostgreSQL a change waits at most [`LOCK_TIMEOUT`] for a table that others use, and is tried again: while it
//! waits, everybody waits behind it. Only one process makes changes at a time: the caller holds [`LOCK`] meanwhile, in
//! a transaction on another session. A lock of the session that works would be lost behind a pooler, and a lock of its
//! transaction would end with each change.

use std::time::{SystemTime, UNIX_EPOCH};

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait,
};

use crate::{HISTORY, History, migrations};

/// Asks for what one process has at a time on PostgreSQL: whether it has it now. In a transaction, which is to be held
/// until all is done. Whoever waits asks again, and is not made to wait by the database: an index that is built beside
/// would wait for that statement to end. Any number does, as long as it stays: these are the first digits of the first
/// change.
pub const LOCK: &str = "SELECT pg_try_advisory_xact_lock(20261122)";

/// How long a change waits for a table that others use, on PostgreSQL: less than the second after which it looks who waits for each other
/// (`deadlock_timeout`), so that it is the change that gives up, and nothing of others fails.
const LOCK_TIMEOUT: &str = "500ms";
/// How often it is tried.
const TRIES: u32 = 40;

/// Where the tables stand: a schema of PostgreSQL; without one, SQLite's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    schema: Option<String>,
    is_default: bool,
}

impl Place {
    /// The schema of this name.
    #[must_use]
    pub fn schema(name: &str) -> Self {
        Self { schema: Some(name.to_owned()), is_default: false }
    }

    /// The schema where none was named.
    #[must_use]
    pub fn public() -> Self {
        Self { schema: Some("public".to_owned()), is_default: true }
    }

    /// Whether nobody has named it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.is_default
    }

    /// A table or index as statements name it.
    #[must_use]
    pub fn of(&self, name: &str) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(name)),
            None => quoted(name),
        }
    }

    /// The schema's name, where there is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The schema as statements name it.
    #[must_use]
    pub fn schema_name(&self) -> String {
        quoted(self.schema.as_deref().unwrap_or("public"))
    }
}

/// A name as statements write it: in double quotes, whatever it is.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Makes the changes that a database lacks, oldest first; `done` is told of each. `has`: the names in the table of the
/// history, where there is one; on PostgreSQL they were read under [`LOCK`], which is held.
///
/// # Errors
/// Those of the database; the change that failed has not happened, those before it have. [`DbErr::Custom`] when the
/// database lacks a change and has one that this program does not know.
pub async fn up(
    db: &DatabaseConnection,
    place: &Place,
    has: Option<Vec<String>>,
    mut done: impl FnMut(&str),
) -> Result<(), DbErr> {
    let mut is_new = has.is_none();
    let history = History::of(has.unwrap_or_default());
    if history.pending.is_empty() {
        return Ok(());
    }
    if !history.unknown.is_empty() {
        return Err(DbErr::Custom(format!(
            "the history in {} lacks changes of this program and has others ({}): it belongs to another version, or to \
             another application; DATABASE_SCHEMA names a schema of one's own",
            place.of(HISTORY),
            history.unknown.join(", "),
        )));
    }
    for change in migrations(place).iter().filter(|change| history.pending.iter().any(|name| name == change.name())) {
        Step { db, place, change: &**change, is_up: true, is_first: std::mem::take(&mut is_new) }.run().await?;
        done(change.name());
    }
    Ok(())
}

/// Takes the newest change back, with the data that it holds; its name, or `None` when there is none. `has` as for [`up`].
///
/// # Errors
/// Those of the database; nothing is changed then. [`DbErr::Custom`] when the database has a change that this program
/// does not know, and so cannot take back.
pub async fn down(db: &DatabaseConnection, place: &Place, has: Option<Vec<String>>) -> Result<Option<String>, DbErr> {
    let history = History::of(has.unwrap_or_default());
    if let Some(name) = history.unknown.first() {
        return Err(DbErr::Custom(format!("{name} is not known here: the version that made it takes it back")));
    }
    let Some(last) = history.applied.last() else { return Ok(None) };
    if let Some(change) = migrations(place).iter().find(|change| change.name() == last) {
        Step { db, place, change: &**change, is_up: false, is_first: false }.run().await?;
    }
    Ok(Some(last.clone()))
}

/// A change to be made, or to be taken back.
struct Step<'a> {
    db: &'a DatabaseConnection,
    place: &'a Place,
    change: &'a dyn MigrationTrait,
    is_up: bool,
    /// Whether the table of the history is still missing.
    is_first: bool,
}

impl Step<'_> {
    async fn run(&self) -> Result<(), DbErr> {
        let Self { db, .. } = self;
        if db.get_database_backend() == DbBackend::Sqlite {
            let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
            let options = TransactionOptions { sqlite_transaction_mode, ..Default::default() };
            let open = db.begin_with_options(options).await?;
            self.begin_history(&open).await?;
            // Another process may have been faster.
            let line = Statement::from_string(DbBackend::Sqlite, self.find());
            if open.query_one_raw(line).await?.is_some() != self.is_up {
                self.make(&open, &SchemaManager::new(&open)).await?;
            }
            return open.commit().await;
        }
        let mut tries = 1;
        loop {
            match self.attempt().await {
                Err(error) if tries < TRIES && is_in_the_way(&error) => tries += 1,
                done => return done,
            }
        }
    }

    /// Once, on PostgreSQL.
    async fn attempt(&self) -> Result<(), DbErr> {
        let Self { db, place, .. } = self;
        if self.change.use_transaction() == Some(false) {
            // For the session, which the caller ends: there is no transaction that it could be for.
            db.execute_unprepared("SET statement_timeout = 0").await?;
            return self.make(*db, &SchemaManager::new(*db)).await;
        }
        let settings = format!(
            "SET LOCAL search_path TO {}; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL statement_timeout = 0",
            place.schema_name()
        );
        let open = db.begin().await?;
        open.execute_unprepared(&settings).await?;
        let made = async {
            self.begin_history(&open).await?;
            self.make(&open, &SchemaManager::new(&open)).await
        };
        match made.await {
            Ok(()) => open.commit().await,
            Err(error) => {
                open.rollback().await?;
                Err(error)
            }
        }
    }

    /// The table of the history, where it is missing: with the first change, so that a change that is refused leaves
    /// nothing behind among the tables of others.
    async fn begin_history(&self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        if self.is_first {
            // As SeaORM's own tool makes it.
            let table = "(version varchar NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)";
            db.execute_unprepared(&format!("CREATE TABLE IF NOT EXISTS {} {table}", self.place.of(HISTORY))).await?;
        }
        Ok(())
    }

    /// The change, and its line in the history.
    async fn make(&self, db: &impl ConnectionTrait, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        if self.is_up {
            self.change.up(manager).await?;
        } else {
            self.change.down(manager).await?;
        }
        let (history, name) = (self.place.of(HISTORY), self.change.name());
        let line = if self.is_up {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
            format!("INSERT INTO {history} (version, applied_at) VALUES ('{name}', {now})")
        } else {
            format!("DELETE FROM {history} WHERE version = '{name}'")
        };
        db.execute_unprepared(&line).await.map(drop)
    }

    fn find(&self) -> String {
        format!("SELECT 1 FROM {} WHERE version = '{}'", self.place.of(HISTORY), self.change.name())
    }
}

/// Whether others stood in the way: a table was waited for in vain, or two waited for each other. So it is when a process
/// was killed whose session still builds an index.
fn is_in_the_way(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    error.as_database_error().is_some_and(|said| matches!(said.code().as_deref(), Some("55P03" | "40P01")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(Place::default().of("tasks"), "\"tasks\"");
        assert_eq!(Place::schema("my \"own\"").of("tasks"), "\"my \"\"own\"\"\".\"tasks\"");
    }
}
