//! The database as a whole: where it is, how it is reached, whether its schema fits, and what its errors mean.
//!
//! [`Database`] stands below `repository.rs`, which asks it for the pool, and beside `main.rs`, which opens it,
//! prepares the schema and closes it. A database that is away stops nothing but the requests that need it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::{ConnAcquireErr, DatabaseConnection, DbErr, RuntimeErr};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tasks_api::Error;
use tasks_migration::History;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use crate::pool::{Pool, Target, driver_error, is_misfit, is_outage};

/// How many statements a connection keeps prepared. A list's page sizes are texts of their own, so it is ample.
const PREPARED: usize = 256;
/// How long SQLite waits for the lock of another process.
const BUSY: Duration = Duration::from_secs(5);

/// Where the database is and how to use it.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// `DATABASE_URL`: `sqlite://…`, `postgres://…` or `postgresql://…`. Holds a password.
    pub url: String,
    /// `DATABASE_URL_UNPOOLED`: a direct connection for migrations, when `url` goes through a pooler.
    pub migration_url: Option<String>,
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
    /// The address cannot be read. What the driver says about it would repeat it.
    #[error(
        "{0} is no valid database address; write reserved characters of the user name and the password \
         percent-encoded, and check the names and values behind the question mark"
    )]
    Address(&'static str),
    /// `DATABASE_URL` and `DATABASE_URL_UNPOOLED` are of two kinds.
    #[error("DATABASE_URL_UNPOOLED must name the same database as DATABASE_URL")]
    Kinds,
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
    /// The database refused a migration or the question for them.
    #[error("the database's schema cannot be prepared: {0}")]
    Failed(#[source] StorageError),
}

/// What the database or its driver said, fit for a log: no address, no row, no bound value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(String);

/// The database. Cloning it is cheap, and all clones are one.
#[derive(Clone, Debug)]
pub struct Database(Arc<Inner>);

struct Inner {
    pool: Pool,
    migrations: Target,
    migrate_on_start: bool,
    /// Whether the schema was seen to be current.
    is_current: AtomicBool,
    /// Lets one caller at a time look at the schema.
    looking: Mutex<()>,
    /// Whether the log has been told that the schema does not fit.
    is_told: AtomicBool,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("pool", &self.pool).finish_non_exhaustive()
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
        let target = target("DATABASE_URL", &settings.url, settings.tls)?;
        let migrations = match (&settings.migration_url, &target) {
            (Some(url), Target::Postgres(_)) => self::target("DATABASE_URL_UNPOOLED", url, settings.tls)?,
            _ => target.clone(),
        };
        let size = match (&target, &migrations) {
            (Target::Postgres(_), Target::Postgres(_)) => settings.max_connections,
            (Target::Sqlite(options), Target::Sqlite(_)) => {
                settings.max_connections.min(sqlite_connections(&settings.url, options)?)
            }
            _ => return Err(OpenError::Kinds),
        };
        Ok(Self(Arc::new(Inner {
            pool: Pool::new(target, size),
            migrations,
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

    /// The pool, once the schema was seen to be current: from then on the cost of this is one atomic load.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the database is away or its schema does not fit.
    pub(crate) async fn connection(&self) -> Result<&Pool, Error> {
        let inner = &*self.0;
        if !inner.is_current.load(Ordering::Acquire) {
            self.prepare().await.map_err(|cause| {
                let is_away = matches!(cause, PrepareError::Away(_));
                if !is_away && !inner.is_told.swap(true, Ordering::Relaxed) {
                    error!(%cause, "no request can be served");
                }
                Error::Unavailable(cause.into())
            })?;
        }
        Ok(&inner.pool)
    }

    /// Whether requests can be served: as the last statement found it, and asked anew only when there was none yet or
    /// it failed, so that the question wakes no sleeping database and costs nothing under load.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when they cannot.
    pub async fn ready(&self) -> Result<(), Error> {
        let pool = self.connection().await?;
        if pool.is_well() { Ok(()) } else { pool.ask().await.map_err(classify) }
    }

    /// Applies what is pending; the names of the migrations, oldest first.
    ///
    /// # Errors
    /// When the database is away or refuses; nothing is changed then.
    pub async fn migrate_up(&self) -> Result<Vec<String>, PrepareError> {
        self.migrate(async |db| tasks_migration::up(db).await).await
    }

    /// Takes the newest migration back, with its tables and all that they hold; its name, or `None` when the database
    /// has none.
    ///
    /// # Errors
    /// When the database is away or refuses; nothing is changed then.
    pub async fn migrate_down(&self) -> Result<Option<String>, PrepareError> {
        self.migrate(async |db| tasks_migration::down(db).await).await
    }

    /// Which migrations the database has, lacks, and has from a newer version. Changes nothing.
    ///
    /// # Errors
    /// When the database is away or refuses.
    pub async fn migrate_status(&self) -> Result<History, PrepareError> {
        tasks_migration::history(&self.0.pool).await.map_err(refused)
    }

    async fn migrate<T>(
        &self,
        change: impl AsyncFnOnce(&DatabaseConnection) -> Result<T, DbErr>,
    ) -> Result<T, PrepareError> {
        let db = self.0.migrations.connect_once().await.map_err(refused)?;
        let result = change(&db).await.map_err(refused);
        // It is done either way: a connection that does not close well was of no more use.
        let _ = db.close().await;
        result
    }

    /// Waits up to `grace` for the statements that run, then ends every connection. Further calls answer
    /// [`Error::Unavailable`].
    pub async fn close(&self, grace: Duration) {
        self.0.pool.close(grace).await;
    }
}

/// What an error of the database means for the request: [`Error::Unavailable`] when the database or the way to it is
/// away, full or busy, else [`Error::Internal`]. The cause's text holds no address, no row and no bound value.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "stands behind map_err")]
pub fn classify(error: DbErr) -> Error {
    let cause = StorageError::from(&error).into();
    if is_outage(&error) { Error::Unavailable(cause) } else { Error::Internal(cause) }
}

#[expect(clippy::needless_pass_by_value, reason = "stands behind map_err")]
fn refused(error: DbErr) -> PrepareError {
    let cause = StorageError::from(&error);
    if is_outage(&error) { PrepareError::Away(cause) } else { PrepareError::Failed(cause) }
}

impl From<&DbErr> for StorageError {
    /// PostgreSQL's DETAIL holds rows, its messages of class 22 the value that was refused, and the driver's errors of
    /// decoding and configuration what they could not read: of these only the kind is told.
    fn from(error: &DbErr) -> Self {
        use sqlx::Error::{ColumnDecode, Configuration, Database, Decode, Encode};
        Self(match driver_error(error) {
            Some(Database(said)) => {
                let code = said.code().unwrap_or_default();
                if is_misfit(&**said) {
                    format!("{} (code {code}): the schema is behind, run `tasks-server migrate up`", said.message())
                } else if code.len() == 5 && code.starts_with("22") {
                    format!("a value was refused (code {code})")
                } else {
                    format!("{} (code {code})", said.message())
                }
            }
            Some(ColumnDecode { index, .. }) => format!("column {index} cannot be decoded"),
            Some(Decode(_)) => "a value cannot be decoded".to_owned(),
            Some(Encode(_)) => "a value cannot be encoded".to_owned(),
            Some(Configuration(_)) => "the address of the database cannot be used".to_owned(),
            Some(other) => other.to_string(),
            None => match error {
                DbErr::Conn(RuntimeErr::Internal(ours)) => ours.clone(),
                DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => {
                    "every connection is in use; DATABASE_MAX_CONNECTIONS says how many there are".to_owned()
                }
                DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) => "the server is stopping".to_owned(),
                DbErr::Type(_) | DbErr::Json(_) | DbErr::TryIntoErr { .. } => "a value cannot be converted".to_owned(),
                other => other.to_string(),
            },
        })
    }
}

/// The database behind the address in `setting`.
fn target(setting: &'static str, url: &str, tls: DatabaseTls) -> Result<Target, OpenError> {
    match url.split_once(':') {
        Some(("sqlite", _)) => sqlite(setting, url),
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => postgres(setting, url, tls),
        _ => Err(OpenError::Scheme(setting)),
    }
}

fn sqlite(setting: &'static str, url: &str) -> Result<Target, OpenError> {
    let mut options = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Address(setting))?;
    if !url.contains("mode=") {
        options = options.create_if_missing(true);
    }
    Ok(Target::Sqlite(Box::new(
        options
            .journal_mode(SqliteJournalMode::Wal)
            // A commit that was answered survives a power cut.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .statement_cache_capacity(PREPARED)
            .disable_statement_logging(),
    )))
}

/// How many connections are of use: one that writes, as SQLite lets in no second writer, and readers, which the
/// write-ahead log lets work beside it, as many as there are processors. A database in memory is its one connection.
/// Makes the file's directory on the way.
fn sqlite_connections(url: &str, options: &SqliteConnectOptions) -> Result<u32, OpenError> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Ok(1);
    }
    if let Some(directory) = options.get_filename().parent() {
        let mut builder = std::fs::DirBuilder::new();
        // A new directory is its owner's alone: other accounts of the machine have no business with the tasks.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(directory).map_err(OpenError::Directory)?;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(u32::try_from(processors).unwrap_or(u32::MAX).saturating_add(1))
}

fn postgres(setting: &'static str, url: &str, tls: DatabaseTls) -> Result<Target, OpenError> {
    let (url, ignored) = understood(url);
    for name in ignored {
        warn!(setting, name, "a parameter of the database's address is not known and has no effect");
    }
    let mut options = PgConnectOptions::from_str(&url).map_err(|_| OpenError::Address(setting))?;
    // The address of a literal IPv6 host keeps its brackets, with which it cannot be looked up.
    let host = options.get_host().to_owned();
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        options = options.host(address);
    }
    if is_remote(&options) {
        match tls {
            // `require` alone would take any certificate.
            DatabaseTls::Verified => options = options.ssl_mode(PgSslMode::VerifyFull),
            DatabaseTls::Off => warn!(
                setting,
                "DATABASE_TLS=off: passwords and tasks may travel in plain text, and nobody checks who answers"
            ),
        }
    }
    if options.get_application_name().is_none() {
        options = options.application_name("tasks-server");
    }
    if !url.contains("statement-cache-capacity=") {
        options = options.statement_cache_capacity(PREPARED);
    }
    Ok(Target::Postgres(Box::new(options.disable_statement_logging())))
}

/// Whether the server may be on another machine: neither a socket nor a loopback host.
fn is_remote(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let is_socket = options.get_socket().is_some() || host.starts_with('/');
    let is_loopback =
        host.parse().map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address: IpAddr| address.is_loopback());
    !is_socket && !is_loopback
}

