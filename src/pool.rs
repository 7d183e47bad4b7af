//! The pool: connections to the database, each lent for one statement.
//!
//! It stands where SeaORM's own connection would, as the [`ConnectionTrait`] of every query, because the driver's pool
//! costs more and promises less. That one asks each returned connection for a sign of life before anyone may have it:
//! a second round trip for every statement, and without a limit, so a connection that has gone silent is lost to the
//! pool for good (sqlx issue 4349). It also waits out a refused port until the whole time to acquire is over.
//!
//! Here a connection comes back only from a statement that ended; one that was given up half-way, or that failed in a
//! way that says nothing about its state, is dropped, which ends its session. Nothing has to be asked, so the hot path
//! is one round trip. What rested a while is pinged before it is lent. A statement on a connection that turns out to
//! be lost (a sleeping Neon ends them all) is tried once more on a new one.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sea_orm::prelude::async_trait;
use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr,
    SqlxPostgresConnector, SqlxSqliteConnector, Statement,
};
use sea_query_sqlx::SqlxValues;
use sqlx::database::HasStatementCache;
use sqlx::error::DatabaseError;
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::query::Query;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, IntoArguments, PgConnection, Postgres, Sqlite, SqliteConnection};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How long a statement waits for a free connection, and how long a new connection may take: a Neon database wakes
/// within it.
const ACQUIRE: Duration = Duration::from_secs(5);
/// After so long at rest a connection is pinged before it is lent.
const DOUBTFUL: Duration = Duration::from_millis(500);
/// How long that ping may take.
const PING: Duration = Duration::from_millis(500);
/// After so long at rest a connection is dropped.
const MAX_REST: Duration = Duration::from_mins(1);
/// At this age a connection is dropped: its server process has grown, and a failover may have moved the database.
const MAX_AGE: Duration = Duration::from_mins(15);
/// For so long after a failed connection attempt nobody tries another.
const PAUSE: Duration = Duration::from_millis(250);

/// Which database, and how to reach it.
#[derive(Clone)]
pub(crate) enum Target {
    /// A server, over the network.
    Postgres(Box<PgConnectOptions>),
    /// A file, or memory.
    Sqlite(Box<SqliteConnectOptions>),
}

impl Target {
    /// One connection as SeaORM's own, for the migrations: they need its transactions. A first attempt without the
    /// driver's pool tells why there is none, where the pool would only say that time ran out.
    pub(crate) async fn connect_once(&self) -> Result<DatabaseConnection, DbErr> {
        fn one<DB: sqlx::Database>() -> PoolOptions<DB> {
            PoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE)
        }
        match timeout(ACQUIRE, self.connect()).await {
            Ok(connected) => drop(connected.map_err(unreachable)?),
            Err(_) => return Err(conn("the database did not answer a new connection in time")),
        }
        match self {
            Self::Postgres(options) => {
                one().connect_with(options.as_ref().clone()).await.map(SqlxPostgresConnector::from_sqlx_postgres_pool)
            }
            Self::Sqlite(options) => {
                one().connect_with(options.as_ref().clone()).await.map(SqlxSqliteConnector::from_sqlx_sqlite_pool)
            }
        }
        .map_err(unreachable)
    }

    async fn connect(&self) -> Result<Link, sqlx::Error> {
        Ok(match self {
            Self::Postgres(options) => Link::Postgres(options.connect().await?),
            Self::Sqlite(options) => Link::Sqlite(options.connect().await?),
        })
    }
}

