//! HTTP/2: many streams on one connection, whose answers nobody takes.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client;
use poem::http::Request;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::frames::Frames;
use crate::length::{millis, scaled, seconds};
use crate::load::{Tally, User};
use crate::scene::Scene;
use crate::server::{Server, TITLE, token_for};

/// Who gives tokens to agents.
const ISSUER: &str = "https://auth.example";

/// The most that a stream or connection may be sent ahead (RFC 9113 §6.9.1).
const WIDE: u32 = 0x7fff_ffff;

pub(crate) async fn a_connection_has_a_hundred_streams_at_most() {
    let server = Server::with(&[]).await;
    let mut frames = Frames::to(&server.address(), WIDE, 1 << 20).await;
    assert!(frames.get(0, "/livez", &[]).await);
    assert!(frames.stays(millis(500)).await);
    let most = frames.most_streams.expect("no MAX_CONCURRENT_STREAMS in SETTINGS");
    assert!((1..=100).contains(&most), "{most} streams");
    assert!(frames.data > 0, "HTTP/2 is not answered");
}

pub(crate) async fn scripts_that_nobody_reads_are_bounded() {
    let scene = Scene::new().await;
    unread(&scene, "/docs/swagger-ui.js", 0, 0, &[]).await;
}

pub(crate) async fn pages_that_nobody_reads_are_bounded() {
    let scene = Scene::new().await;
    scene.fill("stranger").await;
    let token = format!("Bearer {}", scene.server.token("stranger"));
    unread(&scene, "/api/me/tasks?limit=100", 0, 0, &[("authorization", &token)]).await;
}

/// A list as a tool of agents is a `POST`, and changes as little.
pub(crate) async fn lists_of_agents_that_nobody_reads_are_bounded() {
    let scene = Scene::with(&[
        ("MCP", "on"),
        ("PUBLIC_URL", "https://tasks.example"),
        ("AUTHORIZATION_SERVERS", ISSUER),
        ("JWT_AUDIENCE", "tasks"),
    ])
    .await;
    scene.fill("stranger").await;
    let token = format!("Bearer {}", token_for("stranger", Some(ISSUER), Some("https://tasks.example/mcp")));
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    let params = json!({ "name": "list_tasks", "arguments": { "limit": 50 } });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
    let address = scene.server.address();
    let attack = async || {
        let mut frames = Frames::to(&address, 0, 0).await;
        for count in 0..scaled(200, 500) {
            if !frames.post(count, "/mcp", &headers, &call).await {
                break;
            }
        }
        frames.closes(seconds(60)).await
    };
    let seen = scene.under(join_all((0..10).map(|_| attack()))).await;
    assert_eq!(seen.outcome, [true; 10], "still open after 60 s");
    seen.assert_bounded();
}

/// The streams may be sent all, the connection no more than it begins with.
pub(crate) async fn windows_that_are_never_opened_are_bounded() {
    let scene = Scene::new().await;
    unread(&scene, "/docs/swagger-ui.js", WIDE, 0, &[]).await;
}

/// A whole answer is handed over for the first byte of it: it is not read all the same.
pub(crate) async fn windows_of_a_byte_are_bounded() {
    let scene = Scene::new().await;
    unread(&scene, "/docs/swagger-ui.js", 1, 0, &[]).await;
}

/// Five hundred requests on a connection, and two connections of that kind.
async fn unread(scene: &Scene, path: &str, window: u32, more: u32, headers: &[(&str, &str)]) {
    let address = scene.server.address();
    let attack = async || {
        let mut frames = Frames::to(&address, window, more).await;
        for count in 0..scaled(200, 500) {
            if !frames.get(count, path, headers).await {
                break;
            }
        }
        frames.closes(seconds(60)).await
    };
    let seen = scene.under(async { tokio::join!(attack(), attack()) }).await;
    assert_eq!(seen.outcome, (true, true), "still open after 60 s");
    seen.assert_bounded();
}

pub(crate) async fn big_heads_are_refused() {
    let server = Server::with(&[]).await;
    for (size, statuses) in [(1_000, [200, 400]), (15 * 1024, [200, 400]), (40 * 1024, [431, 0]), (1 << 20, [431, 0])] {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let (requests, connection) = client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("http://tasks.example/livez").header("x-big", "a".repeat(size)).body(()).unwrap();
        let status = async {
            let (answer, _) = requests.ready().await?.send_request(request, true)?;
            Ok::<_, h2::Error>(answer.await?.status().as_u16())
        };
        // The stream or the connection may be ended in place of an answer.
        let status = status.await.unwrap_or(0);
        assert!(statuses.contains(&status), "{size}: {status}");
    }
    assert_eq!(server.probe("/livez").await, 200);
}

/// Also of answers to what was done, which cannot be refused any more.
pub(crate) async fn whoever_reads_nothing_takes_nothing_from_others() {
    let scene = Scene::new().await;
    let ids = scene.fill("alice").await;
    scene.fill("bob").await;
    let [alice, bob] = ["alice", "bob"].map(|name| scene.server.user(name, &Tally::default()));
    let selection = json!({ "tasks": ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() }).to_string();
    let mut answers = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..3 {
        let stream = TcpStream::connect(scene.server.address()).await.unwrap();
        let (mut requests, connection) =
            client::Builder::new().initial_window_size(0).handshake::<_, Bytes>(stream).await.unwrap();
        connections.push(tokio::spawn(connection));
        for _ in 0..98 {
            let request = Request::post("http://tasks.example/api/me/tasks/bulk-complete")
                .header("authorization", format!("Bearer {}", alice.token()))
                .header("content-type", "application/json");
            requests = requests.ready().await.unwrap();
            let (answer, mut body) = requests.send_request(request.body(()).unwrap(), false).unwrap();
            body.send_data(selection.clone().into(), true).unwrap();
            answers.push(answer);
        }
    }
    let mut statuses = BTreeMap::new();
    let mut unread = Vec::new();
    for answer in answers {
        let answer = timeout(seconds(30), answer).await.expect("no head of an answer").unwrap();
        *statuses.entry(answer.status().as_u16()).or_insert(0) += 1;
        unread.push(answer);
    }
    println!("{statuses:?}");
    // 8 MiB, at some 120 KiB an answer.
    assert!(statuses[&200] >= 60, "{statuses:?}");
    let list = async |user: &User| user.send("GET list", "?limit=100", None, &[]).await.status;
    assert_eq!(list(&bob).await, 200);
    assert_eq!(list(&alice).await, 503, "her share is full");
    connections.iter().for_each(tokio::task::JoinHandle::abort);
    drop(unread);
    for _ in 0..100 {
        if list(&alice).await == 200 {
            return;
        }
        sleep(millis(100)).await;
    }
    panic!("her share is full for ever");
}

impl Scene {
    /// A page of tasks with long titles: their ids.
    pub(crate) async fn fill(&self, name: &str) -> Vec<String> {
        let title = format!("{TITLE} {}", "\u{1f4dd}".repeat(180));
        let titles = vec![title; 100];
        let user = self.server.user(name, &Tally::default());
        let reply = user.bulk_create(&titles).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        let tasks = reply.body["data"].as_array().unwrap();
        tasks.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
    }
}
