//! Awkward input: each is refused with a problem that names what to change, or taken exactly as it is.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::id;
use crate::server::Server;

on_each_engine!(
    titles_that_break_the_rule_are_refused_by_name,
    titles_at_the_edge_of_the_rule_are_taken,
    every_missing_and_unknown_member_is_named,
    members_that_the_server_sets_are_refused_by_name,
    wrong_types_are_named_by_their_pointer,
    duplicate_members_are_refused,
    bodies_that_are_no_json_object_are_refused,
    null_is_no_completion,
    bodies_of_other_types_are_415,
    bodies_over_64_kib_are_413,
    parameters_out_of_their_limits_are_named,
    unknown_and_repeated_parameters_are_refused,
    thousands_of_faults_are_told_in_few_words,
    ids_in_other_spellings_are_refused,
    users_in_odd_spellings_are_refused_or_other_people,
    cursors_that_the_server_did_not_make_are_refused,
);

async fn titles_that_break_the_rule_are_refused_by_name(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    let refused = [
        "\"\"".to_owned(),
        "\"   \"".to_owned(),
        r#""\u00a0\u3000\ufeff\u2028\u1680""#.to_owned(),
        r#""nul \u0000 inside""#.to_owned(),
        r#""\u0000""#.to_owned(),
        r#""tab\tinside""#.to_owned(),
        r#""line\ninside""#.to_owned(),
        r#""\u007f""#.to_owned(),
        r#""next line \u0085 (C1)""#.to_owned(),
        json!("x".repeat(201)).to_string(),
        json!("\u{1F600}".repeat(201)).to_string(),
    ];
    for title in refused {
        let calls = [
            alice.on(Method::POST, "").text(format!(r#"{{"title":{title}}}"#)),
            alice
                .on(Method::PUT, &format!("/{}", id(&task)))
                .text(format!(r#"{{"title":{title},"is_completed":true}}"#)),
            alice.on(Method::PATCH, &format!("/{}", id(&task))).text(format!(r#"{{"title":{title}}}"#)),
        ];
        for call in calls {
            assert_eq!(call.send().await.pointers(), ["/title"], "{title}");
        }
    }
    // A lone surrogate is no character: the text is not JSON that anybody can store.
    for title in [r#""\ud800""#, r#""\udc00 x""#, r#""\ud83d\u0041""#] {
        let answer = alice.on(Method::POST, "").text(format!(r#"{{"title":{title}}}"#)).send().await;
        assert_eq!(answer.status, 400, "{title}");
    }
    let broken = [b"{\"title\":\"".as_slice(), &[0xff, 0xfe], b"\"}"].concat();
    alice.on(Method::POST, "").text(broken).send().await.problem(400, "malformed-json");
    assert_eq!(alice.all().await, [task]);
}

async fn titles_at_the_edge_of_the_rule_are_taken(server: Server) {
    let alice = server.user("alice");
    for title in ["x".repeat(200), "\u{1F600}".repeat(200), "\u{200B}".to_owned(), " x".to_owned()] {
        assert_eq!(alice.create(&title).await["title"], *title);
    }
    let answer = alice.on(Method::POST, "").text(r#"{"title":"\ud83d\ude00"}"#).send().await;
    assert_eq!(answer.data(201)["title"], "\u{1F600}");
}

async fn every_missing_and_unknown_member_is_named(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    assert_eq!(alice.post(json!({})).await.pointers(), ["/title"]);
    assert_eq!(alice.put(id(&task), json!({})).await.pointers(), ["/title", "/is_completed"]);
    assert_eq!(alice.put(id(&task), json!({ "title": "x" })).await.pointers(), ["/is_completed"]);
    let unknown = json!({ "titel": "x", "a/b~c": 1 });
    assert_eq!(alice.post(unknown).await.pointers(), ["/title", "/titel", "/a~1b~0c"]);
    assert_eq!(alice.patch(id(&task), json!({ "Title": "x" })).await.pointers(), ["/Title"]);
    assert_eq!(alice.complete(id(&task), Some(json!({ "completed": true }))).await.pointers(), ["/completed"]);
    let both = json!({ "title": 5, "colour": "red" });
    assert_eq!(alice.post(both).await.pointers(), ["/colour", "/title"]);
    assert_eq!(alice.all().await, [task]);
}

async fn members_that_the_server_sets_are_refused_by_name(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    for name in ["id", "user_id", "completed_at", "created_at", "updated_at", "version"] {
        let mut body = json!({ "title": "x" });
        body[name] = task[name].clone();
        for answer in [alice.post(body.clone()).await, alice.patch(id(&task), body.clone()).await] {
            let problem = answer.problem(400, "invalid-request");
            assert_eq!(problem["errors"][0]["pointer"], format!("/{name}"));
            assert!(problem["detail"].as_str().unwrap().contains("set by the server"), "{problem}");
        }
    }
    let whole = alice.put(id(&task), task.clone()).await;
    assert_eq!(whole.pointers().len(), 6, "a task cannot be put back as it was got");
    assert_eq!(alice.all().await, [task]);
}

async fn wrong_types_are_named_by_their_pointer(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    for wrong in [json!(5), json!(true), json!(null), json!([]), json!({}), json!(["x"]), json!(1.5)] {
        assert_eq!(alice.post(json!({ "title": wrong })).await.pointers(), ["/title"]);
        assert_eq!(alice.patch(id(&task), json!({ "title": wrong })).await.pointers(), ["/title"]);
    }
    for wrong in [json!("true"), json!(1), json!(0), json!(null), json!([]), json!({})] {
        let put = json!({ "title": "x", "is_completed": wrong });
        assert_eq!(alice.put(id(&task), put).await.pointers(), ["/is_completed"]);
        assert_eq!(alice.patch(id(&task), json!({ "is_completed": wrong })).await.pointers(), ["/is_completed"]);
        let complete = alice.complete(id(&task), Some(json!({ "is_completed": wrong }))).await;
        assert_eq!(complete.pointers(), ["/is_completed"]);
    }
    assert_eq!(alice.all().await, [task]);
}

async fn duplicate_members_are_refused(server: Server) {
    let alice = server.user("alice");
    let answer = alice.on(Method::POST, "").text(r#"{"title":"a","title":"b"}"#).send().await;
    assert_eq!(answer.pointers(), ["/title"]);
    assert!(alice.all().await.is_empty());
}

async fn bodies_that_are_no_json_object_are_refused(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    for body in ["[]", r#"["x"]"#, "null", "true", "5", r#""x""#, " [ ] "] {
        for answer in [
            alice.on(Method::POST, "").text(body).send().await,
            alice.on(Method::PUT, &format!("/{}", id(&task))).text(body).send().await,
            alice.on(Method::PATCH, &format!("/{}", id(&task))).text(body).send().await,
            alice.on(Method::PATCH, &format!("/{}/complete", id(&task))).text(body).send().await,
        ] {
            assert_eq!(answer.pointers(), [""], "{body}");
        }
    }
    let malformed = [
        "",
        " ",
        "{",
        "{]",
        r#"{"title"}"#,
        r#"{"title":"x"}}"#,
        r#"{"title":"x"} x"#,
        "{'title':'x'}",
        "\u{FEFF}{}",
        "NaN",
    ];
    for body in malformed {
        alice.on(Method::POST, "").text(body).send().await.problem(400, "malformed-json");
    }
    let deep = "[".repeat(10_000);
    alice.on(Method::POST, "").text(format!(r#"{{"title":{deep}"#)).send().await.problem(400, "malformed-json");
    assert_eq!(alice.all().await, [task]);
}

async fn null_is_no_completion(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    assert_eq!(alice.complete(id(&task), Some(Value::Null)).await.pointers(), [""]);
    let inside = json!({ "is_completed": null });
    assert_eq!(alice.complete(id(&task), Some(inside)).await.pointers(), ["/is_completed"]);
    assert_eq!(alice.all().await, [task]);
}

async fn bodies_of_other_types_are_415(server: Server) {
    let alice = server.user("alice");
    let body = r#"{"title":"x"}"#;
    for media in ["text/plain", "application/xml", "application/jsonx", "application/vnd.api+json", "json", ""] {
        let answer = alice.on(Method::POST, "").header("content-type", media).body(body).send().await;
        answer.problem(415, "unsupported-media-type");
    }
    alice.on(Method::POST, "").body(body).send().await.problem(415, "unsupported-media-type");
    let labelled = alice.on(Method::POST, "").text(body).header("content-encoding", "gzip");
    labelled.send().await.problem(415, "unsupported-media-type");
    for media in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x=y"] {
        alice.on(Method::POST, "").header("content-type", media).body(body).send().await.data(201);
    }
    assert_eq!(alice.all().await.len(), 3);
}

async fn bodies_over_64_kib_are_413(server: Server) {
    let alice = server.user("alice");
    let padded = |bytes: usize| format!(r#"{{"title":"x"{}}}"#, " ".repeat(bytes - 13));
    alice.on(Method::POST, "").text(padded(64 * 1024)).send().await.data(201);
    alice.on(Method::POST, "").text(padded(64 * 1024 + 1)).send().await.problem(413, "body-too-large");
    let pieces = (0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024]));
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    alice.on(Method::POST, "").text(stream).send().await.problem(413, "body-too-large");
    assert_eq!(alice.all().await.len(), 1);
}

async fn parameters_out_of_their_limits_are_named(server: Server) {
    let alice = server.user("alice");
    for (name, values) in [
        ("limit", ["0", "101", "-1", "1.0", "05", "%2B5", "", "abc", "1e1", "99999999999999999999", "%FF"].as_slice()),
        ("is_completed", ["", "1", "TRUE", "yes", "null"].as_slice()),
        ("include_total", ["", "1", "True"].as_slice()),
    ] {
        for value in values {
            let answer = alice.list(&format!("?{name}={value}")).await;
            assert_eq!(answer.parameters(), [("query".to_owned(), name.to_owned())], "{name}={value}");
        }
    }
    for limit in ["1", "100"] {
        assert_eq!(alice.list(&format!("?limit={limit}")).await.status, 200);
    }
}

async fn unknown_and_repeated_parameters_are_refused(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    let query = |name: &str| ("query".to_owned(), name.to_owned());
    assert_eq!(alice.list("?is_complete=true").await.parameters(), [query("is_complete")]);
    assert_eq!(alice.list("?limit=5&limit=6").await.parameters(), [query("limit")]);
    assert_eq!(alice.list("?LIMIT=5&a=1&a=2").await.parameters(), [query("LIMIT"), query("a")]);
    assert_eq!(alice.list("?is_completed=true&is_completed=true").await.parameters(), [query("is_completed")]);
    assert_eq!(alice.list("?limit[]=5").await.parameters(), [query("limit[]")]);
    assert_eq!(alice.list("?").await.status, 200);
    assert_eq!(alice.get(&format!("{}?x=1", id(&task))).await.parameters(), [query("x")]);
    let answer = alice.on(Method::DELETE, &format!("/{}?force=true", id(&task))).send().await;
    assert_eq!(answer.parameters(), [query("force")]);
    let answer = alice.on(Method::POST, "?x=1").json(&json!({ "title": "x" })).send().await;
    assert_eq!(answer.parameters(), [query("x")]);
    assert_eq!(alice.to(Method::GET, "/livez?x=1").send().await.parameters(), [query("x")]);
    assert_eq!(alice.all().await, [task]);
}

async fn thousands_of_faults_are_told_in_few_words(server: Server) {
    let alice = server.user("alice");
    let query = (0..4_000).map(|n: u32| n.to_string()).collect::<Vec<_>>().join("&");
    for answer in [
        alice.list(&format!("?{query}")).await,
        server.nobody().to(Method::GET, &format!("/livez?{query}")).send().await,
        alice.post((0..5000).map(|n| (n.to_string(), Value::Null)).collect()).await,
    ] {
        let problem = answer.problem(400, "invalid-request");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 20);
        assert!(answer.body.len() < 4096);
    }
}

async fn ids_in_other_spellings_are_refused(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    let id = id(&task);
    let spellings = [
        "1".to_owned(),
        "not-a-uuid".to_owned(),
        id.replace('-', ""),
        format!("%7B{id}%7D"),
        format!("urn:uuid:{id}"),
        format!("{id}x"),
        format!("%20{id}"),
        format!("{id}%00"),
        "%00".to_owned(),
        "%FF".to_owned(),
        "%2F".to_owned(),
        "..%2F..".to_owned(),
        "x".repeat(5000),
    ];
    for spelling in spellings {
        for (method, below) in [(Method::GET, ""), (Method::DELETE, ""), (Method::PATCH, "/complete")] {
            let answer = alice.on(method, &format!("/{spelling}{below}")).send().await;
            assert_eq!(answer.parameters(), [("path".to_owned(), "id".to_owned())], "{spelling}");
        }
    }
    assert_eq!(alice.all().await, [task]);
}

async fn users_in_odd_spellings_are_refused_or_other_people(server: Server) {
    let alice = server.user("alice");
    for user in ["%00", "alice%00", "a%0Ab", "%7F", "%FF", &"x".repeat(256)] {
        let answer = alice.to(Method::GET, &format!("/api/{user}/tasks")).send().await;
        assert_eq!(answer.parameters(), [("path".to_owned(), "user_id".to_owned())], "{user}");
    }
    for user in ["Alice", "alice%20", "ALICE", "bob", "ME", "al%2Fice", "%61lice%2F", &"x".repeat(255)] {
        alice.to(Method::GET, &format!("/api/{user}/tasks")).send().await.problem(403, "user-mismatch");
    }
    assert_eq!(alice.to(Method::GET, "/api/%61lice/tasks").send().await.status, 200);
    // Subjects that differ only in spelling are separate people.
    for user in ["Alice", "alice ", "é", "e\u{301}", "alice/", "a%2Fb", &"y".repeat(255)] {
        let person = server.user(user);
        let task = person.create("mine").await;
        assert_eq!(task["user_id"], *user);
        assert_eq!(person.all().await, [task]);
    }
    assert!(alice.all().await.is_empty());
}

async fn cursors_that_the_server_did_not_make_are_refused(server: Server) {
    let alice = server.user("alice");
    alice.create("1").await;
    alice.create("2").await;
    let answer = alice.list("?limit=1").await;
    let cursor = answer.json()["meta"]["next_cursor"].as_str().unwrap().to_owned();
    let forged = [
        String::new(),
        "x".to_owned(),
        "é".to_owned(),
        "%00".to_owned(),
        cursor[1..].to_owned(),
        cursor.to_uppercase(),
        format!("z{}", &cursor[1..]),
        format!("{cursor}0"),
        cursor[..cursor.len() - 1].to_owned(),
        "019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70".to_owned(),
        "0".repeat(6000),
    ];
    for cursor in forged {
        let answer = alice.list(&format!("?cursor={cursor}")).await;
        assert_eq!(answer.parameters(), [("query".to_owned(), "cursor".to_owned())], "{cursor}");
    }
}