/// An open connection.
enum Link {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// A connection, or a transaction on one, that a statement is sent to.
enum Channel<'a> {
    Postgres(&'a mut PgConnection),
    Sqlite(&'a mut SqliteConnection),
}

async fn all(channel: Channel<'_>, statement: &Statement) -> Result<Vec<QueryResult>, sqlx::Error> {
    Ok(match channel {
        Channel::Postgres(link) => {
            query::<Postgres>(statement).fetch_all(link).await?.into_iter().map(Into::into).collect()
        }
        Channel::Sqlite(link) => {
            query::<Sqlite>(statement).fetch_all(link).await?.into_iter().map(Into::into).collect()
        }
    })
}

async fn one(channel: Channel<'_>, statement: &Statement) -> Result<Option<QueryResult>, sqlx::Error> {
    Ok(match channel {
        Channel::Postgres(link) => query::<Postgres>(statement).fetch_optional(link).await?.map(Into::into),
        Channel::Sqlite(link) => query::<Sqlite>(statement).fetch_optional(link).await?.map(Into::into),
    })
}

async fn none(channel: Channel<'_>, statement: &Statement) -> Result<ExecResult, sqlx::Error> {
    Ok(match channel {
        Channel::Postgres(link) => query::<Postgres>(statement).execute(link).await?.into(),
        Channel::Sqlite(link) => query::<Sqlite>(statement).execute(link).await?.into(),
    })
}

impl Link {
    fn channel(&mut self) -> Channel<'_> {
        match self {
            Self::Postgres(link) => Channel::Postgres(link),
            Self::Sqlite(link) => Channel::Sqlite(link),
        }
    }

    async fn ping(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(link) => link.ping().await,
            Self::Sqlite(link) => link.ping().await,
        }
    }

    async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(link) => link.close().await,
            Self::Sqlite(link) => link.close().await,
        }
    }
}

/// The values are cloned: a second try needs them again.
fn query<DB: sqlx::Database + HasStatementCache>(statement: &Statement) -> Query<'_, DB, SqlxValues>
where
    SqlxValues: for<'q> IntoArguments<DB>,
{
    /// Statements with more values are of as many texts as there are lengths of lists: kept prepared, they would push
    /// the few that every request needs out of the connection's cache.
    const FEW: usize = 8;
    let values = statement.values.clone().unwrap_or_else(|| sea_orm::Values(Vec::new()));
    let is_constant = values.0.len() <= FEW;
    sqlx::query_with(sqlx::AssertSqlSafe(statement.sql.as_str()), SqlxValues(values)).persistent(is_constant)
}

/// A connection that nobody uses now.
struct Resting {
    link: Link,
    born: Instant,
    since: Instant,
}

/// A connection that one statement has. Dropping it drops the connection; [`Lease::end`] gives it back.
struct Lease<'pool> {
    pool: &'pool Pool,
    link: Option<Link>,
    born: Instant,
    /// Whether earlier statements used it, so that it may have been lost since.
    reused: bool,
    _permits: (Option<SemaphorePermit<'pool>>, SemaphorePermit<'pool>),
}

impl Lease<'_> {
    fn end(&mut self) {
        if let Some(link) = self.link.take() {
            self.pool.rest(link, self.born);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // SQLite's worker finishes or resets a statement that was given up, and there is no session to lose; a
        // database in memory, on the other hand, would be lost with its only connection.
        match self.link {
            Some(Link::Sqlite(_)) => self.end(),
            // Somebody waited in vain, so the database may be hanging: who wants to know had better ask.
            Some(Link::Postgres(_)) => self.pool.note(Outcome::Unknown),
            None => {}
        }
    }
}

/// The last thing that was heard of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Outcome {
    Unknown,
    Good,
    Bad,
}

/// At most so many connections, opened when they are needed and never before.
pub(crate) struct Pool {
    target: Target,
    size: u32,
    permits: Semaphore,
    /// SQLite lets one writer in at a time, and the others poll for the lock: here they queue instead.
    writer: Option<Semaphore>,
    /// The last one in is the first one out, so that a quiet server needs few and the rest can be dropped.
    resting: Mutex<Vec<Resting>>,
    outcome: AtomicU8,
    /// Until when nobody tries to connect, in milliseconds from `start`; 0 while connecting works.
    closed_until: AtomicU64,
    start: Instant,
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(target: Target, size: u32) -> Self {
        Self {
            writer: matches!(target, Target::Sqlite(_)).then(|| Semaphore::new(1)),
            target,
            size,
            permits: Semaphore::new(size as usize),
            resting: Mutex::new(Vec::new()),
            outcome: AtomicU8::new(Outcome::Unknown as u8),
            closed_until: AtomicU64::new(0),
            start: Instant::now(),
        }
    }

