//! What a task says beside its title: description, due date and time, priority, tags.

use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::client::{id, whole};
use crate::server::Server;

on_each_engine!(
    every_member_is_kept_as_it_was_sent,
    what_is_left_out_is_empty,
    a_draft_may_be_completed,
    a_replacement_sets_every_member,
    a_patch_removes_what_can_be_null,
    a_time_needs_a_day,
    a_write_of_the_same_changes_nothing,
    what_is_wrong_is_named_by_its_pointer,
    what_is_at_the_edge_is_taken,
    the_database_keeps_the_rules_too,
    tasks_of_an_older_server_are_empty_in_the_rest,
);

fn everything() -> Value {
    json!({
        "title": "Buy milk", "description": "Oat milk.\n\tNo sugar. ", "due_date": "2028-02-29", "due_time": "07:05",
        "priority": "high", "tags": ["Shopping", "shopping", "日用品", " x"], "is_completed": false,
    })
}

/// The members of a task that a client sets.
fn members(task: &Value) -> Value {
    let mut members = task.clone();
    for name in ["id", "user_id", "completed_at", "created_at", "updated_at", "version", "etag"] {
        members.as_object_mut().unwrap().remove(name).unwrap();
    }
    members
}

async fn every_member_is_kept_as_it_was_sent(server: Server) {
    let alice = server.user("alice");
    let task = alice.post(everything()).await.data(201);
    assert_eq!(members(&task), everything());
    assert_eq!(alice.get(id(&task)).await.data(200), task);
    assert_eq!(alice.all().await, std::slice::from_ref(&task));
    let bulk = json!({ "tasks": [everything(), { "title": "x" }, everything()] });
    let bulk = alice.on(Method::POST, "/bulk-create").json(&bulk).send().await.data(201);
    let created: Vec<_> = bulk.as_array().unwrap().iter().map(members).collect();
    assert_eq!(created, [everything(), whole("x", false), everything()]);
    for task in bulk.as_array().unwrap() {
        assert_eq!(alice.get(id(task)).await.data(200), *task);
    }
}

async fn what_is_left_out_is_empty(server: Server) {
    let alice = server.user("alice");
    let nulls = json!({ "title": "x", "description": null, "due_date": null, "due_time": null, "priority": null });
    for draft in [json!({ "title": "x" }), nulls, json!({ "title": "x", "tags": [] })] {
        assert_eq!(members(&alice.post(draft).await.data(201)), whole("x", false));
    }
}

async fn a_draft_may_be_completed(server: Server) {
    let alice = server.user("alice");
    let task = alice.post(json!({ "title": "x", "is_completed": true })).await.data(201);
    assert_eq!((&task["completed_at"], &task["version"]), (&task["created_at"], &json!(1)));
    assert_eq!(alice.get(id(&task)).await.data(200), task);
    let call = || alice.on(Method::POST, "").header("idempotency-key", "k");
    let draft = json!({ "title": "x", "is_completed": true, "tags": ["a"] });
    let first = call().json(&draft).send().await.data(201);
    alice.complete(id(&first), Some(json!({ "is_completed": false }))).await.data(200);
    assert_eq!(call().json(&draft).send().await.data(201), first, "as the first time");
    for other in [json!({ "title": "x" }), json!({ "title": "x", "is_completed": true, "tags": ["b"] })] {
        call().json(&other).send().await.problem(422, "idempotency-key-reused");
    }
}

async fn a_replacement_sets_every_member(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    let full = alice.put(id(&task), everything()).await.data(200);
    assert_eq!((members(&full), &full["version"]), (everything(), &json!(2)));
    let empty = alice.put(id(&task), whole("after", true)).await.data(200);
    assert_eq!((members(&empty), &empty["version"]), (whole("after", true), &json!(3)));
    assert_eq!(alice.get(id(&task)).await.data(200), empty);
}

