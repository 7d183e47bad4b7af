//! A private PostgreSQL cluster for one run of the tests: on a socket of its own, gone when the run ends.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use tokio::sync::OnceCell;

/// The cluster of this run, when PostgreSQL is installed.
static CLUSTER: LazyLock<Option<Cluster>> = LazyLock::new(|| {
    let Some(programs) = programs() else {
        assert!(std::env::var("REQUIRE_POSTGRES").is_err(), "REQUIRE_POSTGRES is set and no PostgreSQL was found");
        // Not by println, which is only shown for tests that fail.
        let _ = writeln!(std::io::stderr(), "PostgreSQL was not found (postgres, initdb): its tests are left out");
        return None;
    };
    Some(Cluster::start(&programs))
});

/// A migrated database that the others are copied from.
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);

struct Cluster {
    folder: PathBuf,
    /// Ends when this process does: its standard input closes.
    _keeper: Mutex<Child>,
}

/// Where `postgres` and `initdb` are: on PATH, or where Debian puts them.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let mut folders = std::env::split_paths(&path).chain(debian.into_iter().rev());
    folders.find(|folder| folder.join("postgres").exists() && folder.join("initdb").exists())
}

/// PostgreSQL does not run as root: then it runs as whoever `postgres`, or else `nobody`, is.
fn account() -> Option<(u32, u32)> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let people = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let line = people.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    is_root.then(|| find("postgres").or_else(|| find("nobody")).expect("an account other than root"))
}

impl Cluster {
    fn start(programs: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("tasks-pg-").tempdir().unwrap().keep();
        let mut initdb = Command::new(programs.join("initdb"));
        initdb
            .args(["-A", "trust", "-U", "tasks", "-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(folder.join("data"));
        // Ends the server and takes the folder away once the tests' end of the pipe closes, however they ended.
        let script = r#""$0"/postgres -D "$1"/data -k "$1" -h '' -c fsync=off -c max_connections=400 \
            -c shared_buffers=32MB -c log_min_messages=fatal & server=$!
            cat > "$1"/end; kill -INT $server; wait $server; rm -rf "$1""#;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", script]).arg(programs).arg(&folder).stdin(Stdio::piped()).process_group(0);
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        if let Some((user, group)) = account() {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
            initdb.uid(user).gid(group).current_dir(&folder);
            keeper.uid(user).gid(group).current_dir(&folder);
        }
        let made = initdb.output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let keeper = keeper.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres runs");
        let (socket, started) = (folder.join(".s.PGSQL.5432"), Instant::now());
        while !socket.exists() {
            assert!(started.elapsed() < Duration::from_secs(30), "postgres did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { folder, _keeper: Mutex::new(keeper) }
    }

    fn url(&self, database: &str) -> String {
        let folder = self.folder.to_str().unwrap().replace('/', "%2F");
        format!("postgresql://tasks@{folder}:5432/{database}")
    }
}

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

async fn create(cluster: &Cluster, like: &str) -> String {
    let name = format!("tasks_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    admin(cluster, &format!("CREATE DATABASE {name} {like}")).await;
    cluster.url(&name)
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
