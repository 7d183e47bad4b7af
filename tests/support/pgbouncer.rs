//! Real poolers in front of a cluster: PgBouncer as Debian 12 ships it, and 1.24, which follows prepared statements.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::cluster::{Cluster, account, free_port, missing, wait_until};

/// How a pooler is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// What it is called by `TEST_POOLER`.
    pub(crate) name: &'static str,
    release: Release,
    mode: &'static str,
    /// How many sessions it has with each database.
    size: u32,
    /// How many prepared statements of a client it follows.
    follows: u32,
    /// `ignore_startup_parameters`.
    ignored: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    /// The one on PATH: 1.18 on Debian 12.
    Debian,
    /// 1.21 or newer: what `.ci/pgbouncer-1.24` made in the folder `PGBOUNCER_124`, or else the one on PATH.
    Following,
}

/// Hands sessions out by the transaction, and does not know what a prepared statement is.
pub(crate) const UNAWARE: Kind =
    Kind { name: "transaction-1.18", release: Release::Debian, mode: "transaction", size: 5, follows: 0, ignored: "" };

/// Hands sessions out for as long as a client stays, so it needs one for each connection.
pub(crate) const BY_SESSION: Kind = Kind { name: "session-1.18", mode: "session", size: 25, ..UNAWARE };

/// Neon's settings.
pub(crate) const FOLLOWING: Kind =
    Kind { name: "transaction-1.24", release: Release::Following, follows: 1000, ..UNAWARE.lenient() };

/// The same release, told not to follow.
pub(crate) const UNFOLLOWED: Kind = Kind { name: "transaction-1.24-unfollowed", follows: 0, ignored: "", ..FOLLOWING };

/// All that the tests go through.
pub(crate) const KINDS: [Kind; 4] = [UNAWARE, BY_SESSION, FOLLOWING, UNFOLLOWED];

impl Kind {
    /// The same, told to ignore the start-up parameter that some drivers send.
    pub(crate) const fn lenient(self) -> Self {
        Self { ignored: "extra_float_digits", ..self }
    }
}

/// A pooler, gone when this is dropped or the tests end.
pub(crate) struct PgBouncer {
    port: u16,
    keeper: Child,
}

impl PgBouncer {
    /// A pooler of this kind before any database of the cluster; `None` when it is not installed.
    pub(crate) fn start(kind: Kind, cluster: &Cluster) -> Option<Self> {
        let program = program(kind.release)?;
        let folder = tempfile::Builder::new().prefix("tasks-pooler-").tempdir().unwrap().keep();
        let port = free_port();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        // An older one refuses a setting that it does not know.
        let follows = if version(&program) >= (1, 21) {
            format!("max_prepared_statements = {}", kind.follows)
        } else {
            String::new()
        };
        let settings = format!(
            "[databases]\n* = host={} port={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}/users\n\
             pool_mode = {}\ndefault_pool_size = {}\nmax_client_conn = 900\nserver_idle_timeout = 5\n\
             ignore_startup_parameters = {}\n{follows}\n",
            cluster.host(),
            cluster.port(),
            folder.display(),
            kind.mode,
            kind.size,
            kind.ignored,
        );
        // By its whole path: the program may be one that begins elsewhere.
        std::fs::write(folder.join("users"), "\"tasks\" \"\"\n\"tasks_server\" \"\"\n").unwrap();
        let file = folder.join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        // Ends it and takes the folder away once the tests' end of the pipe closes, however they ended.
        let mut keeper = Command::new("sh");
        keeper.args(["-c", r#""$0" "$@" & pooler=$!; cat; kill -KILL $pooler; wait $pooler; rm -rf "$PWD""#]);
        keeper.arg(&program).arg("-q");
        if let Some((name, ..)) = account() {
            keeper.args(["-u", name]);
        }
        keeper.arg(&file).current_dir(&folder).process_group(0);
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("PgBouncer listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self { port, keeper })
    }

    /// The owner's URL of one of the cluster's databases, through the pooler, which lets a server's role in as well.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://tasks@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// The PgBouncer to run.
fn program(release: Release) -> Option<PathBuf> {
    // Debian puts it where root's PATH looks.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut installed = folders.map(|folder| folder.join("pgbouncer")).filter(|program| program.exists());
    match release {
        Release::Debian => installed.next().or_else(|| {
            missing("PgBouncer was not found (pgbouncer)");
            None
        }),
        Release::Following => {
            let unpacked = std::env::var_os("PGBOUNCER_124").map(|folder| PathBuf::from(folder).join("pgbouncer"));
            let unpacked = unpacked.filter(|program| program.exists());
            unpacked.or_else(|| installed.find(|program| version(program) >= (1, 21))).or_else(|| {
                missing("PgBouncer 1.21 or newer was not found (PGBOUNCER_124)");
                None
            })
        }
    }
}

/// `PgBouncer 1.24.1` is (1, 24).
fn version(program: &Path) -> (u32, u32) {
    let output = Command::new(program).arg("--version").output().expect("pgbouncer runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers = text.lines().next().and_then(|line| line.strip_prefix("PgBouncer ")).unwrap_or_default();
    let mut numbers = numbers.split('.').map(|number| number.trim().parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
