//! Awkward input: each is refused with a problem that names what to change, or taken exactly as it is.

use std::time::Duration;

use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{id, whole};
use crate::server::Server;

on_each_engine!(
    titles_that_break_the_rule_are_refused_by_name,
    titles_at_the_edge_of_the_rule_are_taken,
    titles_of_version_0_1_0_stay_readable,
    every_missing_and_unknown_member_is_named,
    members_that_the_server_sets_are_refused_by_name,
    wrong_types_are_named_by_their_pointer,
    duplicate_members_are_refused,
    bodies_that_are_no_json_object_are_refused,
    null_is_no_body_where_none_is_needed,
    a_missing_body_is_asked_for,
    bodies_of_other_types_are_415,
    what_is_read_is_said_with_each_415,
    bodies_over_64_kib_are_413,
    what_the_headers_refuse_is_not_asked_for,
    parameters_out_of_their_limits_are_named,
    unknown_and_repeated_parameters_are_refused,
    thousands_of_faults_are_told_in_few_words,
    bodies_that_are_made_to_be_refused_are_refused_as_any,
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
        r#""\u00a0\u3000\u1680""#.to_owned(),
        r#""a byte order mark \ufeff inside""#.to_owned(),
        r#""a line separator \u2028 inside""#.to_owned(),
        r#""x\u2029""#.to_owned(),
        r#""\ufeffx""#.to_owned(),
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
                .text(whole("T", true).to_string().replace("\"T\"", &title)),
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

/// Version 0.1.0 took U+2028, U+2029 and U+FEFF in titles.
async fn titles_of_version_0_1_0_stay_readable(server: Server) {
    let alice = server.user("alice");
    let database = sea_orm::Database::connect(server.direct()).await.unwrap();
    for title in ["a\u{2028}b", "\u{FEFF}Buy milk", "x\u{2029}", "\u{2028}\u{FEFF}x\u{3000}"] {
        let task = alice.create("made before").await;
        let set = format!("UPDATE tasks SET title = '{title}' WHERE title = 'made before'");
        assert_eq!(database.execute_unprepared(&set).await.unwrap().rows_affected(), 1);
        // Each answer is judged by the document.
        assert_eq!(alice.get(id(&task)).await.data(200)["title"], *title);
        assert_eq!(alice.list("?limit=1").await.data(200)[0]["title"], *title);
        let done = alice.complete(id(&task), None).await.data(200).clone();
        assert_eq!((&done["title"], &done["version"]), (&json!(title), &json!(2)));
        assert_eq!(alice.patch(id(&task), json!({ "title": title })).await.pointers(), ["/title"], "{title:?}");
        assert_eq!(alice.patch(id(&task), json!({ "title": "new" })).await.data(200)["title"], "new");
    }
    database.close().await.unwrap();
}

async fn every_missing_and_unknown_member_is_named(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    assert_eq!(alice.post(json!({})).await.pointers(), ["/title"]);
    let members = ["/title", "/description", "/due_date", "/due_time", "/priority", "/tags", "/is_completed"];
    assert_eq!(alice.put(id(&task), json!({})).await.pointers(), members);
    for member in members {
        let mut body = whole("x", true);
        body.as_object_mut().unwrap().remove(&member[1..]);
        let answer = alice.put(id(&task), body).await;
        assert_eq!(answer.pointers(), [member]);
        assert!(answer.problem(400, "invalid-request")["detail"].as_str().unwrap().contains("PATCH"));
    }
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
    for name in ["id", "user_id", "completed_at", "created_at", "updated_at", "version", "etag"] {
        let mut body = json!({ "title": "x" });
        body[name] = task[name].clone();
        let patched = alice.patch(id(&task), body.clone()).await;
        // A draft may bring its own id.
        let drafted = if name == "id" { None } else { Some(alice.post(body.clone()).await) };
        for answer in [patched].into_iter().chain(drafted) {
            let problem = answer.problem(400, "invalid-request");
            assert_eq!(problem["errors"][0]["pointer"], format!("/{name}"));
            assert!(problem["detail"].as_str().unwrap().contains("set by the server"), "{problem}");
        }
    }
    let whole = alice.put(id(&task), task.clone()).await;
    assert_eq!(whole.pointers().len(), 7, "a task cannot be put back as it was got");
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
        let put = whole("x", wrong.clone());
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
        ] {
            assert_eq!(answer.pointers(), [""], "{body}");
        }
        if body != "null" {
            let complete = alice.on(Method::PATCH, &format!("/{}/complete", id(&task)));
            assert_eq!(complete.text(body).send().await.pointers(), [""], "{body}");
        }
    }
    let malformed =
        ["{", "{]", r#"{"title"}"#, r#"{"title":"x"}}"#, r#"{"title":"x"} x"#, "{'title':'x'}", "\u{FEFF}{}", "NaN"];
    for body in malformed {
        alice.on(Method::POST, "").text(body).send().await.problem(400, "malformed-json");
    }
    let deep = "[".repeat(10_000);
    alice.on(Method::POST, "").text(format!(r#"{{"title":{deep}"#)).send().await.problem(400, "malformed-json");
    assert_eq!(alice.all().await, [task]);
}

/// Clients in Go and Rust send `null` for no body.
async fn null_is_no_body_where_none_is_needed(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    let complete = || alice.on(Method::PATCH, &format!("/{}/complete", id(&task)));
    let inside = json!({ "is_completed": null });
    assert_eq!(alice.complete(id(&task), Some(inside)).await.pointers(), ["/is_completed"]);
    for body in ["nul", "NULL", "\"null\"", "[null]", "null null", "null,", "\u{a0}null"] {
        assert_eq!(complete().text(body).send().await.status, 400, "{body:?}");
    }
    // Without a type it is a body of no type, as any other.
    complete().body("null").send().await.problem(415, "unsupported-media-type");
    assert_eq!(alice.all().await, std::slice::from_ref(&task));
    for body in ["null", "null\n", " \t\r\n null \n", "", "\n"] {
        alice.complete(id(&task), Some(json!({ "is_completed": false }))).await.data(200);
        assert_eq!(complete().text(body).send().await.data(200)["is_completed"], true, "{body:?}");
    }
}

async fn a_missing_body_is_asked_for(server: Server) {
    let alice = server.user("alice");
    let one = format!("/{}", id(&alice.create("before").await));
    let none = || reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>("")]));
    for (method, below) in [
        (Method::POST, ""),
        (Method::PUT, &*one),
        (Method::PATCH, &one),
        (Method::POST, "/bulk-create"),
        (Method::POST, "/bulk-complete"),
        (Method::POST, "/bulk-delete"),
    ] {
        let call = || alice.on(method.clone(), below);
        for call in [
            call(),
            call().header("content-length", "0"),
            call().header("content-type", "text/plain"),
            call().body(none()),
            call().header("content-encoding", "gzip"),
            call().text(""),
            call().text(" "),
            call().text("\r\n\t "),
            call().text(none()),
        ] {
            let answer = call.send().await;
            let problem = answer.problem(400, "invalid-request");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.starts_with("The body is required"), "{method} {below}: {detail}");
            assert!(detail.contains("application/json"), "{method} {below}: {detail}");
            assert_eq!(answer.pointers(), [""]);
        }
    }
}