/// The address with the parameters that the driver understands, and the names of the others: the driver would log
/// them with their values. `channel_binding`, which Neon's addresses carry, asks for less than a verified certificate
/// gives, and is left out in silence.
fn understood(url: &str) -> (String, Vec<String>) {
    const KNOWN: [&str; 19] = [
        "application_name",
        "dbname",
        "host",
        "hostaddr",
        "options",
        "password",
        "port",
        "ssl-ca",
        "ssl-cert",
        "ssl-key",
        "ssl-mode",
        "ssl-root-cert",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "statement-cache-capacity",
        "user",
        "channel_binding",
    ];
    let Some((address, query)) = url.split_once('?') else {
        return (url.to_owned(), Vec::new());
    };
    let name = |parameter: &str| parameter.split('=').next().unwrap_or_default().to_owned();
    let is_known = |name: &str| KNOWN.contains(&name) || name.starts_with("options[") || name.starts_with("options%5B");
    let (known, ignored): (Vec<_>, Vec<_>) =
        query.split('&').filter(|p| !p.is_empty()).partition(|parameter| is_known(&name(parameter)));
    let kept: Vec<_> = known.into_iter().filter(|parameter| name(parameter) != "channel_binding").collect();
    let url = if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) };
    (url, ignored.into_iter().map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> DatabaseSettings {
        DatabaseSettings {
            url: url.to_owned(),
            migration_url: None,
            max_connections: 10,
            tls: DatabaseTls::Verified,
            migrate_on_start: false,
        }
    }

    fn options(url: &str, tls: DatabaseTls) -> PgConnectOptions {
        match target("DATABASE_URL", url, tls) {
            Ok(Target::Postgres(options)) => *options,
            _ => panic!("{url} is an address of PostgreSQL"),
        }
    }

    #[test]
    fn remote_hosts_are_verified_whatever_sslmode_says() {
        for url in [
            "postgresql://u:p@ep-x.eu-central-1.aws.neon.tech/tasks?sslmode=require&channel_binding=require",
            "postgres://u:p@db.example.com/tasks?sslmode=disable",
            "postgres://u:p@localhost/tasks?host=db.example.com",
            "postgres://u:p@localhost/tasks?hostaddr=192.0.2.1",
            "postgres://u:p@localhost.example.com/tasks",
            "postgres://u:p@192.168.0.7/tasks",
            "postgres://u:p@[2001:db8::1]/tasks",
        ] {
            assert!(matches!(options(url, DatabaseTls::Verified).get_ssl_mode(), PgSslMode::VerifyFull), "{url}");
        }
    }

    #[test]
    fn on_the_same_machine_and_with_tls_off_sslmode_decides() {
        for url in [
            "postgres://u:p@localhost/tasks?sslmode=disable",
            "postgres://u:p@LOCALHOST/tasks?sslmode=disable",
            "postgres://u:p@127.0.0.2/tasks?sslmode=disable",
            "postgres://u:p@[::1]/tasks?sslmode=disable",
            "postgres://u:p@%2Fvar%2Frun%2Fpostgresql/tasks?sslmode=disable",
            "postgres:///tasks?host=/var/run/postgresql&sslmode=disable",
        ] {
            assert!(matches!(options(url, DatabaseTls::Verified).get_ssl_mode(), PgSslMode::Disable), "{url}");
        }
        let remote = options("postgres://u:p@db.example.com/tasks?sslmode=disable", DatabaseTls::Off);
        assert!(matches!(remote.get_ssl_mode(), PgSslMode::Disable));
        assert_eq!(options("postgres://u:p@[::1]/tasks", DatabaseTls::Verified).get_host(), "::1");
    }

    #[test]
    fn channel_binding_is_absorbed_and_unknown_parameters_are_named_without_their_values() {
        let (url, ignored) = understood("postgres://u@h/d?channel_binding=require&sslmode=require&pgbouncer=s3cret");
        assert_eq!(url, "postgres://u@h/d?sslmode=require");
        assert_eq!(ignored, ["pgbouncer"]);
        assert_eq!(understood("postgres://u@h/d?channel_binding=require").0, "postgres://u@h/d");
        assert_eq!(understood("postgres://u@h/d"), ("postgres://u@h/d".to_owned(), vec![]));
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
    }

    #[test]
    fn nothing_that_can_be_printed_holds_the_password() {
        let settings = settings("postgres://u:s3cret@localhost/d");
        let database = Database::open(&settings).expect("the settings are right");
        assert!(!format!("{settings:?} {database:?}").contains("s3cret"));
    }
}
