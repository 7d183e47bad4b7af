//! Changes of several tasks in one request: each by its own patch, all or none.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, id};
use crate::server::Server;

on_each_engine!(
    each_task_is_changed_by_its_own_patch,
    a_task_that_shows_its_change_is_left_as_it_is,
    one_that_cannot_be_changed_refuses_all,
    every_conflict_comes_with_the_task,
    what_is_wrong_with_an_entry_is_named,
    with_a_key_it_is_done_once,
    a_hundred_tasks_of_the_longest_texts_are_changed,
    requests_for_the_same_tasks_wait_for_each_other,
);

async fn send(client: &Client, tasks: &Value) -> Answer {
    client.on(Method::POST, "/bulk-patch").json(&json!({ "tasks": tasks })).send().await
}

async fn three(client: &Client) -> Vec<Value> {
    let drafts = json!([
        { "title": "a", "tags": ["x"] },
        { "title": "b", "due_date": "2026-02-28", "due_time": "18:30", "description": "long" },
        { "title": "c", "priority": "low", "is_completed": true },
    ]);
    let tasks = client.on(Method::POST, "/bulk-create").json(&json!({ "tasks": drafts })).send().await.data(201);
    tasks.as_array().unwrap().clone()
}

async fn each_task_is_changed_by_its_own_patch(server: Server) {
    let alice = server.user("alice");
    let [a, b, c] = &three(&alice).await[..] else { panic!() };
    let entries = json!([
        { "id": id(c), "is_completed": false, "priority": null },
        { "id": id(a), "version": 1, "title": "A", "description": "new\nline", "tags": ["y", "x"], "due_date": "2028-02-29" },
        { "id": id(b), "due_date": null, "priority": "high", "is_completed": true },
    ]);
    let changed = send(&alice, &entries).await.data(200);
    let changed = changed.as_array().unwrap();
    let expected = [
        (c, json!({ "is_completed": false, "completed_at": null, "priority": null })),
        (a, json!({ "title": "A", "description": "new\nline", "tags": ["y", "x"], "due_date": "2028-02-29" })),
        (b, json!({ "due_date": null, "due_time": null, "priority": "high", "is_completed": true })),
    ];
    for (after, (before, members)) in changed.iter().zip(expected) {
        let mut task = before.clone();
        for (name, value) in members.as_object().unwrap() {
            task[name] = value.clone();
        }
        for name in ["updated_at", "etag"] {
            assert_ne!(after[name], task[name]);
            task[name] = after[name].clone();
        }
        if task["is_completed"] == true {
            task["completed_at"] = after["updated_at"].clone();
        }
        task["version"] = json!(2);
        assert_eq!(*after, task);
        assert_eq!(alice.get(id(after)).await.data(200), *after);
    }
    server.user("bob").create("bob's").await;
    assert_eq!(alice.all().await.len(), 3);
}

async fn a_task_that_shows_its_change_is_left_as_it_is(server: Server) {
    let alice = server.user("alice");
    let tasks = three(&alice).await;
    let [a, b, c] = &tasks[..] else { panic!() };
    let entries = json!([
        { "id": id(a), "version": 9, "tags": ["x"] },
        { "id": id(b) },
        { "id": id(c), "version": 7, "is_completed": true, "description": null, "due_time": null },
    ]);
    assert_eq!(send(&alice, &entries).await.data(200), json!(tasks));
    assert_eq!(alice.list("?sort=created_at").await.data(200), json!(tasks));
}

