//! Clocks that step back: times of a task stay in order, and so do ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use tasks_server::tasks::service::Clock;

use crate::client::{id, whole};
use crate::server::Server;

on_each_engine!(a_clock_that_steps_back_breaks_no_order, ids_of_one_instant_are_in_order);

/// A clock that somebody sets: the hours that it is behind.
fn set_clock() -> (Clock, Arc<AtomicI64>) {
    let behind = Arc::new(AtomicI64::new(0));
    let hours = Arc::clone(&behind);
    (Clock::of(move || Utc::now() - TimeDelta::hours(hours.load(Ordering::Relaxed))), behind)
}

fn assert_in_order(task: &Value) {
    let (created, updated) = (task["created_at"].as_str().unwrap(), task["updated_at"].as_str().unwrap());
    assert!(created <= updated, "{task}");
    if let Some(completed) = task["completed_at"].as_str() {
        assert!(created <= completed && completed <= updated, "{task}");
    }
}

async fn a_clock_that_steps_back_breaks_no_order(server: Server) {
    let (clock, behind) = set_clock();
    let server = server.beside(clock).await;
    let alice = server.user("alice");
    let mut ids = Vec::new();
    for hours in [0, 1, 48, 0, 100_000, -1, 2] {
        behind.store(hours, Ordering::Relaxed);
        for (title, done) in [("a", true), ("b", false), ("c", true)] {
            for task in alice.all().await {
                let changed = alice.put(id(&task), whole(title, done)).await.data(200);
                assert_in_order(&changed);
                assert!(task["updated_at"].as_str() <= changed["updated_at"].as_str(), "{task} {changed}");
            }
        }
        let tasks = json!({ "tasks": [{ "title": "x" }, { "title": "y" }] });
        let created = alice.on(Method::POST, "/bulk-create").json(&tasks).send().await.data(201);
        for task in created.as_array().unwrap().iter().chain([&alice.create("z").await]) {
            assert_in_order(task);
            ids.push(id(task).to_owned());
        }
        let first = alice.create("first").await;
        ids.push(id(&first).to_owned());
        behind.fetch_add(5, Ordering::Relaxed);
        let body = json!({ "tasks": [{ "id": first["id"] }] });
        let completed = alice.on(Method::POST, "/bulk-complete").json(&body).send().await.data(200);
        assert_in_order(&completed[0]);
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
}

async fn ids_of_one_instant_are_in_order(server: Server) {
    let server = server.beside(Clock::of(|| DateTime::UNIX_EPOCH + TimeDelta::days(20_000))).await;
    let alice = server.user("alice");
    let tasks = json!({ "tasks": vec![json!({ "title": "x" }); 100] });
    let mut ids = Vec::new();
    for _ in 0..10 {
        let created = alice.on(Method::POST, "/bulk-create").json(&tasks).send().await.data(201);
        ids.extend(created.as_array().unwrap().iter().map(|task| id(task).to_owned()));
    }
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert_eq!(alice.list("?limit=1").await.data(200)[0]["id"].as_str(), ids.last().map(String::as_str));
}