    /// Whether the last statement found the database well.
    pub(crate) fn is_well(&self) -> bool {
        self.outcome.load(Ordering::Relaxed) == Outcome::Good as u8
    }

    /// Asks the database for a sign of life.
    pub(crate) async fn ask(&self) -> Result<(), DbErr> {
        let tasks = Statement::from_string(self.get_database_backend(), "SELECT 1 FROM tasks LIMIT 0");
        self.query_one_raw(tasks).await?;
        Ok(())
    }

    /// Lends no more, waits `grace` for what is lent, and ends the sessions.
    pub(crate) async fn close(&self, grace: Duration) {
        let _ = timeout(grace, self.permits.acquire_many(self.size)).await;
        self.permits.close();
        let resting = std::mem::take(&mut *self.resting());
        let _ = timeout(grace, async {
            for Resting { link, .. } in resting {
                let _ = link.close().await;
            }
        })
        .await;
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Resting>> {
        // Nothing under this lock can stop half-way.
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self, link: Link, born: Instant) {
        let since = Instant::now();
        let mut resting = self.resting();
        resting.push(Resting { link, born, since });
        let is_stale = |oldest: &Resting| matches!(oldest.link, Link::Postgres(_)) && since - oldest.since > MAX_REST;
        let stale = if resting.first().is_some_and(is_stale) { Some(resting.remove(0)) } else { None };
        drop(resting);
        drop(stale);
    }

    /// A connection for `statement`.
    async fn lend(&self, statement: &Statement) -> Result<Lease<'_>, DbErr> {
        let writer = match &self.writer {
            Some(writer) if !statement.sql.starts_with("SELECT") => Some(permit(writer).await?),
            _ => None,
        };
        let permits = (writer, permit(&self.permits).await?);
        let (link, born, reused) = match self.rested().await {
            Some(Resting { link, born, .. }) => (link, born, true),
            None => (self.connect().await?, Instant::now(), false),
        };
        Ok(Lease { pool: self, link: Some(link), born, reused, _permits: permits })
    }

    /// The connection that rested the shortest, if it is alive.
    async fn rested(&self) -> Option<Resting> {
        loop {
            let mut last = self.resting().pop()?;
            if matches!(last.link, Link::Sqlite(_)) {
                return Some(last);
            }
            let rest = last.since.elapsed();
            if rest > MAX_REST || last.born.elapsed() > MAX_AGE {
                continue;
            }
            if rest > DOUBTFUL && !matches!(timeout(PING, last.link.ping()).await, Ok(Ok(()))) {
                self.forget();
                return None;
            }
            return Some(last);
        }
    }

    /// Drops what rests: what is wrong with one connection is most likely wrong with those that rested longer.
    fn forget(&self) {
        if matches!(self.target, Target::Postgres(_)) {
            let forgotten = std::mem::take(&mut *self.resting());
            drop(forgotten);
        }
    }

    /// A new connection. While the database is away only one caller at a time tries; the others are told at once.
    async fn connect(&self) -> Result<Link, DbErr> {
        let closed = self.closed_until.load(Ordering::Relaxed);
        if closed > 0 {
            let probing = self.millis(ACQUIRE + PAUSE);
            let is_early = self.millis(Duration::ZERO) < closed;
            let order = Ordering::Relaxed;
            if is_early || self.closed_until.compare_exchange(closed, probing, order, order).is_err() {
                return Err(conn("the database was away a moment ago"));
            }
        }
        let result = match timeout(ACQUIRE, self.target.connect()).await {
            Ok(result) => result.map_err(unreachable),
            Err(_) => Err(conn("the database did not answer a new connection in time")),
        };
        let closed = if result.is_ok() { 0 } else { self.millis(PAUSE) };
        self.closed_until.store(closed, Ordering::Relaxed);
        result
    }

