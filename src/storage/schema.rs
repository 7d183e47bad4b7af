//! Whether the schema fits, and how it is brought up to date.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DatabaseConnection, DbErr};
use tasks_migration::{HISTORY, History, LOCK, Place};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::storage::connection::Target;
use crate::storage::driver;
use crate::storage::engine::{Direct, Engine};
use crate::storage::failure::{Failure, Remedy, StorageError};
use crate::storage::race::connect_in_time;
use crate::storage::session::Session;
use crate::storage::statement::{Kind, Reply, Statement, Value};

/// How long a session that does nothing may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How often the session that holds the lock of the migrations says that it is there.
const ALIVE: Duration = Duration::from_secs(1);
/// How often a process that waits for its turn to migrate asks whether it has come.
const TURN: Duration = Duration::from_millis(200);

/// Why the schema is not known to be current.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The database is away; the first request that reaches it prepares it.
    #[error("the database is away: {0}")]
    Away(#[source] StorageError),
    /// The schema lacks these migrations, and the server may not apply them.
    #[error(
        "the database's schema is behind ({}): run `tasks-server migrate up`, or set MIGRATE_ON_START=true",
        .0.join(", ")
    )]
    Behind(Vec<String>),
    /// The tables are in another schema than `DATABASE_SCHEMA` says: an earlier version left that to `search_path`.
    #[error(
        "the tables are in the schema {found}, not in {wanted}: set DATABASE_SCHEMA={found}, or move them with \
         ALTER TABLE … SET SCHEMA"
    )]
    Elsewhere {
        /// Where they are.
        found: String,
        /// Where they should be.
        wanted: String,
    },
    /// The database refused a migration or the question for them.
    #[error("the database's schema cannot be prepared: {0}")]
    Failed(#[source] StorageError),
}

impl From<Failure> for PrepareError {
    fn from(failure: Failure) -> Self {
        let cause = StorageError(failure.to_string());
        match failure.remedy() {
            Remedy::None => Self::Failed(cause),
            _ if matches!(failure, Failure::Unfit(_)) => Self::Failed(cause),
            _ => Self::Away(cause),
        }
    }
}

/// Where migrations lead.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Up,
    Down,
}

impl Direction {
    /// Makes all changes, or takes the newest back; their names.
    async fn go(self, db: &DatabaseConnection, place: &Place, has: Option<Vec<String>>) -> Result<Vec<String>, DbErr> {
        match self {
            Self::Up => {
                let mut done = Vec::new();
                tasks_migration::up(db, place, has, |name| done.push(name.to_owned())).await?;
                Ok(done)
            }
            Self::Down => Ok(tasks_migration::down(db, place, has).await?.into_iter().collect()),
        }
    }
}

/// Makes all changes, or takes the newest back; the names of those that were made or taken back.
///
/// # Errors
/// When the database is away or refuses.
pub(crate) async fn migrate(to: &Direct, place: &Place, direction: Direction) -> Result<Vec<String>, PrepareError> {
    match to {
        Direct::Postgres(target) => migrate_postgres(target, place, direction).await,
        Direct::Sqlite(options) => {
            let db = driver::to_sqlite((**options).clone()).await?;
            let has = history(place, &Source::Sqlite(&db)).await?;
            let done = direction.go(&db, place, has).await.map_err(|error| refused(&error));
            // It is done either way: a connection that does not close well was of no more use.
            let _ = db.close().await;
            done
        }
    }
}

/// Which migrations the database has, lacks, and has from a newer version.
///
/// # Errors
/// When the database is away or refuses.
pub(crate) async fn status(engine: &Engine, place: &Place) -> Result<History, PrepareError> {
    Ok(History::of(history(place, &Source::Engine(engine)).await?.unwrap_or_default()))
}

/// A session in a transaction, beside which nobody changes the schema, and that is current.
///
/// # Errors
/// When the schema is behind, or the database away.
pub(crate) async fn hold(target: &Arc<Target>, place: &Place) -> Result<Session, PrepareError> {
    let session = Mutex::new(turn(target).await?);
    let has = history(place, &Source::Postgres(&session)).await?;
    let History { pending, .. } = History::of(has.unwrap_or_default());
    if pending.is_empty() { Ok(session.into_inner()) } else { Err(PrepareError::Behind(pending)) }
}

