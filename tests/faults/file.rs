//! The embedded database's file, taken away under a running server: one state, until somebody looks.

use std::path::Path;

use crate::length::millis;
use crate::load::{Tally, User};
use crate::parts::turn;
use crate::server::Server;

/// Every file of the database.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn remove(folder: &Path) {
    for file in files(folder) {
        std::fs::remove_file(file).unwrap();
    }
}

/// Requests of every kind, several times.
async fn use_it(alice: &User, id: &str) {
    for n in 0..10 {
        alice.list("").await;
        alice.create("y").await;
        alice.get(id).await;
        alice.patch(id, "z").await;
        alice.create_once("y", &format!("key-{n}")).await;
        tokio::time::sleep(millis(20)).await;
    }
}

/// The server says that it cannot go on and why, for as long as it runs, and is well when it is started again.
async fn is_told(take_away: impl FnOnce(&Path)) {
    let _turn = turn().await;
    let mut server = Server::with(&[]).await;
    let tally = Tally::default();
    let alice = server.user("alice", &tally);
    let id = alice.counted(&Tally::default()).made("x").await;
    let data = server.folder().join("data");
    take_away(&data);
    use_it(&alice, &id).await;
    println!("{tally}");
    tally.assert_honest(&[]);
    assert_eq!(tally.failures(), tally.len(), "some are answered as if nothing were lost: {tally}");
    assert_eq!(server.probe("/readyz").await, 503);
    let log = server.logged("tasks.db").await;
    assert!(log.contains("tasks.db"), "the log does not name the file: {log}");
    server.kill();
    server.start_again().await;
    assert_eq!(alice.create("again").await.status, 201);
    assert_eq!(server.probe("/readyz").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_removed_is_told() {
    is_told(remove).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_moved_away_is_told() {
    is_told(|data| {
        let elsewhere = data.with_file_name("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        for file in files(data) {
            std::fs::rename(&file, elsewhere.join(file.file_name().unwrap())).unwrap();
        }
    })
    .await;
}

/// As when a backup is laid over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_replaced_is_told() {
    is_told(|data| {
        let backup = data.with_file_name("backup.db");
        std::fs::copy(data.join("tasks.db"), &backup).unwrap();
        remove(data);
        std::fs::rename(backup, data.join("tasks.db")).unwrap();
    })
    .await;
}