async fn a_patch_removes_what_can_be_null(server: Server) {
    let alice = server.user("alice");
    for name in ["description", "due_time", "priority"] {
        let task = alice.post(everything()).await.data(201);
        let mut expected = everything();
        expected[name] = Value::Null;
        let patched = alice.patch(id(&task), json!({ name: null })).await.data(200);
        assert_eq!((members(&patched), &patched["version"]), (expected, &json!(2)));
    }
    for name in ["title", "tags", "is_completed"] {
        let task = alice.post(everything()).await.data(201);
        assert_eq!(alice.patch(id(&task), json!({ name: null })).await.pointers(), [format!("/{name}")]);
        assert_eq!(alice.get(id(&task)).await.data(200), task);
    }
}

async fn a_time_needs_a_day(server: Server) {
    let alice = server.user("alice");
    // With the day goes the time.
    let task = alice.post(everything()).await.data(201);
    let patched = alice.patch(id(&task), json!({ "due_date": null })).await.data(200);
    assert_eq!((&patched["due_date"], &patched["due_time"]), (&Value::Null, &Value::Null));
    // A new day keeps it, and so it may be sent alone.
    let task = alice.post(everything()).await.data(201);
    let patched = alice.patch(id(&task), json!({ "due_date": "2030-01-01" })).await.data(200);
    assert_eq!((&patched["due_date"], &patched["due_time"]), (&json!("2030-01-01"), &json!("07:05")));
    let patched = alice.patch(id(&task), json!({ "due_time": "08:00" })).await.data(200);
    assert_eq!((&patched["due_date"], &patched["due_time"]), (&json!("2030-01-01"), &json!("08:00")));
    // Without one, it stands nowhere.
    let (bare, before) = (alice.create("bare").await, alice.all().await);
    let mut replacement = whole("x", false);
    replacement["due_time"] = json!("08:00");
    for answer in [
        alice.post(json!({ "title": "x", "due_time": "08:00" })).await,
        alice.post(json!({ "title": "x", "due_time": "08:00", "due_date": null })).await,
        alice.put(id(&task), replacement).await,
        alice.patch(id(&task), json!({ "due_time": "09:00", "due_date": null })).await,
        alice.patch(id(&bare), json!({ "due_time": "08:00" })).await,
        alice.patch(id(&bare), json!({ "title": "y", "due_time": "08:00" })).await,
    ] {
        assert_eq!(answer.pointers(), ["/due_time"]);
        assert!(answer.problem(400, "invalid-request")["detail"].as_str().unwrap().contains("due_date"));
    }
    let bulk = json!({ "tasks": [{ "title": "x" }, { "title": "x", "due_time": "08:00" }] });
    let bulk = alice.on(Method::POST, "/bulk-create").json(&bulk).send().await;
    assert_eq!(bulk.pointers(), ["/tasks/1/due_time"]);
    assert_eq!(alice.all().await, before);
    // Of a version that is not there, that is said first.
    let stale = alice.on(Method::PATCH, &format!("/{}", id(&task))).header("if-match", "\"1\"");
    stale.json(&json!({ "due_time": "09:00" })).send().await.problem(412, "version-mismatch");
    alice.patch(id(&bare), json!({ "due_time": null })).await.data(200);
}

async fn a_write_of_the_same_changes_nothing(server: Server) {
    let alice = server.user("alice");
    let task = alice.post(everything()).await.data(201);
    let everything = everything();
    for (name, value) in everything.as_object().unwrap() {
        assert_eq!(alice.patch(id(&task), json!({ name: value })).await.data(200), task, "{name}");
    }
    assert_eq!(alice.put(id(&task), everything.clone()).await.data(200), task);
    let turned = json!({ "tags": ["shopping", "Shopping", "日用品", " x"] });
    let turned = alice.patch(id(&task), turned).await.data(200);
    assert_eq!(turned["version"], 2, "another order is another list");
}

