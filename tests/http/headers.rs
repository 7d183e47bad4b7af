//! What every answer tells browsers not to do with it.

use reqwest::Method;

use crate::client::{Answer, id};
use crate::server::Server;

/// An answer of each kind, with what was asked.
async fn answers(server: &Server) -> Vec<(String, Answer)> {
    let (alice, nobody) = (server.user("alice"), server.nobody());
    let task = alice.create("x").await;
    let tag = alice.get(id(&task)).await.header("etag").to_owned();
    let page_tag = nobody.to(Method::GET, "/docs").send().await.header("etag").to_owned();
    let own = |below: &str| alice.path(below);
    let mut answers = Vec::new();
    for (method, path) in [
        ("GET", own("")),
        ("GET", own(&format!("/{}", id(&task)))),
        ("HEAD", own("")),
        ("GET", own("?limit=0")),
        ("POST", own("")),
        ("GET", "/api/bob/tasks".to_owned()),
        ("GET", own("/019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70")),
        ("PUT", own("")),
        ("OPTIONS", own("")),
        ("GET", "/livez".to_owned()),
        ("GET", "/readyz".to_owned()),
        ("GET", "/".to_owned()),
        ("GET", "/docs".to_owned()),
        ("GET", "/docs/".to_owned()),
        ("GET", "/docs/reference".to_owned()),
        ("GET", "/docs/start.js".to_owned()),
        ("GET", "/docs/swagger-ui.css".to_owned()),
        ("GET", "/docs/swagger-ui.js".to_owned()),
        ("GET", "/openapi.json".to_owned()),
        ("GET", "/openapi.yaml".to_owned()),
        ("GET", "/problems".to_owned()),
        ("GET", "/problems/task-not-found".to_owned()),
        ("GET", "/problems/nothing".to_owned()),
        ("POST", "/docs".to_owned()),
        ("GET", "/nothing".to_owned()),
        ("GET", "//".to_owned()),
    ] {
        let answer = alice.to(method.parse().unwrap(), &path).send().await;
        answers.push((format!("{method} {path}"), answer));
    }
    answers.push(("without a token".to_owned(), nobody.on(Method::GET, "").send().await));
    for (path, tag) in [(own(&format!("/{}", id(&task))), tag), ("/docs".to_owned(), page_tag)] {
        let answer = alice.to(Method::GET, &path).header("if-none-match", &tag).send().await;
        assert_eq!(answer.status, 304);
        answers.push((format!("{path} again"), answer));
    }
    let preflight = nobody.to(Method::OPTIONS, "/api/me/tasks").header("access-control-request-method", "GET");
    answers.push(("preflight".to_owned(), preflight.header("origin", "https://app.example").send().await));
    let text = alice.on(Method::POST, "").header("content-type", "text/plain").body("x");
    answers.push(("another type".to_owned(), text.send().await));
    answers.push(("deletion".to_owned(), alice.delete(id(&task)).await));
    answers
}

/// The only value of a header.
fn only(answer: &Answer, name: &str) -> Option<String> {
    let mut values = answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned());
    let value = values.next();
    assert_eq!(values.next(), None, "{name} twice");
    value
}

#[tokio::test]
async fn no_answer_is_sniffed_framed_or_tells_where_a_reader_came_from() {
    let server = Server::on_sqlite().await;
    let answers = answers(&server).await;
    let statuses: std::collections::BTreeSet<_> = answers.iter().map(|(_, answer)| answer.status).collect();
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [200, 204, 304, 308, 400, 401, 403, 404, 405, 415]);
    for (what, answer) in &answers {
        assert_eq!(only(answer, "x-content-type-options").as_deref(), Some("nosniff"), "{what}");
        assert_eq!(only(answer, "referrer-policy").as_deref(), Some("no-referrer"), "{what}");
        let policy = only(answer, "content-security-policy").unwrap_or_default();
        assert!(policy.split(';').any(|part| part.trim() == "frame-ancestors 'none'"), "{what}: {policy}");
        // A page's policy is whole, also where a cache takes a 304's for it.
        let is_page = what.contains("/docs") && answer.status < 308;
        assert_eq!(policy.contains("default-src 'none'"), is_page || policy.len() > 30, "{what}: {policy}");
        assert_eq!(only(answer, "strict-transport-security"), None, "{what}");
        assert!(only(answer, "cache-control").is_some() || what.contains("livez") || what == "preflight", "{what}");
    }
}

#[tokio::test]
async fn browsers_are_kept_on_https_where_the_world_finds_the_server_there() {
    let server = Server::given(&[("PUBLIC_URL", "https://example.com")]).await;
    for (what, answer) in answers(&server).await {
        let kept = only(&answer, "strict-transport-security");
        assert_eq!(kept.as_deref(), Some("max-age=31536000"), "{what}");
    }
    let server = Server::given(&[("PUBLIC_URL", "http://localhost:9000")]).await;
    for (what, answer) in answers(&server).await {
        assert_eq!(only(&answer, "strict-transport-security"), None, "{what}");
    }
}
