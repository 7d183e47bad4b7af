//! Connections to SQLite's file: one that writes, as SQLite lets in no second writer, and readers, which the write-ahead
//! log lets work beside it.
//!
//! A file that is taken away under the server is lost for it, and so are the tasks that were still written to it: from
//! then on every statement fails, until a restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::storage::failure::{Failure, Remedy};
use crate::storage::figures::Sessions;
use crate::storage::settings::{OpenError, is_in_memory};
use crate::storage::snapshot::Snapshot;
use crate::storage::statement::{Reply, Statement, Value};
use crate::storage::transaction::{Attempt, Transaction};

/// How long a connection that others use is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many statements a connection of SQLite keeps prepared: all that there are.
const PREPARED: usize = 64;
/// How long SQLite waits for the lock of another process.
const BUSY: Duration = Duration::from_secs(5);

/// At most so many connections, opened when they are needed.
pub(crate) struct Pool {
    options: SqliteConnectOptions,
    /// The file, its write-ahead log and the log's index; none for a database in memory.
    files: Vec<PathBuf>,
    size: u32,
    permits: Semaphore,
    /// SQLite lets one writer in at a time, and the others poll for the lock: here they queue instead.
    writer: Semaphore,
    resting: Mutex<Vec<SqliteConnection>>,
    is_well: AtomicBool,
    /// The file, its write-ahead log and the log's index, each as it was first seen.
    seen: Mutex<[Identity; 3]>,
    /// How many connections are open. With the last one, the log goes.
    open: AtomicUsize,
    is_removed: AtomicBool,
}

/// What stays the same of a file while it is the same file; `None` while it was not seen.
type Identity = Option<(u64, u64)>;

/// A connection that one statement or transaction has.
struct Lease<'pool> {
    pool: &'pool Pool,
    link: Option<SqliteConnection>,
    _permits: (Option<SemaphorePermit<'pool>>, SemaphorePermit<'pool>),
}

impl Lease<'_> {
    /// Closes the connection.
    fn lose(&mut self) {
        if self.link.take().is_some() {
            self.pool.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // The driver's worker finishes or resets a statement that was given up.
        if let Some(link) = self.link.take() {
            self.pool.resting().push(link);
        }
    }
}

impl Pool {
    /// An empty pool of at most so many connections.
    pub(crate) fn new(options: SqliteConnectOptions, file: Option<&Path>, size: u32) -> Self {
        let with = |suffix: &str| {
            let mut path = file?.as_os_str().to_owned();
            path.push(suffix);
            Some(PathBuf::from(path))
        };
        Self {
            options,
            files: ["", "-wal", "-shm"].into_iter().filter_map(with).collect(),
            size,
            permits: Semaphore::new(size as usize),
            writer: Semaphore::new(1),
            resting: Mutex::default(),
            is_well: AtomicBool::new(false),
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
            is_removed: AtomicBool::new(false),
        }
    }

    /// How many connections there are. Who waits for one is not known.
    pub(crate) fn sessions(&self) -> Sessions {
        let (open, idle) = (self.open.load(Ordering::Relaxed), self.resting().len());
        Sessions { busy: open.saturating_sub(idle), idle, max: self.size as usize, waiting: 0 }
    }

