//! Requests that are sent again: done once for one key, whatever happens to the tasks and however often they are sent.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tasks_server::tasks::repository::Repository;
use tokio::time::sleep;

use crate::client::{Answer, Client, id, whole};
use crate::contract::CONTRACT;
use crate::request::request;
use crate::server::Server;

on_each_engine!(
    a_creation_that_is_sent_again_is_answered_as_the_first_time,
    a_key_is_for_one_creation,
    a_key_is_its_users_own,
    a_key_is_read_to_the_letter,
    many_equal_keys_at_once_make_one_task,
    a_refused_creation_uses_no_key,
    keys_expire,
    a_completion_that_is_sent_again_answers_what_is_there,
    a_deletion_that_is_sent_again_succeeds_again,
    a_key_of_many_tasks_is_for_one_request,
    many_equal_keys_at_once_delete_once,
    a_refused_write_of_many_tasks_uses_no_key,
    where_a_key_would_be_overlooked_it_is_refused,
);

/// The operations that take a key.
pub(crate) const TAKE_A_KEY: [&str; 5] =
    ["createTask", "bulkCreateTasks", "bulkCompleteTasks", "bulkPatchTasks", "bulkDeleteTasks"];

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
    alice.put(id(&task), whole("y", true)).await.data(200);
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

async fn bulk(client: &Client, verb: &str, key: &str, tasks: &[Value]) -> Answer {
    let tasks: Vec<_> = tasks.iter().map(|task| json!({ "id": task["id"], "version": task["version"] })).collect();
    let call = client.on(Method::POST, &format!("/bulk-{verb}")).header("idempotency-key", key);
    call.json(&json!({ "tasks": tasks })).send().await
}

async fn a_completion_that_is_sent_again_answers_what_is_there(server: Server) {
    let alice = server.user("alice");
    let tasks = [alice.create("a").await, alice.create("b").await, alice.create("c").await];
    let first = bulk(&alice, "complete", "k", &tasks).await;
    let completed = first.data(200);
    assert!(!is_replay(&first));
    let again = async |expected: &[&Value]| {
        let answer = bulk(&alice, "complete", "k", &tasks).await;
        assert!(is_replay(&answer));
        assert_eq!(answer.data(200), json!(expected));
        assert_eq!(answer.header("cache-control"), first.header("cache-control"));
    };
    again(&[&completed[0], &completed[1], &completed[2]]).await;
    // Opened and renamed since: a repeat leaves it so.
    let other = alice.put(id(&tasks[0]), whole("A", false)).await.data(200);
    again(&[&other, &completed[1], &completed[2]]).await;
    assert_eq!(alice.delete(id(&tasks[1])).await.status, 204);
    again(&[&other, &completed[2]]).await;
    assert_eq!(alice.all().await, [completed[2].clone(), other]);
    for task in [&tasks[0], &tasks[2]] {
        assert_eq!(alice.delete(id(task)).await.status, 204);
    }
    again(&[]).await;
}

async fn a_deletion_that_is_sent_again_succeeds_again(server: Server) {
    let alice = server.user("alice");
    let tasks = [alice.create("a").await, alice.create("b").await];
    let first = bulk(&alice, "delete", "k", &tasks).await;
    assert_eq!((first.status, is_replay(&first)), (204, false));
    let other = alice.create("c").await;
    for _ in 0..2 {
        let again = bulk(&alice, "delete", "k", &tasks).await;
        assert_eq!((again.status, is_replay(&again)), (204, true));
    }
    let without = bulk(&alice, "delete", "l", &tasks).await;
    assert_eq!((without.status, is_replay(&without)), (204, false), "what is gone is taken for deleted");
    assert_eq!(alice.all().await, [other]);
}