async fn bodies_of_other_types_are_415(server: Server) {
    let alice = server.user("alice");
    let body = r#"{"title":"x"}"#;
    for media in ["text/plain", "application/xml", "application/jsonx", "application/vnd.api+json", "json", ""] {
        let answer = alice.on(Method::POST, "").header("content-type", media).body(body).send().await;
        answer.problem(415, "unsupported-media-type");
    }
    alice.on(Method::POST, "").body(body).send().await.problem(415, "unsupported-media-type");
    for coding in ["gzip", "identity, gzip", "br", ""] {
        let labelled = alice.on(Method::POST, "").text(body).header("content-encoding", coding);
        labelled.send().await.problem(415, "unsupported-media-type");
    }
    alice.on(Method::POST, "").text(body).header("content-encoding", "Identity").send().await.data(201);
    for media in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;x=y"] {
        alice.on(Method::POST, "").header("content-type", media).body(body).send().await.data(201);
    }
    assert_eq!(alice.all().await.len(), 4);
    // Only an empty body has no type.
    let task = alice.create("y").await;
    let complete = || alice.on(Method::PATCH, &format!("/{}/complete", id(&task)));
    let pieces = |pieces: &'static [&'static str]| {
        reqwest::Body::wrap_stream(futures_util::stream::iter(
            pieces.iter().map(|piece| Ok::<_, std::io::Error>(*piece)),
        ))
    };
    complete().body("{}").send().await.problem(415, "unsupported-media-type");
    complete().body(pieces(&["", "{}"])).send().await.problem(415, "unsupported-media-type");
    complete().body("").header("content-type", "text/plain").send().await.data(200);
    complete().body(pieces(&[""])).send().await.data(200);
}