    /// The milliseconds from the start to a point that lies `ahead`; never 0.
    fn millis(&self, ahead: Duration) -> u64 {
        u64::try_from((self.start.elapsed() + ahead).as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Runs a statement on a connection of its own, and once more when the first try shows a connection from before:
    /// one that is lost, or whose prepared statement does not fit the tables any more. `twice`: whether the statement
    /// has the same effect and answer when the lost connection had run it already.
    async fn run<T>(
        &self,
        statement: &Statement,
        twice: bool,
        ask: impl AsyncFn(Channel<'_>, &Statement) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbErr> {
        let mut first = true;
        let result = loop {
            let mut lease = match self.lend(statement).await {
                Ok(lease) => lease,
                Err(error) => break Err(error),
            };
            let Some(link) = &mut lease.link else {
                break Err(closed());
            };
            let error = match ask(link.channel(), statement).await {
                Ok(answer) => {
                    lease.end();
                    break Ok(answer);
                }
                Err(error) => error,
            };
            if leaves_connection_sound(&error) {
                lease.end();
            } else if matches!(error, sqlx::Error::WorkerCrashed) {
                lease.link = None;
            }
            let again = first && lease.reused && is_of_the_past(&error, twice);
            drop(lease);
            if !again {
                break Err(DbErr::Query(RuntimeErr::SqlxError(Arc::new(error))));
            }
            self.forget();
            first = false;
        };
        self.note(match &result {
            Err(error) if is_outage(error) => Outcome::Bad,
            _ => Outcome::Good,
        });
        result
    }

    /// Runs statements that happen all or not at all, and not beside those of another transaction that writes the same.
    /// When `work` fails, or is given up, nothing has happened. A lock is waited for 5 s at most ([`is_lock_timeout`]).
    ///
    /// `work` is done once more when the first try shows a connection from before, which is lost or whose prepared
    /// statement does not fit the tables any more: until the end of a transaction nothing has happened.
    pub(crate) async fn transaction<T, E: From<DbErr>>(
        &self,
        work: impl for<'t> Fn(&'t Transaction<'_>) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<T, E> {
        // Whatever writes is told from what reads by its first word.
        let begin = Statement::from_string(self.get_database_backend(), "BEGIN");
        let mut first = true;
        loop {
            let mut lease = self.lend(&begin).await?;
            let Some(link) = &mut lease.link else {
                return Err(closed().into());
            };
            let failure = match attempt(link, &work).await {
                Ok(done) => {
                    lease.end();
                    self.note(Outcome::Good);
                    return Ok(done);
                }
                Err(failure) => failure,
            };
            if failure.is_clean {
                lease.end();
            } else {
                lease.link = None;
            }
            let said = failure.said.as_deref();
            self.note(if said.is_some_and(is_outage_of_driver) { Outcome::Bad } else { Outcome::Good });
            let again = first && lease.reused && failure.is_undone && said.is_some_and(is_of_a_past_transaction);
            drop(lease);
            if !again {
                return Err(failure.error);
            }
            self.forget();
            first = false;
        }
    }

    /// Remembers an outcome; writes only news, as every request comes by here.
    fn note(&self, outcome: Outcome) {
        if self.outcome.load(Ordering::Relaxed) != outcome as u8 {
            self.outcome.store(outcome as u8, Ordering::Relaxed);
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        match self.target {
            Target::Postgres(_) => DbBackend::Postgres,
            Target::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    /// Not tried again on a lost connection: how many rows it touched would be another number the second time.
    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.run(&statement, false, none).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.execute_raw(Statement::from_string(self.get_database_backend(), sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.run(&statement, true, one).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(&statement, true, all).await
    }
}

/// In one round trip; the time that a transaction waits for another to let go of a row is its own, as a pooler may hand
/// the session to others.
const BEGIN_POSTGRES: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s'";

/// Statements that happen all or not at all.
pub(crate) struct Transaction<'c> {
    backend: DbBackend,
    open: AsyncMutex<Open<'c>>,
    /// The first error of a statement.
    said: OnceLock<Arc<sqlx::Error>>,
}

enum Open<'c> {
    Postgres(sqlx::Transaction<'c, Postgres>),
    Sqlite(sqlx::Transaction<'c, Sqlite>),
}

/// A transaction that did not happen, or of which it is not known.
struct Failure<E> {
    error: E,
    /// What the driver said, where the database failed.
    said: Option<Arc<sqlx::Error>>,
    /// Whether the connection is as it was before.
    is_clean: bool,
    /// Whether it is certain that nothing happened.
    is_undone: bool,
}

/// Begins a transaction, does the work, and ends the transaction as the work ends.
async fn attempt<T, E: From<DbErr>>(
    link: &mut Link,
    work: &impl for<'t> Fn(&'t Transaction<'_>) -> BoxFuture<'t, Result<T, E>>,
) -> Result<T, Failure<E>> {
    let broken = |error: sqlx::Error, is_undone| {
        let said = Arc::new(error);
        Failure { error: of_driver(&said).into(), said: Some(said), is_clean: false, is_undone }
    };
    let (backend, open) = match link {
        Link::Postgres(link) => (DbBackend::Postgres, link.begin_with(BEGIN_POSTGRES).await.map(Open::Postgres)),
        Link::Sqlite(link) => (DbBackend::Sqlite, link.begin_with("BEGIN IMMEDIATE").await.map(Open::Sqlite)),
    };
    let open = AsyncMutex::new(open.map_err(|error| broken(error, true))?);
    let transaction = Transaction { backend, open, said: OnceLock::new() };
    let done = work(&transaction).await;
    let Transaction { open, said, .. } = transaction;
    match (open.into_inner(), done) {
        (Open::Postgres(open), Ok(done)) => open.commit().await.map(|()| done).map_err(|error| broken(error, false)),
        (Open::Sqlite(open), Ok(done)) => open.commit().await.map(|()| done).map_err(|error| broken(error, false)),
        (open, Err(error)) => {
            let rolled_back = match open {
                Open::Postgres(open) => open.rollback().await,
                // Where the disk is full, SQLite has rolled back already, and the driver does not know.
                Open::Sqlite(open) => open.rollback().await,
            };
            let said = said.into_inner();
            let is_clean = rolled_back.is_ok() && said.as_deref().is_none_or(leaves_connection_sound);
            Err(Failure { error, said, is_clean, is_undone: true })
        }
    }
}

impl Transaction<'_> {
    async fn run<T>(
        &self,
        statement: &Statement,
        ask: impl AsyncFn(Channel<'_>, &Statement) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbErr> {
        let mut open = self.open.lock().await;
        let channel = match &mut *open {
            Open::Postgres(open) => Channel::Postgres(open),
            Open::Sqlite(open) => Channel::Sqlite(open),
        };
        ask(channel, statement).await.map_err(|error| {
            let error = Arc::new(error);
            let _ = self.said.set(Arc::clone(&error));
            of_driver(&error)
        })
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.run(&statement, none).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.execute_raw(Statement::from_string(self.backend, sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.run(&statement, one).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(&statement, all).await
    }
}

impl fmt::Debug for Pool {
    /// Without the target: it holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("size", &self.size).finish_non_exhaustive()
    }
}

async fn permit(of: &Semaphore) -> Result<SemaphorePermit<'_>, DbErr> {
    if let Ok(permit) = of.try_acquire() {
        return Ok(permit);
    }
    match timeout(ACQUIRE, of.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)),
        Err(_) => Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)),
    }
}

fn closed() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)
}

fn conn(cause: &str) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(cause.to_owned()))
}

