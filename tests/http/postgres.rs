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

/// The owner of every database, and who servers run as: a role of `tasks-server migrate role`.
const OWNER: &str = "//tasks@";
const ROLE: &str = "tasks_server";

/// A migrated database that the others are copied from.
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// The URL, for a server's role, of a new, empty database with the current schema; `None` when PostgreSQL is not
/// installed.
pub(crate) async fn database() -> Option<String> {
    let cluster = CLUSTER.as_ref()?;
    TEMPLATE
        .get_or_init(|| async {
            admin(cluster, "CREATE DATABASE template_tasks").await;
            let owner = cluster.url("template_tasks");
            crate::server::migrate(&owner).await;
            crate::server::make_role(&owner, ROLE).await;
        })
        .await;
    let owner = create(cluster, "TEMPLATE template_tasks").await;
    // Its rights are copied with the tables, its limits are not.
    crate::server::make_role(&owner, ROLE).await;
    Some(owner.replacen(OWNER, &format!("//{ROLE}@"), 1))
}

/// The owner's URL of a new database without a schema.
pub(crate) async fn empty_database() -> Option<String> {
    let cluster = CLUSTER.as_ref()?;
    Some(create(cluster, "").await)
}

/// The owner's direct URL of a database of the tests, whoever uses `url` and whatever it goes through:
/// `DATABASE_URL_UNPOOLED`.
pub(crate) fn direct(url: &str) -> Option<String> {
    if !url.starts_with("postgresql://tasks") {
        return None;
    }
    let (cluster, owner) = (CLUSTER.as_ref()?, url.replacen(&format!("//{ROLE}@"), OWNER, 1));
    let ways = [Some(cluster.url("")), POOLER.as_ref().map(|pooler| pooler.url(""))];
    let name = ways.iter().flatten().find_map(|way| owner.strip_prefix(way))?;
    Some(cluster.url(name))
}

/// Whether servers reach their databases through a pooler.
pub(crate) fn is_pooled() -> bool {
    POOLER.is_some()
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