async fn what_is_read_is_said_with_each_415(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    let one = format!("/{}", id(&task));
    let (json, both) = ("application/json", "application/json, application/merge-patch+json");
    for (method, below, accept, is_patch) in [
        (Method::POST, "", json, false),
        (Method::PUT, &*one, json, false),
        (Method::PATCH, &one, both, true),
        (Method::PATCH, &format!("{one}/complete"), json, true),
        (Method::POST, "/bulk-create", json, false),
        (Method::POST, "/bulk-complete", json, false),
        (Method::POST, "/bulk-delete", json, false),
    ] {
        let call = || alice.on(method.clone(), below).body("{}");
        let header = |answer: &crate::client::Answer, name: &str| {
            answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let typed = call().header("content-type", "text/plain").send().await;
        let problem = typed.problem(415, "unsupported-media-type");
        assert!(problem["detail"].as_str().unwrap().contains(json), "{problem}");
        assert_eq!(header(&typed, "accept").as_deref(), Some(accept), "{method} {below}");
        assert_eq!(header(&typed, "accept-patch").as_deref(), is_patch.then_some(accept), "{method} {below}");
        assert_eq!(header(&typed, "accept-encoding"), None);
        let compressed = call().header("content-type", json).header("content-encoding", "gzip").send().await;
        let problem = compressed.problem(415, "unsupported-media-type");
        assert!(problem["detail"].as_str().unwrap().contains("Content-Encoding"), "{problem}");
        assert_eq!(header(&compressed, "accept-encoding").as_deref(), Some("identity"), "{method} {below}");
        assert_eq!((header(&compressed, "accept"), header(&compressed, "accept-patch")), (None, None));
    }
}

/// A client that waits for `100 Continue` sends no body in vain (RFC 9110 §10.1.1).
async fn what_the_headers_refuse_is_not_asked_for(server: Server) {
    let alice = server.user("alice");
    let complete = format!("PATCH /api/alice/tasks/{}/complete", id(&alice.create("x").await));
    let token = format!("Authorization: Bearer {}\r\n", server.token("alice"));
    let json = "Content-Type: application/json\r\n";
    let ask = async |line: &str, headers: &str, length: u64| {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: tasks\r\nExpect: 100-continue\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 64];
        let read = timeout(Duration::from_secs(5), stream.read(&mut answer)).await.expect("an answer").unwrap();
        String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned()
    };
    let create = "POST /api/alice/tasks";
    let bulk = "POST /api/alice/tasks/bulk-delete";
    let readable = format!("{token}{json}");
    for (line, headers, length, answer) in [
        (create, &*readable, 64 * 1024 + 1, "HTTP/1.1 413 "),
        (create, &readable, 1 << 60, "HTTP/1.1 413 "),
        (&complete, &readable, 64 * 1024 + 1, "HTTP/1.1 413 "),
        (bulk, &readable, (2 << 20) + 1, "HTTP/1.1 413 "),
        (create, &token, 13, "HTTP/1.1 415 "),
        (&complete, &token, 13, "HTTP/1.1 415 "),
        (create, &format!("{readable}Content-Encoding: gzip\r\n"), 13, "HTTP/1.1 415 "),
        (create, json, 13, "HTTP/1.1 401 "),
        (create, &format!("{readable}If-Match: *\r\n"), 13, "HTTP/1.1 400 "),
        ("POST /api/alice/tasks?x=1", &readable, 13, "HTTP/1.1 400 "),
        ("POST /api/alice/tasks/nothing/here", &readable, 13, "HTTP/1.1 404 "),
        (create, &readable, 64 * 1024, "HTTP/1.1 100 "),
        (bulk, &readable, 2 << 20, "HTTP/1.1 100 "),
    ] {
        let said = ask(line, headers, length).await;
        assert!(said.starts_with(answer), "{line} with {headers:?} and {length} bytes: {said}");
    }
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

/// `tests/cost` bounds what they cost.
async fn bodies_that_are_made_to_be_refused_are_refused_as_any(server: Server) {
    let alice = server.user("alice");
    let many = |part: &str| vec![part; 500_000 / (part.len() + 1)].join(",");
    let send = async |below: &str, body: String| {
        let answer = alice.on(Method::POST, below).text(body).send().await;
        assert!(answer.body.len() < 8192, "{}", answer.body.len());
        answer
    };
    for part in ["1", "{}", r#"{"":0}"#, r#"{"id":1}"#, r#"{"title":"x"}"#, "[[]]", "null"] {
        for verb in ["create", "complete", "delete"] {
            let answer = send(&format!("/bulk-{verb}"), format!(r#"{{"tasks":[{}]}}"#, many(part))).await;
            assert_eq!(answer.pointers(), ["/tasks"], "{verb} {part}");
            let problem = answer.json();
            assert_eq!(problem["detail"], "/tasks must have 1 to 100 entries, not more.");
        }
    }
    // Members by the thousand: unknown ones, one unknown, one known.
    let thousands = (0..25_000).map(|n| format!(r#""m{n}":[{n}]"#)).collect::<Vec<_>>().join(",");
    let answer = send("/bulk-create", format!("{{{thousands}}}")).await;
    assert_eq!((answer.pointers().len(), &*answer.pointers()[1]), (20, "/m0"));
    assert_eq!(send("/bulk-create", format!("{{{}}}", many(r#""x":{}"#))).await.pointers(), ["/tasks", "/x"]);
    assert_eq!(send("/bulk-create", format!("{{{}}}", many(r#""tasks":1"#))).await.pointers(), ["/tasks"]);
    let entry = format!(r#"{{"tasks":[{{"title":"x","title":0,{}}}]}}"#, many(r#""title":"x""#));
    assert_eq!(send("/bulk-create", entry).await.pointers(), ["/tasks/0/title"]);
    // Texts and names as long as the body; lists where a value is meant.
    let long = "n".repeat(500_000);
    let name = send("/bulk-create", format!(r#"{{"tasks":[{{"{long}":0}}]}}"#)).await.pointers();
    assert_eq!(name, ["/tasks/0/title".to_owned(), format!("/tasks/0/{}…", &long[..100])]);
    let title = send("/bulk-create", format!(r#"{{"tasks":[{{"title":"{long}"}}]}}"#)).await;
    assert_eq!(title.pointers(), ["/tasks/0/title"]);
    let version = format!(r#"{{"tasks":[{{"id":"{long}","version":[{}]}}]}}"#, many("1").split_at(9).0);
    assert_eq!(send("/bulk-delete", version).await.pointers(), ["/tasks/0/id", "/tasks/0/version"]);
    let version = format!(r#"{{"tasks":[{{"id":[],"version":[{}]}}]}}"#, many("1"));
    assert_eq!(send("/bulk-delete", version).await.pointers(), ["/tasks/0/id", "/tasks/0/version"]);
    // What is passed over must be JSON all the same.
    let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
    for broken in [&*deep, "1e999", r#""\ud800""#, "01", "[1,]", "{\"a\":}", "'x'"] {
        for body in [
            format!(r#"{{"other":{broken}}}"#),
            format!(r#"{{"tasks":[{{"title":{broken}}}]}}"#),
            format!(r#"{{"tasks":[{}{{"title":"x","other":{broken}}}]}}"#, "1,".repeat(99)),
        ] {
            send("/bulk-create", body).await.problem(400, "malformed-json");
        }
    }
    // What was sent does not pass for what was expected.
    let text = send("/bulk-delete", r#"{"tasks":[{"id":5,"version":", expected x at line 1"}]}"#.to_owned()).await;
    assert_eq!(text.json()["errors"][1]["detail"], "must be a whole number from 1 to 9000000000000000, not a string");
    assert!(alice.all().await.is_empty());
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
