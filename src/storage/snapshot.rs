//! The database as it is at one time, read on a connection of its own: what takes long holds none that requests need.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use tokio::time::timeout;

use crate::storage::failure::Failure;
use crate::storage::session::Session;
use crate::storage::statement::{Reply, Statement, Value};

/// How long a statement may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Rows are read in the order of an index, some at a time: where PostgreSQL has not looked at a table yet (ANALYZE), it would sort all of
/// them each time (100,000 tasks: 42 s in place of 1 s).
///
/// A session that was given up ends its statement by itself: nobody cancels it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_sort = off; \
     SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'";

/// A transaction that only reads, and sees nothing of what others write meanwhile. It ends when this is dropped, too.
pub(crate) struct Snapshot {
    link: Link,
    /// Whether writers wait for its end: a database in memory has no log that they could write to.
    pub(crate) holds_writers: bool,
}

enum Link {
    Postgres(Box<Session>),
    Sqlite(SqliteConnection),
}

impl Snapshot {
    /// On a session that is fresh.
    pub(crate) async fn of_postgres(mut session: Session) -> Result<Self, Failure> {
        session.run_text(BEGIN).await?;
        Ok(Self { link: Link::Postgres(Box::new(session)), holds_writers: false })
    }

    /// On a connection that is fresh.
    pub(crate) async fn of_sqlite(mut link: SqliteConnection, holds_writers: bool) -> Result<Self, Failure> {
        sqlx::query("BEGIN").execute(&mut link).await?;
        Ok(Self { link: Link::Sqlite(link), holds_writers })
    }

    /// Runs a statement that reads. The first one says which time it is.
    pub(crate) async fn run(&mut self, statement: &Statement, values: &[Value<'_>]) -> Result<Reply, Failure> {
        match &mut self.link {
            Link::Postgres(session) => {
                let bound = statement.bind(statement.name(), values)?;
                timeout(LIMIT, session.run(statement, &bound)).await.map_err(|_| Failure::Silent)?
            }
            Link::Sqlite(link) => statement.run(link, values).await,
        }
    }

    /// Ends it in order.
    pub(crate) async fn close(self) {
        match self.link {
            Link::Postgres(session) => session.close().await,
            Link::Sqlite(link) => drop(link.close().await),
        }
    }
}
