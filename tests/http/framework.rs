//! What the framework refuses, request ids, probes: the same words everywhere.

use reqwest::Method;
use serde_json::json;

use crate::server::Server;

on_each_engine!(
    answers_tell_their_time_where_that_is_set,
    unknown_paths_are_404_before_any_token,
    unknown_methods_are_405_with_what_is_allowed,
    checks_come_in_the_promised_order,
    a_request_id_is_taken_or_made,
    probes_answer_without_a_token,
);

async fn unknown_paths_are_404_before_any_token(server: Server) {
    let nobody = server.nobody();
    let paths = [
        "/api",
        "/api/",
        "/api/alice/nothing",
        "/api/alice/tasks/",
        "/api/alice/tasks/x/y",
        "/api//tasks",
        "/API/alice/tasks",
        "/nothing",
        "/api/alice/tasks/x/complete/",
        "/docs/nothing",
        "/problems/nothing",
        "/.env",
        "//",
        "/livez/",
        "/api/alice/tasks/%2e%2e",
    ];
    for path in paths {
        let answer = nobody.to(Method::GET, path).send().await;
        if path.contains("%2e") {
            // A client resolves the dots; what is left is `/api/alice/`.
            answer.problem(404, "path-not-found");
            continue;
        }
        let problem = answer.problem(404, "path-not-found");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(problem.get("errors").is_none());
    }
}

async fn unknown_methods_are_405_with_what_is_allowed(server: Server) {
    let nobody = server.nobody();
    let table = [
        (Method::DELETE, "/api/alice/tasks", "GET, HEAD, POST"),
        (Method::PUT, "/api/alice/tasks", "GET, HEAD, POST"),
        (Method::OPTIONS, "/api/alice/tasks", "GET, HEAD, POST"),
        (Method::POST, "/api/alice/tasks/1", "GET, HEAD, PUT, PATCH, DELETE"),
        (Method::TRACE, "/api/alice/tasks/1", "GET, HEAD, PUT, PATCH, DELETE"),
        (Method::GET, "/api/alice/tasks/1/complete", "PATCH"),
        (Method::HEAD, "/api/alice/tasks/1/complete", "PATCH"),
        (Method::POST, "/livez", "GET, HEAD"),
        (Method::POST, "/docs", "GET, HEAD"),
        (Method::DELETE, "/openapi.json", "GET, HEAD"),
        (Method::PUT, "/problems/task-not-found", "GET, HEAD"),
        (Method::from_bytes(b"BREW").unwrap(), "/api/alice/tasks", "GET, HEAD, POST"),
    ];
    for (method, path, allow) in table {
        let answer = nobody.to(method.clone(), path).send().await;
        assert_eq!(answer.status, 405, "{method} {path}");
        let mut allowed: Vec<&str> = answer.header("allow").split(", ").collect();
        let mut expected: Vec<&str> = allow.split(", ").collect();
        allowed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(allowed, expected, "{method} {path}");
        if method != Method::HEAD {
            answer.problem(405, "method-not-allowed");
        }
    }
}

async fn checks_come_in_the_promised_order(server: Server) {
    let (alice, nobody) = (server.user("alice"), server.nobody());
    let bad = json!({ "titel": 5 });
    // The token (401) before the request (400, 413, 415).
    let path = "/api/alice/tasks/not-a-uuid?x=1";
    nobody.to(Method::PUT, path).json(&bad).send().await.problem(401, "token-missing");
    nobody.on(Method::POST, "").text("x".repeat(70_000)).send().await.problem(401, "token-missing");
    // The request before the path's user (403).
    alice.to(Method::GET, "/api/bob/tasks?limit=0").send().await.problem(400, "invalid-request");
    alice.to(Method::POST, "/api/bob/tasks").json(&bad).send().await.problem(400, "invalid-request");
    alice.to(Method::POST, "/api/bob/tasks").body("x").send().await.problem(415, "unsupported-media-type");
    alice.to(Method::GET, "/api/bob/tasks/1").send().await.problem(400, "invalid-request");
    let mixed = "/api/bob/tasks?is_completed=true&cursor=a019c13be7ac07a439f5b2d6c8e1f4a70";
    alice.to(Method::GET, mixed).send().await.problem(400, "invalid-request");
    // The path's user before storage (404).
    let absent = "/api/bob/tasks/019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70";
    alice.to(Method::GET, absent).send().await.problem(403, "user-mismatch");
}

async fn a_request_id_is_taken_or_made(server: Server) {
    let alice = server.user("alice");
    for own in ["a", "01-abc_~!\"", &"x".repeat(128)] {
        let answer = alice.on(Method::GET, "").header("x-request-id", own).send().await;
        assert_eq!(answer.header("x-request-id"), own);
        let refused = alice.on(Method::GET, "?limit=0").header("x-request-id", own).send().await;
        assert_eq!(refused.json()["request_id"], own);
    }
    let mut made = Vec::new();
    for foreign in ["", "two words", "é", &"x".repeat(129)] {
        let answer = alice.on(Method::GET, "").header("x-request-id", foreign).send().await;
        made.push(answer.header("x-request-id").to_owned());
        assert_ne!(made.last().unwrap(), foreign);
    }
    made.dedup();
    assert_eq!(made.len(), 4);
}

async fn probes_answer_without_a_token(server: Server) {
    for probe in ["/livez", "/readyz"] {
        for method in [Method::GET, Method::HEAD, Method::GET] {
            assert_eq!(server.nobody().to(method, probe).send().await.status, 200);
        }
    }
}

async fn answers_tell_their_time_where_that_is_set(server: Server) {
    assert!(!server.user("alice").list("").await.headers.contains_key("server-timing"));
    let telling = Server::given(&[("SERVER_TIMING", "true")]).await;
    let answer = telling.user("alice").list("").await;
    let parts: Vec<f64> = answer
        .header("server-timing")
        .split(", ")
        .zip(["db;dur=", "total;dur="])
        .map(|(part, name)| part.strip_prefix(name).unwrap().parse().unwrap())
        .collect();
    assert!(parts[0] > 0.0 && parts[0] < parts[1], "{parts:?}");
    let page = telling.nobody().to(Method::GET, "/livez").send().await;
    assert!(page.header("server-timing").starts_with("db;dur=0.000, total;dur="));
}
