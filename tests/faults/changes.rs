//! Readers of changes beside busy writers, and among kills: nothing is missed, nothing comes out of order.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::length::{scaled, seconds};
use crate::load::{Tally, User};
use crate::look::Look;
use crate::parts::{Base, turn};
use crate::server::{Server, UNDER};

/// What somebody knows of a user's tasks: the version of each.
#[derive(Default)]
pub(crate) struct Copy {
    tasks: BTreeMap<String, i64>,
    gone: HashSet<String>,
    since: String,
    changes: usize,
}

impl Copy {
    /// Asks once; whether there is more. Where there was no answer, nothing is known, and it is asked again.
    pub(crate) async fn read(&mut self, user: &User, wait: u8) -> bool {
        let since = if self.since.is_empty() { String::new() } else { format!("&since={}", self.since) };
        let reply = user.list(&format!("/changes?limit=100&wait={wait}{since}")).await;
        if !reply.is_well() {
            assert!(matches!(reply.status, 0 | 503), "{} {} {}", reply.status, self.since, reply.body);
            tokio::time::sleep(Duration::from_millis(20)).await;
            return true;
        }
        let list = |name: &str| reply.body[name].as_array().unwrap().clone();
        for task in list("data") {
            let (id, version) = (text(&task["id"]), task["version"].as_i64().unwrap());
            assert!(!self.gone.contains(&id), "{id} was deleted, and comes again");
            let before = self.tasks.insert(id.clone(), version);
            assert!(before.is_none_or(|before| before < version), "{id} was at {before:?}, and is at {version}");
            self.changes += 1;
        }
        for id in list("deleted") {
            let id = text(&id);
            self.tasks.remove(&id);
            assert!(self.gone.insert(id.clone()), "{id} is deleted again");
            self.changes += 1;
        }
        self.since = text(&reply.body["meta"]["next"]);
        reply.body["meta"]["more"] == true
    }

