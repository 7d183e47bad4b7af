//! What each test begins with: its turn, and a database of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use tokio::sync::{Mutex, MutexGuard};

use crate::cluster::{Cluster, Place, programs};
use crate::look::Look;
use crate::server::run;

/// The cluster of the tests that leave it as it is.
static SHARED: LazyLock<Option<Arc<Cluster>>> =
    LazyLock::new(|| Some(Arc::new(Cluster::start(&programs()?, Place::Loopback, &[]))));
static COUNT: AtomicU32 = AtomicU32::new(0);
static TURN: Mutex<()> = Mutex::const_new(());

/// Lets one test at a time put the machine under load, however many threads the tests run on.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// A database with the current schema.
pub(crate) struct Base {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) name: String,
}

impl Base {
    /// On the shared cluster; `None` when PostgreSQL is not installed.
    pub(crate) async fn new() -> Option<Self> {
        Some(Self::migrated(SHARED.clone()?).await)
    }

    /// On a cluster of its own, which may be stopped.
    pub(crate) async fn alone() -> Option<Self> {
        let cluster = Cluster::start(&programs()?, Place::Loopback, &[]);
        Some(Self::migrated(Arc::new(cluster)).await)
    }

    async fn migrated(cluster: Arc<Cluster>) -> Self {
        let base = Self::empty(cluster, "").await;
        let (is_well, said) = run(&["migrate", "up"], &[("DATABASE_URL", &base.url())]);
        assert!(is_well, "{said}");
        base
    }

    /// Without a schema; `options` are those of `CREATE DATABASE`.
    pub(crate) async fn empty(cluster: Arc<Cluster>, options: &str) -> Self {
        let name = format!("faults_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Look::at(&cluster.url("postgres")).await.run(&format!("CREATE DATABASE {name} {options}")).await;
        Self { cluster, name }
    }

    /// The shared cluster.
    pub(crate) fn shared() -> Option<Arc<Cluster>> {
        SHARED.clone()
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    pub(crate) async fn look(&self) -> Look {
        Look::at(&self.url()).await
    }

    /// The URL of a role that may do no more than a server needs, with these attributes.
    pub(crate) async fn role(&self, attributes: &str) -> String {
        let role = format!("role_{}", self.name);
        let (is_well, said) = run(&["migrate", "role", &role], &[("DATABASE_URL", &self.url())]);
        assert!(is_well, "{said}");
        if !attributes.is_empty() {
            self.look().await.run(&format!("ALTER ROLE {role} {attributes}")).await;
        }
        self.url().replace("//tasks@", &format!("//{role}@"))
    }
}
