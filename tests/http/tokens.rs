//! Tokens over HTTP: which are refused, with what code and challenge.

use std::time::Duration;

use reqwest::Method;
use tasks_api::UserId;
use tasks_server::identity::secret::{Secret, mint};

use crate::server::{SECRET, Server};

on_each_engine!(each_refusal_has_its_code_and_challenge, the_header_must_be_one_bearer_token);

async fn each_refusal_has_its_code_and_challenge(server: Server) {
    let good = server.token("alice");
    let other = Secret::new(b"another secret that is long enough".to_vec()).unwrap();
    let alice: UserId = "alice".parse().unwrap();
    let hour = Duration::from_hours(1);
    let (header, rest) = good.split_once('.').unwrap();
    let table = [
        ("x".to_owned(), "token-malformed"),
        ("a.b.c".to_owned(), "token-malformed"),
        (format!("{good}."), "token-malformed"),
        (format!("{header}.{header}.{}", "A".repeat(9000)), "token-signature"),
        (format!("{header}.{header}.{}", "A".repeat(16 * 1024)), "token-too-long"),
        (format!("{}.{rest}", "eyJhbGciOiJub25lIn0"), "token-algorithm"),
        (format!("{}.{rest}", "eyJhbGciOiJIUzUxMiJ9"), "token-algorithm"),
        (mint(&other, &alice, hour, None, None).unwrap(), "token-signature"),
    ];
    for (token, code) in table {
        let answer = server.with_token(&token).to(Method::GET, "/api/me/tasks").send().await;
        let problem = answer.problem(401, code).to_string();
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.starts_with(r#"Bearer realm="tasks-api", error="invalid_token", error_description=""#),
            "{challenge}"
        );
        assert!(!problem.contains(&token) || token == "x", "a problem never repeats the token");
    }
    assert_eq!(server.with_token(&good).to(Method::GET, "/api/me/tasks").send().await.status, 200);
    assert!(SECRET.len() >= 32);
}

async fn the_header_must_be_one_bearer_token(server: Server) {
    let (nobody, good) = (server.nobody(), server.token("alice"));
    let call = || nobody.to(Method::GET, "/api/me/tasks");
    for (value, code) in [
        ("Basic YWxpY2U6eA==".to_owned(), "token-scheme"),
        (good.clone(), "token-scheme"),
        (String::new(), "token-scheme"),
        ("Bearer".to_owned(), "token-scheme"),
        ("Bearer ".to_owned(), "token-scheme"),
        ("Bearer\t".to_owned() + &good, "token-scheme"),
        (format!("Bearer {good} {good}"), "token-malformed"),
        (format!("Bearer \"{good}\""), "token-malformed"),
    ] {
        call().header("authorization", &value).send().await.problem(401, code);
    }
    let twice = call().header("authorization", &format!("Bearer {good}")).header("authorization", "Bearer x");
    twice.send().await.problem(401, "token-malformed");
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(call().header("authorization", &format!("{scheme} {good}")).send().await.status, 200);
    }
    let in_query = nobody.to(Method::GET, &format!("/api/me/tasks?access_token={good}")).send().await;
    in_query.problem(401, "token-missing");
}
