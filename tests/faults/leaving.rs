//! Clients that leave, and times in which nobody comes: nothing is left open.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::length::{millis, scaled, seconds};
use crate::load::{Tally, crowd};
use crate::parts::{Base, turn};
use crate::relay::Relay;
use crate::server::Server;

/// The pool's size by default.
const POOL: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_half_way_leave_nothing_open() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let server = Server::on(&base.url()).await;
    let (look, tally) = (base.look().await, Tally::default());
    let alice = Arc::new(server.user("alice", &tally));
    let id = alice.made("x").await;
    let before = server.descriptors();
    for n in 0..scaled(1_000, 10_000) {
        let body = format!("{{\"title\":\"left {n}\"}}");
        let (method, path, key) = match n % 4 {
            0 => ("GET", "/api/me/tasks?limit=100".to_owned(), String::new()),
            1 => ("POST", "/api/me/tasks".to_owned(), String::new()),
            2 => ("POST", "/api/me/tasks".to_owned(), format!("Idempotency-Key: {n}\r\n")),
            _ => ("PATCH", format!("/api/me/tasks/{id}"), String::new()),
        };
        let length = if method == "GET" { 0 } else { body.len() };
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n{key}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{}",
            alice.token(),
            &body[..length]
        );
        // One in five does not even finish its request.
        let part = if n % 5 == 0 { text.len() - 7 } else { text.len() };
        let mut client = TcpStream::connect(server.address()).await.unwrap();
        client.write_all(&text.as_bytes()[..part]).await.unwrap();
        if n % 3 == 0 {
            sleep(millis(1)).await;
        }
    }
    sleep(seconds(5)).await;
    let (sessions, busy, after) = (look.sessions().await, look.busy().await, server.descriptors());
    println!("{sessions} sessions, {busy} of them busy; {before} descriptors before, {after} after");
    assert!(sessions <= POOL && busy == 0, "{sessions} sessions, {busy} of them busy");
    assert!(after <= before + POOL + 4, "{before} descriptors before, {after} after");
    // As many at once as before.
    let again = Instant::now();
    crowd(POOL, seconds(1), move |_| {
        let (alice, id) = (Arc::clone(&alice), id.clone());
        async move {
            alice.get(&id).await;
        }
    })
    .await;
    tally.since(again).assert_well();
    let doubled = "SELECT count(*) FROM (SELECT title FROM tasks GROUP BY title HAVING count(*) > 1) doubled";
    assert_eq!(look.number(doubled).await, 0);
}

/// Takes no turn, as it only waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_server_has_no_session_and_sends_nothing() {
    let Some(base) = Base::new().await else { return };
    let relay = Relay::to(base.cluster.port()).await;
    let server = Server::on(&relay.url(&base.name)).await;
    let alice = Arc::new(server.user("alice", &Tally::default()));
    crowd(16, millis(500), move |n| {
        let alice = Arc::clone(&alice);
        async move {
            if n % 2 == 0 {
                alice.list("").await
            } else {
                alice.create("x").await
            };
        }
    })
    .await;
    sleep(seconds(2)).await;
    let (open, accepted, sent) = (relay.open(), relay.accepted(), relay.sent());
    assert!(open > 0, "nothing was used");
    for _ in 0..scaled(36, 300) {
        sleep(seconds(2)).await;
        // What watches the server wakes nothing.
        assert_eq!((server.probe("/livez").await, server.probe("/readyz").await), (200, 200));
    }
    let farewells = 5 * u64::try_from(open).unwrap();
    println!("{open} sessions then, {} now; {} bytes sent meanwhile", relay.open(), relay.sent() - sent);
    assert_eq!(relay.open(), 0, "sessions are still open");
    assert_eq!(relay.accepted(), accepted, "sessions were opened");
    assert!(relay.sent() - sent <= farewells, "{} bytes were sent", relay.sent() - sent);
}
