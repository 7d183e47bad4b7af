//! Many tasks in one request: all or none of them.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::client::{Answer, Client, id};
use crate::server::Server;

on_each_engine!(
    tasks_are_created_in_the_order_of_the_request,
    tasks_are_completed_in_the_order_of_the_request,
    tasks_are_deleted,
    a_hundred_tasks_fit_and_no_more,
    one_task_that_is_not_there_refuses_them_all,
    one_version_that_is_not_there_refuses_them_all,
    a_version_is_an_integer_however_it_is_written,
    what_is_completed_already_is_no_mismatch,
    another_users_task_is_as_absent_as_none,
    every_wrong_entry_is_named,
    a_condition_is_not_overlooked,
    a_task_is_named_once,
    creations_that_are_sent_again_are_answered_as_the_first_time,
    crossing_requests_end_in_order,
);

async fn bulk(client: &Client, verb: &str, body: Value) -> Answer {
    client.on(Method::POST, &format!("/bulk-{verb}")).json(&body).send().await
}

async fn create(client: &Client, titles: &[&str]) -> Vec<Value> {
    let tasks: Vec<_> = titles.iter().map(|title| json!({ "title": title })).collect();
    bulk(client, "create", json!({ "tasks": tasks })).await.data(201).as_array().unwrap().clone()
}

/// A body that names these tasks, of any version.
fn of(tasks: &[Value]) -> Value {
    json!({ "tasks": tasks.iter().map(|task| json!({ "id": task["id"] })).collect::<Vec<_>>() })
}

/// The pointers and current versions of a refusal.
fn errors(problem: &Value) -> Vec<(&str, Option<i64>)> {
    let errors = problem["errors"].as_array().unwrap().iter();
    errors.map(|error| (error["pointer"].as_str().unwrap(), error["current_version"].as_i64())).collect()
}

