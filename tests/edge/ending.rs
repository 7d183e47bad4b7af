//! The end: in order, and soon, whoever is there.

use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use h2::client;
use poem::http::Request;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::frames::Frames;
use crate::length::{millis, scaled, seconds};
use crate::load::Tally;
use crate::raw::{Raw, each, head, json};
use crate::server::{Server, TITLE, UNDER};

/// Waits for the end, which comes within this time.
async fn end(server: &mut Server, within: Duration) -> ExitStatus {
    let asked = Instant::now();
    loop {
        if let Some(status) = server.ended() {
            println!("it ended after {:?}", asked.elapsed());
            return status;
        }
        assert!(asked.elapsed() < within, "it has not ended after {within:?}");
        sleep(millis(10)).await;
    }
}

pub(crate) async fn no_begun_request_is_cut() {
    for _ in 0..scaled(2, 5) {
        let mut server = Server::with(&[]).await;
        let is_asked = Arc::new(AtomicBool::new(false));
        let tokens: Vec<_> = (0..16).map(|n| server.token(&format!("user-{n}"))).collect();
        let clients = each(server.address(), 16, |n, address| {
            let (is_asked, token) = (Arc::clone(&is_asked), tokens[n].clone());
            async move { client(n, &address, &token, &is_asked).await }
        });
        let (outcomes, status) = tokio::join!(clients, async {
            sleep(millis(1500)).await;
            // Whatever is sent from here on may come too late; what was sent before is answered.
            is_asked.store(true, Ordering::SeqCst);
            server.ask_to_end();
            end(&mut server, seconds(5)).await
        });
        let (answered, cut): (Vec<_>, Vec<_>) = outcomes.into_iter().unzip();
        let cut: Vec<_> = cut.into_iter().flatten().collect();
        println!("{} were answered", answered.iter().sum::<usize>());
        assert!(cut.is_empty(), "{} were cut: {cut:?}", cut.len());
        assert!(answered.iter().all(|count| *count > 0), "{answered:?}");
        assert_eq!(status.code(), Some(0), "{status}");
    }
}

/// Sends one request after the other, every fourth time in two pieces: how many were answered, and how one was cut.
async fn client(n: usize, address: &str, token: &str, is_asked: &AtomicBool) -> (usize, Option<String>) {
    let body = format!(r#"{{"title":"{TITLE}"}}"#);
    let post = head("POST", "/api/me/tasks", &format!("{}Content-Length: {}\r\n", json(token), body.len()));
    let get = head("GET", "/api/me/tasks?limit=5", &format!("Authorization: Bearer {token}\r\n"));
    let mut raw = Raw::to(address).await;
    for count in 0.. {
        let is_sent = if (n + count).is_multiple_of(2) {
            raw.send(&get).await
        } else if count % 4 == 3 {
            let begun = raw.send(&post).await;
            sleep(millis(30)).await;
            begun.and(raw.send(&body).await)
        } else {
            raw.send(post.clone() + &body).await
        };
        let is_before = !is_asked.load(Ordering::SeqCst);
        let answer = match is_sent {
            Ok(()) => raw.answer().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) if !matches!(answer.status, 200 | 201) => return (count, Some(format!("{answer:?}"))),
            Ok(answer) if answer.says_close() => return (count + 1, None),
            Ok(_) => {}
            Err(error) if is_before => return (count, Some(error.to_string())),
            Err(_) => return (count, None),
        }
    }
    unreachable!()
}

/// They get a second or two in which they could still send the rest.
pub(crate) async fn whoever_sends_half_of_something_holds_no_end_up() {
    let mut server = Server::with(&[("SHUTDOWN_GRACE_SECONDS", "30")]).await;
    let token = server.token("alice");
    let halves = [
        String::new(),
        "GET /livez HT".to_owned(),
        "GET /livez HTTP/1.1\r\nHost: x\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM".to_owned(),
        head("GET", "/livez", ""),
        head("GET", "/livez", "") + "GET /livez HTTP/1.1\r\n",
        head("POST", "/api/me/tasks", &format!("{}Content-Length: 100\r\n", json(&token))),
        head("POST", "/api/me/tasks", &format!("{}Content-Length: 100\r\n", json(&token))) + r#"{"title":"#,
        head("POST", "/api/me/tasks", &format!("{}Transfer-Encoding: chunked\r\n", json(&token))) + "5\r\n{\"t",
        head("GET", "/docs/swagger-ui.js", "").repeat(8),
    ];
    let mut held = Vec::new();
    for half in halves {
        let mut raw = Raw::narrow(&server.address()).await;
        raw.send(half).await.unwrap();
        held.push(raw);
    }
    // At rest, and with streams that nobody reads.
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (requests, connection) = client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://tasks.example/livez").body(()).unwrap();
    let (answer, _) = requests.clone().ready().await.unwrap().send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let mut unread = Frames::to(&server.address(), 0, 0).await;
    for count in 0..10 {
        assert!(unread.get(count, "/docs/swagger-ui.js", &[]).await);
    }
    sleep(millis(500)).await;
    server.ask_to_end();
    let status = end(&mut server, millis(3_500)).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

pub(crate) async fn a_hangup_ends_it_in_order() {
    // Also where whoever runs the tests ignores a hangup.
    let heeding = (UNDER, r#"exec env --default-signal=HUP "$0" "$@""#);
    for signal in ["-TERM", "-INT", "-HUP"] {
        let mut server = Server::with(&[heeding]).await;
        let body = format!(r#"{{"title":"{TITLE}"}}"#);
        let more = format!("{}Content-Length: {}\r\n", json(&server.token("alice")), body.len());
        let mut raw = Raw::to(&server.address()).await;
        raw.send(head("POST", "/api/me/tasks", &more) + &body[..5]).await.unwrap();
        sleep(millis(300)).await;
        server.signal(signal);
        sleep(millis(500)).await;
        raw.send(&body[5..]).await.unwrap();
        assert_eq!(raw.answered(seconds(5)).await.status, 201, "{signal}");
        let status = end(&mut server, seconds(5)).await;
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
    }
}

/// As under `nohup`.
pub(crate) async fn a_hangup_that_is_ignored_stays_ignored() {
    let mut server = Server::with(&[(UNDER, "trap '' HUP")]).await;
    server.signal("-HUP");
    sleep(seconds(2)).await;
    assert!(server.ended().is_none(), "it ended");
    server.user("alice", &Tally::default()).made(TITLE).await;
    server.ask_to_end();
    assert_eq!(end(&mut server, seconds(5)).await.code(), Some(0));
}
