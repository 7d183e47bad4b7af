//! Each operation: does it, does it again, on something absent.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{id, whole};
use crate::server::Server;

on_each_engine!(
    a_new_task_is_open_and_has_version_1,
    a_task_is_stored_exactly_as_sent,
    creating_twice_makes_two_tasks,
    creating_through_me_answers_the_canonical_location,
    users_whom_no_url_can_name_are_me_in_a_location,
    what_was_created_is_got_as_it_was_answered,
    getting_an_absent_task_is_404,
    an_update_replaces_every_member,
    an_update_that_changes_nothing_keeps_version_and_times,
    updating_an_absent_task_is_404_and_creates_none,
    a_patch_changes_only_what_was_sent,
    an_empty_patch_changes_nothing,
    patching_an_absent_task_is_404,
    completing_takes_no_body_an_empty_body_and_an_empty_object,
    completing_again_keeps_the_first_time,
    reopening_clears_the_completion,
    completing_an_absent_task_is_404,
    a_deleted_task_is_gone_and_deleting_it_again_is_404,
    ids_are_read_in_any_case,
    head_answers_what_get_does_without_the_body,
    concurrent_first_tasks_of_one_user_are_all_created,
);

const ABSENT: &str = "019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70";

fn version(task: &Value) -> i64 {
    task["version"].as_i64().unwrap()
}

async fn a_new_task_is_open_and_has_version_1(server: Server) {
    let alice = server.user("alice");
    let answer = alice.post(json!({ "title": "Buy milk" })).await;
    let task = answer.data(201);
    assert_eq!(task["user_id"], "alice");
    assert_eq!(task["title"], "Buy milk");
    assert_eq!(task["is_completed"], false);
    assert_eq!(task["completed_at"], Value::Null);
    assert_eq!(task["created_at"], task["updated_at"]);
    assert_eq!(version(&task), 1);
    assert_eq!(answer.header("etag"), task["etag"]);
    assert_eq!(answer.header("location"), format!("/api/alice/tasks/{}", id(&task)));
    assert_eq!(answer.header("cache-control"), "private, no-cache, no-transform");
    assert_eq!(answer.header("vary"), "Authorization");
    assert_eq!(&id(&task)[14..15], "7", "a UUID of version 7");
}

async fn a_task_is_stored_exactly_as_sent(server: Server) {
    let alice = server.user("alice");
    let titles = [
        "  two spaces around  ".to_owned(),
        "\u{1F600}".repeat(200),
        "é and e\u{301} stay apart".to_owned(),
        "'; DROP TABLE tasks; --".to_owned(),
        "<script>alert(1)</script> \\ \" / {} %00".to_owned(),
        "\u{200B}\u{202E}rtl \u{FFFF} \u{10FFFF}".to_owned(),
        "x".to_owned(),
    ];
    for title in titles {
        let task = alice.create(&title).await;
        assert_eq!(task["title"], *title);
        assert_eq!(alice.get(id(&task)).await.data(200), task);
    }
}

async fn creating_twice_makes_two_tasks(server: Server) {
    let alice = server.user("alice");
    let (first, second) = (alice.create("same").await, alice.create("same").await);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(alice.all().await, [second, first]);
}

async fn creating_through_me_answers_the_canonical_location(server: Server) {
    let odd = "auth0|a/b?c=d e&é%";
    let caller = server.user(odd);
    let answer = caller.to(Method::POST, "/api/me/tasks").json(&json!({ "title": "mine" })).send().await;
    let task = answer.data(201);
    assert_eq!(task["user_id"], odd);
    let location = answer.header("location");
    assert_eq!(location, format!("/api/auth0%7Ca%2Fb%3Fc%3Dd%20e%26%C3%A9%25/tasks/{}", id(&task)));
    assert_eq!(caller.to(Method::GET, location).send().await.data(200), task);
    assert_eq!(caller.all().await, [task]);
}

async fn users_whom_no_url_can_name_are_me_in_a_location(server: Server) {
    for dots in [".", ".."] {
        let caller = server.user(dots);
        let answer = caller.to(Method::POST, "/api/me/tasks").json(&json!({ "title": "mine" })).send().await;
        let task = answer.data(201);
        assert_eq!(answer.header("location"), format!("/api/me/tasks/{}", id(&task)));
        assert_eq!(caller.to(Method::GET, answer.header("location")).send().await.data(200), task);
    }
}

async fn what_was_created_is_got_as_it_was_answered(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("Buy milk").await;
    for _ in 0..2 {
        let answer = alice.get(id(&task)).await;
        assert_eq!(answer.data(200), task);
        assert_eq!(answer.header("etag"), task["etag"]);
    }
}

async fn getting_an_absent_task_is_404(server: Server) {
    server.user("alice").get(ABSENT).await.problem(404, "task-not-found");
}

async fn an_update_replaces_every_member(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("Buy milk").await;
    let answer = alice.put(id(&task), whole("Buy oats", true)).await;
    let updated = answer.data(200);
    assert_eq!(updated["title"], "Buy oats");
    assert_eq!(updated["is_completed"], true);
    assert_eq!(updated["completed_at"], updated["updated_at"]);
    assert!(updated["updated_at"].as_str() >= task["updated_at"].as_str());
    assert_eq!(updated["created_at"], task["created_at"]);
    assert_eq!(version(&updated), 2);
    assert_eq!(answer.header("etag"), updated["etag"]);
    assert_eq!(alice.get(id(&task)).await.data(200), updated);
}

