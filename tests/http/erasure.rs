//! All that is held of a user is erased at once, and nothing of anybody else.

use reqwest::Method;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;
use tasks_server::tasks::repository::Repository;
use tokio::time::{Duration, timeout};
use uuid::Uuid;

use crate::changes::Copy;
use crate::client::{Answer, Client, id};
use crate::server::Server;

on_each_engine!(
    all_that_is_held_of_a_user_goes_at_once,
    only_who_means_it_erases,
    an_erasure_beside_writers_leaves_all_or_nothing,
    an_operator_erases_by_id,
);

async fn erase(client: &Client, query: &str) -> Answer {
    client.to(Method::DELETE, &format!("/api/me{query}")).send().await
}

/// How many rows there are of a user, in each table.
async fn rows(server: &Server, user: &str) -> Vec<i64> {
    let other = sea_orm::Database::connect(&server.direct()).await.unwrap();
    let mut counts = Vec::new();
    for (table, column) in
        [("users", "id"), ("tasks", "user_id"), ("idempotency_keys", "user_id"), ("deletions", "user_id")]
    {
        let text = format!("SELECT count(*) AS count FROM {table} WHERE {column} = '{user}'");
        let row = other.query_one_raw(Statement::from_string(other.get_database_backend(), text)).await.unwrap();
        counts.push(row.unwrap().try_get("", "count").unwrap());
    }
    other.close().await.unwrap();
    counts
}

/// A user with some of everything.
async fn settle(client: &Client) {
    let task = client.create("gone").await;
    client.delete(id(&task)).await;
    client.create("x").await;
    let call = client.on(Method::POST, "").json(&json!({ "title": "y" })).header("idempotency-key", "k");
    call.send().await.data(201);
}

async fn all_that_is_held_of_a_user_goes_at_once(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    settle(&alice).await;
    settle(&bob).await;
    let since = alice.list("/changes").await.json()["meta"]["next"].as_str().unwrap().to_owned();
    assert_eq!(rows(&server, "alice").await, [1, 2, 1, 1]);
    for _ in 0..2 {
        let answer = erase(&alice, "?confirm=all-tasks").await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(rows(&server, "alice").await, [0, 0, 0, 0]);
        assert_eq!(rows(&server, "bob").await, [1, 2, 1, 1]);
    }
    alice.list(&format!("/changes?since={since}")).await.problem(410, "changes-expired");
    assert!(alice.all().await.is_empty());
    // And anew, with nothing of before.
    let call = alice.on(Method::POST, "").json(&json!({ "title": "y" })).header("idempotency-key", "k");
    let answer = call.send().await;
    assert!(!answer.headers.contains_key("idempotency-replayed"));
    assert_eq!(alice.all().await, [answer.data(201)]);
}

async fn only_who_means_it_erases(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    for query in ["", "?confirm=", "?confirm=true", "?confirm=ALL-TASKS", "?confirm=all-tasks&confirm=all-tasks"] {
        assert_eq!(erase(&alice, query).await.parameters(), [("query".into(), "confirm".into())], "{query}");
    }
    erase(&server.user("bob"), "?confirm=all-tasks").await;
    let of_alice = server.user("bob").to(Method::DELETE, "/api/alice?confirm=all-tasks").send().await;
    of_alice.problem(403, "user-mismatch");
    server.nobody().to(Method::DELETE, "/api/alice?confirm=all-tasks").send().await.problem(401, "token-missing");
    assert_eq!(alice.all().await, [task]);
}

async fn an_erasure_beside_writers_leaves_all_or_nothing(server: Server) {
    let alice = server.user("alice");
    let mut tasks = Vec::new();
    for n in 0..20 {
        tasks.push(json!({ "id": id(&alice.create(&format!("{n}")).await) }));
    }
    let writers = (0..6).map(|n| {
        let (alice, tasks) = (alice.clone(), tasks.clone());
        async move {
            for task in &tasks[..8] {
                match n % 3 {
                    0 => assert_eq!(alice.create("y").await["title"], "y"),
                    1 => assert!(matches!(alice.patch(id(task), json!({ "title": "z" })).await.status, 200 | 404)),
                    _ => {
                        let body = json!({ "tasks": [{ "title": "b", "id": Uuid::now_v7() }, { "title": "c" }] });
                        let call = alice.on(Method::POST, "/bulk-create").json(&body);
                        let call = call.header("idempotency-key", &Uuid::now_v7().to_string());
                        assert_eq!(call.send().await.status, 201);
                    }
                }
            }
        }
    });
    let erasing = async {
        for _ in 0..12 {
            assert_eq!(erase(&alice, "?confirm=all-tasks").await.status, 204);
        }
    };
    let all = async { tokio::join!(futures_util::future::join_all(writers), erasing) };
    timeout(Duration::from_secs(30), all).await.expect("nobody waits for ever");
    // What is there was written behind the last of them, and is all there.
    let mut copy = Copy::default();
    copy.catch_up(&alice, 100).await;
    copy.is_right(&alice).await;
    assert_eq!(rows(&server, "alice").await[1], i64::try_from(copy.tasks.len()).unwrap());
    assert_eq!(erase(&alice, "?confirm=all-tasks").await.status, 204);
    assert_eq!(rows(&server, "alice").await, [0, 0, 0, 0]);
}

async fn an_operator_erases_by_id(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    settle(&alice).await;
    settle(&bob).await;
    let repository = Repository::new(server.database());
    assert_eq!(repository.erase(&"alice".parse().unwrap()).await.unwrap(), Some(2));
    assert_eq!(repository.erase(&"alice".parse().unwrap()).await.unwrap(), None);
    assert_eq!(rows(&server, "alice").await, [0, 0, 0, 0]);
    assert_eq!(rows(&server, "bob").await, [1, 2, 1, 1]);
}