#[expect(clippy::too_many_lines, reason = "a table")]
async fn what_is_wrong_is_named_by_its_pointer(server: Server) {
    let alice = server.user("alice");
    let task = alice.post(everything()).await.data(201);
    let many: Vec<_> = (0..21).map(|n| n.to_string()).collect();
    let long = "x".repeat(51);
    let table = [
        (
            "due_date",
            "",
            vec![
                json!("2026-02-29"),
                json!("2026-1-5"),
                json!("2026-01-05T10:00"),
                json!("2026-01-05 "),
                json!("0000-01-01"),
                json!("10000-01-01"),
                json!("-001-01-01"),
                json!("+2026-01-05"),
                json!("2026-13-01"),
                json!("2026-00-01"),
                json!("2026-01-32"),
                json!("20260105"),
                json!("2026-W01-1"),
                json!(""),
                json!(20_260_105),
                json!("２０２６-01-05"),
            ],
        ),
        (
            "due_time",
            "",
            vec![
                json!("24:00"),
                json!("7:05"),
                json!("07:5"),
                json!("07:60"),
                json!("07:05:00"),
                json!("07:05Z"),
                json!("0705"),
                json!(""),
                json!(705),
                json!("-7:05"),
            ],
        ),
        (
            "priority",
            "",
            vec![json!("urgent"), json!("High"), json!("high "), json!(""), json!(1), json!(["high"]), json!({})],
        ),
        (
            "description",
            "",
            vec![
                json!(""),
                json!(" \n\t"),
                json!("x".repeat(4_001)),
                json!("\u{1F600}".repeat(4_001)),
                json!("a\u{0}b"),
                json!("a\u{b}b"),
                json!("a\u{85}b"),
                json!("a\u{2028}b"),
                json!("\u{feff}x"),
                json!(5),
                json!(["x"]),
            ],
        ),
        ("tags", "", vec![json!(many), json!("x"), json!({}), json!(5), json!(["a", "b", "a"])]),
        (
            "tags",
            "/0",
            vec![
                json!([""]),
                json!([" "]),
                json!([long]),
                json!(["a\nb"]),
                json!(["\u{2029}"]),
                json!([5]),
                json!([null]),
                json!([["x"]]),
            ],
        ),
        ("tags", "/1", vec![json!(["x", ""]), json!(["x", null]), json!(["x", {}])]),
    ];
    for (name, below, wrong) in table {
        for wrong in wrong {
            let pointer = format!("/{name}{below}");
            let mut body = everything();
            body[name] = wrong.clone();
            for answer in [
                alice.post(body.clone()).await,
                alice.put(id(&task), body.clone()).await,
                alice.patch(id(&task), json!({ name: wrong })).await,
            ] {
                assert_eq!(answer.pointers(), [&*pointer], "{wrong}");
            }
            let bulk = json!({ "tasks": [{ "title": "x" }, body] });
            let bulk = alice.on(Method::POST, "/bulk-create").json(&bulk).send().await;
            assert_eq!(bulk.pointers(), [format!("/tasks/1{pointer}")], "{wrong}");
        }
    }
    let all = json!({
        "title": "", "description": "", "due_date": "today", "due_time": "noon", "priority": "urgent", "tags": ["", ""],
        "is_completed": null,
    });
    let mut pointers = alice.post(all).await.pointers();
    pointers.sort();
    assert_eq!(
        pointers,
        ["/description", "/due_date", "/due_time", "/is_completed", "/priority", "/tags/0", "/title"],
        "all at once"
    );
    // Also what is wrong only beside the others.
    let mixed = json!({ "title": "", "due_time": "10:00", "tags": ["a", "a"] });
    let mut pointers = alice.post(mixed.clone()).await.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/due_time", "/tags", "/title"]);
    let bulk = alice.on(Method::POST, "/bulk-create").json(&json!({ "tasks": [{ "title": "x" }, mixed] })).send().await;
    let mut pointers = bulk.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/tasks/1/due_time", "/tasks/1/tags", "/tasks/1/title"]);
    let removed = json!({ "due_date": null, "due_time": "10:00", "is_completed": null });
    let mut pointers = alice.patch(id(&task), removed).await.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/due_time", "/is_completed"]);
    // A time beside a date that is wrong is not alone.
    let dated = json!({ "title": "x", "due_time": "10:00", "due_date": "2026-02-29" });
    assert_eq!(alice.post(dated).await.pointers(), ["/due_date"]);
    assert_eq!(alice.all().await, [task], "nothing is stored of what is refused");
}