async fn an_update_that_changes_nothing_keeps_version_and_times(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("Buy milk").await;
    let same = whole("Buy milk", false);
    assert_eq!(alice.put(id(&task), same).await.data(200), task);
    let done = whole("Buy milk", true);
    let first = alice.put(id(&task), done.clone()).await.data(200);
    assert_eq!(version(&first), 2);
    assert_eq!(alice.put(id(&task), done).await.data(200), first);
}

async fn updating_an_absent_task_is_404_and_creates_none(server: Server) {
    let alice = server.user("alice");
    let body = whole("x", false);
    alice.put(ABSENT, body).await.problem(404, "task-not-found");
    assert!(alice.all().await.is_empty());
}

async fn a_patch_changes_only_what_was_sent(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("Buy milk").await;
    let renamed = alice.patch(id(&task), json!({ "title": "Buy oats" })).await.data(200);
    assert_eq!((&renamed["title"], &renamed["is_completed"]), (&json!("Buy oats"), &json!(false)));
    let done = alice.patch(id(&task), json!({ "is_completed": true })).await.data(200);
    assert_eq!((&done["title"], &done["is_completed"]), (&json!("Buy oats"), &json!(true)));
    let both = alice.patch(id(&task), json!({ "title": "Buy rye", "is_completed": false })).await.data(200);
    assert_eq!((&both["title"], &both["is_completed"]), (&json!("Buy rye"), &json!(false)));
    assert_eq!([version(&renamed), version(&done), version(&both)], [2, 3, 4]);
    assert_eq!(done["completed_at"], done["updated_at"]);
    assert_eq!(both["completed_at"], Value::Null);
    assert_eq!(alice.patch(id(&task), json!({ "title": "Buy rye" })).await.data(200), both);
}

async fn an_empty_patch_changes_nothing(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("Buy milk").await;
    assert_eq!(alice.patch(id(&task), json!({})).await.data(200), task);
}

async fn patching_an_absent_task_is_404(server: Server) {
    let alice = server.user("alice");
    alice.patch(ABSENT, json!({})).await.problem(404, "task-not-found");
    alice.patch(ABSENT, json!({ "title": "x" })).await.problem(404, "task-not-found");
}

async fn completing_takes_no_body_an_empty_body_and_an_empty_object(server: Server) {
    let alice = server.user("alice");
    for variant in 0..5 {
        let task = alice.create("Buy milk").await;
        let call = alice.on(Method::PATCH, &format!("/{}/complete", id(&task)));
        let call = match variant {
            0 => call,
            1 => call.header("content-length", "0"),
            2 => call.header("content-type", "application/json").body(""),
            3 => call.text("{}"),
            _ => call.text(r#"{"is_completed": true}"#),
        };
        let answer = call.send().await;
        let done = answer.data(200);
        assert_eq!(done["is_completed"], true);
        assert_eq!(done["completed_at"], done["updated_at"]);
        assert_eq!(answer.header("etag"), done["etag"]);
    }
}

async fn completing_again_keeps_the_first_time(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("Buy milk").await;
    let first = alice.complete(id(&task), None).await.data(200);
    assert_eq!(alice.complete(id(&task), None).await.data(200), first);
    let renamed = alice.patch(id(&task), json!({ "title": "Buy oats" })).await.data(200);
    assert_eq!(renamed["completed_at"], first["completed_at"]);
}

async fn reopening_clears_the_completion(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("Buy milk").await;
    alice.complete(id(&task), None).await;
    let open = alice.complete(id(&task), Some(json!({ "is_completed": false }))).await.data(200);
    assert_eq!((&open["is_completed"], &open["completed_at"]), (&json!(false), &Value::Null));
    assert_eq!(version(&open), 3);
    let again = alice.complete(id(&task), Some(json!({ "is_completed": false }))).await.data(200);
    assert_eq!(again, open);
}

async fn completing_an_absent_task_is_404(server: Server) {
    server.user("alice").complete(ABSENT, None).await.problem(404, "task-not-found");
}

async fn a_deleted_task_is_gone_and_deleting_it_again_is_404(server: Server) {
    let alice = server.user("alice");
    let (kept, task) = (alice.create("kept").await, alice.create("gone").await);
    assert_eq!(alice.delete(id(&task)).await.status, 204);
    alice.get(id(&task)).await.problem(404, "task-not-found");
    alice.delete(id(&task)).await.problem(404, "task-not-found");
    assert_eq!(alice.all().await, [kept]);
}

async fn ids_are_read_in_any_case(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("Buy milk").await;
    assert_eq!(alice.get(&id(&task).to_uppercase()).await.data(200), task);
}

async fn head_answers_what_get_does_without_the_body(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("Buy milk").await;
    let answer = alice.on(Method::HEAD, &format!("/{}", id(&task))).send().await;
    assert_eq!((answer.status, answer.header("etag")), (200, task["etag"].as_str().unwrap()));
    assert_eq!(alice.on(Method::HEAD, "").send().await.status, 200);
}

async fn concurrent_first_tasks_of_one_user_are_all_created(server: Server) {
    let calls = (0..24).map(|n| {
        let bob = server.user("bob");
        tokio::spawn(async move { bob.create(&format!("task {n}")).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(server.user("bob").all().await.len(), 24);
}
