//! Many connections: more than descriptors, more than are allowed, at rest, or gone at once.

use std::time::Instant;

use h2::client;
use poem::http::Request;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::length::{millis, scaled, seconds};
use crate::raw::{Raw, each, head};
use crate::scene::Scene;
use crate::server::{Server, UNDER};

/// A request without a token, and its answer's status.
async fn live(raw: &mut Raw) -> u16 {
    raw.send(head("GET", "/livez", "")).await.unwrap();
    raw.answered(seconds(10)).await.status
}

pub(crate) async fn a_server_without_descriptors_waits_and_says_so() {
    let server = Server::with(&[(UNDER, "ulimit -n 256"), ("MAX_CONNECTIONS", "10000")]).await;
    let mut old = Raw::to(&server.address()).await;
    assert_eq!(live(&mut old).await, 200);
    let since = Instant::now();
    let strangers = each(server.address(), scaled(400, 1_000), |_, address| async move {
        // The system may keep some of them waiting.
        timeout(seconds(3), TcpStream::connect(address)).await
    });
    let strangers = strangers.await;
    sleep(millis(500)).await;
    let (worked, began) = (server.worked(), Instant::now());
    for _ in 0..scaled(5, 20) {
        sleep(seconds(1)).await;
        // Whoever was there before goes on.
        assert_eq!(live(&mut old).await, 200);
    }
    let load = server.worked().saturating_sub(worked).as_secs_f64() / began.elapsed().as_secs_f64();
    println!("{} descriptors, load {load:.2}, {} lines", server.descriptors(), server.complaints(since));
    assert!(load < 0.2, "{load:.2} of a processor");
    let lines = server.complaints(since);
    assert!((1..=3).contains(&lines), "told {lines} times: {}", server.log());
    drop(strangers);
    sleep(seconds(1)).await;
    assert_eq!(live(&mut Raw::to(&server.address()).await).await, 200);
}

pub(crate) async fn connections_are_counted() {
    const MOST: usize = 50;
    let server = Server::with(&[("MAX_CONNECTIONS", "50")]).await;
    let before = server.descriptors();
    let mut inside = Vec::new();
    // The test's own look at `/livez` is one of them, as long as it is open.
    for _ in 0..MOST - 2 {
        let mut raw = Raw::to(&server.address()).await;
        assert_eq!(live(&mut raw).await, 200);
        inside.push(raw);
    }
    let mut outside = each(server.address(), 30, |_, address| async move {
        let mut raw = Raw::to(&address).await;
        let _ = raw.send(head("GET", "/livez", "")).await;
        raw
    })
    .await;
    sleep(seconds(1)).await;
    let open = server.descriptors() - before;
    assert!(open <= MOST + 4, "{open} more descriptors");
    assert!(open >= MOST - 2, "only {open} more descriptors");
    for raw in &mut inside {
        assert_eq!(live(raw).await, 200);
    }
    // Whoever waits is let in, and whoever comes then too; one that was refused was told when to come back.
    drop(inside);
    for raw in &mut outside {
        let outcome = timeout(seconds(10), raw.answer()).await.expect("neither let in nor refused");
        if let Ok(answer) = outcome {
            assert!(answer.status == 200 || answer.status == 503 && !answer.header("retry-after").is_empty());
        }
    }
    assert_eq!(live(&mut Raw::to(&server.address()).await).await, 200);
}

/// Longer than a head may take, and in long runs until the end.
pub(crate) async fn connections_at_rest_are_kept_and_then_closed() {
    let server = Server::with(&[]).await;
    let mut first = Raw::to(&server.address()).await;
    let mut last = Raw::to(&server.address()).await;
    assert_eq!((live(&mut first).await, live(&mut last).await), (200, 200));
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (requests, connection) = client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let get = async || {
        let request = Request::get("http://tasks.example/livez").body(()).unwrap();
        let (answer, _) = requests.clone().ready().await.unwrap().send_request(request, true).unwrap();
        answer.await.unwrap().status().as_u16()
    };
    assert_eq!(get().await, 200);
    assert!(!first.closes(seconds(13)).await, "a connection at rest was closed after seconds");
    assert_eq!((live(&mut last).await, get().await), (200, 200));
    if scaled(true, false) {
        return;
    }
    let began = Instant::now();
    assert!(first.closes(seconds(80)).await, "a connection at rest is still open after 90 s");
    assert!(last.closes(seconds(90).saturating_sub(began.elapsed())).await, "a connection at rest is still open");
    let rest = seconds(95).saturating_sub(began.elapsed());
    let closed = timeout(rest, connection).await;
    assert!(closed.is_ok(), "a connection of HTTP/2 at rest is still open");
}

pub(crate) async fn ten_thousand_that_connect_and_leave_slow_nobody() {
    let scene = Scene::new().await;
    let before = scene.server.descriptors();
    let attack = each(scene.server.address(), 16, |_, address| async move {
        for _ in 0..10_000 / 16 {
            drop(TcpStream::connect(&address).await.unwrap());
        }
    });
    let seen = scene.under(attack).await;
    seen.assert_bounded();
    assert_eq!(scene.open(before, seconds(5)).await, 0);
}