    /// Whether the last statement found the database well, and its file is there.
    pub(crate) fn is_well(&self) -> bool {
        self.is_well.load(Ordering::Relaxed) && self.look().is_ok()
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// What [`Failure`] says.
    pub(crate) async fn run(&self, statement: &Statement, values: &[Value<'_>]) -> Result<Reply, Failure> {
        let result = async {
            let mut lease = self.lend(!statement.reads()).await?;
            let link = lease.link.as_mut().ok_or(Failure::Stopping)?;
            let result = statement.run(link, values).await;
            if let Err(Failure::Sqlite(error)) = &result
                && matches!(**error, sqlx::Error::WorkerCrashed)
            {
                lease.lose();
            }
            // What was written to a file that is gone is lost, and must not be said to be kept.
            self.look().and(result)
        }
        .await;
        self.note(result.as_ref().err());
        result
    }

    /// Runs statements that happen all or not at all, and beside which nobody writes. When `work` fails, or is given up,
    /// nothing has happened.
    pub(crate) async fn transaction<T, E: From<Failure>>(
        &self,
        work: impl for<'t> Fn(&'t Transaction<'_>) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<T, E> {
        let mut tries = 0;
        loop {
            tries += 1;
            let noted = |failure: Failure| {
                self.note(Some(&failure));
                E::from(failure)
            };
            let mut lease = self.lend(true).await.map_err(noted)?;
            let Some(link) = &mut lease.link else { return Err(Failure::Stopping.into()) };
            match Attempt::on_sqlite(link, &work).await {
                Attempt::Done(done) => {
                    self.look().map_err(noted)?;
                    self.note(None);
                    return Ok(done);
                }
                Attempt::Failed { error, said, is_clean, is_undone } => {
                    if !is_clean {
                        lease.lose();
                    }
                    self.look().map_err(noted)?;
                    self.note(said.as_ref());
                    // An earlier transaction on the connection did not end as it should, and the driver has just found out.
                    let is_of_the_past = said.is_some_and(
                        |said| matches!(said, Failure::Sqlite(error) if error.as_database_error().is_none()),
                    );
                    if tries > 1 || is_clean || !is_undone || !is_of_the_past {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The database as it is now, on a connection that is not of the pool.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Failure> {
        // A file that was taken away is not made anew.
        self.look()?;
        let link = self.options.clone().create_if_missing(false).connect().await?;
        Snapshot::of_sqlite(link, self.files.is_empty()).await
    }

    /// Lends no more, waits `grace` for what is lent, and closes the file.
    pub(crate) async fn close(&self, grace: Duration) {
        let _ = timeout(grace, self.permits.acquire_many(self.size)).await;
        self.stop();
        let resting = std::mem::take(&mut *self.resting());
        let _ = timeout(grace, async {
            for link in resting {
                let _ = link.close().await;
            }
        })
        .await;
    }

    /// Lends no more.
    pub(crate) fn stop(&self) {
        self.permits.close();
        self.writer.close();
    }

    fn resting(&self) -> MutexGuard<'_, Vec<SqliteConnection>> {
        // Nothing under this lock can stop half-way.
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lend(&self, is_write: bool) -> Result<Lease<'_>, Failure> {
        self.look()?;
        let turn = if is_write { Some(permit(&self.writer).await?) } else { None };
        let permits = (turn, permit(&self.permits).await?);
        let rested = self.resting().pop();
        let mut lease = Lease { pool: self, link: rested, _permits: permits };
        if lease.link.is_none() {
            lease.link = Some(self.options.connect().await?);
            if self.open.fetch_add(1, Ordering::Relaxed) == 0 {
                // It has made a new log.
                let [_, log, index] = &mut *self.seen();
                (*log, *index) = (None, None);
            }
        }
        Ok(lease)
    }

    fn seen(&self) -> MutexGuard<'_, [Identity; 3]> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees whether the files are still those that were opened.
    fn look(&self) -> Result<(), Failure> {
        if self.is_removed.load(Ordering::Relaxed) {
            return Err(self.removed());
        }
        if self.open.load(Ordering::Relaxed) > 0 {
            for (seen, path) in self.seen().iter_mut().zip(&self.files) {
                match (&seen, identity(path)) {
                    (None, now) => *seen = now,
                    (first, now) if **first == now => {}
                    _ => {
                        self.is_removed.store(true, Ordering::Relaxed);
                        return Err(self.removed());
                    }
                }
            }
        }
        Ok(())
    }

    fn removed(&self) -> Failure {
        Failure::Removed(self.files.first().map(|file| file.display().to_string()).unwrap_or_default().into())
    }

    /// Remembers how the database was found; writes only news, as every request comes by here.
    fn note(&self, failure: Option<&Failure>) {
        let is_well = failure.is_none_or(|failure| failure.remedy() == Remedy::None);
        if self.is_well.load(Ordering::Relaxed) != is_well {
            self.is_well.store(is_well, Ordering::Relaxed);
        }
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Identity {
    // An open file cannot be taken away there.
    path.exists().then_some((0, 0))
}

async fn permit(of: &Semaphore) -> Result<SemaphorePermit<'_>, Failure> {
    if let Ok(permit) = of.try_acquire() {
        return Ok(permit);
    }
    match timeout(PATIENCE, of.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(Failure::Stopping),
        Err(_) => Err(Failure::Busy),
    }
}

/// How a file is opened, to whatever end.
pub(crate) fn address(setting: &'static str, url: &str) -> Result<SqliteConnectOptions, OpenError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Address(setting))?;
    Ok(options.busy_timeout(BUSY).disable_statement_logging())
}

/// The file, which is there.
///
/// # Errors
/// [`OpenError::Absent`].
pub(crate) fn existing(options: &SqliteConnectOptions) -> Result<&Path, OpenError> {
    let file = options.get_filename();
    if file.exists() { Ok(file) } else { Err(OpenError::Absent(file.display().to_string())) }
}

/// How a server opens the file.
pub(crate) fn options(setting: &'static str, url: &str) -> Result<SqliteConnectOptions, OpenError> {
    let mut options = address(setting, url)?;
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
pub(crate) fn file(url: &str, options: &SqliteConnectOptions) -> Result<Option<PathBuf>, OpenError> {
    if is_in_memory(url) {
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
pub(crate) fn connections(file: Option<&Path>) -> u32 {
    if file.is_none() {
        return 1;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(processors).unwrap_or(u32::MAX).saturating_add(1)
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("size", &self.size).finish_non_exhaustive()
    }
}