async fn what_is_at_the_edge_is_taken(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    let twenty: Vec<_> = (0..20).map(|n| format!("{n}").repeat(25)).collect();
    for (name, values) in [
        ("due_date", vec![json!("0001-01-01"), json!("9999-12-31"), json!("2028-02-29")]),
        ("due_time", vec![json!("00:00"), json!("23:59")]),
        (
            "description",
            vec![json!("\u{1F600}".repeat(4_000)), json!("\r\n\t.\n"), json!("' \" \\ % _ {} [] \u{200b}")],
        ),
        (
            "tags",
            vec![
                json!(twenty),
                json!(["\u{1F600}".repeat(50)]),
                json!(["a", "a ", "A"]),
                json!(["\"", "\\", "{,}", "NULL"]),
                json!([]),
            ],
        ),
    ] {
        for value in values {
            let patched = alice.patch(id(&task), json!({ name: value })).await.data(200);
            assert_eq!(patched[name], value);
            assert_eq!(alice.get(id(&task)).await.data(200), patched);
        }
    }
}

async fn the_database_keeps_the_rules_too(server: Server) {
    let alice = server.user("alice");
    alice.post(everything()).await.data(201);
    let database = sea_orm::Database::connect(server.direct()).await.unwrap();
    let none = if server.direct().starts_with("sqlite") { "tags = '[]'" } else { "tags = '{}'" };
    for right in [
        "due = '2026-01-01'".to_owned(),
        "due = NULL".to_owned(),
        "priority = 'low'".to_owned(),
        "tags = NULL".to_owned(),
    ] {
        database.execute_unprepared(&format!("UPDATE tasks SET {right}")).await.unwrap();
    }
    for wrong in [
        "description = ''",
        "due = '07:05'",
        "due = '2026-01-01T7:05'",
        "due = '2026-01-01 07:05'",
        "due = ''",
        "priority = 'urgent'",
        "priority = ''",
        none,
    ] {
        assert!(database.execute_unprepared(&format!("UPDATE tasks SET {wrong}")).await.is_err(), "{wrong}");
    }
    database.close().await.unwrap();
}

async fn tasks_of_an_older_server_are_empty_in_the_rest(server: Server) {
    let alice = server.user("alice");
    let task = alice.post(everything()).await.data(201);
    let database = sea_orm::Database::connect(server.direct()).await.unwrap();
    let zero =
        if server.direct().starts_with("sqlite") { "zeroblob(16)" } else { "'00000000-0000-0000-0000-000000000000'" };
    let old = format!(
        "INSERT INTO tasks (user_id, id, title, is_completed, created_at, updated_at) \
         SELECT user_id, {zero}, 'old', FALSE, created_at, updated_at FROM tasks"
    );
    database.execute_unprepared(&old).await.unwrap();
    // And one that it changed is as it was in the rest.
    database.execute_unprepared("UPDATE tasks SET title = 'new', version = version + 1").await.unwrap();
    let mut expected = everything();
    expected["title"] = json!("new");
    assert_eq!(members(&alice.get(id(&task)).await.data(200)), expected);
    assert_eq!(members(&alice.get("00000000-0000-0000-0000-000000000000").await.data(200)), whole("new", false));
    database.close().await.unwrap();
}
