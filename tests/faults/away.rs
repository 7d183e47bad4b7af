//! A database that is away: stopped, starting, hanging, read-only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;
use uuid::Uuid;

use crate::length::{millis, scaled, seconds};
use crate::load::{Sample, Tally, User, paced};
use crate::parts::{Base, turn};
use crate::relay::Relay;
use crate::server::Server;

/// How long a request waits for a database that starts up: what the documents say.
const DEADLINE: Duration = seconds(10);
/// How far the slowest answer may be from it.
const ROOM: Duration = seconds(1);

/// Asks until it is answered well; how long that took.
async fn until_well(user: &User) -> Duration {
    let started = Instant::now();
    while !user.list("").await.is_well() {
        assert!(started.elapsed() < seconds(20), "it does not come back");
        sleep(millis(10)).await;
    }
    started.elapsed()
}

async fn stop(base: &Base) {
    let cluster = Arc::clone(&base.cluster);
    tokio::task::spawn_blocking(move || cluster.stop()).await.unwrap();
}

async fn start(base: &Base) {
    let cluster = Arc::clone(&base.cluster);
    tokio::task::spawn_blocking(move || cluster.start_again()).await.unwrap();
}

/// As a database that sleeps when nobody needs it, behind a proxy that holds connections until it is awake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeping_database_is_waited_for() {
    let _turn = turn().await;
    let Some(base) = Base::alone().await else { return };
    let relay = Relay::to(base.cluster.port()).await;
    let server = Server::on(&relay.url(&base.name)).await;
    let tally = Tally::default();
    let alice = server.user("alice", &tally);
    alice.made("x").await;
    relay.hold();
    stop(&base).await;
    sleep(scaled(seconds(1), seconds(10))).await;
    let before = relay.accepted();
    let wake = async {
        while relay.accepted() == before {
            sleep(millis(2)).await;
        }
        sleep(millis(700)).await;
        start(&base).await;
        relay.forward();
    };
    tokio::join!(join_all((0..20).map(|_| alice.list(""))), wake);
    println!("{tally}");
    tally.assert_well();
    assert!(tally.slowest() < seconds(3), "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_of_five_seconds_is_waited_for() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let relay = Relay::to(base.cluster.port()).await;
    let server = Server::on(&relay.url(&base.name)).await;
    let tally = Tally::default();
    let alice = server.user("alice", &tally);
    alice.made("x").await;
    relay.answer_after(seconds(5));
    relay.cut();
    join_all((0..20).map(|n| {
        let alice = &alice;
        async move { if n % 2 == 0 { alice.list("").await } else { alice.create("y").await } }
    }))
    .await;
    println!("{tally}");
    tally.assert_well();
    assert!(tally.slowest() < seconds(7), "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_of_fifteen_seconds_is_503_at_the_deadline() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let relay = Relay::to(base.cluster.port()).await;
    let server = Server::on(&relay.url(&base.name)).await;
    let tally = Tally::default();
    let alice = server.user("alice", &tally);
    let id = alice.made("x").await;
    relay.answer_after(seconds(15));
    relay.cut();
    let asked = Instant::now();
    let probe = async {
        sleep(seconds(1)).await;
        server.probe("/livez").await
    };
    let (_, live) = tokio::join!(join_all((0..10).map(|_| alice.get(&id))), probe);
    let waited = tally.since(asked);
    println!("{waited}");
    assert_eq!(live, 200);
    assert_eq!(waited.failures(), waited.len(), "{waited}");
    waited.assert_honest(&[]);
    assert!(waited.slowest() < DEADLINE + ROOM, "{waited}");
    assert!(waited.slowest() + ROOM > DEADLINE, "nobody waited as long as the documents say: {waited}");
    relay.forward();
    let recovery = until_well(&alice).await;
    assert!(recovery < seconds(1), "{recovery:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_each_answer_is_quick_and_the_log_short() {
    let _turn = turn().await;
    let Some(base) = Base::alone().await else { return };
    let server = Server::on(&base.url()).await;
    let tally = Tally::default();
    let alice = server.user("alice", &tally);
    let id = alice.made("x").await;
    stop(&base).await;
    let (stopped, time) = (Instant::now(), scaled(seconds(4), seconds(30)));
    let probes = async {
        sleep(time / 2).await;
        (server.probe("/livez").await, server.probe("/readyz").await)
    };
    let asking = paced(100, time, |n| {
        let (alice, id) = (alice.clone(), id.clone());
        async move {
            if n % 2 == 0 {
                alice.get(&id).await
            } else {
                alice.create("y").await
            };
        }
    });
    let (probes, ()) = tokio::join!(probes, asking);
    let away = tally.since(stopped);
    println!("{away}");
    let complaints = u64::try_from(server.complaints(stopped)).unwrap();
    assert_eq!(probes, (200, 503), "/livez and /readyz");
    assert_eq!(away.failures(), away.len(), "{away}");
    away.assert_honest(&[]);
    assert!(away.slowest() < seconds(1), "{away}");
    assert!(complaints > 0, "the log does not say why");
    assert!(complaints < 10 * time.as_secs(), "{complaints} lines of the log in {time:?}");
    start(&base).await;
    let recovery = until_well(&alice).await;
    assert!(recovery < seconds(1), "{recovery:?}");
    assert_eq!(server.probe("/readyz").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_not_ready_when_only_creations_with_keys_fail() {
    let _turn = turn().await;
    let Some(base) = Base::alone().await else { return };
    let server = Server::on(&base.url()).await;
    let tally = Tally::default();
    let alice = server.user("alice", &tally);
    alice.counted(&Tally::default()).made("x").await;
    assert_eq!(server.probe("/readyz").await, 200);
    stop(&base).await;
    // Long enough for every connection to be doubted, so that no statement gets as far as to fail.
    sleep(seconds(1)).await;
    for _ in 0..20 {
        alice.create_once("y", &Uuid::now_v7().to_string()).await;
    }
    tally.assert_honest(&[]);
    assert_eq!((tally.failures(), server.probe("/readyz").await), (20, 503));
    let bulk = tally.clone();
    for _ in 0..5 {
        alice.bulk_complete(&["01936f00-0000-7000-8000-000000000000"]).await;
    }
    bulk.assert_honest(&[]);
    assert_eq!((bulk.failures(), server.probe("/readyz").await), (25, 503));
}

/// The request that finds out whether the database is back may itself run out of time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_ran_out_of_time_stops_nobody_after_it() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let relay = Relay::to(base.cluster.port()).await;
    let url = relay.url(&base.name);
    let server = Server::with(&[("DATABASE_URL", &url), ("REQUEST_TIMEOUT_SECONDS", "1")]).await;
    let tally = Tally::default();
    let alice = server.user("alice", &tally);
    alice.made("x").await;
    relay.refuse().await;
    relay.cut();
    alice.list("").await;
    sleep(millis(400)).await;
    relay.hold();
    join_all((0..3).map(|_| alice.list(""))).await;
    relay.forward();
    let recovery = until_well(&alice).await;
    println!("{recovery:?} {tally}");
    tally.assert_honest(&[]);
    assert!(recovery < seconds(1), "503 for {recovery:?} more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_becomes_read_only_is_503_for_writes_and_then_well() {
    let _turn = turn().await;
    let Some(base) = Base::alone().await else { return };
    let mut server = Server::on(&base.url()).await;
    let (look, tally) = (base.look().await, Tally::default());
    let alice = server.user("alice", &tally);
    let id = alice.made("x").await;
    let is_now = async |state: &str| {
        look.run(&format!("ALTER SYSTEM SET default_transaction_read_only = {state}")).await;
        look.run("SELECT pg_reload_conf()").await;
        sleep(millis(300)).await;
    };
    is_now("on").await;
    let turned = Instant::now();
    for _ in 0..3 {
        alice.create("y").await;
        alice.create_once("y", &Uuid::now_v7().to_string()).await;
        alice.patch(&id, "z").await;
        alice.put(&id, "z").await;
        alice.complete(&id).await;
        alice.bulk_create(&["a".to_owned(), "b".to_owned()]).await;
        alice.bulk_complete(&[&id]).await;
        alice.bulk_delete(&[&id]).await;
        alice.delete(&id).await;
        alice.get(&id).await;
    }
    let answers = tally.since(turned);
    println!("{answers}");
    answers.assert_honest(&[]);
    let writes = answers.only(|sample| !sample.is_read());
    assert_eq!(writes.failures(), writes.len(), "{answers}");
    answers.only(Sample::is_read).assert_well();
    // A session that is read-only may not change the system's settings back by itself.
    look.run("SET default_transaction_read_only = off").await;
    is_now("off").await;
    let back = Instant::now();
    alice.patch(&id, "z").await;
    alice.create("y").await;
    alice.delete(&id).await;
    tally.since(back).assert_well();
    assert!(server.ended().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_hang_are_answered_before_the_end() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let relay = Relay::to(base.cluster.port()).await;
    let url = relay.url(&base.name);
    let mut server = Server::with(&[("DATABASE_URL", &url), ("SHUTDOWN_GRACE_SECONDS", "2")]).await;
    let tally = Tally::default();
    let alice = server.user("alice", &tally);
    let id = alice.counted(&Tally::default()).made("x").await;
    relay.hold();
    relay.silence();
    let end = async {
        sleep(millis(300)).await;
        server.ask_to_end();
        let asked = Instant::now();
        loop {
            if let Some(status) = server.ended() {
                return (status, asked.elapsed());
            }
            assert!(asked.elapsed() < seconds(20), "it does not end");
            sleep(millis(10)).await;
        }
    };
    let hanging = join_all((0..10).map(|n| {
        let (alice, id) = (&alice, &id);
        async move { if n % 2 == 0 { alice.get(id).await } else { alice.patch(id, "y").await } }
    }));
    let (_, (status, took)) = tokio::join!(hanging, end);
    println!("{took:?} {tally}");
    assert!(status.success() && took < seconds(5), "{status} after {took:?}");
    assert_eq!(tally.failures(), 10, "{tally}");
    tally.assert_honest(&[]);
}

/// A port that refuses each log-in, as proxies before a database do, in words of their own and as an error that is not fatal.
async fn refusing(code: &'static str, text: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let Ok((mut client, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let mut startup = [0; 512];
                let _ = client.read(&mut startup).await;
                let fields = format!("SERROR\0C{code}\0M{text}\0\0");
                let mut answer = vec![b'E'];
                answer.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
                answer.extend(fields.as_bytes());
                let _ = client.write_all(&answer).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_that_is_refused_is_an_outage_whatever_it_calls_itself() {
    let _turn = turn().await;
    for (code, text) in [
        ("XX000", "Failed to acquire permit to connect to the database. Too many database connection attempts."),
        ("XX000", "Internal error"),
        ("XX000", "Too many connections attempts"),
        ("28P01", "password authentication failed for user 'tasks'"),
        ("3D000", "no such database: tasks"),
        ("08P01", "no such user"),
    ] {
        let port = refusing(code, text).await;
        let server = Server::on(&format!("postgresql://tasks@127.0.0.1:{port}/tasks?sslmode=disable")).await;
        let tally = Tally::default();
        let alice = server.user("alice", &tally);
        alice.list("").await;
        alice.create("x").await;
        println!("{text}: {tally}");
        assert_eq!(tally.failures(), 2, "{text}: {tally}");
        tally.assert_honest(&[]);
        assert_eq!(server.probe("/readyz").await, 503, "{text}");
    }
}

/// An index takes longer to build than a start or a request may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_schema_outlasts_whoever_waits_for_it() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let (look, other) = (base.look().await, base.look().await);
    look.run("DROP INDEX tasks_open; DELETE FROM seaql_migrations WHERE version LIKE 'm20261128_000004%'").await;
    // The index waits for whoever has looked at the table before.
    other.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tasks").await;
    let variables = [("MIGRATE_ON_START", "true"), ("REQUEST_TIMEOUT_SECONDS", "1"), ("DATABASE_URL", &base.url())];
    let server = Server::with(&variables).await;
    let tally = Tally::default();
    let alice = server.user("alice", &tally);
    assert_eq!(alice.list("").await.status, 503);
    other.run("COMMIT").await;
    let changes = "SELECT count(*) FROM seaql_migrations";
    let started = Instant::now();
    while look.number(changes).await < 6 {
        assert!(started.elapsed() < seconds(5), "the change was given up");
        sleep(millis(50)).await;
    }
    assert!(alice.list("").await.is_well());
}
