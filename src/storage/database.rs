//! The database as a whole: where it is, whether its schema fits, and how the schema is brought up to date.
//!
//! [`Database`] stands below the repository, which runs its statements by it, and beside `main.rs`, which opens it,
//! prepares the schema and closes it. A database that is away stops nothing but the requests that need it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sea_orm::{DatabaseConnection, DbErr};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tasks_api::Error;
use tasks_migration::{HISTORY, History, LOCK, Place};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::storage::address::Address;
use crate::storage::failure::{Failure, Remedy, StorageError};
use crate::storage::role::{self, Role, RoleError};
use crate::storage::session::{Session, Target};
use crate::storage::statement::{Kind, Reply, Statement, Value};
use crate::storage::tls::TlsError;
use crate::storage::transaction::Transaction;
use crate::storage::{driver, postgres, sqlite};

/// How many statements a connection of SQLite keeps prepared: all that there are.
const PREPARED: usize = 64;
/// How long SQLite waits for the lock of another process.
const BUSY: Duration = Duration::from_secs(5);
/// How long a connection for migrations may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a session that does nothing may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How often the session that holds the lock of the migrations says that it is there.
const ALIVE: Duration = Duration::from_secs(1);
/// How often a process that waits for its turn to migrate asks whether it has come.
const TURN: Duration = Duration::from_millis(200);

/// Where the database is and how to use it.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// `DATABASE_URL`: `sqlite://…`, `postgres://…` or `postgresql://…`. Holds a password.
    pub url: String,
    /// `DATABASE_URL_UNPOOLED`: a direct connection for migrations, when `url` goes through a pooler.
    pub migration_url: Option<String>,
    /// `DATABASE_SCHEMA`: the schema of PostgreSQL in which the tables are; `None` is `public`.
    pub schema: Option<String>,
    /// `DATABASE_MAX_CONNECTIONS`: the most connections at a time. Of SQLite, only as many as can be of use.
    pub max_connections: u32,
    /// `DATABASE_TLS`.
    pub tls: DatabaseTls,
    /// `MIGRATE_ON_START`: whether [`Database::prepare`] brings the schema up to date itself.
    pub migrate_on_start: bool,
}

impl fmt::Debug for DatabaseSettings {
    /// Without the addresses: they hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings")
            .field("schema", &self.schema)
            .field("max_connections", &self.max_connections)
            .field("tls", &self.tls)
            .field("migrate_on_start", &self.migrate_on_start)
            .finish_non_exhaustive()
    }
}

/// How the way to a remote PostgreSQL is protected. On the same machine the address's `sslmode` decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DatabaseTls {
    /// TLS, and the server's certificate and name are verified, whatever `sslmode` says.
    #[default]
    Verified,
    /// As `sslmode` says, which may be plain text.
    Off,
}