/// Who is asked for the history.
enum Source<'a> {
    Engine(&'a Engine),
    Sqlite(&'a DatabaseConnection),
    Postgres(&'a Mutex<Session>),
}

impl Source<'_> {
    async fn ask(&self, statement: Statement, values: &[Value<'_>]) -> Result<Reply, Failure> {
        match self {
            Self::Engine(engine) => engine.read(&Arc::new(statement), values).await,
            Self::Sqlite(db) => {
                let mut link = db.get_sqlite_connection_pool().acquire().await?;
                statement.run(&mut link, values).await
            }
            Self::Postgres(session) => {
                session.lock().await.run(&statement, &statement.bind(statement.name(), values)?).await
            }
        }
    }

    async fn names(&self, place: &Place) -> Result<Vec<String>, Failure> {
        let text = format!("SELECT version FROM {} ORDER BY version", place.of(HISTORY));
        self.ask(Statement::new(text, &[]), &[]).await?.all(|row| row.columns().text())
    }
}

/// The names in the table of the history, oldest first; `None` where there is no such table.
async fn history(place: &Place, source: &Source<'_>) -> Result<Option<Vec<String>>, PrepareError> {
    let Some(schema) = place.name() else {
        let text = format!("SELECT name FROM sqlite_master WHERE name = '{HISTORY}'");
        let found = source.ask(Statement::new(text, &[]), &[]).await?.one(|row| row.columns().text())?;
        return Ok(if found.is_some() { Some(source.names(place).await?) } else { None });
    };
    // Where nobody has named the schema, also elsewhere: 0.1.0 left it to the search path, and the tables may have moved.
    let text = format!(
        "SELECT n.nspname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = '{HISTORY}' AND (n.nspname = $1 OR $2) \
         ORDER BY n.nspname = $1 DESC, pg_catalog.pg_table_is_visible(c.oid) DESC LIMIT 1"
    );
    let found = source
        .ask(Statement::new(text, &[Kind::Text, Kind::Bool]), &[schema.into(), place.is_default().into()])
        .await?;
    match found.one(|row| row.columns().text())? {
        None => Ok(None),
        Some(found) if found == schema => Ok(Some(source.names(place).await?)),
        Some(found) => {
            // Whoever may not read it is not at home there.
            let others = source.names(&Place::schema(&found)).await.unwrap_or_default();
            if History::of(others).applied.is_empty() {
                Ok(None)
            } else {
                Err(PrepareError::Elsewhere { found, wanted: schema.to_owned() })
            }
        }
    }
}

/// A session in a transaction, beside which nobody changes the schema.
async fn turn(target: &Arc<Target>) -> Result<Session, Failure> {
    let mut session = connect_in_time(target).await?;
    session.run_text("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    while session.run_text(LOCK).await?.0.one(|row| row.columns().text())?.is_none_or(|has| has != "t") {
        sleep(TURN).await;
    }
    Ok(session)
}

/// Makes a change of the schema while no other process does.
async fn migrate_postgres(
    target: &Arc<Target>,
    place: &Place,
    direction: Direction,
) -> Result<Vec<String>, PrepareError> {
    let mut session = connect_in_time(target).await?;
    let mut guard = turn(target).await?;
    if timeout(ANSWER, session.run_text("SELECT 1")).await.is_err() {
        // PGlite: all its connections are one session, and wait for our own transaction.
        warn!("the database has one session for all: no other process may migrate it meanwhile");
        guard.run_text("ROLLBACK").await?;
        session = connect_in_time(target).await?;
    }
    let host = session.host().clone();
    let session = Mutex::new(session);
    let has = history(place, &Source::Postgres(&session)).await?;
    if matches!(direction, Direction::Up) {
        create_schema(&mut *session.lock().await, place).await?;
    }
    let db = driver::to_postgres(target.address(), &host).await?;
    let work = async {
        direction.go(&db, place, has).await.map_err(|error| match driver::failure(&error) {
            Ok(failure) if failure.is_taken() => PrepareError::Failed(StorageError(format!(
                "{failure}: the schema {} has tables of others; set DATABASE_SCHEMA to one for the tasks alone",
                place.schema_name()
            ))),
            _ => refused(&error),
        })
    };
    let alive = async {
        loop {
            sleep(ALIVE).await;
            // Else the lock's transaction may be ended for being idle.
            if let Err(failure) = guard.run_text("SELECT 1").await {
                return failure;
            }
        }
    };
    let done = tokio::select! {
        done = work => done,
        failure = alive => Err(failure.into()),
    };
    let _ = db.close().await;
    session.into_inner().close().await;
    guard.close().await;
    done
}

/// Why a change was not made.
fn refused(error: &DbErr) -> PrepareError {
    match driver::failure(error) {
        Ok(failure) if failure.remedy() == Remedy::Perhaps => failure.into(),
        Ok(failure) if failure.is_denied() => PrepareError::Failed(StorageError(format!(
            "{}: changes are made by the role that owns the tables; DATABASE_URL_UNPOOLED names its connection",
            failure.said()
        ))),
        Ok(failure) => PrepareError::Failed(StorageError(failure.to_string())),
        Err(text) => PrepareError::Failed(StorageError(text)),
    }
}

/// Creates the schema, where it is missing and the role may.
async fn create_schema(session: &mut Session, place: &Place) -> Result<(), PrepareError> {
    let Some(name) = place.name() else { return Ok(()) };
    let find = Statement::new("SELECT nspname::text FROM pg_catalog.pg_namespace WHERE nspname = $1", &[Kind::Text]);
    let found = session.run(&find, &find.bind(find.name(), &[name.into()])?).await?;
    if found.one(|row| row.columns().text())?.is_some() {
        return Ok(());
    }
    let create = format!("CREATE SCHEMA {}", place.schema_name());
    session.run_text(&create).await.map_err(|failure| {
        PrepareError::Failed(StorageError(format!("{}: let somebody who may run `{create}`", failure.said())))
    })?;
    Ok(())
}
