//! Servers and databases that are killed: what was acknowledged is there, once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::length::{millis, scaled, seconds};
use crate::load::{Reply, Tally, User};
use crate::parts::{Base, turn};
use crate::people::{Ledger, People};
use crate::server::{Server, run};

/// Thirty-two clients create tasks until they are told to stop; each sends again what is not acknowledged.
fn creations(users: impl Fn(usize) -> Vec<User>, ledger: &Ledger, count: usize) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for client in 0..32 {
        let (users, ledger) = (users(client), ledger.clone());
        all.spawn(async move {
            while ledger.len() < count {
                ledger.create(&users).await;
            }
        });
    }
    all
}

async fn all(mut tasks: JoinSet<()>) {
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// Kills the server five times while tasks are created.
async fn kill_the_server(server: &mut Server) -> (Ledger, Tally) {
    let (ledger, tally, count) = (Ledger::default(), Tally::default(), scaled(2_000, 10_000));
    let creating = creations(|client| vec![server.user(&format!("user-{}", client % 8), &tally)], &ledger, count);
    for n in 1..=5 {
        while ledger.len() < count * n / 6 {
            sleep(millis(5)).await;
        }
        server.kill();
        let took = server.start_again().await;
        assert!(took < seconds(2), "ready after {took:?}");
        assert_eq!(server.probe("/readyz").await, 200);
    }
    all(creating).await;
    (ledger, tally)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_and_doubles_nothing_on_postgresql() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let mut server = Server::on(&base.url()).await;
    let (ledger, tally) = kill_the_server(&mut server).await;
    println!("{tally}");
    ledger.assert_kept(&base.look().await.tasks().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_and_doubles_nothing_on_sqlite() {
    let _turn = turn().await;
    let mut server = Server::with(&[]).await;
    let (ledger, tally) = kill_the_server(&mut server).await;
    println!("{tally}");
    // No look past the server here: it is asked for all that each user has.
    let mut stored = HashMap::new();
    for n in 0..8 {
        let user = server.user(&format!("user-{n}"), &Tally::default());
        let mut query = "?limit=100".to_owned();
        loop {
            let reply = user.list(&query).await;
            for task in reply.body["data"].as_array().unwrap() {
                let text = |name: &str| task[name].as_str().unwrap().to_owned();
                stored.insert(text("id"), text("title"));
            }
            let Some(cursor) = reply.body["meta"]["next_cursor"].as_str() else { break };
            query = format!("?limit=100&cursor={cursor}");
        }
    }
    ledger.assert_kept(&stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_database_loses_and_doubles_nothing() {
    let _turn = turn().await;
    let Some(base) = Base::alone().await else { return };
    let mut server = Server::on(&base.url()).await;
    let (ledger, tally) = (Ledger::default(), Tally::default());
    let people = People::at(&[&server], 16, &tally);
    let work = tokio::spawn({
        let (people, time) = (people.clone(), scaled(seconds(8), seconds(20)));
        async move { people.work(time).await }
    });
    let users = (0..8).map(|n| server.user(&format!("keyed-{n}"), &tally)).collect::<Vec<_>>();
    let mut keyed = JoinSet::new();
    let end = Instant::now() + scaled(seconds(8), seconds(20));
    for user in users {
        let ledger = ledger.clone();
        keyed.spawn(async move {
            while Instant::now() < end {
                ledger.create(std::slice::from_ref(&user)).await;
            }
        });
    }
    for _ in 0..scaled(2, 5) {
        sleep(millis(1_500)).await;
        let cluster = Arc::clone(&base.cluster);
        tokio::task::spawn_blocking(move || cluster.kill()).await.unwrap();
        sleep(seconds(1)).await;
        let cluster = Arc::clone(&base.cluster);
        tokio::task::spawn_blocking(move || cluster.start_again()).await.unwrap();
        let accepts = Instant::now();
        sleep(seconds(1)).await;
        let recovery = tally.recovery(accepts).unwrap_or(Duration::MAX);
        assert!(recovery < seconds(1), "no success for {recovery:?}: {tally}");
    }
    work.await.unwrap();
    all(keyed).await;
    println!("{tally}");
    tally.assert_honest(&[]);
    assert!(server.ended().is_none(), "the server has ended");
    let look = base.look().await;
    people.assert_truth(&look).await;
    let keyed = look.rows("SELECT id, title FROM tasks WHERE user_id LIKE 'keyed-%'").await;
    ledger.assert_kept(&keyed.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_two_servers_lose_and_double_nothing_when_one_is_killed() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let (one, mut other) = (Server::on(&base.url()).await, Server::on(&base.url()).await);
    let (ledger, tally, count) = (Ledger::default(), Tally::default(), scaled(1_500, 6_000));
    let users = |client: usize| {
        let name = format!("user-{}", client % 8);
        let mut both = vec![one.user(&name, &tally), other.user(&name, &tally)];
        both.rotate_left(client % 2);
        both
    };
    let creating = creations(users, &ledger, count);
    for n in 1..=2 {
        while ledger.len() < count * n / 3 {
            sleep(millis(5)).await;
        }
        other.kill();
        sleep(millis(200)).await;
        other.start_again().await;
    }
    all(creating).await;
    println!("{tally}");
    ledger.assert_kept(&base.look().await.tasks().await);
    // The same keys at both: one creation each.
    let (left, right) = (one.user("twin", &tally), other.user("twin", &tally));
    for n in 0..50 {
        let key = format!("key-{n}");
        let (left, right) = tokio::join!(left.create_once("twin", &key), right.create_once("twin", &key));
        let made: Vec<_> = [&left, &right].into_iter().filter(|reply| reply.is_well()).map(Reply::id).collect();
        assert!(!made.is_empty() && made.iter().all(|id| *id == made[0]), "{} and {}", left.body, right.body);
    }
    let twins = base.look().await.number("SELECT count(*) FROM tasks WHERE user_id = 'twin'").await;
    assert_eq!(twins, 50);
}

/// Several at once, and one that is killed: the schema is whole, each change made once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_in_parallel_are_made_once() {
    let _turn = turn().await;
    let Some(cluster) = Base::shared() else { return };
    let base = Base::empty(cluster, "").await;
    let url = base.url();
    let mut running = JoinSet::new();
    for _ in 0..4 {
        let url = url.clone();
        running.spawn_blocking(move || run(&["migrate", "up"], &[("DATABASE_URL", &url)]));
    }
    while let Some(done) = running.join_next().await {
        let (is_well, said) = done.unwrap();
        assert!(is_well, "{said}");
    }
    let server = Server::on(&url).await;
    assert_eq!(server.user("alice", &Tally::default()).create("x").await.status, 201);
}
