//! Ids that clients make for their tasks: the same draft of the same id is the same creation.

use chrono::{TimeDelta, Utc};
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::client::{Answer, Client, id};
use crate::server::Server;

on_each_engine!(
    a_draft_that_is_sent_again_is_the_creation_that_was,
    an_id_that_stands_for_something_else_is_taken,
    an_id_that_was_deleted_is_not_free_until_it_is_forgotten,
    an_id_may_be_of_the_past_and_hardly_of_the_future,
    what_is_no_id_of_a_client_is_refused,
    in_bulk_the_known_are_answered_beside_the_new,
    the_key_decides_before_the_id,
    one_of_many_creations_at_once_is_the_first,
    two_users_have_the_same_id_and_other_tags,
    ids_that_are_locked_the_other_way_round_do_not_stop_each_other,
);

/// An id that was made so long ago.
fn made(ago: TimeDelta) -> String {
    let time = Utc::now() - ago;
    let seconds = u64::try_from(time.timestamp()).unwrap();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, time.timestamp_subsec_nanos())).to_string()
}

fn now() -> String {
    made(TimeDelta::zero())
}

async fn bulk(client: &Client, drafts: &Value) -> Answer {
    client.on(Method::POST, "/bulk-create").json(&json!({ "tasks": drafts })).send().await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.headers.contains_key("idempotency-replayed")
}

async fn a_draft_that_is_sent_again_is_the_creation_that_was(server: Server) {
    let alice = server.user("alice");
    let own = now();
    let draft = json!({ "id": own.to_uppercase(), "title": "x", "tags": ["a"], "is_completed": true });
    let first = alice.post(draft.clone()).await;
    assert!(!is_replayed(&first));
    let task = first.data(201);
    assert_eq!((id(&task), first.header("location")), (own.as_str(), &*format!("/api/alice/tasks/{own}")));
    assert_eq!(alice.get(&own).await.data(200), task);
    alice.patch(&own, json!({ "title": "y", "is_completed": false, "tags": [] })).await.data(200);
    // Null and what is left out are one, and so are capital and small letters of an id.
    let again = json!({ "id": own, "title": "x", "tags": ["a"], "is_completed": true, "description": null });
    for draft in [draft, again] {
        let answer = alice.post(draft).await;
        assert!(is_replayed(&answer));
        assert_eq!((answer.data(201), answer.header("etag")), (task.clone(), task["etag"].as_str().unwrap()));
    }
    assert_eq!(alice.get(&own).await.data(200)["title"], "y", "nothing is written");
}

async fn an_id_that_stands_for_something_else_is_taken(server: Server) {
    let alice = server.user("alice");
    let own = now();
    alice.post(json!({ "id": own, "title": "x" })).await.data(201);
    let task = alice.patch(&own, json!({ "priority": "high" })).await.data(200);
    for draft in [json!({ "id": own, "title": "y" }), json!({ "id": own, "title": "x", "priority": "high" })] {
        let problem = alice.post(draft).await.problem(409, "task-id-taken");
        assert_eq!(problem["current"], task);
    }
    // One that the server made, under the very draft that made it.
    let made = alice.create("x").await;
    let problem = alice.post(json!({ "id": id(&made), "title": "x" })).await.problem(409, "task-id-taken");
    assert_eq!(problem["current"], made);
    assert_eq!(alice.all().await.len(), 2);
}

async fn an_id_that_was_deleted_is_not_free_until_it_is_forgotten(server: Server) {
    let alice = server.user("alice");
    let (own, other) = (now(), now());
    for id in [&own, &other] {
        alice.post(json!({ "id": id, "title": "x" })).await.data(201);
    }
    assert_eq!(alice.delete(&own).await.status, 204);
    let gone = json!({ "tasks": [{ "id": other }] });
    assert_eq!(alice.on(Method::POST, "/bulk-delete").json(&gone).send().await.status, 204);
    for id in [&own, &other] {
        let problem = alice.post(json!({ "id": id, "title": "x" })).await.problem(409, "task-id-taken");
        assert!(problem["current"].is_null() && problem.as_object().unwrap().contains_key("current"), "{problem}");
        alice.get(id).await.problem(404, "task-not-found");
    }
    // Another's deletion is nobody else's.
    server.user("bob").post(json!({ "id": own, "title": "x" })).await.data(201);
    let database = sea_orm::Database::connect(server.direct()).await.unwrap();
    let old = if server.url().starts_with("sqlite:") {
        "UPDATE deletions SET deleted_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-31 days')"
    } else {
        "UPDATE deletions SET deleted_at = now() - interval '31 days'"
    };
    database.execute_unprepared(old).await.unwrap();
    let again = alice.post(json!({ "id": own, "title": "z" })).await;
    assert!(!is_replayed(&again));
    again.data(201);
    // What is forgotten leaves no line behind; and one that was there again and is deleted again has one.
    assert_eq!(alice.delete(&own).await.status, 204);
    alice.post(json!({ "id": own, "title": "z" })).await.problem(409, "task-id-taken");
    let repository = tasks_server::tasks::repository::Repository::new(server.database());
    assert_eq!(repository.forget(tasks_server::tasks::service::forgotten(30)).await.unwrap(), 1);
    alice.post(json!({ "id": other, "title": "z" })).await.data(201);
    alice.post(json!({ "id": own, "title": "z" })).await.problem(409, "task-id-taken");
}

