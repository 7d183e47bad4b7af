//! What pages of other origins may send and read.

use reqwest::Method;

use crate::client::{Answer, Client, id};
use crate::server::Server;

on_each_engine!(a_listed_origin_may_call_and_read, other_origins_get_no_permission);

/// What a browser asks before a page's call.
async fn preflight(client: &Client, origin: &str, headers: &str) -> Answer {
    let call = client.to(Method::OPTIONS, "/api/me/tasks").header("origin", origin);
    let call = call.header("access-control-request-method", "PATCH");
    if headers.is_empty() { call } else { call.header("access-control-request-headers", headers) }.send().await
}

/// The names that a list in a header has, in lower case.
fn names(answer: &Answer, header: &str) -> Vec<String> {
    let values = answer.headers.get_all(header).iter().flat_map(|value| value.to_str().unwrap().split(','));
    values.map(|name| name.trim().to_ascii_lowercase()).collect()
}

/// Whether a browser would let a page with credentials send these headers and read the answer.
fn may_send(preflight: &Answer, origin: &str, headers: &str) -> bool {
    let allowed = names(preflight, "access-control-allow-headers");
    preflight.status == 204
        && preflight.header("access-control-allow-origin") == origin
        && preflight.header("access-control-allow-credentials") == "true"
        && headers.split(',').all(|name| allowed.contains(&name.trim().to_ascii_lowercase()))
}

async fn a_listed_origin_may_call_and_read(server: Server) {
    let alice = server.user("alice");
    let origin = "https://app.example";
    let asked = preflight(&server.nobody(), origin, "authorization,content-type").await;
    assert!(may_send(&asked, origin, "authorization,content-type"), "{asked:?}");
    assert!(asked.header("access-control-allow-methods").contains("PATCH"));
    assert!(asked.header("access-control-allow-headers").contains("Authorization"));
    let varies = ["origin", "access-control-request-method", "access-control-request-headers"];
    assert_eq!(names(&asked, "vary"), varies);
    let task = alice.create("x").await;
    for (path, status) in [(id(&task).to_owned(), 200), ("x".to_owned(), 400)] {
        let answer = alice.on(Method::GET, &format!("/{path}")).header("origin", origin).send().await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        let exposed = "ETag, Location, Idempotency-Replayed, Retry-After, X-Request-Id, Allow, WWW-Authenticate, RateLimit, \
                       RateLimit-Policy, Server-Timing, Accept-Encoding, Accept-Patch, Content-Disposition, Date, Link";
        assert_eq!(answer.header("access-control-expose-headers"), exposed);
        assert!(names(&answer, "vary").contains(&"origin".to_owned()));
    }
}

async fn other_origins_get_no_permission(server: Server) {
    let alice = server.user("alice");
    for origin in [
        "https://evil.example",
        "https://app.example.evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://APP.example",
        "https://app.example/",
        "null",
    ] {
        let answer = alice.on(Method::GET, "").header("origin", origin).send().await;
        assert_eq!(answer.status, 200, "the browser refuses, not the server: it may be the server's own page");
        let asked = preflight(&server.nobody(), origin, "authorization").await;
        asked.problem(405, "method-not-allowed");
        for answer in [answer, asked] {
            let permits = answer.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(permits, None, "{origin}");
            assert!(names(&answer, "vary").contains(&"origin".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_listed_page_may_send_whatever_it_asks_for_that_is_no_credential() {
    let server = Server::on_sqlite().await;
    let origin = "http://localhost:3000";
    for asked in [
        "sentry-trace,baggage",
        "authorization,traceparent,tracestate",
        "x-requested-with",
        "cache-control,pragma",
        "x-datadog-trace-id,x-datadog-parent-id,x-datadog-origin",
        "X-B3-TraceId, if-match",
    ] {
        let answer = preflight(&server.nobody(), origin, asked).await;
        assert!(may_send(&answer, origin, asked), "{asked}: {answer:?}");
    }
    for refused in ["cookie", "proxy-authorization", "host", "sec-fetch-site", "content-length", "origin"] {
        let answer = preflight(&server.nobody(), origin, &format!("baggage,{refused}")).await;
        assert!(may_send(&answer, origin, "baggage"));
        assert!(!names(&answer, "access-control-allow-headers").contains(&refused.to_owned()), "{refused}");
    }
    let many = (0..200).map(|n| format!("x-{n}")).collect::<Vec<_>>().join(",");
    let answer = preflight(&server.nobody(), origin, &many).await;
    assert!(answer.header("access-control-allow-headers").len() < 200, "what is asked for is bounded");
}

#[tokio::test]
async fn a_star_stands_for_one_label() {
    let list = "https://*.example.com, https://app-*.example.app";
    let server = Server::given(&[("CORS_ALLOWED_ORIGINS", list)]).await;
    for origin in ["https://a.example.com", "https://app-git-main-team.example.app"] {
        assert!(may_send(&preflight(&server.nobody(), origin, "baggage").await, origin, "baggage"), "{origin}");
    }
    for origin in [
        "https://example.com",
        "https://a.b.example.com",
        "https://evil.com/.example.com",
        "https://evil.com:1.example.com",
        "https://a.example.com:8443",
        "http://a.example.com",
        "https://A.example.com",
        "https://a.example.com.evil.com",
        "https://app-.example.app",
        "https://app-1.evil.example.app",
        "https://other.example.app",
        "null",
    ] {
        let answer = preflight(&server.nobody(), origin, "baggage").await;
        answer.problem(405, "method-not-allowed");
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{origin}");
    }
}

#[tokio::test]
async fn every_site_may_call_but_none_with_credentials() {
    let server = Server::given(&[("CORS_ALLOWED_ORIGINS", "*")]).await;
    let asked = preflight(&server.nobody(), "https://anybody.example", "baggage").await;
    assert!(names(&asked, "access-control-allow-headers").contains(&"baggage".to_owned()));
    let answer = server.user("alice").on(Method::GET, "").header("origin", "https://anybody.example").send().await;
    for answer in [asked, answer] {
        assert_eq!(answer.header("access-control-allow-origin"), "https://anybody.example");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
}