async fn tasks_are_created_in_the_order_of_the_request(server: Server) {
    let alice = server.user("alice");
    let tasks = create(&alice, &["c", "a", "b", "a"]).await;
    let titles: Vec<_> = tasks.iter().map(|task| task["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["c", "a", "b", "a"]);
    assert!(tasks.iter().all(|task| task["version"] == 1 && task["is_completed"] == false));
    assert!(tasks.windows(2).all(|pair| id(&pair[0]) < id(&pair[1])), "ids are in the order of creation");
    for task in &tasks {
        assert_eq!(alice.get(id(task)).await.data(200), *task);
    }
    let mut newest_first = create(&alice, &["d"]).await;
    newest_first.extend(tasks.into_iter().rev());
    assert_eq!(alice.all().await, newest_first);
}

async fn tasks_are_completed_in_the_order_of_the_request(server: Server) {
    let alice = server.user("alice");
    let mut tasks = create(&alice, &["a", "b", "c"]).await;
    let done = alice.complete(id(&tasks[1]), None).await.data(200);
    tasks.reverse();
    let answer = bulk(&alice, "complete", of(&tasks)).await.data(200);
    let ids = |tasks: &[Value]| tasks.iter().map(|task| id(task).to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(answer.as_array().unwrap()), ids(&tasks));
    for task in [&answer[0], &answer[2]] {
        assert_eq!((&task["is_completed"], &task["version"]), (&json!(true), &json!(2)));
        assert_eq!(task["completed_at"], task["updated_at"]);
    }
    assert_eq!(answer[1], done, "completed before: nothing changes, not even a time");
    assert_eq!(alice.all().await, *answer.as_array().unwrap());
    assert_eq!(bulk(&alice, "complete", of(&tasks)).await.data(200), answer, "a second time");
}

async fn tasks_are_deleted(server: Server) {
    let alice = server.user("alice");
    let tasks = create(&alice, &["a", "b", "c"]).await;
    assert_eq!(bulk(&alice, "delete", of(&tasks[..2])).await.status, 204);
    assert_eq!(alice.all().await, tasks[2..]);
    let mut stale = of(&tasks);
    stale["tasks"][0]["version"] = json!(7);
    stale["tasks"][2]["version"] = json!(7);
    let problem = bulk(&alice, "delete", stale).await.problem(412, "version-mismatch");
    assert_eq!(errors(&problem), [("/tasks/2/version", Some(1))], "what is gone has no version to be wrong about");
    assert_eq!(alice.all().await, tasks[2..]);
    for _ in 0..2 {
        assert_eq!(bulk(&alice, "delete", of(&tasks)).await.status, 204, "what is gone is taken for deleted");
        assert!(alice.all().await.is_empty());
    }
}

async fn a_hundred_tasks_fit_and_no_more(server: Server) {
    let alice = server.user("alice");
    for (count, fits) in [(0, false), (1, true), (100, true), (101, false), (4000, false)] {
        let answer = bulk(&alice, "create", json!({ "tasks": vec![json!({ "title": "x" }); count] })).await;
        if fits {
            assert_eq!(answer.data(201).as_array().unwrap().len(), count);
        } else {
            assert_eq!(answer.pointers(), ["/tasks"], "{count}");
        }
    }
    // The longest title in its longest spelling.
    let title = r"\ud83d\ude00".repeat(200);
    let body = format!(r#"{{ "tasks": [{}] }}"#, vec![format!(r#"{{ "title": "{title}" }}"#); 100].join(","));
    assert!(body.len() > 240_000);
    let answer = alice.on(Method::POST, "/bulk-create").text(body).send().await;
    assert_eq!(answer.data(201)[99]["title"], "😀".repeat(200));
    let page = alice.all().await;
    assert_eq!(page.len(), 100);
    for (verb, status) in [("complete", 200), ("delete", 204)] {
        assert_eq!(bulk(&alice, verb, of(&page)).await.status, status);
    }
    assert_eq!(alice.all().await.len(), 100);
    let padded = format!(r#"{{ "tasks": [{{ "title": "x" }}] }}{}"#, " ".repeat(2 << 20));
    let answer = alice.on(Method::POST, "/bulk-create").text(padded).send().await;
    assert!(answer.problem(413, "body-too-large")["detail"].as_str().unwrap().contains("2097152"));
}

async fn one_task_that_is_not_there_refuses_them_all(server: Server) {
    let alice = server.user("alice");
    let tasks = create(&alice, &["a", "b"]).await;
    let mut body = of(&tasks);
    body["tasks"].as_array_mut().unwrap().insert(1, json!({ "id": Uuid::now_v7() }));
    // 404 wins over 412.
    body["tasks"][0]["version"] = json!(7);
    let problem = bulk(&alice, "complete", body.clone()).await.problem(404, "task-not-found");
    assert_eq!(errors(&problem), [("/tasks/1/id", None)]);
    assert_eq!(alice.all().await, [tasks[1].clone(), tasks[0].clone()]);
    let stranger = server.user("stranger");
    let problem = bulk(&stranger, "complete", of(&tasks)).await.problem(404, "task-not-found");
    assert_eq!(errors(&problem).len(), 2, "also for somebody who never had a task");
}

async fn one_version_that_is_not_there_refuses_them_all(server: Server) {
    let alice = server.user("alice");
    let tasks = create(&alice, &["a", "b", "c"]).await;
    alice.patch(id(&tasks[1]), json!({ "title": "B" })).await.data(200);
    let before = alice.all().await;
    let mut body = of(&tasks);
    for task in body["tasks"].as_array_mut().unwrap() {
        task["version"] = json!(1);
    }
    for verb in ["complete", "delete"] {
        let problem = bulk(&alice, verb, body.clone()).await.problem(412, "version-mismatch");
        assert_eq!(errors(&problem), [("/tasks/1/version", Some(2))]);
        assert_eq!(alice.all().await, before);
    }
    body["tasks"][1]["version"] = json!(2);
    assert_eq!(bulk(&alice, "complete", body.clone()).await.data(200)[1]["version"], 3);
    for (place, version) in [(0, 2), (1, 3), (2, 2)] {
        body["tasks"][place]["version"] = json!(version);
    }
    assert_eq!(bulk(&alice, "delete", body).await.status, 204);
    assert!(alice.all().await.is_empty());
}

/// To JSON Schema a number without a fraction is an integer, however it is written; and it is the number that was sent.
async fn a_version_is_an_integer_however_it_is_written(server: Server) {
    let alice = server.user("alice");
    let id = id(&alice.create("x").await).to_owned();
    let send = async |version: &str| {
        let body = format!(r#"{{"tasks":[{{"id":"{id}","version":{version}}}]}}"#);
        alice.on(Method::POST, "/bulk-delete").text(body).send().await
    };
    for none in ["0", "0.0", "-1", "-1.0", "1.5", "1e-1", "9000000000000001", "9000000000000001.0", "9.1e15", "1e300"] {
        let problem = send(none).await.problem(400, "invalid-request");
        assert_eq!(errors(&problem), [("/tasks/0/version", None)], "{none}");
    }
    let whole =
        ["2", "2.0", "2e0", "0.2e1", "20e-1", "2020089127282151.0", "4503599627370497.0", "9e15", "9000000000000000.0"];
    for other in whole.iter().copied().chain(["8999999999999999.0", "8.999999999999999e15", "1234567890123457.0"]) {
        let problem = send(other).await.problem(412, "version-mismatch");
        assert_eq!(errors(&problem), [("/tasks/0/version", Some(1))], "{other}");
    }
    assert_eq!(send("10e-1").await.status, 204);
}

async fn what_is_completed_already_is_no_mismatch(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    let body = json!({ "tasks": [{ "id": task["id"], "version": 1 }] });
    let first = bulk(&alice, "complete", body.clone()).await.data(200);
    assert_eq!(first[0]["version"], 2);
    assert_eq!(bulk(&alice, "complete", body.clone()).await.data(200), first, "a repeat of a lost answer succeeds");
    bulk(&alice, "delete", body).await.problem(412, "version-mismatch");
}

async fn another_users_task_is_as_absent_as_none(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let (hers, his) = (alice.create("hers").await, bob.create("his").await);
    let both = of(&[his.clone(), hers.clone()]);
    let problem = bulk(&bob, "complete", both.clone()).await.problem(404, "task-not-found");
    assert_eq!(errors(&problem), [("/tasks/1/id", None)]);
    assert_eq!((alice.all().await, bob.all().await), (vec![hers.clone()], vec![his]));
    assert_eq!(bulk(&bob, "delete", both).await.status, 204);
    assert_eq!((alice.all().await, bob.all().await), (vec![hers], vec![]));
}

async fn every_wrong_entry_is_named(server: Server) {
    let alice = server.user("alice");
    let refused = async |verb: &str, text: &str| {
        let call = alice.on(Method::POST, &format!("/bulk-{verb}")).text(text.to_owned());
        call.send().await.pointers()
    };
    let good = Uuid::now_v7();
    for (verb, text, pointers) in [
        ("create", r"{}", &["/tasks"] as &[_]),
        ("create", r"[]", &[""]),
        ("create", r#"{ "tasks": null }"#, &["/tasks"]),
        ("create", r#"{ "tasks": {} }"#, &["/tasks"]),
        ("create", r#"{ "tasks": [{ "title": "x" }], "task": [] }"#, &["/task"]),
        ("create", r#"{ "tasks": [{ "title": "x" }], "tasks": [] }"#, &["/tasks"]),
        ("create", r#"{ "tasks": ["x", {}] }"#, &["/tasks/0", "/tasks/1/title"]),
        (
            "create",
            r#"{ "tasks": [{ "title": "" }, { "title": "x" }, { "title": 5 }, { "name": "x" }, null, { "title": "x", "id": 1 }] }"#,
            &["/tasks/0/title", "/tasks/2/title", "/tasks/3/title", "/tasks/3/name", "/tasks/4", "/tasks/5/id"],
        ),
        ("create", r#"{ "tasks": [{ "title": "x" }, { "title": "x", "title": "y" }] }"#, &["/tasks/1/title"]),
        ("create", r#"{ "tasks": [["x"], { "title": "x" }] }"#, &["/tasks/0"]),
        // Of what is sent twice, either value may be wrong.
        ("create", r#"{ "tasks": [], "tasks": [{ "title": "x" }] }"#, &["/tasks"]),
        ("create", r#"{ "tasks": [{ "title": "", "title": "x" }] }"#, &["/tasks/0/title"]),
        ("delete", &format!(r#"{{ "tasks": [["{good}", 1]] }}"#), &["/tasks/0"]),
        ("delete", r#"{ "tasks": [{ "id": "x", "version": "y" }] }"#, &["/tasks/0/id", "/tasks/0/version"]),
        ("delete", r#"{ "tasks": [{}] }"#, &["/tasks/0/id"]),
        ("delete", r#"{ "tasks": [{ "id": "x" }, { "id": 1 }] }"#, &["/tasks/0/id", "/tasks/1/id"]),
        ("complete", &format!(r#"{{ "tasks": [{{ "id": "{}" }}] }}"#, good.simple()), &["/tasks/0/id"]),
        (
            "complete",
            &format!(r#"{{ "tasks": [{{ "id": "{good}", "is_completed": false }}] }}"#),
            &["/tasks/0/is_completed"],
        ),
    ] {
        assert_eq!(refused(verb, text).await, pointers, "{verb} {text}");
    }
    for version in ["0", "-1", "1.5", "null", r#""1""#, "true", "9000000000000001", "1e300"] {
        let text = format!(r#"{{ "tasks": [{{ "id": "{good}", "version": {version} }}] }}"#);
        assert_eq!(refused("complete", &text).await, ["/tasks/0/version"], "{version}");
    }
    let many = format!(r#"{{ "tasks": [{}] }}"#, vec!["{}"; 100].join(","));
    assert_eq!(refused("create", &many).await.len(), 20);
    assert!(alice.all().await.is_empty());
}

async fn a_condition_is_not_overlooked(server: Server) {
    let alice = server.user("alice");
    let tasks = create(&alice, &["a"]).await;
    for (verb, body) in
        [("create", json!({ "tasks": [{ "title": "x" }] })), ("complete", of(&tasks)), ("delete", of(&tasks))]
    {
        let call = alice.on(Method::POST, &format!("/bulk-{verb}")).header("if-match", "\"1\"").json(&body);
        assert_eq!(call.send().await.parameters(), [("header".to_owned(), "If-Match".to_owned())], "{verb}");
    }
    assert_eq!(alice.all().await, tasks);
}

async fn a_task_is_named_once(server: Server) {
    let alice = server.user("alice");
    let tasks = create(&alice, &["a", "b"]).await;
    let upper = id(&tasks[0]).to_uppercase();
    let body = json!({ "tasks": [
        { "id": tasks[0]["id"] }, { "id": tasks[1]["id"] }, { "id": tasks[0]["id"], "version": 1 }, { "id": upper },
    ] });
    for verb in ["complete", "delete"] {
        let answer = bulk(&alice, verb, body.clone()).await;
        assert_eq!(answer.pointers(), ["/tasks/2/id", "/tasks/3/id"]);
        assert!(answer.json()["errors"][0]["detail"].as_str().unwrap().contains("/tasks/0/id"));
    }
    assert_eq!(alice.all().await.len(), 2);
}

async fn creations_that_are_sent_again_are_answered_as_the_first_time(server: Server) {
    let alice = server.user("alice");
    let send = async |titles: &[&str]| {
        let tasks: Vec<_> = titles.iter().map(|title| json!({ "title": title })).collect();
        let call = alice.on(Method::POST, "/bulk-create").header("idempotency-key", "k");
        call.json(&json!({ "tasks": tasks })).send().await
    };
    let first = send(&["a", "b", "c"]).await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let tasks = first.data(201);
    alice.delete(id(&tasks[0])).await;
    alice.complete(id(&tasks[1]), None).await.data(200);
    let again = send(&["a", "b", "c"]).await;
    assert_eq!((again.data(201), again.header("idempotency-replayed")), (tasks, "true"));
    assert_eq!(alice.all().await.len(), 2);
    for other in [&["a", "b"] as &[_], &["a", "b", "c", "d"], &["c", "b", "a"], &["ab", "c"]] {
        send(other).await.problem(422, "idempotency-key-reused");
    }
    // The key of another operation is another key.
    let one = alice.on(Method::POST, "").header("idempotency-key", "k").json(&json!({ "title": "a" })).send().await;
    assert_eq!((one.status, one.headers.contains_key("idempotency-replayed")), (201, false));
    let answers = join_all((0..16).map(|_| async {
        let call = alice.on(Method::POST, "/bulk-create").header("idempotency-key", "l");
        call.json(&json!({ "tasks": [{ "title": "x" }, { "title": "y" }] })).send().await
    }));
    let answers = answers.await;
    assert!(answers.iter().all(|answer| answer.data(201) == answers[0].data(201)));
    assert_eq!(alice.all().await.len(), 5);
}

/// Requests that name the same tasks in other orders, at once: each is done or refused as a whole.
async fn crossing_requests_end_in_order(server: Server) {
    let alice = server.user("alice");
    let tasks = create(&alice, &["x"; 20]).await;
    let backwards: Vec<_> = tasks.iter().rev().cloned().collect();
    let mut stale = of(&tasks);
    for task in stale["tasks"].as_array_mut().unwrap() {
        task["version"] = json!(1);
    }
    let requests = (0..24).map(|n| {
        let (verb, body) = match n % 3 {
            0 => ("complete", of(&tasks)),
            1 => ("complete", of(&backwards)),
            _ => ("complete", stale.clone()),
        };
        let alice = &alice;
        async move { bulk(alice, verb, body).await.data(200) }
    });
    for answer in join_all(requests).await {
        assert!(answer.as_array().unwrap().iter().all(|task| task["version"] == 2));
    }
    let deletions = join_all((0..8).map(|n| {
        let body = of(if n % 2 == 0 { &tasks } else { &backwards });
        let alice = &alice;
        async move { bulk(alice, "delete", body).await.status }
    }));
    let deletions = deletions.await;
    assert!(deletions.iter().all(|status| *status == 204), "{deletions:?}");
    assert!(alice.all().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_insist_on_versions() {
    let server = Server::insisting().await;
    let alice = server.user("alice");
    let tasks = create(&alice, &["a", "b"]).await;
    let mut body = of(&tasks);
    body["tasks"][0]["version"] = json!(1);
    for verb in ["complete", "delete"] {
        let problem = bulk(&alice, verb, body.clone()).await.problem(428, "condition-required");
        assert_eq!(errors(&problem), [("/tasks/1/version", None)]);
    }
    body["tasks"][1]["version"] = json!(1);
    assert_eq!(bulk(&alice, "complete", body).await.status, 200);
}

/// After a failover a session may be one of a server that only reads; and a prepared statement may not fit a table that
/// was changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_kept_that_serves_no_more() {
    let Some(server) = Server::on_postgres().await else { return };
    let alice = server.user("alice");
    let body = of(&create(&alice, &["a", "b"]).await);
    let run = async |sql: &str| {
        let mut other = PgConnection::connect(&server.direct()).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut other).await.unwrap();
    };
    for _ in 0..2 {
        bulk(&alice, "complete", body.clone()).await.data(200);
    }
    run("DROP TRIGGER tasks_changed ON tasks; ALTER TABLE tasks ALTER COLUMN title TYPE varchar(400)").await;
    bulk(&alice, "complete", body.clone()).await.data(200);
    let only_reads = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', \
        current_database()); END $$; SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    run(only_reads).await;
    bulk(&alice, "delete", body.clone()).await.problem(503, "unavailable");
    let writes_again = "BEGIN READ WRITE; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET \
        default_transaction_read_only', current_database()); END $$; COMMIT";
    run(writes_again).await;
    if crate::postgres::is_pooled() {
        // A pooler keeps sessions that only read for whoever comes next: a failover ends them.
        run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()")
        .await;
    }
    assert_eq!(bulk(&alice, "delete", body).await.status, 204);
}
