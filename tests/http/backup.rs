//! `tasks-server backup`: a copy of the embedded database while a server writes to it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};

use crate::client::id;
use crate::process::{Running, run, text};

fn backup(folder: &Path, file: &str) -> Output {
    run(folder, &["backup", file], &[])
}

/// What SQLite finds wrong with a file, and how many tasks are in it.
async fn judge(file: &Path) -> (String, i64) {
    let mut link = SqliteConnectOptions::new().filename(file).read_only(true).connect().await.unwrap();
    let verdict = sqlx::query("PRAGMA integrity_check").fetch_one(&mut link).await.unwrap().get(0);
    let count = sqlx::query("SELECT count(*) FROM tasks").fetch_one(&mut link).await.unwrap().get(0);
    link.close().await.unwrap();
    (verdict, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_has_all_that_was_acknowledged_before_it_began() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody reads the log before the end, and who writes it would wait.
    let quiet = [("RUST_LOG", "warn")];
    let server = Running::start(folder.path(), &quiet);
    let token = server.token.clone();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            let (acknowledged, client) = (Arc::clone(&acknowledged), server.client("me", token.clone()));
            tokio::spawn(async move {
                for n in 0.. {
                    let task = client.create(&format!("{writer} {n}")).await;
                    acknowledged.lock().unwrap().push(id(&task).to_owned());
                }
            })
        })
        .collect();
    let mut known = Vec::new();
    for (n, enough) in [20, 150, 300].into_iter().enumerate() {
        while acknowledged.lock().unwrap().len() < enough {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        known = acknowledged.lock().unwrap().clone();
        let (path, name) = (folder.path().to_owned(), format!("copy-{n}.db"));
        let done = tokio::task::spawn_blocking(move || backup(&path, &name)).await.unwrap();
        assert!(done.status.success(), "{}", text(&done));
        assert!(acknowledged.lock().unwrap().len() > known.len(), "nobody wrote meanwhile");
        let copy = folder.path().join(format!("copy-{n}.db"));
        assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let (verdict, count) = judge(&copy).await;
        assert_eq!(verdict, "ok");
        assert!(usize::try_from(count).unwrap() >= known.len(), "{count} of {}", known.len());
    }
    for writer in writers {
        writer.abort();
    }
    server.stop();
    let names =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["copy-0.db", "copy-1.db", "copy-2.db", "data"], "nothing else is left");
    // As it is restored.
    for file in ["data/tasks.db", "data/tasks.db-wal", "data/tasks.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(file));
    }
    std::fs::rename(folder.path().join("copy-2.db"), folder.path().join("data/tasks.db")).unwrap();
    let server = Running::start(folder.path(), &quiet);
    let alice = server.client("me", token);
    for id in &known {
        alice.get(id).await.data(200);
    }
    alice.create("and goes on").await;
    server.stop();
}

#[tokio::test]
async fn a_backup_is_made_without_a_server_too_and_of_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), &[]);
    server.client("me", server.token.clone()).create("x").await;
    server.stop();
    assert!(backup(folder.path(), "one.db").status.success());
    let again = run(folder.path(), &["backup", "file:two.db"], &[("DATABASE_URL", "sqlite://one.db")]);
    assert!(again.status.success(), "{}", text(&again));
    assert_eq!(judge(&folder.path().join("./file:two.db")).await, ("ok".to_owned(), 1));
}

#[test]
fn a_backup_overwrites_nothing_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |arguments: (&str, &[(&str, &str)]), why: &str| {
        let output = run(folder.path(), &["backup", arguments.0], arguments.1);
        let said = text(&output);
        assert!(!output.status.success() && said.contains(why), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    refused(("copy.db", &[]), "data/tasks.db, the file that DATABASE_URL names, is not there");
    assert!(!folder.path().join("data").exists(), "nothing is made where nothing was");
    assert!(run(folder.path(), &["migrate", "up"], &[]).status.success());
    std::fs::write(folder.path().join("old.db"), "old").unwrap();
    std::fs::write(folder.path().join("empty.db"), "").unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link.db")).unwrap();
    for file in ["old.db", "empty.db", "link.db", "data", "data/tasks.db"] {
        refused((file, &[]), &format!("{file} is there already"));
    }
    assert_eq!(std::fs::read(folder.path().join("old.db")).unwrap(), b"old");
    for file in ["missing/copy.db", "old.db/copy.db"] {
        refused((file, &[]), &format!("{file} cannot be written: its folder is not there"));
    }
    // To root, which tests may run as, every folder is writable.
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_err() {
        refused(("closed/copy.db", &[]), "closed/copy.db cannot be written");
    }
    refused(("copy.db", &[("DATABASE_URL", "postgresql://someone:hunter2@localhost/tasks")]), "pg_dump");
    refused(("copy.db", &[("DATABASE_URL", "sqlite::memory:")]), "in memory");
    assert!(!folder.path().join("copy.db").exists());
}
