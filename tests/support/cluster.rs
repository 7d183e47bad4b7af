//! A private PostgreSQL cluster: on a socket or a loopback port of its own, gone when the tests end, however they end.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Does what its standard input says, and a last line when it is done: `start`, `stop` and `kill`. Once the tests' end of
/// the pipe closes, it ends the server and takes the folder away.
const KEEPER: &str = r#"
programs=$0 folder=$1; shift
server=
start() {
    "$programs"/postgres -D "$folder"/data -k "$folder" "$@" </dev/null >/dev/null 2>>"$folder"/log & server=$!
}
stop() { [ -z "$server" ] || { kill -INT $server; wait $server; }; server=; }
kill_all() {
    # The children too, at one blow: they have sessions of their own and would end in good order.
    kill -STOP $server
    kill -KILL $(cat /proc/$server/task/$server/children) $server
    wait $server
    server=
    rm -f "$folder"/data/postmaster.pid
}
while read -r word; do
    case $word in start) start "$@" ;; stop) stop ;; kill) kill_all ;; esac
    echo
done
stop
rm -rf "$folder"
"#;

/// A cluster that can be stopped, killed and started again.
pub(crate) struct Cluster {
    folder: PathBuf,
    port: Option<u16>,
    keeper: Mutex<Keeper>,
}

struct Keeper {
    child: Child,
    orders: Option<ChildStdin>,
    done: BufReader<ChildStdout>,
}

/// Where clients find a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a socket in its folder.
    Socket,
    /// On a free port of the loopback address.
    Loopback,
}

/// Where `postgres` and `initdb` are: on PATH, or where Debian puts them.
///
/// # Panics
/// When there are none although `REQUIRE_POSTGRES` is set.
pub(crate) fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let mut folders = std::env::split_paths(&path).chain(debian.into_iter().rev());
    let found = folders.find(|folder| folder.join("postgres").exists() && folder.join("initdb").exists());
    if found.is_none() {
        missing("PostgreSQL was not found (postgres, initdb)");
    }
    found
}

/// Says once that something is not installed; its tests are left out.
///
/// # Panics
/// When `REQUIRE_POSTGRES` is set: then nothing may be left out.
pub(crate) fn missing(what: &'static str) {
    static SAID: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    assert!(std::env::var_os("REQUIRE_POSTGRES").is_none(), "REQUIRE_POSTGRES is set and {what}");
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.contains(&what) {
        said.push(what);
        // Not by eprintln, which is only shown for tests that fail.
        let _ = writeln!(std::io::stderr(), "{what}: its tests are left out");
    }
}

/// Neither PostgreSQL nor PgBouncer runs as root: then it runs as whoever `postgres`, or else `nobody`, is. The name, the
/// user's id and the group's.
pub(crate) fn account() -> Option<(&'static str, u32, u32)> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let people = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &'static str| {
        let line = people.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((name, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    is_root.then(|| find("postgres").or_else(|| find("nobody")).expect("an account other than root"))
}

/// A port of the loopback address that nobody listens on.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks again and again until it is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "in vain waited until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Cluster {
    /// A new cluster that takes connections; further `options` are those of `postgres`.
    pub(crate) fn start(programs: &Path, place: Place, options: &[&str]) -> Self {
        Self::furnished(programs, place, options, &[])
    }

    /// A new cluster with these files in the folder of its data, such as certificates and a `pg_hba.conf`.
    pub(crate) fn furnished(programs: &Path, place: Place, options: &[&str], files: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("tasks-pg-").tempdir().unwrap().keep();
        let port = (place == Place::Loopback).then(free_port);
        let mut initdb = Command::new(programs.join("initdb"));
        initdb
            .args(["-A", "trust", "-U", "tasks", "-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(folder.join("data"));
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER]).arg(programs).arg(&folder).process_group(0);
        keeper.args(["-c", "fsync=off", "-c", "max_connections=400", "-c", "shared_buffers=32MB"]);
        keeper.args(["-h", if port.is_some() { "127.0.0.1" } else { "" }, "-p", &port.unwrap_or(5432).to_string()]);
        keeper.args(["-c", "log_min_messages=fatal"]).args(options);
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        if let Some((_, user, group)) = account() {
            std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
            initdb.uid(user).gid(group).current_dir(&folder);
            keeper.uid(user).gid(group).current_dir(&folder);
        }
        let made = initdb.output().expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for (name, text) in files {
            let path = folder.join("data").join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((_, user, group)) = account() {
                std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
            }
        }
        keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = keeper.spawn().expect("a shell runs");
        let (orders, done) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let cluster = Self { folder, port, keeper: Mutex::new(Keeper { child, orders, done }) };
        cluster.start_again();
        cluster
    }

    /// Starts it and waits until it takes connections.
    pub(crate) fn start_again(&self) {
        self.order("start");
        // As pg_ctl does: the last line of this file is the server's state.
        let state = self.folder.join("data/postmaster.pid");
        wait_until("PostgreSQL takes connections", || {
            let state = std::fs::read_to_string(&state).unwrap_or_default();
            state.lines().last().is_some_and(|line| line.trim() == "ready")
        });
    }

    /// Ends its sessions and stops it in good order.
    pub(crate) fn stop(&self) {
        self.order("stop");
    }

    /// Kills all its processes at once.
    pub(crate) fn kill(&self) {
        self.order("kill");
    }

    fn order(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap();
        writeln!(keeper.orders.as_mut().unwrap(), "{word}").unwrap();
        let mut line = String::new();
        assert!(keeper.done.read_line(&mut line).unwrap() > 0, "nobody kept PostgreSQL");
    }

    /// The URL of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://tasks@{}:{}/{database}", self.host().replace('/', "%2F"), self.port())
    }

    /// Its address, or the folder of its socket.
    pub(crate) fn host(&self) -> &str {
        if self.port.is_some() { "127.0.0.1" } else { self.folder.to_str().unwrap() }
    }

    /// The folder of its socket, which it has in any case.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The port, which a socket has too.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(5432)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(keeper.orders.take());
        let _ = keeper.child.wait();
    }
}
