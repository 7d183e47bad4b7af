//! Lists: pages, cursors, filters, totals.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, id};
use crate::server::Server;

on_each_engine!(
    pages_are_compressed_for_those_who_ask,
    an_empty_list_has_all_of_its_meta,
    a_list_is_newest_first,
    a_page_that_holds_exactly_all_has_no_next,
    the_filter_lists_and_counts_its_own,
    a_cursor_serves_any_limit_but_only_its_filter,
    a_cursor_goes_on_after_its_task_was_deleted,
    a_thousand_tasks_are_walked_while_others_are_created,
);

async fn page(client: &Client, query: &str) -> (Vec<Value>, Value) {
    let answer = client.list(query).await;
    (answer.data(200).as_array().unwrap().clone(), answer.json()["meta"].clone())
}

fn titles(tasks: &[Value]) -> Vec<&str> {
    tasks.iter().map(|task| task["title"].as_str().unwrap()).collect()
}

async fn an_empty_list_has_all_of_its_meta(server: Server) {
    let (tasks, meta) = page(&server.user("nobody"), "").await;
    assert!(tasks.is_empty());
    assert_eq!(meta, json!({ "limit": 50, "next_cursor": null, "total": null }));
    let (_, meta) = page(&server.user("nobody"), "?include_total=true&limit=7").await;
    assert_eq!(meta, json!({ "limit": 7, "next_cursor": null, "total": 0 }));
}

async fn a_list_is_newest_first(server: Server) {
    let alice = server.user("alice");
    for n in 0..5 {
        alice.create(&n.to_string()).await;
    }
    assert_eq!(titles(&alice.all().await), ["4", "3", "2", "1", "0"]);
}

async fn a_page_that_holds_exactly_all_has_no_next(server: Server) {
    let alice = server.user("alice");
    for n in 0..4 {
        alice.create(&n.to_string()).await;
    }
    let (tasks, meta) = page(&alice, "?limit=4").await;
    assert_eq!((tasks.len(), &meta["next_cursor"]), (4, &Value::Null));
    let (tasks, meta) = page(&alice, "?limit=3").await;
    assert_eq!(titles(&tasks), ["3", "2", "1"]);
    let cursor = meta["next_cursor"].as_str().unwrap();
    let (tasks, meta) = page(&alice, &format!("?limit=3&cursor={cursor}")).await;
    assert_eq!((titles(&tasks), &meta["next_cursor"]), (vec!["0"], &Value::Null));
    let (first, meta) = page(&alice, "?limit=2").await;
    let cursor = meta["next_cursor"].as_str().unwrap();
    let (second, meta) = page(&alice, &format!("?limit=2&cursor={cursor}")).await;
    assert_eq!((titles(&first), titles(&second)), (vec!["3", "2"], vec!["1", "0"]));
    assert_eq!(meta["next_cursor"], Value::Null);
}

async fn the_filter_lists_and_counts_its_own(server: Server) {
    let alice = server.user("alice");
    for n in 0..6 {
        let task = alice.create(&n.to_string()).await;
        if n % 3 == 0 {
            alice.complete(id(&task), None).await;
        }
    }
    let (done, meta) = page(&alice, "?is_completed=true&include_total=true").await;
    assert_eq!((titles(&done), &meta["total"]), (vec!["3", "0"], &json!(2)));
    let (open, meta) = page(&alice, "?is_completed=false&include_total=true&limit=1").await;
    assert_eq!((titles(&open), &meta["total"]), (vec!["5"], &json!(4)));
    let cursor = meta["next_cursor"].as_str().unwrap();
    let (open, _) = page(&alice, &format!("?is_completed=false&cursor={cursor}")).await;
    assert_eq!(titles(&open), ["4", "2", "1"]);
    let (_, meta) = page(&alice, "?include_total=true").await;
    assert_eq!(meta["total"], 6);
    let (_, meta) = page(&alice, "?include_total=false").await;
    assert_eq!(meta["total"], Value::Null);
}

