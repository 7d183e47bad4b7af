//! The database as something that runs statements, whichever of the two it is, and a way to it beside that.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use tasks_migration::Place;

use crate::storage::address::Address;
use crate::storage::connection::Target;
use crate::storage::failure::Failure;
use crate::storage::figures::Sessions;
use crate::storage::settings::{DatabaseSettings, DatabaseTls, OpenError, Scheme, kind};
use crate::storage::snapshot::Snapshot;
use crate::storage::statement::{Reply, Statement, Value};
use crate::storage::transaction::Transaction;
use crate::storage::{postgres, sqlite};

/// What runs statements.
#[derive(Debug)]
pub(crate) enum Engine {
    Postgres(postgres::Pool),
    Sqlite(Box<sqlite::Pool>),
}

/// A way to the database without a pool.
pub(crate) enum Direct {
    Postgres(Arc<Target>),
    Sqlite(Box<SqliteConnectOptions>),
}

/// What these settings name, and where in it the tables are. Nothing is connected yet.
///
/// # Errors
/// When a setting is wrong in itself.
pub(crate) fn open(settings: &DatabaseSettings) -> Result<(Engine, Direct, Place), OpenError> {
    if settings.max_connections == 0 {
        return Err(OpenError::NoConnections);
    }
    match kind("DATABASE_URL", &settings.url)? {
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
            Ok((Engine::Postgres(pool), Direct::Postgres(direct), place))
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
            let options = sqlite::options("DATABASE_URL", &settings.url)?;
            let file = sqlite::file(&settings.url, &options)?;
            let size = settings.max_connections.min(sqlite::connections(file.as_deref()));
            let pool = sqlite::Pool::new(options.clone(), file.as_deref(), size);
            Ok((Engine::Sqlite(Box::new(pool)), Direct::Sqlite(Box::new(options)), Place::default()))
        }
    }
}

fn target(setting: &'static str, url: &str, tls: DatabaseTls) -> Result<Arc<Target>, OpenError> {
    let address = Address::parse(setting, url, tls, &|name: &str| std::env::var(name).ok())?;
    Ok(Arc::new(Target::new(address).map_err(|error| OpenError::Certificate(setting, error))?))
}

impl Engine {
    /// Reads what is quick and waits for nobody.
    pub(crate) async fn read(&self, statement: &Arc<Statement>, values: &[Value<'_>]) -> Result<Reply, Failure> {
        match self {
            Self::Postgres(pool) => pool.read(statement, values).await,
            Self::Sqlite(pool) => pool.run(statement, values).await,
        }
    }

    /// Runs for a user what may take long, and may run twice.
    pub(crate) async fn run_slowly(
        &self,
        user: &str,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Reply, Failure> {
        match self {
            Self::Postgres(pool) => pool.run_slowly(user, statement, values).await,
            Self::Sqlite(pool) => pool.run(statement, values).await,
        }
    }

    /// Writes for a user. `twice`: whether the statement has the same effect when it had run already, and then fails as
    /// [`Failure::is_duplicate`].
    pub(crate) async fn write(
        &self,
        user: &str,
        statement: &Statement,
        values: &[Value<'_>],
        twice: bool,
    ) -> Result<Reply, Failure> {
        match self {
            Self::Postgres(pool) => pool.write(user, statement, values, twice).await,
            Self::Sqlite(pool) => pool.run(statement, values).await,
        }
    }

    /// Runs statements for a user that happen all or not at all.
    pub(crate) async fn transaction<T, E: From<Failure>>(
        &self,
        user: &str,
        work: impl for<'t> Fn(&'t Transaction<'_>) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<T, E> {
        match self {
            Self::Postgres(pool) => pool.transaction(user, work).await,
            Self::Sqlite(pool) => pool.transaction(work).await,
        }
    }

    /// The database as it is now, on a connection beside all others.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Failure> {
        match self {
            Self::Postgres(pool) => pool.snapshot().await,
            Self::Sqlite(pool) => pool.snapshot().await,
        }
    }

    /// Whether the last statement found the database well.
    pub(crate) fn is_well(&self) -> bool {
        match self {
            Self::Postgres(pool) => pool.is_well(),
            Self::Sqlite(pool) => pool.is_well(),
        }
    }

    /// How many connections there are.
    pub(crate) fn sessions(&self) -> Sessions {
        match self {
            Self::Postgres(pool) => pool.sessions(),
            Self::Sqlite(pool) => pool.sessions(),
        }
    }

    /// Makes what is under way fail.
    pub(crate) fn stop(&self) {
        match self {
            Self::Postgres(pool) => pool.stop(),
            Self::Sqlite(pool) => pool.stop(),
        }
    }

    /// Waits up to `grace` for the statements that run, then ends every connection.
    pub(crate) async fn close(&self, grace: Duration) {
        match self {
            Self::Postgres(pool) => pool.close(grace).await,
            Self::Sqlite(pool) => pool.close(grace).await,
        }
    }
}