async fn a_key_of_many_tasks_is_for_one_request(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let tasks = [alice.create("a").await, alice.create("b").await, alice.create("c").await];
    bulk(&alice, "complete", "k", &tasks[..2]).await.data(200);
    let mut newer = tasks[0].clone();
    newer["version"] = json!(2);
    let mut any = tasks[0].clone();
    any["version"] = Value::Null;
    for other in [&tasks[..1], &tasks, &[tasks[1].clone(), tasks[0].clone()], &[newer, tasks[1].clone()]] {
        bulk(&alice, "complete", "k", other).await.problem(422, "idempotency-key-reused");
    }
    let without = json!({ "tasks": [{ "id": any["id"] }, { "id": tasks[1]["id"], "version": 1 }] });
    let call = alice.on(Method::POST, "/bulk-complete").header("idempotency-key", "k").json(&without);
    call.send().await.problem(422, "idempotency-key-reused");
    // The key of another operation is another key, and so is another user's.
    assert!(!is_replay(&create(&alice, "k", "x").await));
    assert_eq!(bulk(&alice, "delete", "k", &tasks[2..]).await.status, 204);
    bulk(&bob, "complete", "k", &tasks[..2]).await.problem(404, "task-not-found");
    assert!(is_replay(&bulk(&alice, "complete", "k", &tasks[..2]).await));
}

async fn many_equal_keys_at_once_delete_once(server: Server) {
    let alice = server.user("alice");
    let tasks = [alice.create("a").await, alice.create("b").await];
    let answers = join_all((0..32).map(|_| bulk(&alice, "delete", "k", &tasks))).await;
    assert!(answers.iter().all(|answer| answer.status == 204));
    assert_eq!(answers.iter().filter(|answer| !is_replay(answer)).count(), 1);
}

/// Key and work are one transaction.
async fn a_refused_write_of_many_tasks_uses_no_key(server: Server) {
    let alice = server.user("alice");
    let (task, gone) = (alice.create("a").await, json!({ "id": uuid::Uuid::now_v7(), "version": 1 }));
    let mut stale = task.clone();
    stale["version"] = json!(7);
    for verb in ["complete", "delete"] {
        if verb == "complete" {
            bulk(&alice, verb, "k", std::slice::from_ref(&gone)).await.problem(404, "task-not-found");
        }
        bulk(&alice, verb, "k", &[stale.clone()]).await.problem(412, "version-mismatch");
    }
    let completed = bulk(&alice, "complete", "k", &[task]).await;
    assert!(!is_replay(&completed));
    let deleted = bulk(&alice, "delete", "k", completed.data(200).as_array().unwrap()).await;
    assert_eq!((deleted.status, is_replay(&deleted)), (204, false));
}

async fn where_a_key_would_be_overlooked_it_is_refused(server: Server) {
    let alice = server.user("alice");
    let key = ("header".to_owned(), "Idempotency-Key".to_owned());
    for operation in &CONTRACT.operations {
        let task = alice.create("x").await;
        let before = alice.get(id(&task)).await.data(200);
        let answer = request(&alice, operation, "alice", id(&task)).header("idempotency-key", "k").send().await;
        if TAKE_A_KEY.contains(&&*operation.id) {
            assert!((200..300).contains(&answer.status), "{}: {answer:?}", operation.id);
            continue;
        }
        assert_eq!(answer.parameters(), std::slice::from_ref(&key), "{}", operation.id);
        assert!(answer.json()["detail"].as_str().unwrap().ends_with("; leave it out."), "{}", operation.id);
        assert_eq!(alice.get(id(&task)).await.data(200), before, "{}", operation.id);
    }
    let both = alice.on(Method::POST, "/bulk-create").header("idempotency-key", "b").header("if-match", "*");
    let answer = both.json(&json!({ "tasks": [{ "title": "x" }] })).send().await;
    assert_eq!(answer.parameters(), [("header".to_owned(), "If-Match".to_owned())]);
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
    let tasks = [answer.data(201)];
    for (verb, operation) in [("complete", "bulkCompleteTasks"), ("delete", "bulkDeleteTasks")] {
        let begun = begun.replace("createTask", operation);
        sqlx::raw_sql(sqlx::AssertSqlSafe(begun)).execute(&mut other).await.unwrap();
        bulk(&alice, verb, "k", &tasks).await.problem(409, "idempotency-key-in-use");
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    }
    assert_eq!(alice.get(id(&tasks[0])).await.data(200), tasks[0]);
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