async fn a_cursor_serves_any_limit_but_only_its_filter(server: Server) {
    let alice = server.user("alice");
    for n in 0..4 {
        alice.create(&n.to_string()).await;
    }
    let (_, meta) = page(&alice, "?limit=1").await;
    let cursor = meta["next_cursor"].as_str().unwrap();
    let (tasks, _) = page(&alice, &format!("?limit=100&cursor={cursor}")).await;
    assert_eq!(titles(&tasks), ["2", "1", "0"]);
    for filter in ["true", "false"] {
        let answer = alice.list(&format!("?cursor={cursor}&is_completed={filter}")).await;
        assert_eq!(answer.parameters(), [("query".to_owned(), "cursor".to_owned())]);
    }
}

async fn a_cursor_goes_on_after_its_task_was_deleted(server: Server) {
    let alice = server.user("alice");
    for n in 0..4 {
        alice.create(&n.to_string()).await;
    }
    let (tasks, meta) = page(&alice, "?limit=2").await;
    alice.delete(id(&tasks[1])).await;
    let cursor = meta["next_cursor"].as_str().unwrap();
    let (tasks, _) = page(&alice, &format!("?cursor={cursor}")).await;
    assert_eq!(titles(&tasks), ["1", "0"]);
}

async fn a_thousand_tasks_are_walked_while_others_are_created(server: Server) {
    let creators = (0..8).map(|_| {
        let alice = server.user("alice");
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..125 {
                ids.push(id(&alice.create("before").await).to_owned());
            }
            ids
        })
    });
    let mut before = HashSet::new();
    for creator in creators.collect::<Vec<_>>() {
        before.extend(creator.await.unwrap());
    }
    let alice = server.user("alice");
    let busy = server.user("alice");
    let meanwhile = tokio::spawn(async move {
        for _ in 0..200 {
            busy.create("meanwhile").await;
        }
    });
    let (mut seen, mut cursor, mut last) = (HashSet::new(), String::new(), "g".to_owned());
    loop {
        let (tasks, meta) = page(&alice, &format!("?limit=37{cursor}")).await;
        for task in &tasks {
            assert!(id(task) < last.as_str(), "newest first, over all pages");
            id(task).clone_into(&mut last);
            assert!(seen.insert(last.clone()), "listed twice");
        }
        match meta["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    meanwhile.await.unwrap();
    assert_eq!(before.len(), 1000);
    assert!(before.is_subset(&seen), "{} were missed", before.difference(&seen).count());
}

async fn pages_are_compressed_for_those_who_ask(server: Server) {
    let alice = server.user("alice");
    for n in 0..20 {
        alice.create(&format!("a task like all others, number {n}")).await;
    }
    let plain = alice.list("").await;
    let list = |coding: &str| alice.on(Method::GET, "").header("accept-encoding", coding);
    for (wanted, coding) in [("zstd, br, gzip", "zstd"), ("br;q=1, gzip;q=0.5", "br"), ("gzip", "gzip")] {
        let answer = list(wanted).bare().send().await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], coding);
        assert_eq!(answer.headers()["etag"], plain.header("etag"), "a weak tag is of all codings");
        let vary: Vec<_> = answer.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(vary, ["Authorization", "Accept-Encoding", "Origin"]);
        let body = answer.bytes().await.unwrap();
        assert!(body.len() < plain.body.len() / 3, "{coding}: {} of {}", body.len(), plain.body.len());
        let changes = alice.on(Method::GET, "/changes").header("accept-encoding", wanted).bare().send().await.unwrap();
        assert_eq!(changes.headers()["content-encoding"], coding, "what changed, too");
        let known = list(wanted).header("if-none-match", plain.header("etag")).send().await;
        assert_eq!((known.status, known.headers.get_all("vary").iter().count()), (304, 3));
    }
    for unwanted in ["identity", "gzip;q=0", "deflate"] {
        assert_eq!(list(unwanted).send().await.body, plain.body, "{unwanted}");
    }
    // One task has a strong tag, which is of these bytes alone.
    let task = alice.create(&"x".repeat(200)).await;
    let answer = alice.on(Method::GET, &format!("/{}", id(&task))).header("accept-encoding", "gzip").send().await;
    assert!(!answer.headers.contains_key("content-encoding"));
}
