//! The database as a whole: where it is, whether its schema fits, and how the schema is brought up to date.
//!
//! [`Database`] stands below the repository, which runs its statements by it, and beside `cli.rs`, which opens it,
//! prepares the schema and closes it. A database that is away stops nothing but the requests that need it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tasks_api::Error;
use tasks_migration::{History, Place};
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use crate::storage::engine::{self, Direct, Engine};
use crate::storage::failure::{Failure, StorageError};
use crate::storage::figures::Sessions;
use crate::storage::role::{self, Role, RoleError};
use crate::storage::schema::{self, Direction, PrepareError};
use crate::storage::settings::{DatabaseSettings, OpenError, Scheme, is_in_memory, kind};
use crate::storage::snapshot::Snapshot;
use crate::storage::sqlite::{address, existing};
use crate::storage::statement::{Reply, Statement, Value};
use crate::storage::timing::spend;
use crate::storage::transaction::Transaction;

/// The database. Cloning it is cheap, and all clones are one.
#[derive(Clone, Debug)]
pub struct Database(Arc<Inner>);

struct Inner {
    engine: Engine,
    migrations: Direct,
    /// Where the tables are.
    place: Place,
    question: Arc<Statement>,
    migrate_on_start: bool,
    /// Whether the schema was seen to be current.
    is_current: AtomicBool,
    /// Lets one caller at a time look at the schema.
    looking: Arc<Mutex<()>>,
    /// Whether the log has been told that the schema does not fit.
    is_told: AtomicBool,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Database {
    /// Reads the settings. The database need not be there: nothing is connected yet.
    ///
    /// # Errors
    /// When a setting is wrong in itself; the text names it and never holds its value.
    pub fn open(settings: &DatabaseSettings) -> Result<Self, OpenError> {
        let (engine, migrations, place) = engine::open(settings)?;
        Ok(Self(Arc::new(Inner {
            question: Arc::new(Statement::new(format!("SELECT 1 FROM {} LIMIT 0", place.of("tasks")), &[])),
            engine,
            migrations,
            place,
            migrate_on_start: settings.migrate_on_start,
            is_current: AtomicBool::new(false),
            looking: Arc::default(),
            is_told: AtomicBool::new(false),
        })))
    }

    /// The same of a database that is there: none is made, and its schema stays as it is.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and [`OpenError::Absent`].
    pub fn open_existing(settings: &DatabaseSettings) -> Result<Self, OpenError> {
        if matches!(kind("DATABASE_URL", &settings.url)?, Scheme::Sqlite) && !is_in_memory(&settings.url) {
            existing(&address("DATABASE_URL", &settings.url)?)?;
        }
        Self::open(&DatabaseSettings { migrate_on_start: false, ..settings.clone() })
    }

    /// Sees to it that the schema is current: applies what is pending when `MIGRATE_ON_START` says so, else only
    /// looks. A schema that is ahead, made by a newer version, is fine.
    ///
    /// # Errors
    /// [`PrepareError::Away`] need not stop the start: the first request looks again. The others should.
    pub async fn prepare(&self) -> Result<(), PrepareError> {
        let inner = &*self.0;
        let alone = Arc::clone(&inner.looking).lock_owned().await;
        if inner.is_current.load(Ordering::Acquire) {
            return Ok(());
        }
        // First of all a connection of the pool: it tells at once when the database is away, and it keeps a database
        // in memory alive between the migration's connection and the next.
        let mut history = self.migrate_status().await?;
        if inner.migrate_on_start && !history.pending.is_empty() {
            // A change takes its time. Whoever waits for it may leave, and it goes on, with others waiting behind it.
            let database = self.clone();
            let change = tokio::spawn(async move {
                let done = database.migrate_up().await?;
                for name in done {
                    info!(migration = name, "the schema was brought up to date");
                }
                let history = database.migrate_status().await?;
                Ok::<_, PrepareError>((history, alone))
            });
            let broken =
                |_| Err(PrepareError::Failed(StorageError("the change of the schema was broken off".to_owned())));
            let (now, alone) = change.await.unwrap_or_else(broken)?;
            history = now;
            drop(alone);
        }
        if !history.pending.is_empty() {
            return Err(PrepareError::Behind(history.pending));
        }
        if !history.unknown.is_empty() {
            warn!(migrations = ?history.unknown, "the schema is ahead of this version of the server");
        }
        inner.is_current.store(true, Ordering::Release);
        Ok(())
    }

    /// Sees to it that the schema was seen to be current: from then on the cost of this is one atomic load.
    async fn current(&self) -> Result<(), Error> {
        let inner = &*self.0;
        if inner.is_current.load(Ordering::Acquire) {
            return Ok(());
        }
        // Boxed: what rarely runs must not make the state of every request large.
        Box::pin(self.prepare()).await.map_err(|cause| {
            let is_away = matches!(cause, PrepareError::Away(_));
            if !is_away && !inner.is_told.swap(true, Ordering::Relaxed) {
                error!(%cause, "no request can be served");
            }
            Error::Unavailable(cause.into())
        })
    }

    /// Where the tables are.
    pub(crate) fn place(&self) -> &Place {
        &self.0.place
    }

    /// Reads what is quick and waits for nobody.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the database is away, full or busy, or its schema does not fit; [`Error::Internal`]
    /// for a bug. This holds for all that runs statements here.
    pub(crate) async fn read(&self, statement: &Arc<Statement>, values: &[Value<'_>]) -> Result<Reply, Error> {
        self.current().await?;
        Ok(spend(self.0.engine.read(statement, values)).await?)
    }

    /// Runs for a user what may take long, and may run twice: counts, long lists, the end of expired keys.
    pub(crate) async fn run_slowly(
        &self,
        user: &str,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Reply, Error> {
        self.current().await?;
        Ok(spend(self.0.engine.run_slowly(user, statement, values)).await?)
    }

    /// Writes for a user. `twice`: whether the statement has the same effect when it had run already, and then fails as
    /// [`Failure::is_duplicate`].
    pub(crate) async fn write(
        &self,
        user: &str,
        statement: &Statement,
        values: &[Value<'_>],
        twice: bool,
    ) -> Result<Result<Reply, Failure>, Error> {
        self.current().await?;
        Ok(spend(self.0.engine.write(user, statement, values, twice)).await)
    }

    /// Runs statements for a user that happen all or not at all, and not beside those of another transaction that writes
    /// the same. When `work` fails, or is given up, nothing has happened. It may be done several times.
    pub(crate) async fn transaction<T, E: From<Failure> + From<Error>>(
        &self,
        user: &str,
        work: impl for<'t> Fn(&'t Transaction<'_>) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<T, E> {
        self.current().await?;
        spend(self.0.engine.transaction(user, work)).await
    }

    /// The database as it is at one time, for what takes long: on a connection that no request waits for.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.current().await?;
        Ok(self.0.engine.snapshot().await?)
    }

    /// Whether requests can be served: as the last statement found it, and asked anew only when there was none yet or
    /// it failed, so that the question wakes no sleeping database and costs nothing under load.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when they cannot.
    pub async fn ready(&self) -> Result<(), Error> {
        self.current().await?;
        if !self.0.engine.is_well() {
            self.0.engine.read(&self.0.question, &[]).await?;
        }
        Ok(())
    }

    /// Applies what is pending; the names of the migrations, oldest first.
    ///
    /// # Errors
    /// When the database is away or refuses: the migration that failed has changed nothing, those before it have.
    pub async fn migrate_up(&self) -> Result<Vec<String>, PrepareError> {
        schema::migrate(&self.0.migrations, &self.0.place, Direction::Up).await
    }

    /// Takes the newest migration back, with its tables and all that they hold; its name, or `None` when the database
    /// has none.
    ///
    /// # Errors
    /// When the database is away or refuses; nothing is changed then.
    pub async fn migrate_down(&self) -> Result<Option<String>, PrepareError> {
        Ok(schema::migrate(&self.0.migrations, &self.0.place, Direction::Down).await?.pop())
    }

    /// Which migrations the database has, lacks, and has from a newer version. Changes nothing.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn migrate_status(&self) -> Result<History, PrepareError> {
        schema::status(&self.0.engine, &self.0.place).await
    }

    /// Makes a role that has the rights of a running server and no others, or brings it up to date.
    ///
    /// # Errors
    /// As [`RoleError`] says; nothing is changed then.
    pub async fn make_role(&self, name: &str) -> Result<Role, RoleError> {
        let Direct::Postgres(target) = &self.0.migrations else { return Err(RoleError::Sqlite) };
        let mut session = schema::hold(target, &self.0.place).await?;
        let role = role::make(&mut session, &self.0.place, name).await?;
        session.run_text("COMMIT").await?;
        session.close().await;
        Ok(role)
    }

    /// How many connections there are.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        self.0.engine.sessions()
    }

    /// Makes what is under way fail: who waits is told before the server ends.
    pub fn stop(&self) {
        self.0.engine.stop();
    }

    /// Waits up to `grace` for the statements that run, then ends every connection. Further calls answer
    /// [`Error::Unavailable`].
    pub async fn close(&self, grace: Duration) {
        self.0.engine.close(grace).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::settings::DatabaseTls;

    fn settings(url: &str) -> DatabaseSettings {
        DatabaseSettings {
            url: url.to_owned(),
            migration_url: None,
            schema: None,
            max_connections: 10,
            tls: DatabaseTls::Verified,
            migrate_on_start: false,
        }
    }

    #[test]
    fn a_wrong_setting_is_named_and_its_value_is_not() {
        for url in [
            "mysql://u:s3cret@h/d",
            "s3cret",
            "postgres:s3cret",
            "postgres://u:s3cret@h:99999/d",
            "postgres://u:s3 cret@[h/d",
            "postgres://u:p@h/d?sslmode=s3cret",
            "sqlite://x?mode=s3cret",
        ] {
            let error = Database::open(&settings(url)).expect_err(url);
            let text = format!("{error} {error:?}");
            assert!(error.to_string().contains("DATABASE_URL") && !text.contains("s3"), "{text}");
        }
        let mixed = DatabaseSettings {
            migration_url: Some("sqlite::memory:".to_owned()),
            ..settings("postgres://u:p@localhost/d")
        };
        assert!(matches!(Database::open(&mixed), Err(OpenError::Kinds)));
        let schema = DatabaseSettings { schema: Some("x".to_owned()), ..settings("sqlite::memory:") };
        assert!(matches!(Database::open(&schema), Err(OpenError::Schema)));
    }

    #[test]
    fn nothing_that_can_be_printed_holds_the_password() {
        let settings = settings("postgres://u:s3cret@localhost/d");
        let database = Database::open(&settings).expect("the settings are right");
        assert!(!format!("{settings:?} {database:?}").contains("s3cret"));
    }
}
