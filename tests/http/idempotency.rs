//! Creations that are sent again: one task for one key, whatever happens to it and however often it is sent.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use tasks_server::tasks::repository::Repository;
use tokio::time::sleep;

use crate::client::{Answer, Client, id};
use crate::server::Server;

on_each_engine!(
    a_creation_that_is_sent_again_is_answered_as_the_first_time,
    a_key_is_for_one_creation,
    a_key_is_its_users_own,
    a_key_is_read_to_the_letter,
    many_equal_keys_at_once_make_one_task,
    a_refused_creation_uses_no_key,
    keys_expire,
);

async fn create(client: &Client, key: &str, title: &str) -> Answer {
    let call = client.on(Method::POST, "").header("idempotency-key", key);
    call.json(&json!({ "title": title })).send().await
}

fn is_replay(answer: &Answer) -> bool {
    answer.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
}

async fn a_creation_that_is_sent_again_is_answered_as_the_first_time(server: Server) {
    let alice = server.user("alice");
    let first = create(&alice, "k", "x").await;
    let task = first.data(201);
    assert!(!is_replay(&first));
    let again = async |when: &str| {
        let answer = create(&alice, "k", "x").await;
        assert_eq!((answer.data(201), is_replay(&answer)), (task.clone(), true), "{when}");
        for header in ["etag", "location", "cache-control"] {
            assert_eq!(answer.header(header), first.header(header), "{when}");
        }
    };
    again("at once").await;
    assert_eq!(alice.all().await, std::slice::from_ref(&task));
    alice.put(id(&task), json!({ "title": "y", "is_completed": true })).await.data(200);
    again("after a change").await;
    assert_eq!(alice.delete(id(&task)).await.status, 204);
    again("after the deletion").await;
    assert!(alice.all().await.is_empty());
}

async fn a_key_is_for_one_creation(server: Server) {
    let alice = server.user("alice");
    let task = create(&alice, "k", "x").await.data(201);
    create(&alice, "k", "y").await.problem(422, "idempotency-key-reused");
    let other = create(&alice, "l", "x").await.data(201);
    assert_ne!(id(&other), id(&task));
    // The same body in another spelling.
    let call = alice.on(Method::POST, "").header("idempotency-key", "k").text(r#" { "title" : "\u0078" } "#);
    assert_eq!(call.send().await.data(201), task);
    let without = alice.create("x").await;
    assert_ne!(id(&without), id(&task));
    assert_eq!(alice.all().await.len(), 3);
}

async fn a_key_is_its_users_own(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let (hers, his) = (create(&alice, "k", "x").await, create(&bob, "k", "x").await);
    assert_ne!(hers.data(201)["id"], his.data(201)["id"]);
    assert!(!is_replay(&his));
    assert_eq!((alice.all().await, bob.all().await), (vec![hers.data(201)], vec![his.data(201)]));
}

async fn a_key_is_read_to_the_letter(server: Server) {
    let alice = server.user("alice");
    let longest = "k".repeat(255);
    for key in ["k", "K", "8e03978e-40d5-43e8-bc93-6894a57f9324", "!~", "\"", &longest] {
        let task = create(&alice, key, "x").await.data(201);
        assert_eq!(create(&alice, &format!("\"{key}\""), "x").await.data(201), task, "{key}");
    }
    assert_eq!(alice.all().await.len(), 6);
    let long = "k".repeat(256);
    for wrong in ["", "\"\"", "a b", "a, b", "é", &long] {
        let answer = create(&alice, wrong, "x").await;
        assert_eq!(answer.parameters(), [("header".to_owned(), "Idempotency-Key".to_owned())], "{wrong}");
    }
    let twice = alice.on(Method::POST, "").header("idempotency-key", "a").header("idempotency-key", "b");
    let answer = twice.json(&json!({ "title": "x" })).send().await;
    assert_eq!(answer.parameters(), [("header".to_owned(), "Idempotency-Key".to_owned())]);
    assert_eq!(alice.all().await.len(), 6);
}

async fn many_equal_keys_at_once_make_one_task(server: Server) {
    let alice = server.user("alice");
    let answers = join_all((0..64).map(|_| create(&alice, "k", "x"))).await;
    let tasks: Vec<_> = answers.iter().map(|answer| answer.data(201)).collect();
    assert!(tasks.iter().all(|task| *task == tasks[0]));
    assert_eq!(answers.iter().filter(|answer| !is_replay(answer)).count(), 1);
    assert_eq!(alice.all().await, [tasks[0].clone()]);
}

async fn a_refused_creation_uses_no_key(server: Server) {
    let alice = server.user("alice");
    create(&alice, "k", "").await.problem(400, "invalid-request");
    let answer = create(&alice, "k", "x").await;
    assert_eq!((answer.status, is_replay(&answer)), (201, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_waits_for_another_with_its_key_but_not_for_good() {
    let Some(server) = Server::on_postgres().await else { return };
    let alice = server.user("alice");
    alice.create("x").await;
    // A request of another server that has come as far as the key, and no further.
    let mut other = PgConnection::connect(&server.direct()).await.unwrap();
    let begun = "BEGIN; INSERT INTO idempotency_keys VALUES \
        ('alice', 'createTask', 'k', decode(repeat('00', 32), 'hex'), decode(repeat('00', 16), 'hex'), now())";
    sqlx::raw_sql(begun).execute(&mut other).await.unwrap();
    let asked = Instant::now();
    let answer = create(&alice, "k", "y").await;
    answer.problem(409, "idempotency-key-in-use");
    assert_eq!(answer.header("retry-after"), "2");
    assert!((1..5).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
    let (answer, ()) = tokio::join!(create(&alice, "k", "y"), async {
        sleep(Duration::from_millis(300)).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    });
    assert_eq!((answer.status, is_replay(&answer)), (201, false), "the other gave up");
    assert_eq!(alice.all().await.len(), 2);
}

async fn keys_expire(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let first = create(&alice, "k", "x").await.data(201);
    create(&bob, "k", "x").await.data(201);
    let repository = Repository::new(server.database());
    let ago = |hours: i64| (chrono::Utc::now() - chrono::TimeDelta::hours(hours)).into();
    assert_eq!(repository.purge(ago(23)).await.unwrap(), 0, "a key lasts a day");
    assert_eq!(create(&alice, "k", "x").await.data(201), first);
    assert_eq!(repository.purge(ago(-1)).await.unwrap(), 2);
    let second = create(&alice, "k", "y").await;
    assert_eq!((second.status, is_replay(&second)), (201, false));
    assert_eq!(alice.all().await.len(), 2);
}
