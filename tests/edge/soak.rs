//! A million requests: what the server uses at the end is what it used near the beginning.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;
use tokio::time::sleep;

use crate::length::millis;
use crate::raw::{Raw, each, head, json};
use crate::server::{Server, TITLE};

const CLIENTS: usize = 32;

/// How many requests, and after how many the server is in use: a twentieth of them.
fn count() -> usize {
    std::env::var("SOAK_REQUESTS").map_or(1_000_000, |count| count.parse().unwrap())
}

/// What the server uses.
#[derive(Debug)]
struct Use {
    memory: usize,
    descriptors: usize,
    threads: usize,
}

pub(crate) async fn a_million_requests_leave_nothing_behind() {
    let server = Server::with(&[]).await;
    let (all, done) = (count(), Arc::new(AtomicUsize::new(0)));
    let tokens: Vec<_> = (0..CLIENTS).map(|n| server.token(&format!("user-{n}"))).collect();
    let began = Instant::now();
    let clients = each(server.address(), CLIENTS, |n, address| {
        let (token, done) = (tokens[n].clone(), Arc::clone(&done));
        async move { client(&address, &token, &done, all).await }
    });
    let look = || Use { memory: server.memory(), descriptors: server.descriptors(), threads: server.threads() };
    let watch = async {
        while done.load(Ordering::Relaxed) < all / 20 {
            sleep(millis(10)).await;
        }
        let first = look();
        println!("after {} requests: {first:?}", done.load(Ordering::Relaxed));
        let mut last = look();
        while done.load(Ordering::Relaxed) < all {
            last = look();
            sleep(millis(100)).await;
        }
        (first, last)
    };
    let (counts, (first, last)) = tokio::join!(clients, watch);
    let mut statuses = BTreeMap::new();
    counts.into_iter().flatten().for_each(|(status, count)| *statuses.entry(status).or_insert(0) += count);
    println!("{statuses:?} in {:?}: {first:?}, then {last:?}", began.elapsed());
    assert!(statuses.values().sum::<usize>() >= all);
    assert!(statuses.keys().all(|status| matches!(status, 200 | 201 | 204 | 401 | 404 | 412)), "{statuses:?}");
    assert!(last.memory * 10 <= first.memory * 12, "{} KiB, and {} KiB at the end", first.memory, last.memory);
    assert!(last.memory < 64 * 1024, "{} KiB at the end", last.memory);
    assert!(last.descriptors <= first.descriptors + 4, "{first:?}, {last:?}");
    assert!(last.threads <= first.threads + 2, "{first:?}, {last:?}");
}

/// Requests of all kinds, until all clients together have sent so many: the statuses of its answers.
async fn client(address: &str, token: &str, done: &AtomicUsize, all: usize) -> BTreeMap<u16, usize> {
    let (mut raw, mut statuses, mut ids) = (Raw::to(address).await, BTreeMap::new(), Vec::new());
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let part = format!(r#"{{"title":"{TITLE}"}}"#);
    let whole = format!(
        r#"{{"title":"{TITLE}","description":null,"due_date":null,"due_time":null,"priority":null,"tags":[],"is_completed":true}}"#
    );
    let of = |id: &str| format!("/api/me/tasks/{id}");
    let with_body = |method: &str, path: &str, more: &str, body: &str| {
        head(method, path, &format!("{}{more}Content-Length: {}\r\n", json(token), body.len())) + body
    };
    for count in 0.. {
        if done.fetch_add(1, Ordering::Relaxed) >= all {
            break;
        }
        let id: String = ids.last().cloned().unwrap_or_default();
        let request = match count % 12 {
            0 | 5 => with_body("POST", "/api/me/tasks", "", &part),
            1 | 6 => head("GET", &of(&id), &bearer),
            2 => head("GET", "/api/me/tasks?limit=20", &bearer),
            3 => with_body("PATCH", &of(&id), "", &part),
            4 => with_body("PUT", &of(&id), "If-Match: \"1\"\r\n", &whole),
            7 => head("GET", "/api/me/tasks", ""),
            8 => head("GET", "/docs", ""),
            9 => head("GET", "/nothing", ""),
            _ => head("DELETE", &of(&ids.pop().unwrap_or_default()), &bearer),
        };
        raw.send(&request).await.unwrap();
        let answer = raw.answer().await.unwrap();
        *statuses.entry(answer.status).or_insert(0) += 1;
        if answer.status == 201 {
            let task: Value = serde_json::from_slice(&answer.body).unwrap();
            ids.push(task["data"]["id"].as_str().unwrap().to_owned());
        }
        if answer.says_close() {
            raw = Raw::to(address).await;
        }
    }
    statuses
}