async fn one_that_cannot_be_changed_refuses_all(server: Server) {
    let alice = server.user("alice");
    let tasks = three(&alice).await;
    let bobs = server.user("bob").create("bob's").await;
    let ids: Vec<_> = tasks.iter().map(id).collect();
    let entry = |id: &str, more: Value| {
        let mut entry = json!({ "id": id, "title": "changed" });
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    for (bad, status, code, pointer) in [
        (entry(id(&bobs), json!({})), 404, "task-not-found", "/tasks/1/id"),
        (entry(ids[1], json!({ "version": 2 })), 412, "version-mismatch", "/tasks/1/version"),
        (entry(ids[0], json!({})), 400, "invalid-request", "/tasks/1/id"),
        // A time without a day, which only the task can tell.
        (entry(ids[2], json!({ "due_time": "10:00" })), 400, "invalid-request", "/tasks/1/due_time"),
        (entry(ids[1], json!({ "due_time": "10:00", "due_date": null })), 400, "invalid-request", "/tasks/1/due_time"),
    ] {
        let entries = json!([entry(ids[0], json!({})), bad, entry(id(&tasks[2]), json!({ "priority": "high" }))]);
        let entries = match code {
            // Named once each.
            "invalid-request" if pointer.ends_with("due_time") && bad["id"] == ids[2] => json!([entries[0], bad]),
            _ => entries,
        };
        let problem = send(&alice, &entries).await.problem(status, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert_eq!(alice.list("?sort=created_at").await.data(200), json!(tasks), "nothing is written");
    }
}

async fn every_conflict_comes_with_the_task(server: Server) {
    let alice = server.user("alice");
    let drafts: Vec<_> = (0..60).map(|n| json!({ "title": format!("{n}") })).collect();
    let tasks = alice.on(Method::POST, "/bulk-create").json(&json!({ "tasks": drafts })).send().await.data(201);
    let tasks = tasks.as_array().unwrap();
    let touch: Vec<_> = tasks.iter().map(|task| json!({ "id": id(task), "priority": "low" })).collect();
    let now = send(&alice, &json!(touch)).await.data(200);
    let entries: Vec<_> = tasks.iter().map(|task| json!({ "id": id(task), "version": 1, "title": "x" })).collect();
    for path in ["/bulk-patch", "/bulk-complete", "/bulk-delete"] {
        let entries: Vec<_> = match path {
            "/bulk-patch" => entries.clone(),
            _ => tasks.iter().map(|task| json!({ "id": id(task), "version": 1 })).collect(),
        };
        let answer = alice.on(Method::POST, path).json(&json!({ "tasks": entries })).send().await;
        let problem = answer.problem(412, "version-mismatch");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 60, "every entry is named");
        for (place, error) in errors.iter().enumerate() {
            assert_eq!(error["pointer"], format!("/tasks/{place}/version"));
            assert_eq!((&error["current"], &error["current_version"]), (&now[place], &json!(2)));
        }
    }
}

async fn what_is_wrong_with_an_entry_is_named(server: Server) {
    let alice = server.user("alice");
    let tasks = three(&alice).await;
    let a = id(&tasks[0]);
    for (entry, pointers) in [
        (json!({ "title": "x" }), vec!["/tasks/0/id"]),
        (json!({ "id": a, "title": null }), vec!["/tasks/0/title"]),
        (json!({ "id": a, "is_completed": null, "tags": null }), vec!["/tasks/0/tags", "/tasks/0/is_completed"]),
        (json!({ "id": a, "version": 0 }), vec!["/tasks/0/version"]),
        (
            json!({ "id": a, "due_date": "2026-02-29", "priority": "urgent" }),
            vec!["/tasks/0/due_date", "/tasks/0/priority"],
        ),
        (json!({ "id": a, "tags": ["x", "x"] }), vec!["/tasks/0/tags"]),
        (json!({ "id": a, "updated_at": "2026-01-01T00:00:00Z" }), vec!["/tasks/0/updated_at"]),
        (json!({ "id": a, "etag": "\"1\"" }), vec!["/tasks/0/etag"]),
        (json!({ "id": a, "prio": "high" }), vec!["/tasks/0/prio"]),
        (json!([]), vec!["/tasks/0"]),
    ] {
        let mut found = send(&alice, &json!([entry])).await.pointers();
        let mut pointers: Vec<_> = pointers.into_iter().map(str::to_owned).collect();
        found.sort();
        pointers.sort();
        assert_eq!(found, pointers, "{entry}");
    }
    assert_eq!(send(&alice, &json!([])).await.pointers(), ["/tasks"]);
    let many: Vec<_> = (0..101).map(|_| json!({ "id": a })).collect();
    assert_eq!(send(&alice, &json!(many)).await.pointers(), ["/tasks"]);
    assert_eq!(alice.list("?sort=created_at").await.data(200), json!(tasks));
}

async fn with_a_key_it_is_done_once(server: Server) {
    let alice = server.user("alice");
    let tasks = three(&alice).await;
    let call = || alice.on(Method::POST, "/bulk-patch").header("idempotency-key", "k");
    let entries =
        json!({ "tasks": [{ "id": id(&tasks[0]), "title": "A" }, { "id": id(&tasks[1]), "priority": "low" }] });
    let first = call().json(&entries).send().await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    first.data(200);
    let now = alice.patch(id(&tasks[0]), json!({ "title": "B" })).await.data(200);
    alice.delete(id(&tasks[1])).await;
    let again = call().json(&entries).send().await;
    assert_eq!((again.header("idempotency-replayed"), again.data(200)), ("true", json!([now])));
    let other = json!({ "tasks": [{ "id": id(&tasks[0]), "title": "C" }] });
    call().json(&other).send().await.problem(422, "idempotency-key-reused");
}

async fn a_hundred_tasks_of_the_longest_texts_are_changed(server: Server) {
    let alice = server.user("alice");
    let drafts: Vec<_> = (0..100).map(|_| json!({ "title": "x" })).collect();
    let tasks = alice.on(Method::POST, "/bulk-create").json(&json!({ "tasks": drafts })).send().await.data(201);
    let description = "\u{1F600}".repeat(4_000);
    let entries: Vec<_> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|task| json!({ "id": id(task), "description": description, "title": "\u{1F600}".repeat(200) }))
        .collect();
    let changed = send(&alice, &json!(entries)).await.data(200);
    assert!(changed.as_array().unwrap().iter().all(|task| task["description"] == description));
    let page = alice.list("?limit=100&q=%F0%9F%98%80&sort=title").await.data(200);
    assert_eq!(page.as_array().unwrap().len(), 100);
    let answer = alice.on(Method::POST, "/bulk-patch").text(vec![b' '; (2 << 20) + 1]).send().await;
    answer.problem(413, "body-too-large");
}

async fn requests_for_the_same_tasks_wait_for_each_other(server: Server) {
    let alice = server.user("alice");
    let tasks = three(&alice).await;
    for n in 0..5 {
        let there: Vec<_> = tasks.iter().map(|task| json!({ "id": id(task), "title": format!("there {n}") })).collect();
        let back: Vec<_> =
            tasks.iter().rev().map(|task| json!({ "id": id(task), "title": format!("back {n}") })).collect();
        let [there, back] = [json!(there), json!(back)];
        let (there, back) = tokio::join!(send(&alice, &there), send(&alice, &back));
        there.data(200);
        back.data(200);
        let titles: Vec<_> = alice.all().await.iter().map(|task| task["title"].clone()).collect();
        assert!(titles.iter().all(|title| *title == titles[0]), "{titles:?}");
    }
}
