//! Conditions: no write overwrites what its sender has not seen, and no answer is sent to who has it.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, id, whole};
use crate::server::Server;

on_each_engine!(
    a_write_happens_only_to_the_version_that_it_names,
    a_condition_is_read_to_the_letter,
    an_absent_task_is_404_whatever_the_condition,
    a_repeat_of_a_write_that_took_effect_succeeds,
    who_has_the_task_gets_no_body,
    a_tag_of_another_past_matches_nothing,
    who_has_the_page_gets_no_body,
    no_write_is_lost_among_many_writers,
    a_merge_patch_is_read_as_one,
);

/// The four writes of a task, each a change.
fn writes(client: &Client, task: &str, mark: &str) -> [(&'static str, crate::client::Call); 4] {
    let on = |method: Method, below: &str| client.on(method, &format!("/{task}{below}"));
    [
        ("updateTask", on(Method::PUT, "").json(&whole(mark, false))),
        ("patchTask", on(Method::PATCH, "").json(&json!({ "title": mark }))),
        ("completeTask", on(Method::PATCH, "/complete")),
        ("deleteTask", on(Method::DELETE, "")),
    ]
}

async fn patch_if(client: &Client, task: &str, title: &str, condition: &str) -> Answer {
    let call = client.on(Method::PATCH, &format!("/{task}")).header("if-match", condition);
    call.json(&json!({ "title": title })).send().await
}

async fn a_write_happens_only_to_the_version_that_it_names(server: Server) {
    let alice = server.user("alice");
    for number in 0..4 {
        let task = alice.create("first").await;
        let task = alice.patch(id(&task), json!({ "title": "second" })).await.data(200);
        assert_eq!(task["version"], 2);
        let tag = task["etag"].as_str().unwrap();
        let (weak, other) =
            (format!("W/{tag}"), format!("{}{}\"", &tag[..tag.len() - 2], u8::from(!tag.ends_with("1\""))));
        let (longer, capital) = (format!("{}0\"", &tag[..tag.len() - 1]), tag.to_uppercase().replace("\"2-", "\"2-A"));
        let later = tag.replace("\"2-", "\"3-");
        for stale in [
            "\"1\"",
            "\"3\"",
            "\"1\", \"3\"",
            "W/\"2\"",
            "\"1\", W/\"2\"",
            "W/\"1\"",
            "W/\"02\"",
            "\"two\"",
            &weak,
            &other,
            &longer,
            &capital,
            &later,
            "\"2-\"",
            "\"2-0\"",
        ] {
            let (name, call) = writes(&alice, id(&task), "third").into_iter().nth(number).unwrap();
            let answer = call.header("if-match", stale).send().await;
            let problem = answer.problem(412, "version-mismatch");
            let is_told = problem["detail"].as_str().unwrap().contains("a proxy has weakened it");
            assert_eq!(is_told, stale.contains("W/\"2"), "{stale}: {problem}");
            assert_eq!((&problem["current_version"], answer.header("etag")), (&json!(2), tag), "{name} {stale}");
            assert_eq!(problem["current"], task, "{name} {stale}");
            assert_eq!(alice.get(id(&task)).await.data(200), task, "{name} {stale} left it alone");
        }
        let (name, call) = writes(&alice, id(&task), "third").into_iter().nth(number).unwrap();
        let right = if number % 2 == 0 { format!("\"1\", {tag}") } else { "\"1\", \"2\"".to_owned() };
        let answer = call.header("if-match", &right).send().await;
        if name == "deleteTask" {
            assert_eq!((answer.status, alice.get(id(&task)).await.status), (204, 404));
        } else {
            let written = answer.data(200);
            assert_eq!(written["version"], 3, "{name}");
            assert_eq!(answer.header("etag"), written["etag"]);
            assert_eq!(answer.header("cache-control"), "private, no-cache, no-transform");
        }
    }
}

async fn a_condition_is_read_to_the_letter(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    let mut version = 1;
    for good in
        ["*", " * ", "\"{}\"", " \"{}\" ", "\"{}\",", ",, \"{}\" ,\t\"x\"", "W/\"{}\", \"{}\"", "\"a,b\",\"{}\""]
    {
        let condition = good.replace("{}", &version.to_string());
        let answer = patch_if(&alice, id(&task), &format!("title {version}"), &condition).await;
        version += 1;
        assert_eq!(answer.data(200)["version"], version, "{condition}");
    }
    for other in ["\"0{}\"", "\"+{}\"", "\"{}.0\"", "\" {}\"", "\"\"", "\"99999999999999999999\"", "\"*\""] {
        let condition = other.replace("{}", &version.to_string());
        let answer = patch_if(&alice, id(&task), "other", &condition).await;
        if condition.contains("\" ") {
            assert_eq!(answer.parameters(), [("header".to_owned(), "If-Match".to_owned())], "{condition}");
        } else {
            answer.problem(412, "version-mismatch");
        }
    }
    for wrong in
        ["7", "", ",", "*, \"1\"", "\"1\", *", "\"1", "1\"", "\"1\"\"2\"", "\"1\" \"2\"", "w/\"1\"", "W/ \"1\"", "'1'"]
    {
        let answer = patch_if(&alice, id(&task), "other", wrong).await;
        assert_eq!(answer.parameters(), [("header".to_owned(), "If-Match".to_owned())], "{wrong}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("quotes"), "{wrong}");
    }
    let call = alice.on(Method::DELETE, &format!("/{}", id(&task)));
    let twice = call.header("if-match", "\"1\"").header("if-match", &format!("\"{version}\""));
    assert_eq!(twice.send().await.status, 204, "several headers are one list");
}

async fn an_absent_task_is_404_whatever_the_condition(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let task = bob.create("bob's").await;
    for condition in ["*", "\"1\"", "\"2\""] {
        for (_, call) in writes(&alice, id(&task), "x") {
            call.header("if-match", condition).send().await.problem(404, "task-not-found");
        }
    }
    assert_eq!(bob.get(id(&task)).await.data(200), task);
}

async fn a_repeat_of_a_write_that_took_effect_succeeds(server: Server) {
    let alice = server.user("alice");
    for number in 0..3 {
        let task = alice.create("first").await;
        let call =
            || writes(&alice, id(&task), "second").into_iter().nth(number).unwrap().1.header("if-match", "\"1\"");
        let first = call().send().await.data(200);
        assert_eq!(first["version"], 2);
        // As a client does whose connection broke before the answer came.
        assert_eq!(call().send().await.data(200), first);
        let other = patch_if(&alice, id(&task), "another", "\"1\"").await;
        other.problem(412, "version-mismatch");
    }
}

async fn who_has_the_task_gets_no_body(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    let get = |tag: &str| alice.on(Method::GET, &format!("/{}", id(&task))).header("if-none-match", tag).send();
    let tag = task["etag"].as_str().unwrap();
    for known in [tag, &format!("W/{tag}"), &format!("\"7\", {tag}"), "*"] {
        let answer = get(known).await;
        assert_eq!((answer.status, answer.body.len(), answer.header("etag")), (304, 0, tag), "{known}");
    }
    // A version alone may be that of another past: who has it may have another task.
    for other in ["\"1\"", "\"2\"", "\"11\"", "\"x\"", &tag.replace("\"1-", "\"2-")] {
        assert_eq!(get(other).await.data(200), task, "{other}");
    }
    assert_eq!(get("1").await.parameters(), [("header".to_owned(), "If-None-Match".to_owned())]);
    alice.complete(id(&task), None).await.data(200);
    assert_eq!(get(tag).await.data(200)["version"], 2);
}

/// After a restore a task may have the version that a client has seen, and be another one.
async fn a_tag_of_another_past_matches_nothing(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    let seen = alice.patch(id(&task), json!({ "title": "seen" })).await;
    let (seen, page) = (seen.header("etag").to_owned(), alice.list("").await.header("etag").to_owned());
    let database = sea_orm::Database::connect(server.direct()).await.unwrap();
    let restored = if server.url().starts_with("sqlite:") {
        "UPDATE tasks SET title = 'restored', updated_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-1 day')"
    } else {
        "UPDATE tasks SET title = 'restored', updated_at = updated_at - interval '1 day'"
    };
    sea_orm::ConnectionTrait::execute_unprepared(&database, restored).await.unwrap();
    for (name, call) in writes(&alice, id(&task), "overwritten") {
        let problem = call.header("if-match", &seen).send().await.problem(412, "version-mismatch");
        assert_eq!(
            (&problem["current_version"], &problem["current"]["title"]),
            (&json!(2), &json!("restored")),
            "{name}"
        );
    }
    let get = alice.on(Method::GET, &format!("/{}", id(&task))).header("if-none-match", &seen);
    assert_eq!(get.send().await.data(200)["title"], "restored");
    assert_eq!(alice.on(Method::GET, "").header("if-none-match", &page).send().await.status, 200);
    assert_eq!(
        patch_if(&alice, id(&task), "by version", "\"2\"").await.data(200)["version"],
        3,
        "the version alone is taken"
    );
}

async fn who_has_the_page_gets_no_body(server: Server) {
    let alice = server.user("alice");
    let list = |query: &str, tag: &str| alice.on(Method::GET, query).header("if-none-match", tag).send();
    let tag_of = async |query: &str| alice.list(query).await.header("etag").to_owned();
    let mut tags = vec![tag_of("").await];
    let task = alice.create("x").await;
    tags.push(tag_of("").await);
    alice.patch(id(&task), json!({ "title": "y" })).await.data(200);
    tags.push(tag_of("").await);
    alice.create("z").await;
    tags.push(tag_of("").await);
    tags.push(tag_of("?include_total=true").await);
    tags.push(tag_of("?limit=1").await);
    tags.push(tag_of("?limit=2").await);
    for (number, tag) in tags.iter().enumerate() {
        assert!(!tags[..number].contains(tag), "{number}: {tags:?}");
    }
    let tag = tag_of("").await;
    // Servers of 0.1.0 sent it as a strong one.
    let strong = tag.strip_prefix("W/").unwrap().to_owned();
    for known in [tag.clone(), strong, format!("\"x\", {tag}"), "*".to_owned()] {
        let answer = list("", &known).await;
        assert_eq!((answer.status, answer.body.len(), answer.header("etag")), (304, 0, tag.as_str()), "{known}");
    }
    assert_eq!(list("", &tags[0]).await.status, 200);
    assert_eq!(server.user("bob").on(Method::GET, "").header("if-none-match", &tag).send().await.status, 200);
}

/// What a careful client does: read, change what was read, and begin anew when somebody was faster.
async fn append(client: &Client, task: &str, mark: char) -> Value {
    loop {
        let read = client.get(task).await;
        let title = format!("{}{mark}", read.data(200)["title"].as_str().unwrap());
        let answer = patch_if(client, task, &title, read.header("etag")).await;
        if answer.status != 412 {
            return answer.data(200);
        }
        answer.problem(412, "version-mismatch");
    }
}

async fn no_write_is_lost_among_many_writers(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("marks: ").await;
    let marks: Vec<char> = ('A'..='Z').chain('0'..='5').collect();
    let answers = join_all(marks.iter().map(|mark| append(&alice, id(&task), *mark))).await;
    let mut versions: Vec<_> = answers.iter().map(|answer| answer["version"].as_i64().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=33).collect::<Vec<_>>(), "each accepted write is a version of its own");
    let last = alice.get(id(&task)).await.data(200);
    let mut written: Vec<char> = last["title"].as_str().unwrap().strip_prefix("marks: ").unwrap().chars().collect();
    written.sort_unstable();
    let mut all = marks.clone();
    all.sort_unstable();
    assert_eq!((written, &last["version"]), (all, &json!(33)));
}

async fn a_merge_patch_is_read_as_one(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    let patch = |below: &str, body: &'static str| {
        let call = alice.on(Method::PATCH, &format!("/{}{below}", id(&task)));
        call.body(body).header("content-type", "application/merge-patch+json; charset=utf-8").send()
    };
    assert_eq!(patch("", r#"{"title":"y"}"#).await.data(200)["title"], "y");
    assert_eq!(patch("", "{}").await.data(200)["version"], 2);
    assert_eq!(patch("", r#"{"title":null}"#).await.pointers(), ["/title"]);
    assert_eq!(patch("", r#"[{"op":"remove","path":"/title"}]"#).await.pointers(), [""]);
    patch("/complete", "{}").await.problem(415, "unsupported-media-type");
    let other = alice.on(Method::PATCH, &format!("/{}", id(&task))).body("[]");
    let other = other.header("content-type", "application/json-patch+json").send().await;
    let problem = other.problem(415, "unsupported-media-type");
    assert!(problem["detail"].as_str().unwrap().contains("application/merge-patch+json"));
    let created = alice.on(Method::POST, "").body("{\"title\":\"x\"}");
    let created = created.header("content-type", "application/merge-patch+json").send().await;
    created.problem(415, "unsupported-media-type");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_may_insist_on_conditions() {
    let server = Server::insisting().await;
    let alice = server.user("alice");
    let task = alice.create("x").await;
    for (_, call) in writes(&alice, id(&task), "y") {
        let problem = call.send().await.problem(428, "condition-required");
        assert!(problem["detail"].as_str().unwrap().contains("If-Match"));
    }
    assert_eq!(alice.get(id(&task)).await.data(200), task);
    for (name, call) in writes(&alice, id(&task), "y") {
        let answer = call.header("if-match", "*").send().await;
        assert!(matches!(answer.status, 200 | 204), "{name}");
    }
}