fn of_driver(error: &Arc<sqlx::Error>) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::clone(error)))
}

fn unreachable(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error)))
}

/// What the driver said, and the database's own error when there is one.
pub(crate) fn driver_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

/// The SQLSTATE of PostgreSQL, or SQLite's extended result code.
fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether the session goes on after this error: the statement was refused, and nothing else happened.
fn leaves_connection_sound(error: &sqlx::Error) -> bool {
    let code = code(error).unwrap_or_default();
    code == "57014" || (code.len() == 5 && matches!(code.get(..2), Some("22" | "23" | "40" | "42" | "55")))
}

/// Whether the error tells of the connection's past rather than of the statement.
fn is_of_the_past(error: &sqlx::Error, twice: bool) -> bool {
    match code(error).as_deref() {
        // A cached plan must not change its result type; the session was ended before the statement.
        Some("0A000" | "57P01" | "57P02" | "57P05") => true,
        _ => twice && matches!(error, sqlx::Error::Io(_)),
    }
}

/// Whether the error, of a transaction before its end, tells of the connection's past. What is no error of the database
/// is one of the driver's: its connection was lost, or an earlier transaction on it did not end as it should.
fn is_of_a_past_transaction(error: &sqlx::Error) -> bool {
    error.as_database_error().is_none() || is_of_the_past(error, true)
}