async fn an_id_may_be_of_the_past_and_hardly_of_the_future(server: Server) {
    let alice = server.user("alice");
    let old = made(TimeDelta::days(400));
    let newest = alice.create("newest").await;
    let task = alice.post(json!({ "id": old, "title": "old" })).await.data(201);
    assert!(task["created_at"].as_str() > newest["created_at"].as_str(), "created now, and named long ago");
    let listed: Vec<_> = alice.all().await.iter().map(|task| task["title"].clone()).collect();
    assert_eq!(listed, ["newest", "old"], "lists are in the order of ids");
    alice.post(json!({ "id": made(TimeDelta::hours(-23)), "title": "x" })).await.data(201);
    let ahead = made(TimeDelta::hours(-25));
    let problem = alice.post(json!({ "id": ahead, "title": "x" })).await.problem(400, "task-id-in-future");
    assert_eq!(problem["errors"][0]["pointer"], "/id");
    let far = "ffffffff-ffff-7fff-bfff-ffffffffffff";
    let drafts = json!([{ "title": "a" }, { "id": ahead, "title": "b" }, { "id": far, "title": "c" }]);
    let problem = bulk(&alice, &drafts).await.problem(400, "task-id-in-future");
    let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/tasks/1/id", "/tasks/2/id"]);
    assert_eq!(alice.all().await.len(), 3, "nothing is stored of a refused request");
}

async fn what_is_no_id_of_a_client_is_refused(server: Server) {
    let alice = server.user("alice");
    let four = Uuid::from_u128(0x019c_13be_7ac0_4a43_9f5b_2d6c_8e1f_4a70).to_string();
    let variant = "019c13be-7ac0-7a43-cf5b-2d6c8e1f4a70";
    let bare = "019c13be7ac07a439f5b2d6c8e1f4a70";
    for wrong in [json!(four), json!(variant), json!(bare), json!(""), json!(7), json!(null), json!(Uuid::nil())] {
        let answer = alice.post(json!({ "id": wrong, "title": "x" })).await;
        assert_eq!(answer.pointers(), ["/id"], "{wrong}");
    }
    let own = now();
    let drafts = json!([{ "id": own, "title": "x" }, { "title": "y" }, { "id": own.to_uppercase(), "title": "x" }]);
    assert_eq!(bulk(&alice, &drafts).await.pointers(), ["/tasks/2/id"]);
    for body in [json!({ "id": own }), crate::client::whole("x", false)] {
        let mut body = body;
        body["id"] = json!(own);
        assert!(alice.put(&own, body).await.pointers().contains(&"/id".to_owned()));
    }
    assert!(alice.all().await.is_empty());
}

