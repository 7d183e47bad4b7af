//! Bodies that are not whole, come slowly, or are too long.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use h2::client;
use poem::http::Request;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::length::{scaled, seconds};
use crate::load::Tally;
use crate::raw::{Answer, Raw, each, head, json};
use crate::scene::{Scene, Seen};
use crate::server::{Server, TITLE};

/// A body that is a good one.
fn task() -> String {
    format!(r#"{{"title":"{TITLE}"}}"#)
}

pub(crate) async fn unfinished_bodies_of_one_user_lock_nobody_out() {
    let scene = Scene::new().await;
    let seen = unfinished(&scene, 1).await;
    // Another user reads and writes as before.
    seen.assert_bounded();
}

pub(crate) async fn unfinished_bodies_of_many_users_are_bounded_together() {
    let scene = Scene::new().await;
    let seen = unfinished(&scene, 100).await;
    seen.assert_grown(64 * 1024);
    seen.assert_served();
    // What is full is full, and says when to come back.
    seen.writes.assert_honest(&[429]);
    let user = scene.server.user("good", &Tally::default());
    user.made(TITLE).await;
}

/// Bulk bodies of 511 KiB, of so many users, that stop just before their end; every other one does not say how long it is.
async fn unfinished(scene: &Scene, users: usize) -> Seen<Vec<Option<Answer>>> {
    let tokens: Vec<_> = (0..users).map(|n| scene.server.token(&format!("stranger-{n}"))).collect();
    let length = 511 * 1024;
    let body: Arc<str> = format!(r#"{{"tasks":[{{"title":"{TITLE}"}}{}"#, " ".repeat(length - 1024)).into();
    let attack = each(scene.server.address(), scaled(120, 1_000), |n, address| {
        let (framing, chunk) = if n % 2 == 0 {
            (format!("Content-Length: {length}\r\n"), String::new())
        } else {
            ("Transfer-Encoding: chunked\r\n".to_owned(), format!("{length:x}\r\n"))
        };
        let more = json(&tokens[n % users]) + &framing;
        let (text, body) = (head("POST", "/api/me/tasks/bulk-create", &more) + &chunk, Arc::clone(&body));
        async move {
            let mut raw = Raw::to(&address).await;
            raw.send(text).await.unwrap();
            let _ = timeout(seconds(10), raw.send(&*body)).await;
            let answer = timeout(seconds(60), raw.answer()).await.ok()?.ok();
            // Whoever was refused stays as long as it may.
            raw.closes(seconds(60)).await.then_some(answer?)
        }
    });
    let seen = scene.under(attack).await;
    let mut statuses = BTreeMap::new();
    for answer in &seen.outcome {
        let answer = answer.as_ref().expect("no answer, or still open after 60 s");
        *statuses.entry(answer.status).or_insert(0) += 1;
        match answer.status {
            408 => assert_eq!(answer.problem(), "body-timed-out"),
            429 | 503 => {
                answer.problem();
                assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{answer:?}");
            }
            _ => panic!("{answer:?}"),
        }
    }
    println!("{statuses:?}");
    assert!(statuses.contains_key(&408), "nobody was let in: {statuses:?}");
    assert!(statuses.len() > 1, "everybody was let in: {statuses:?}");
    seen
}

pub(crate) async fn a_body_that_does_not_come_is_408() {
    let scene = Scene::new().await;
    let token = scene.server.token("alice");
    let chunked = format!("{}Transfer-Encoding: chunked\r\n", json(&token));
    let length = format!("{}Content-Length: 200\r\n", json(&token));
    let id = "019c0000-0000-7000-8000-000000000000";
    let table = [
        head("POST", "/api/me/tasks", &length),
        head("POST", "/api/me/tasks", &length) + r#"{"title":"half"#,
        head("POST", "/api/me/tasks", &chunked),
        head("POST", "/api/me/tasks", &chunked) + "20\r\n{\"title\":",
        head("POST", "/api/me/tasks", &chunked) + "7\r\n{\"title\r\n",
        head("POST", "/api/me/tasks", &format!("{length}Expect: 100-continue\r\n")),
        head("PUT", &format!("/api/me/tasks/{id}"), &length),
        head("PATCH", &format!("/api/me/tasks/{id}"), &length) + "{",
        head("POST", "/api/me/tasks/bulk-delete", &length) + "{",
    ];
    let answers = each(scene.server.address(), table.len(), |n, address| {
        let text = table[n].clone();
        async move {
            let mut raw = Raw::to(&address).await;
            raw.send(text).await.unwrap();
            let mut answer = raw.answered(seconds(40)).await;
            if answer.status == 100 {
                answer = raw.answered(seconds(40)).await;
            }
            (answer, raw.closes(seconds(5)).await)
        }
    });
    let seen = scene.under(answers).await;
    for ((answer, is_closed), text) in seen.outcome.iter().zip(&table) {
        let what = text.replace(&token, "…");
        assert_eq!(answer.status, 408, "{what}: {answer:?}");
        assert_eq!(answer.problem(), "body-timed-out");
        assert!(answer.says_close(), "{what}: {answer:?}");
        assert!(is_closed, "{what} is still open");
    }
    seen.assert_bounded();
    // The client's fault, and no alarm of the server.
    assert_eq!(scene.server.alarms(), Vec::<String>::new());
}

/// Also where a request may take longer than a body may stand still.
pub(crate) async fn a_body_that_stands_still_is_408_long_before_the_deadline() {
    let server = Server::with(&[("REQUEST_TIMEOUT_SECONDS", "300")]).await;
    let half = head("POST", "/api/me/tasks", &format!("{}Content-Length: 200\r\n", json(&server.token("alice"))));
    let mut raw = Raw::to(&server.address()).await;
    raw.send(half).await.unwrap();
    // As long as some of it comes, it is waited for.
    sleep(seconds(8)).await;
    raw.send(r#"{"title""#).await.unwrap();
    let since = Instant::now();
    let answer = raw.answered(seconds(40)).await;
    assert_eq!((answer.status, answer.problem()), (408, "body-timed-out".into()));
    assert!(since.elapsed() > seconds(19), "{:?}", since.elapsed());
}

pub(crate) async fn a_body_that_does_not_come_is_408_on_http_2() {
    let server = Server::with(&[]).await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (requests, connection) = client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = || {
        let request = Request::post("http://tasks.example/api/me/tasks");
        let request = request.header("authorization", format!("Bearer {}", server.token("alice")));
        request.header("content-type", "application/json").body(()).unwrap()
    };
    let mut requests = requests.ready().await.unwrap();
    let (answer, mut body) = requests.send_request(request(), false).unwrap();
    body.send_data(task().into_bytes()[..5].to_vec().into(), false).unwrap();
    // Another stream of the connection goes on meanwhile.
    let mut others = requests.clone().ready().await.unwrap();
    let (other, mut whole) = others.send_request(request(), false).unwrap();
    whole.send_data(task().into(), true).unwrap();
    assert_eq!(other.await.unwrap().status(), 201);
    let answer = timeout(seconds(40), answer).await.expect("no answer within 40 s").unwrap();
    assert_eq!(answer.status(), 408);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}

/// In pieces, over longer than a silence may last.
pub(crate) async fn a_body_that_comes_slowly_is_taken() {
    let server = Server::with(&[("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let body = task();
    let more = format!("{}Content-Length: {}\r\n", json(&server.token("alice")), body.len());
    let mut raw = Raw::to(&server.address()).await;
    raw.send(head("POST", "/api/me/tasks", &more)).await.unwrap();
    for piece in body.as_bytes().chunks(body.len().div_ceil(5)) {
        sleep(scaled(seconds(2), seconds(5))).await;
        raw.send(piece).await.unwrap();
    }
    assert_eq!(raw.answered(seconds(5)).await.status, 201);
}

/// RFC 9110 §10.1.1.
pub(crate) async fn a_body_is_invited_only_when_it_would_be_taken() {
    let server = Server::with(&[]).await;
    let token = server.token("alice");
    let expecting =
        |length: usize, headers: &str| format!("{headers}Content-Length: {length}\r\nExpect: 100-continue\r\n");
    let text = "Content-Type: text/plain\r\n";
    let refused = [
        (413, head("POST", "/api/me/tasks", &expecting(600_000, &json(&token)))),
        (413, head("POST", "/api/me/tasks", &expecting(1 << 30, &json(&token)))),
        (413, head("POST", "/api/me/tasks/bulk-create", &expecting((2 << 20) + 1, &json(&token)))),
        (401, head("POST", "/api/me/tasks", &expecting(30, &json("nothing")))),
        (401, head("POST", "/api/me/tasks", &expecting(600_000, "Content-Type: application/json\r\n"))),
        (404, head("POST", "/api/me/nothing", &expecting(30, &json(&token)))),
        (405, head("PUT", "/api/me/tasks", &expecting(30, &json(&token)))),
        (415, head("POST", "/api/me/tasks", &expecting(30, &format!("Authorization: Bearer {token}\r\n{text}")))),
    ];
    for (status, request) in refused {
        let mut raw = Raw::to(&server.address()).await;
        raw.send(&request).await.unwrap();
        let answer = raw.answered(seconds(3)).await;
        assert_eq!(answer.status, status, "{}: {answer:?}", request.replace(&token, "…"));
        answer.problem();
        // The client knows that it is to send nothing, or the connection is of no more use.
        if !answer.says_close() {
            raw.send(head("GET", "/livez", "")).await.unwrap();
            assert_eq!(raw.answered(seconds(3)).await.status, 200, "{}", request.replace(&token, "…"));
        }
    }
    let body = task();
    let mut raw = Raw::to(&server.address()).await;
    for _ in 0..2 {
        raw.send(head("POST", "/api/me/tasks", &expecting(body.len(), &json(&token)))).await.unwrap();
        assert_eq!(raw.answered(seconds(3)).await.status, 100);
        raw.send(&body).await.unwrap();
        assert_eq!(raw.answered(seconds(3)).await.status, 201);
    }
    // Who does not wait is answered too.
    raw.send(head("POST", "/api/me/tasks", &expecting(body.len(), &json(&token))) + &body).await.unwrap();
    let mut answer = raw.answered(seconds(3)).await;
    if answer.status == 100 {
        answer = raw.answered(seconds(3)).await;
    }
    assert_eq!(answer.status, 201);
}

pub(crate) async fn a_gibibyte_is_refused_at_once() {
    const GIBIBYTE: usize = 1 << 30;
    let scene = Scene::new().await;
    let token = scene.server.token("alice");
    let id = "019c0000-0000-7000-8000-000000000000";
    let mut table = Vec::new();
    for (method, path) in [
        ("POST", "/api/me/tasks".to_owned()),
        ("POST", "/api/me/tasks/bulk-create".to_owned()),
        ("PUT", format!("/api/me/tasks/{id}")),
        ("PATCH", format!("/api/me/tasks/{id}")),
    ] {
        for coding in ["", "gzip", "br"] {
            for token in [token.as_str(), "nothing"] {
                let mut headers = json(token);
                if !coding.is_empty() {
                    write!(headers, "Content-Encoding: {coding}\r\n").unwrap();
                }
                let status = match (token, coding) {
                    ("nothing", _) => [401, 401],
                    (_, "") => [413, 413],
                    _ => [413, 415],
                };
                table.push((status, head(method, &path, &format!("{headers}Content-Length: {GIBIBYTE}\r\n")), ""));
                table.push((
                    status,
                    head(method, &path, &format!("{headers}Transfer-Encoding: chunked\r\n")),
                    "4000\r\n",
                ));
            }
        }
    }
    let attack = async {
        for (statuses, text, line) in &table {
            let mut raw = Raw::to(&scene.server.address()).await;
            raw.send(text).await.unwrap();
            let piece = format!("{line}{}{}", "a".repeat(0x4000), if line.is_empty() { "" } else { "\r\n" });
            let (mut writer, began) = (raw.writer(), Instant::now());
            let writing = tokio::spawn(async move {
                let mut sent = 0;
                while sent < GIBIBYTE && writer.write_all(piece.as_bytes()).await.is_ok() {
                    sent += piece.len();
                }
                sent
            });
            let status = raw.answered(seconds(10)).await.status;
            let took = began.elapsed();
            drop(raw);
            let sent = timeout(seconds(10), writing).await.expect("it takes all of it").unwrap();
            let what = text.replace(&token, "…");
            assert!(statuses.contains(&status), "{what}: {status}");
            assert!(took < seconds(1), "{what}: after {took:?}");
            // What the system holds between the two, and a little.
            assert!(sent < 32 << 20, "{what}: it took {sent} bytes");
        }
    };
    let seen = scene.under(attack).await;
    seen.assert_grown(32 * 1024);
    seen.assert_served();
}
