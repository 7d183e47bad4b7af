//! The databases of one run of the tests, on a private PostgreSQL; behind a pooler when `TEST_POOLER` names one.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use tokio::sync::OnceCell;

use crate::cluster::{Cluster, Place, programs};
use crate::pgbouncer::{KINDS, PgBouncer};

/// The cluster of this run, when PostgreSQL is installed.
static CLUSTER: LazyLock<Option<Cluster>> = LazyLock::new(|| Some(Cluster::start(&programs()?, Place::Socket, &[])));

/// What stands before it: one of [`KINDS`], by its name in `TEST_POOLER`.
static POOLER: LazyLock<Option<PgBouncer>> = LazyLock::new(|| {
    let name = std::env::var("TEST_POOLER").ok()?;
    let kind = KINDS.iter().find(|kind| kind.name == name).unwrap_or_else(|| panic!("no pooler is named {name}"));
    // Whoever names one does not want to be told that all is well without it.
    Some(PgBouncer::start(*kind, CLUSTER.as_ref()?).expect("the pooler that TEST_POOLER names is installed"))
});

/// A migrated database that the others are copied from.
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// The URL of a new, empty database with the current schema; `None` when PostgreSQL is not installed.
pub(crate) async fn database() -> Option<String> {
    let cluster = CLUSTER.as_ref()?;
    TEMPLATE
        .get_or_init(|| async {
            admin(cluster, "CREATE DATABASE template_tasks").await;
            crate::server::migrate(&cluster.url("template_tasks")).await;
        })
        .await;
    Some(create(cluster, "TEMPLATE template_tasks").await)
}

/// The URL of a new database without a schema.
pub(crate) async fn empty_database() -> Option<String> {
    let cluster = CLUSTER.as_ref()?;
    Some(create(cluster, "").await)
}

/// The direct URL of a database whose `url` goes through the pooler: `DATABASE_URL_UNPOOLED`.
pub(crate) fn direct(url: &str) -> Option<String> {
    let pooled = POOLER.as_ref()?.url("");
    Some(CLUSTER.as_ref()?.url(url.strip_prefix(&pooled)?))
}

async fn create(cluster: &Cluster, like: &str) -> String {
    let name = format!("tasks_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    admin(cluster, &format!("CREATE DATABASE {name} {like}")).await;
    POOLER.as_ref().map_or_else(|| cluster.url(&name), |pooler| pooler.url(&name))
}

/// Runs one statement on the cluster; a server that has just started may still refuse.
async fn admin(cluster: &Cluster, statement: &str) {
    let mut options = ConnectOptions::new(cluster.url("postgres"));
    options.max_connections(1).sqlx_logging(false);
    for attempt in 0..200 {
        match Database::connect(options.clone()).await {
            Ok(database) => {
                database.execute_unprepared(statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
                database.close().await.unwrap();
                return;
            }
            Err(error) if attempt == 199 => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
