//! Heads that are too big, or never whole.

use tokio::time::timeout;

use crate::length::{scaled, seconds};
use crate::raw::{End, Raw, ask, counted, each, head};
use crate::scene::Scene;
use crate::server::Server;

pub(crate) async fn heads_without_an_end_are_refused() {
    let scene = Scene::new().await;
    let seen = scene.under(fat_heads(&scene.server, scaled(200, 1_000))).await;
    println!("{}", counted(&seen.outcome));
    assert!(
        seen.outcome.iter().all(|end| matches!(end, End::Closed | End::Answered(431))),
        "{}",
        counted(&seen.outcome)
    );
    seen.assert_bounded();
}

async fn fat_heads(server: &Server, count: usize) -> Vec<End> {
    each(server.address(), count, |_, address| async move {
        let mut raw = Raw::to(&address).await;
        let text = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Fat: {}", "a".repeat(378 * 1024));
        // It may close in the middle, or take no more.
        let _ = timeout(seconds(10), raw.send(text)).await;
        raw.end(seconds(30)).await
    })
    .await
}

/// Of each way to begin and not to go on, some; one of them sends a byte a second.
pub(crate) async fn heads_that_do_not_come_are_closed() {
    const BEGINNINGS: [&str; 7] = [
        "",
        "G",
        "GET /livez HTTP/1.1\r\nHost: x\r\n",
        "P",
        "PRI * HTTP/2.0\r\n\r\nSM",
        // A request that is answered, and half of another.
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHo",
    ];
    let scene = Scene::new().await;
    let attack = each(scene.server.address(), scaled(70, 1_000), |n, address| async move {
        let mut raw = Raw::to(&address).await;
        let beginning = BEGINNINGS[n % BEGINNINGS.len()];
        raw.send(beginning).await.unwrap();
        let is_closed =
            if beginning.ends_with("\r\n\r\n") { trickles(&mut raw).await } else { raw.closes(seconds(30)).await };
        (beginning, is_closed)
    });
    let seen = scene.under(attack).await;
    for (beginning, is_closed) in &seen.outcome {
        assert!(is_closed, "{beginning:?} is still open after 30 s");
    }
    seen.assert_bounded();
}

/// A head of which a byte comes each second: whether it is closed in time.
async fn trickles(raw: &mut Raw) -> bool {
    for byte in "GET /livez HTTP/1.1\r\nX-Slow: a head without an end".bytes().take(30) {
        if raw.send([byte]).await.is_err() || raw.closes(seconds(1)).await {
            return true;
        }
    }
    false
}

pub(crate) async fn heads_of_16_kib_are_taken_and_of_more_than_32_refused() {
    let server = Server::with(&[]).await;
    let one = |bytes: usize| head("GET", "/livez", &format!("X-Big: {}\r\n", "a".repeat(bytes)));
    let many = |bytes: usize| head("GET", "/livez", &format!("X-Big: {}\r\n", "a".repeat(bytes / 90)).repeat(90));
    let path = |bytes: usize| head("GET", &format!("/livez?{}", "a".repeat(bytes)), "");
    for size in [1_000, 8 * 1024, 16 * 1024] {
        for (what, text) in [("header", one(size)), ("headers", many(size)), ("path", path(size))] {
            let answer = ask(&server, text).await;
            // `/livez` takes no query: that is said in a problem, or passed over.
            assert!(matches!(answer.status, 200 | 400), "{what} of {size}: {answer:?}");
        }
    }
    for size in [33 * 1024, 64 * 1024, 400 * 1024, 2 * 1024 * 1024] {
        for (what, text) in [("header", one(size)), ("headers", many(size)), ("path", path(size))] {
            let mut raw = Raw::to(&server.address()).await;
            let _ = timeout(seconds(10), raw.send(text)).await;
            let end = raw.end(seconds(30)).await;
            let is_refused = matches!(end, End::Answered(431)) || what == "path" && end == End::Answered(414);
            // Of what is far too big the answer may be lost.
            assert!(is_refused || size > 64 * 1024 && end == End::Closed, "{what} of {size}: {end:?}");
        }
    }
    assert_eq!(server.probe("/livez").await, 200);
}
