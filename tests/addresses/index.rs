//! The change of the schema that stops nobody: an index that is built while others write.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::load::Tally;
use crate::look::Look;
use crate::parts::migrated;
use crate::program::Program;
use crate::server::Server;

/// A database without the index, and a transaction that has written and keeps it from being built.
struct Site {
    program: Program,
    look: Look,
    open: Look,
    server: Server,
}

impl Site {
    async fn new() -> Option<Self> {
        let url = migrated()?;
        let program = Program::at(&url);
        let server = Server::with(&program.variables()).await;
        server.user("alice", &Tally::default()).made("before").await;
        let (look, open) = (Look::at(&url).await, Look::at(&url).await);
        // The server does without the index, but not without what came after it.
        look.run("DROP INDEX tasks_open; DELETE FROM seaql_migrations WHERE version LIKE 'm20261128_000004%'").await;
        open.run("BEGIN; UPDATE tasks SET title = 'open'").await;
        Some(Self { program, look, open, server })
    }

    /// `migrate up`, as a process that runs.
    fn migrating(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tasks-server"));
        command.env_clear().envs(self.program.variables()).args(["migrate", "up"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until the index is there, and says whether it is valid.
    async fn index(&self) -> bool {
        let query = "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            WHERE c.relname = 'tasks_open'";
        let started = Instant::now();
        loop {
            if let [row] = self.look.rows(query).await.as_slice() {
                return row[0] == "t";
            }
            assert!(started.elapsed() < Duration::from_secs(20), "no index is built");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The index is there, and nothing of an attempt that failed.
    async fn is_whole(&self) {
        assert!(self.index().await, "the index is not valid");
        let left = "SELECT count(*) FROM pg_index WHERE NOT indisvalid OR NOT indisready OR NOT indislive";
        assert_eq!(self.look.number(left).await, 0);
        assert!(!self.program.asks().well().contains("pending"));
    }

    async fn writes_go_on(&self) {
        let started = Instant::now();
        let bob = self.server.user("bob", &Tally::default());
        let id = bob.made("beside").await;
        assert!(bob.complete(&id).await.is_well() && bob.delete(&id).await.is_well());
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

fn ends_well(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_was_killed_is_completed_by_the_next() {
    let Some(site) = Site::new().await else { return };
    let mut first = site.migrating();
    assert!(!site.index().await, "it is built under an open transaction");
    site.writes_go_on().await;
    first.kill().unwrap();
    first.wait().unwrap();
    // The one that was killed has left a session that still builds, or an index that is not valid.
    let second = site.migrating();
    sleep(Duration::from_millis(300)).await;
    site.writes_go_on().await;
    site.open.run("COMMIT").await;
    assert!(ends_well(second).contains("m20261128_000004"));
    site.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_was_killed_with_its_session_is_completed_by_the_next() {
    let Some(site) = Site::new().await else { return };
    let mut first = site.migrating();
    assert!(!site.index().await);
    first.kill().unwrap();
    first.wait().unwrap();
    let sessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%tasks_open%'
        AND datname = current_database()";
    site.look.rows(sessions).await;
    site.open.run("COMMIT").await;
    assert!(!site.index().await);
    assert!(site.program.migrates().well().contains("m20261128_000004"));
    site.is_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_migrate_at_once_take_turns() {
    let Some(site) = Site::new().await else { return };
    let first = site.migrating();
    assert!(!site.index().await);
    let second = site.migrating();
    sleep(Duration::from_millis(500)).await;
    site.writes_go_on().await;
    site.open.run("COMMIT").await;
    let said = ends_well(first) + &ends_well(second);
    assert!(said.contains("m20261128_000004") && said.contains("up to date"), "{said}");
    site.is_whole().await;
}
