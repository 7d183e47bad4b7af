//! Statements that happen all or not at all, on either database.

use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{Connection, Sqlite, SqliteConnection};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::storage::failure::Failure;
use crate::storage::session::{CANCEL, OUTCOME, Session};
use crate::storage::statement::{Reply, Statement, Value};

/// Sent with the first statement. The time for which a transaction waits for another to let go of a row is its own, as a
/// pooler may hand the session to others. PostgreSQL counts it for each lock, and a row that many want is two.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '2s'";

/// A transaction that is open.
pub(crate) struct Transaction<'c> {
    open: Mutex<Open<'c>>,
    /// The first failure of a statement.
    said: OnceLock<Failure>,
}

enum Open<'c> {
    Postgres { session: &'c mut Session, limit: Duration, has_begun: bool },
    Sqlite(sqlx::Transaction<'c, Sqlite>),
}

/// How a transaction went.
pub(crate) enum Attempt<T, E> {
    /// It happened.
    Done(T),
    /// It did not, or that is not known.
    Failed {
        error: E,
        /// What the database said, where it failed.
        said: Option<Failure>,
        /// Whether the session is as it was before.
        is_clean: bool,
        /// Whether it is certain that nothing happened.
        is_undone: bool,
    },
}

impl<T, E: From<Failure>> Attempt<T, E> {
    fn broken(said: Failure, is_undone: bool) -> Self {
        Self::Failed { error: said.clone().into(), said: Some(said), is_clean: false, is_undone }
    }

    /// Does the work in a transaction of PostgreSQL, whose statements may take so long each.
    pub(crate) async fn on_postgres(
        session: &mut Session,
        limit: Duration,
        work: &impl for<'t> Fn(&'t Transaction<'_>) -> BoxFuture<'t, Result<T, E>>,
    ) -> Self {
        let open = Mutex::new(Open::Postgres { session, limit, has_begun: false });
        let transaction = Transaction { open, said: OnceLock::new() };
        let done = work(&transaction).await;
        let Transaction { open, said } = transaction;
        let Open::Postgres { session, has_begun, .. } = open.into_inner() else {
            return Self::broken(Failure::Bug("a transaction of another database"), true);
        };
        match done {
            Ok(done) if !has_begun => Self::Done(done),
            // A transaction in which a statement failed is rolled back, and that is not said as an error.
            Ok(_) if said.get().is_some() => Self::broken(Failure::Bug("a failure was overlooked"), true),
            Ok(done) => match timeout(limit, session.run_text("COMMIT")).await {
                Ok(Ok(_)) => Self::Done(done),
                Ok(Err(failure)) => Self::broken(failure, false),
                Err(_) => Self::broken(Failure::Silent, false),
            },
            Err(error) => {
                let is_clean = !has_begun
                    || session.is_at_rest()
                        && matches!(timeout(limit, session.run_text("ROLLBACK")).await, Ok(Ok((_, b'I'))));
                Self::Failed { error, said: said.into_inner(), is_clean, is_undone: true }
            }
        }
    }

    /// Does the work in a transaction of SQLite, beside which nobody writes.
    pub(crate) async fn on_sqlite(
        link: &mut SqliteConnection,
        work: &impl for<'t> Fn(&'t Transaction<'_>) -> BoxFuture<'t, Result<T, E>>,
    ) -> Self {
        let open = match link.begin_with("BEGIN IMMEDIATE").await {
            Ok(open) => Mutex::new(Open::Sqlite(open)),
            Err(error) => return Self::broken(error.into(), true),
        };
        let transaction = Transaction { open, said: OnceLock::new() };
        let done = work(&transaction).await;
        let Transaction { open, said } = transaction;
        let Open::Sqlite(open) = open.into_inner() else {
            return Self::broken(Failure::Bug("a transaction of another database"), true);
        };
        match done {
            Ok(done) => match open.commit().await {
                Ok(()) => Self::Done(done),
                Err(error) => Self::broken(error.into(), false),
            },
            Err(error) => {
                // Where the disk is full, SQLite has rolled back already, and the driver does not know.
                let is_clean = open.rollback().await.is_ok();
                Self::Failed { error, said: said.into_inner(), is_clean, is_undone: true }
            }
        }
    }
}

impl Transaction<'_> {
    /// Runs a statement in it.
    pub(crate) async fn run(&self, statement: &Statement, values: &[Value<'_>]) -> Result<Reply, Failure> {
        let mut open = self.open.lock().await;
        let result = match &mut *open {
            Open::Postgres { session, limit, has_begun } => {
                let bound = statement.bind(statement.name(), values)?;
                let begin = (!std::mem::replace(has_begun, true)).then_some(BEGIN);
                if let Ok(done) = timeout(*limit, session.run_within(begin, statement, &bound)).await {
                    done
                } else {
                    Box::pin(async {
                        session.cancel().send(CANCEL).await;
                        // One that stands still is told from one that waits, so that it is not doubted with all others.
                        match timeout(OUTCOME, session.outcome()).await {
                            Ok(Err(failure)) => Err(failure),
                            _ => Err(Failure::Silent),
                        }
                    })
                    .await
                }
            }
            Open::Sqlite(open) => statement.run(open, values).await,
        };
        result.inspect_err(|failure| {
            let _ = self.said.set(failure.clone());
        })
    }
}