async fn in_bulk_the_known_are_answered_beside_the_new(server: Server) {
    let alice = server.user("alice");
    let ids = [now(), now(), now()];
    let draft = |n: usize| json!({ "id": ids[n], "title": format!("own {n}") });
    let first = alice.post(draft(1)).await.data(201);
    alice.complete(&ids[1], None).await.data(200);
    let answer = bulk(&alice, &json!([draft(0), draft(1), { "title": "server's" }, draft(2)])).await;
    assert!(!is_replayed(&answer), "some are new");
    let created = answer.data(201);
    assert_eq!(created[1], first, "as it was created");
    let titles: Vec<_> = created.as_array().unwrap().iter().map(|task| task["title"].clone()).collect();
    assert_eq!(titles, ["own 0", "own 1", "server's", "own 2"]);
    assert_eq!(alice.all().await.len(), 4);
    let again = bulk(&alice, &json!([draft(2), draft(0)])).await;
    assert!(is_replayed(&again));
    assert_eq!(again.data(201), json!([created[3], created[0]]));
    // One conflict refuses all, each named.
    alice.delete(&ids[0]).await;
    let fresh = now();
    let drafts = json!([{ "id": fresh, "title": "new" }, draft(0), { "id": ids[1], "title": "other" }, draft(2)]);
    let problem = bulk(&alice, &drafts).await.problem(409, "task-id-taken");
    let errors = problem["errors"].as_array().unwrap();
    let pointers: Vec<_> = errors.iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/tasks/1/id", "/tasks/2/id"]);
    assert!(errors[0]["current"].is_null());
    assert_eq!(errors[1]["current"], alice.get(&ids[1]).await.data(200));
    alice.get(&fresh).await.problem(404, "task-not-found");
    // Every entry is named, however many there are.
    let drafts: Vec<_> = (0..100).map(|_| json!({ "id": now(), "title": "a" })).collect();
    bulk(&alice, &json!(drafts)).await.data(201);
    let others: Vec<_> = drafts.iter().map(|draft| json!({ "id": draft["id"], "title": "b" })).collect();
    let problem = bulk(&alice, &json!(others)).await.problem(409, "task-id-taken");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100);
}

async fn the_key_decides_before_the_id(server: Server) {
    let alice = server.user("alice");
    let own = now();
    let send = async |draft: Value, key: &str| {
        alice.on(Method::POST, "").header("idempotency-key", key).json(&draft).send().await
    };
    let draft = json!({ "id": own, "title": "x" });
    let first = alice.post(draft.clone()).await.data(201);
    // The id is known, and the key is new.
    let by_id = send(draft.clone(), "k").await;
    assert!(is_replayed(&by_id));
    assert_eq!(by_id.data(201), first);
    assert_eq!(send(draft.clone(), "k").await.data(201), first, "by the key, the same");
    alice.delete(&own).await;
    assert_eq!(send(draft.clone(), "k").await.data(201), first, "by the key, also what was deleted since");
    send(json!({ "id": own, "title": "y" }), "k").await.problem(422, "idempotency-key-reused");
    send(draft, "other").await.problem(409, "task-id-taken");
    // What was refused uses up no key.
    send(json!({ "title": "y" }), "other").await.data(201);
}

async fn one_of_many_creations_at_once_is_the_first(server: Server) {
    let alice = server.user("alice");
    for _ in 0..5 {
        let draft = json!({ "id": now(), "title": "x" });
        let many = (0..8).map(|_| alice.post(draft.clone()));
        let answers = futures_util::future::join_all(many).await;
        assert_eq!(answers.iter().filter(|answer| !is_replayed(answer)).count(), 1);
        let first = answers[0].data(201);
        assert!(answers.iter().all(|answer| answer.data(201) == first));
    }
}

async fn two_users_have_the_same_id_and_other_tags(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let draft = json!({ "id": now(), "title": "x" });
    let [hers, his] = [alice.post(draft.clone()).await, bob.post(draft.clone()).await];
    assert!(!is_replayed(&his), "hers is nothing to him");
    let own = id(&hers.data(201)).to_owned();
    // His tag is not that of her task, although id and version are equal.
    let call = |client: &Client, method| client.on(method, &format!("/{own}"));
    let tag = his.header("etag").to_owned();
    assert_ne!(tag, hers.header("etag"));
    call(&alice, Method::GET).header("if-none-match", &tag).send().await.data(200);
    let patch = json!({ "title": "y" });
    call(&alice, Method::PATCH).header("if-match", &tag).json(&patch).send().await.problem(412, "version-mismatch");
    call(&bob, Method::PATCH).header("if-match", &tag).json(&patch).send().await.data(200);
    assert_eq!(alice.get(&own).await.data(200)["title"], "x");
    assert_eq!(alice.delete(&own).await.status, 204);
    bob.get(&own).await.data(200);
}

async fn ids_that_are_locked_the_other_way_round_do_not_stop_each_other(server: Server) {
    let alice = server.user("alice");
    for _ in 0..5 {
        let drafts: Vec<_> = (0..20).map(|_| json!({ "id": now(), "title": "x" })).collect();
        let back: Vec<_> = drafts.iter().rev().cloned().collect();
        let [drafts, back] = [json!(drafts), json!(back)];
        let (one, other) = tokio::join!(bulk(&alice, &drafts), bulk(&alice, &back));
        let (one, mut other) = (one.data(201), other.data(201));
        other.as_array_mut().unwrap().reverse();
        assert_eq!(one, other);
    }
}