/// Whether the database, or the way to it, is away, full or busy: trying later may work.
pub(crate) fn is_outage(error: &DbErr) -> bool {
    match error {
        // Whatever stops a connection from being made, Neon's many texts under XX000 included.
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => true,
        error => driver_error(error).is_some_and(is_outage_of_driver),
    }
}

fn is_outage_of_driver(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};
    let Some(database) = error.as_database_error() else {
        return matches!(error, Io(_) | Tls(_) | Protocol(_) | PoolTimedOut | PoolClosed | WorkerCrashed);
    };
    match database.code().unwrap_or_default().as_ref() {
        // Read-only (a failover), serialization, deadlock, lock and statement timeouts, an I/O error of the server.
        "25006" | "40001" | "40P01" | "55P03" | "57014" | "58030" => true,
        _ if is_misfit(database) => true,
        "XX000" => is_neon(database.message()),
        state if state.len() == 5 => ["08", "53", "57P"].iter().any(|class| state.starts_with(class)),
        // SQLite's codes are shorter. The low byte is the primary one: BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN.
        sqlite => matches!(sqlite.parse().map(|code: i32| code & 0xff), Ok(5 | 6 | 8 | 10 | 13 | 14)),
    }
}

/// Whether a transaction waited in vain for another one.
pub(crate) fn is_lock_timeout(error: &DbErr) -> bool {
    driver_error(error).and_then(code).as_deref() == Some("55P03")
}

/// Whether the schema was taken back, or replaced, under the server: a table or column is missing.
pub(crate) fn is_misfit(error: &dyn DatabaseError) -> bool {
    match error.code().unwrap_or_default().as_ref() {
        "42P01" | "42703" => true,
        "1" => ["no such table", "no such column"].iter().any(|text| error.message().starts_with(text)),
        _ => false,
    }
}