    /// What the lists of this user show.
    async fn is_right(&self, user: &User) {
        let (mut stored, mut query) = (BTreeMap::new(), "?limit=100".to_owned());
        loop {
            let page = user.list(&query).await;
            for task in page.body["data"].as_array().unwrap() {
                stored.insert(text(&task["id"]), task["version"].as_i64().unwrap());
            }
            let Some(cursor) = page.body["meta"]["next_cursor"].as_str() else { break };
            query = format!("?limit=100&cursor={cursor}");
        }
        let missed: Vec<_> = stored.iter().filter(|(id, version)| self.tasks.get(*id) != Some(version)).collect();
        let ghosts: Vec<_> = self.tasks.keys().filter(|id| !stored.contains_key(*id)).collect();
        assert!(missed.is_empty() && ghosts.is_empty(), "missed {missed:?}, kept {ghosts:?}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// Reads on until it is told that nothing more comes, and has all then.
fn reader(user: User, wait: u8, done: &Arc<AtomicUsize>) -> tokio::task::JoinHandle<Copy> {
    let done = Arc::clone(done);
    tokio::spawn(async move {
        let mut copy = Copy::default();
        loop {
            let is_done = done.load(Ordering::SeqCst) > 0;
            if !copy.read(&user, if is_done { 0 } else { wait }).await && is_done {
                return copy;
            }
        }
    })
}

/// Creates, changes and deletes tasks, some of them at once, until there are so many changes.
async fn write(user: User, changes: Arc<AtomicUsize>, most: usize, name: usize) {
    let mut mine = Vec::new();
    for round in 0.. {
        let made = match round % 6 {
            0 => {
                let titles: Vec<_> = (0..5).map(|n| format!("{name} {round} {n}")).collect();
                let reply = user.bulk_create(&titles).await;
                mine.extend(reply.body["data"].as_array().unwrap().iter().map(|task| text(&task["id"])));
                5
            }
            1 | 4 => {
                mine.push(user.made(&format!("{name} {round}")).await);
                1
            }
            2 => {
                let ids: Vec<_> = mine.iter().rev().take(3).map(String::as_str).collect();
                assert!(user.bulk_complete(&ids).await.is_well());
                1
            }
            3 => {
                assert!(user.delete(&mine.remove(0)).await.is_well());
                1
            }
            _ => {
                let id = &mine[round % mine.len()];
                assert!(user.patch(id, &format!("{name} {round} again")).await.is_well());
                1
            }
        };
        if changes.fetch_add(made, Ordering::SeqCst) >= most {
            return;
        }
    }
}

/// Changes tasks by hand, as a server of 0.1.0 does.
async fn by_hand(look: Look, changes: Arc<AtomicUsize>, most: usize) {
    for round in 0.. {
        let id = uuid::Uuid::now_v7();
        look.run(&format!(
            "INSERT INTO tasks (user_id, id, title, is_completed, created_at, updated_at) \
             VALUES ('alice', '{id}', 'by hand', FALSE, now(), now())"
        ))
        .await;
        look.run(&format!(
            "UPDATE tasks SET title = 'again', version = version + 1, updated_at = now() WHERE user_id = 'alice' AND id = '{id}'"
        ))
        .await;
        if round % 2 == 0 {
            look.run(&format!("DELETE FROM tasks WHERE user_id = 'alice' AND id = '{id}'")).await;
        }
        if changes.fetch_add(2, Ordering::SeqCst) >= most {
            return;
        }
    }
}

async fn nothing_is_missed(servers: &[&Server], look: Option<Look>) {
    let (tally, most) = (Tally::default(), scaled(2_000, 20_000));
    let users: Vec<_> = servers.iter().map(|server| server.user("alice", &tally)).collect();
    users[0].made("first").await;
    let (changes, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let readers = [(0, 0), (1, 0), (0, 25), (1, 25)].map(|(server, wait)| {
        // Readers are those of this version.
        reader(users[server].clone(), wait, &done)
    });
    let (began, mut writers) = (Instant::now(), JoinSet::new());
    for (name, user) in users.iter().cycle().take(8).enumerate() {
        writers.spawn(write(user.clone(), Arc::clone(&changes), most, name));
    }
    if let Some(look) = look {
        writers.spawn(by_hand(look, Arc::clone(&changes), most));
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    let (count, took) = (changes.load(Ordering::SeqCst), began.elapsed());
    done.store(1, Ordering::SeqCst);
    for reader in readers {
        let copy = reader.await.unwrap();
        copy.is_right(&users[0]).await;
        println!("{count} changes in {took:?}, of which a reader saw {}", copy.changes);
    }
    tally.only(|sample| !sample.is_read()).assert_well();
}

/// The program of an earlier version, where there is one: `OLDER` is its path.
async fn older(url: &str) -> Option<Server> {
    let path = std::env::var("OLDER").ok()?;
    Some(Server::with(&[("DATABASE_URL", url), (UNDER, &format!("exec {path}"))]).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_beside_busy_writers_on_postgresql() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let (one, two) = (Server::on(&base.url()).await, Server::on(&base.url()).await);
    let older = older(&base.url()).await;
    let servers: Vec<_> = [&one, &two].into_iter().chain(&older).collect();
    nothing_is_missed(&servers, Some(base.look().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_beside_busy_writers_on_sqlite() {
    let _turn = turn().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("tasks.db").display());
    let (one, two) = (Server::on(&url).await, Server::on(&url).await);
    let older = older(&url).await;
    let servers: Vec<_> = [&one, &two].into_iter().chain(&older).collect();
    nothing_is_missed(&servers, None).await;
}

/// The server and the database are killed under readers who wait, and those who write send again what is not acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_when_server_and_database_are_killed() {
    let _turn = turn().await;
    let Some(base) = Base::alone().await else { return };
    let (mut one, two) = (Server::on(&base.url()).await, Server::on(&base.url()).await);
    let tally = Tally::default();
    let (done, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let users = [one.user("alice", &tally), two.user("alice", &tally)];
    let readers =
        [(0, 25), (1, 25), (0, 0)].map(|(server, wait): (usize, u8)| reader(users[server].clone(), wait, &done));
    let made = Arc::new(Mutex::new(Vec::new()));
    let mut writers = JoinSet::new();
    for n in 0..8 {
        let (user, stop, made) = (users[n % 2].clone(), Arc::clone(&stop), Arc::clone(&made));
        writers.spawn(async move {
            for round in 0.. {
                let reply = user.create(&format!("{n} {round}")).await;
                if reply.is_well() {
                    user.patch(reply.id(), &format!("{n} {round} again")).await;
                    made.lock().await.push(reply.id().to_owned());
                } else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                if stop.load(Ordering::SeqCst) > 0 {
                    return;
                }
            }
        });
    }
    for _ in 0..scaled(1, 4) {
        tokio::time::sleep(Duration::from_millis(700)).await;
        one.kill();
        one.start_again().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        let cluster = Arc::clone(&base.cluster);
        tokio::task::spawn_blocking(move || cluster.kill()).await.unwrap();
        let cluster = Arc::clone(&base.cluster);
        tokio::task::spawn_blocking(move || cluster.start_again()).await.unwrap();
        tokio::time::sleep(seconds(2)).await;
        base.look().await.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()").await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.store(1, Ordering::SeqCst);
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    done.store(1, Ordering::SeqCst);
    for reader in readers {
        let copy = reader.await.unwrap();
        copy.is_right(&users[1]).await;
        for id in &*made.lock().await {
            assert!(copy.tasks.contains_key(id), "{id} was acknowledged, and is missed");
        }
    }
}