/// Why the settings name no usable database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not an address of a kind that is known.
    #[error("{0} must begin with sqlite://, postgres:// or postgresql://")]
    Scheme(&'static str),
    /// The address cannot be read. What is wrong with it would repeat a part of it.
    #[error(
        "{0} is no valid database address; write reserved characters of the user name and the password \
         percent-encoded, and check the names and values behind the question mark"
    )]
    Address(&'static str),
    /// A variable that completes the address has a value that cannot be used.
    #[error("the variable {0}, which completes the database's address, has no usable value")]
    Variable(&'static str),
    /// The system's certificates are asked for, and a mode that does not verify with them.
    #[error("{0}: sslrootcert=system needs sslmode=verify-full, and a weaker sslmode is named beside it")]
    SystemRoots(&'static str),
    /// A certificate that the address names cannot be used.
    #[error("{0}: {1}")]
    Certificate(&'static str, TlsError),
    /// `DATABASE_URL` and `DATABASE_URL_UNPOOLED` are of two kinds.
    #[error("DATABASE_URL_UNPOOLED must name the same database as DATABASE_URL")]
    Kinds,
    /// SQLite has no schemas.
    #[error("DATABASE_SCHEMA is for PostgreSQL: SQLite has no schemas")]
    Schema,
    /// The pool would be empty.
    #[error("DATABASE_MAX_CONNECTIONS must be at least 1")]
    NoConnections,
    /// The directory of the SQLite file is missing and cannot be made.
    #[error("the directory of the file in DATABASE_URL cannot be created: {0}")]
    Directory(#[source] std::io::Error),
}

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
    looking: Mutex<()>,
    /// Whether the log has been told that the schema does not fit.
    is_told: AtomicBool,
}

#[derive(Debug)]
enum Engine {
    Postgres(postgres::Pool),
    Sqlite(Box<sqlite::Pool>),
}

/// A way to the database without a pool.
enum Direct {
    Postgres(Arc<Target>),
    Sqlite(Box<SqliteConnectOptions>),
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
        if settings.max_connections == 0 {
            return Err(OpenError::NoConnections);
        }
        let (engine, migrations, place) = match kind("DATABASE_URL", &settings.url)? {
            Scheme::Postgres => {
                let open = |setting, url: &str| target(setting, url, settings.tls);
                let target = open("DATABASE_URL", &settings.url)?;
                let direct = match &settings.migration_url {
                    Some(url) if matches!(kind("DATABASE_URL_UNPOOLED", url)?, Scheme::Postgres) => {
                        open("DATABASE_URL_UNPOOLED", url)?
                    }
                    Some(_) => return Err(OpenError::Kinds),
                    None => Arc::clone(&target),
                };
                let place = settings.schema.as_deref().map_or_else(Place::public, Place::schema);
                let pool = postgres::Pool::new(target, settings.max_connections as usize);
                (Engine::Postgres(pool), Direct::Postgres(direct), place)
            }
            Scheme::Sqlite => {
                if settings.schema.is_some() {
                    return Err(OpenError::Schema);
                }
                if let Some(url) = &settings.migration_url
                    && !matches!(kind("DATABASE_URL_UNPOOLED", url)?, Scheme::Sqlite)
                {
                    return Err(OpenError::Kinds);
                }
                let options = sqlite_options("DATABASE_URL", &settings.url)?;
                let file = sqlite_file(&settings.url, &options)?;
                let size = settings.max_connections.min(sqlite_connections(file.as_deref()));
                let pool = sqlite::Pool::new(options.clone(), file.as_deref(), size);
                (Engine::Sqlite(Box::new(pool)), Direct::Sqlite(Box::new(options)), Place::default())
            }
        };
        Ok(Self(Arc::new(Inner {
            question: Arc::new(Statement::new(format!("SELECT 1 FROM {} LIMIT 0", place.of("tasks")), &[])),
            engine,
            migrations,
            place,
            migrate_on_start: settings.migrate_on_start,
            is_current: AtomicBool::new(false),
            looking: Mutex::new(()),
            is_told: AtomicBool::new(false),
        })))
    }

    /// Sees to it that the schema is current: applies what is pending when `MIGRATE_ON_START` says so, else only
    /// looks. A schema that is ahead, made by a newer version, is fine.
    ///
    /// # Errors
    /// [`PrepareError::Away`] need not stop the start: the first request looks again. The others should.
    pub async fn prepare(&self) -> Result<(), PrepareError> {
        let inner = &*self.0;
        let _alone = inner.looking.lock().await;
        if inner.is_current.load(Ordering::Acquire) {
            return Ok(());
        }
        // First of all a connection of the pool: it tells at once when the database is away, and it keeps a database
        // in memory alive between the migration's connection and the next.
        let mut history = self.migrate_status().await?;
        if inner.migrate_on_start && !history.pending.is_empty() {
            for name in self.migrate_up().await? {
                info!(migration = name, "the schema was brought up to date");
            }
            history = self.migrate_status().await?;
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
        Ok(self.ask(statement, values).await?)
    }

    async fn ask(&self, statement: &Arc<Statement>, values: &[Value<'_>]) -> Result<Reply, Failure> {
        match &self.0.engine {
            Engine::Postgres(pool) => pool.read(statement, values).await,
            Engine::Sqlite(pool) => pool.run(statement, values).await,
        }
    }

    /// Runs for a user what may take long, and may run twice: counts, long lists, the end of expired keys.
    pub(crate) async fn run_slowly(
        &self,
        user: &str,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Reply, Error> {
        self.current().await?;
        Ok(match &self.0.engine {
            Engine::Postgres(pool) => pool.run_slowly(user, statement, values).await,
            Engine::Sqlite(pool) => pool.run(statement, values).await,
        }?)
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
        Ok(match &self.0.engine {
            Engine::Postgres(pool) => pool.write(user, statement, values, twice).await,
            Engine::Sqlite(pool) => pool.run(statement, values).await,
        })
    }

    /// Runs statements for a user that happen all or not at all, and not beside those of another transaction that writes
    /// the same. When `work` fails, or is given up, nothing has happened. It may be done several times.
    pub(crate) async fn transaction<T, E: From<Failure> + From<Error>>(
        &self,
        user: &str,
        work: impl for<'t> Fn(&'t Transaction<'_>) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<T, E> {
        self.current().await?;
        match &self.0.engine {
            Engine::Postgres(pool) => pool.transaction(user, work).await,
            Engine::Sqlite(pool) => pool.transaction(work).await,
        }
    }

    /// Whether requests can be served: as the last statement found it, and asked anew only when there was none yet or
    /// it failed, so that the question wakes no sleeping database and costs nothing under load.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when they cannot.
    pub async fn ready(&self) -> Result<(), Error> {
        self.current().await?;
        let is_well = match &self.0.engine {
            Engine::Postgres(pool) => pool.is_well(),
            Engine::Sqlite(pool) => pool.is_well(),
        };
        if !is_well {
            self.ask(&self.0.question, &[]).await?;
        }
        Ok(())
    }

    /// Applies what is pending; the names of the migrations, oldest first.
    ///
    /// # Errors
    /// When the database is away or refuses: the migration that failed has changed nothing, those before it have.
    pub async fn migrate_up(&self) -> Result<Vec<String>, PrepareError> {
        self.migrate(Direction::Up).await
    }

    /// Takes the newest migration back, with its tables and all that they hold; its name, or `None` when the database
    /// has none.
    ///
    /// # Errors
    /// When the database is away or refuses; nothing is changed then.
    pub async fn migrate_down(&self) -> Result<Option<String>, PrepareError> {
        Ok(self.migrate(Direction::Down).await?.pop())
    }

    /// Which migrations the database has, lacks, and has from a newer version. Changes nothing.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn migrate_status(&self) -> Result<History, PrepareError> {
        let has = history(&self.0.place, &Source::Pool(self)).await?;
        Ok(History::of(has.unwrap_or_default()))
    }

    /// Makes a role that has the rights of a running server and no others, or brings it up to date.
    ///
    /// # Errors
    /// As [`RoleError`] says; nothing is changed then.
    pub async fn make_role(&self, name: &str) -> Result<Role, RoleError> {
        let Direct::Postgres(target) = &self.0.migrations else { return Err(RoleError::Sqlite) };
        let place = &self.0.place;
        let session = Mutex::new(turn(target).await?);
        let has = history(place, &Source::Postgres(&session)).await?;
        let History { pending, .. } = History::of(has.unwrap_or_default());
        if !pending.is_empty() {
            return Err(PrepareError::Behind(pending).into());
        }
        let mut session = session.into_inner();
        let role = role::make(&mut session, place, name).await?;
        session.run_text("COMMIT").await?;
        session.close().await;
        Ok(role)
    }

    async fn migrate(&self, direction: Direction) -> Result<Vec<String>, PrepareError> {
        let place = &self.0.place;
        match &self.0.migrations {
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

    /// Makes what is under way fail: who waits is told before the server ends.
    pub fn stop(&self) {
        match &self.0.engine {
            Engine::Postgres(pool) => pool.stop(),
            Engine::Sqlite(pool) => pool.stop(),
        }
    }

    /// Waits up to `grace` for the statements that run, then ends every connection. Further calls answer
    /// [`Error::Unavailable`].
    pub async fn close(&self, grace: Duration) {
        match &self.0.engine {
            Engine::Postgres(pool) => pool.close(grace).await,
            Engine::Sqlite(pool) => pool.close(grace).await,
        }
    }
}

/// Where migrations lead.
#[derive(Clone, Copy)]
enum Direction {
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

/// Who is asked for the history.
enum Source<'a> {
    Pool(&'a Database),
    Sqlite(&'a DatabaseConnection),
    Postgres(&'a Mutex<Session>),
}

impl Source<'_> {
    async fn ask(&self, statement: Statement, values: &[Value<'_>]) -> Result<Reply, Failure> {
        match self {
            Self::Pool(database) => database.ask(&Arc::new(statement), values).await,
            Self::Sqlite(db) => {
                let mut link = db.get_sqlite_connection_pool().acquire().await?;
                sqlite::run(&mut link, &statement, values).await
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

async fn connect(target: &Arc<Target>) -> Result<Session, Failure> {
    let silent = |_| Failure::Away("the database did not answer a new connection in time".into());
    timeout(CONNECT, target.connect()).await.map_err(silent)?
}

/// A session in a transaction, beside which nobody changes the schema.
async fn turn(target: &Arc<Target>) -> Result<Session, Failure> {
    let mut session = connect(target).await?;
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
    let mut session = connect(target).await?;
    let mut guard = turn(target).await?;
    if timeout(ANSWER, session.run_text("SELECT 1")).await.is_err() {
        // PGlite: all its connections are one session, and wait for our own transaction.
        warn!("the database has one session for all: no other process may migrate it meanwhile");
        guard.run_text("ROLLBACK").await?;
        session = connect(target).await?;
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

/// The kinds of databases.
pub(crate) enum Scheme {
    Postgres,
    Sqlite,
}

pub(crate) fn kind(setting: &'static str, url: &str) -> Result<Scheme, OpenError> {
    match url.split_once(':') {
        Some(("sqlite", _)) => Ok(Scheme::Sqlite),
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => Ok(Scheme::Postgres),
        _ => Err(OpenError::Scheme(setting)),
    }
}

fn target(setting: &'static str, url: &str, tls: DatabaseTls) -> Result<Arc<Target>, OpenError> {
    let address = Address::parse(setting, url, tls, &|name: &str| std::env::var(name).ok())?;
    Ok(Arc::new(Target::new(address).map_err(|error| OpenError::Certificate(setting, error))?))
}

pub(crate) fn sqlite_address(setting: &'static str, url: &str) -> Result<SqliteConnectOptions, OpenError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Address(setting))?;
    Ok(options.busy_timeout(BUSY).disable_statement_logging())
}

pub(crate) fn sqlite_is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

fn sqlite_options(setting: &'static str, url: &str) -> Result<SqliteConnectOptions, OpenError> {
    let mut options = sqlite_address(setting, url)?;
    if !url.contains("mode=") {
        options = options.create_if_missing(true);
    }
    Ok(options
        .journal_mode(SqliteJournalMode::Wal)
        // A commit that was answered survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .statement_cache_capacity(PREPARED))
}

/// The file of the database, whose directory is made on the way; `None` for a database in memory.
fn sqlite_file(url: &str, options: &SqliteConnectOptions) -> Result<Option<PathBuf>, OpenError> {
    if sqlite_is_in_memory(url) {
        return Ok(None);
    }
    let file = options.get_filename();
    if let Some(directory) = file.parent() {
        let mut builder = std::fs::DirBuilder::new();
        // A new directory is its owner's alone: other accounts of the machine have no business with the tasks.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(directory).map_err(OpenError::Directory)?;
    }
    Ok(Some(file.to_owned()))
}

/// How many connections are of use: one that writes, as SQLite lets in no second writer, and readers, which the
/// write-ahead log lets work beside it, as many as there are processors. A database in memory is its one connection.
fn sqlite_connections(file: Option<&Path>) -> u32 {
    if file.is_none() {
        return 1;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(processors).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