/// Whether an "internal error" is the storage or proxy of Neon, which have no other code.
fn is_neon(message: &str) -> bool {
    ["[NEON", "compute node", "ontrol plane", "endpoint", "quota", "too many connections", "pageserver"]
        .iter()
        .any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error as StdError;

    use futures_util::FutureExt;
    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;
    use crate::database::classify;

    /// What a database answers: a code and a message.
    #[derive(Debug, thiserror::Error)]
    #[error("{0} {1} DETAIL: Failing row contains (s3cret)")]
    struct Said(&'static str, &'static str);

    impl DatabaseError for Said {
        fn message(&self) -> &str {
            self.1
        }
        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }
        fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn said(code: &'static str, message: &'static str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Said(code, message)))
    }

    fn query_error(error: sqlx::Error) -> DbErr {
        DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
    }

    #[test]
    fn an_outage_is_unavailable_and_anything_else_a_bug() {
        let outages = [
            ("08006", ""),
            ("25006", ""),
            ("40001", ""),
            ("40P01", ""),
            ("53100", ""),
            ("53300", ""),
            ("55P03", ""),
            ("57014", ""),
            ("57P01", ""),
            ("57P02", ""),
            ("57P03", ""),
            ("58030", ""),
            ("42P01", "relation \"tasks\" does not exist"),
            ("42703", "column does not exist"),
            ("1", "no such table: tasks"),
            ("XX000", "Couldn't connect to compute node"),
            ("XX000", "[NEON_SMGR] could not read"),
            ("5", "database is locked"),
            ("6", ""),
            ("8", ""),
            ("10", ""),
            ("13", ""),
            ("14", ""),
            ("261", ""),
            ("517", ""),
            ("1546", ""),
            ("8458", ""),
        ];
        for (code, message) in outages {
            let error = classify(query_error(said(code, message)));
            assert!(matches!(error, tasks_api::Error::Unavailable(_)), "{code}");
        }
        for code in ["22021", "23503", "23505", "23514", "0A000", "42501", "XX000", "XX001", "1", "275", "1555"] {
            let error = classify(query_error(said(code, "text")));
            assert!(matches!(error, tasks_api::Error::Internal(_)), "{code}");
        }
        let io = || sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into());
        assert!(is_outage(&query_error(io())));
        assert!(is_outage(&unreachable(said("28P01", "password authentication failed"))));
        assert!(is_outage(&DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)));
        assert!(!is_outage(&DbErr::RecordNotInserted));
    }

    #[test]
    fn the_cause_has_message_and_code_but_no_row_and_no_value() {
        let text = |error| classify(error).to_string();
        assert_eq!(text(query_error(said("23514", "check failed"))), "check failed (code 23514)");
        assert_eq!(text(query_error(said("22P02", "bad input: s3cret"))), "a value was refused (code 22P02)");
        let decode = sqlx::Error::ColumnDecode { index: "3".to_owned(), source: "s3cret".into() };
        assert_eq!(text(query_error(decode)), "column 3 cannot be decoded");
        assert!(!text(unreachable(sqlx::Error::Configuration("s3cret".into()))).contains("s3cret"));
        assert!(!text(DbErr::Type("s3cret".to_owned())).contains("s3cret"));
    }

    #[test]
    fn only_a_refused_statement_leaves_the_connection_sound() {
        for code in ["22021", "23505", "40001", "42P01", "55P03", "57014"] {
            assert!(leaves_connection_sound(&said(code, "")), "{code}");
        }
        for code in ["0A000", "25006", "57P01", "08006", "XX000", "53300"] {
            assert!(!leaves_connection_sound(&said(code, "")), "{code}");
        }
        assert!(!leaves_connection_sound(&sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into())));
    }

    #[test]
    fn a_lost_connection_repeats_only_what_may_run_twice() {
        let io = sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into());
        assert!(is_of_the_past(&io, true) && !is_of_the_past(&io, false));
        assert!(is_of_the_past(&said("57P01", ""), false) && is_of_the_past(&said("0A000", ""), false));
        assert!(!is_of_the_past(&said("23505", ""), true));
    }

    /// A pool on a file of its own, and the folder that it is in.
    fn on_file() -> (Pool, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteConnectOptions::new().filename(folder.path().join("db")).create_if_missing(true);
        (Pool::new(Target::Sqlite(Box::new(options)), 2), folder)
    }

    /// SQLite ends a transaction by itself when the disk is full, and the driver does not know: as if it were rolled back.
    async fn rolled_back(db: &Transaction<'_>) -> Result<(), DbErr> {
        db.execute_unprepared("ROLLBACK").await.map(drop)
    }

    async fn is_well(pool: &Pool) -> bool {
        let select = || Statement::from_string(DbBackend::Sqlite, "SELECT 1");
        pool.transaction(|db| async move { db.query_one_raw(select()).await }.boxed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_transaction_that_ended_by_itself_spoils_no_connection() {
        let (pool, _folder) = on_file();
        assert!(is_well(&pool).await);
        let committed = pool.transaction(|db| rolled_back(db).boxed()).await;
        assert!(committed.is_err(), "there was nothing to commit");
        assert!(is_well(&pool).await, "after a commit that failed");
        let failed: Result<(), _> = pool
            .transaction(|db| async move { rolled_back(db).await.and(Err(DbErr::Custom("mine".to_owned()))) }.boxed())
            .await;
        assert_eq!(failed, Err(DbErr::Custom("mine".to_owned())), "not the failure of the rollback");
        assert!(is_well(&pool).await, "after a rollback that failed");
        let given_up = pool.transaction(|db| {
            async move {
                rolled_back(db).await?;
                std::future::pending::<Result<(), DbErr>>().await
            }
            .boxed()
        });
        assert!(timeout(Duration::from_millis(200), given_up).await.is_err());
        assert!(is_well(&pool).await, "after work that was given up");
    }
}
