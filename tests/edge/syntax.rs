//! Whom a request is for, and how long it is: what leaves either open is refused (RFC 9112 §3.2 and §6).

use crate::length::seconds;
use crate::raw::{Raw, ask, json};
use crate::server::{Server, TITLE};

pub(crate) async fn hosts_that_are_none_are_refused() {
    let server = Server::with(&[]).await;
    let table = [
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: x\r\nHost: y\r\n",
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nhost:\r\n",
        "Host: a b\r\n",
        "Host: a\tb\r\n",
        "Host: a, b\r\n",
        "Host: u@h\r\n",
        "Host: u:p@h\r\n",
        "Host: h/evil\r\n",
        "Host: h?evil\r\n",
        "Host: h#evil\r\n",
        "Host: http://h\r\n",
        "Host: h\\evil\r\n",
        "Host: <h>\r\n",
        "Host: \"h\"\r\n",
        "Host: h:port\r\n",
        "Host: h:80:80\r\n",
        "Host: h:99999\r\n",
        "Host: h:-1\r\n",
        "Host: :80\r\n",
        "Host: ::1\r\n",
        "Host: [::1\r\n",
        "Host: [::1]x\r\n",
        "Host: [::g]\r\n",
        "Host: []\r\n",
        "Host: h%zz\r\n",
        "Host: h\u{e9}\r\n",
    ];
    let mut wrong = Vec::new();
    for path in ["/livez", "/api/me/tasks", "/nothing", "http://x/livez"] {
        for headers in table {
            let mut raw = Raw::to(&server.address()).await;
            raw.send(format!("GET {path} HTTP/1.1\r\n{headers}\r\n")).await.unwrap();
            let answer = raw.answered(seconds(10)).await;
            // In whatever words; what no library lets through has none.
            if answer.status != 400 || !answer.body.is_empty() && answer.problem().is_empty() {
                wrong.push(format!("{path} {headers:?}: {}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{} are taken:\n{}", wrong.len(), wrong.join("\n"));
    // Those that every library lets through are told in a problem.
    for headers in ["", "Host: x\r\nHost: y\r\n", "Host: u@h\r\n"] {
        ask(&server, format!("GET /livez HTTP/1.1\r\n{headers}\r\n")).await.problem();
    }
}

pub(crate) async fn hosts_that_are_some_are_taken() {
    let server = Server::with(&[]).await;
    let table = [
        "GET /livez HTTP/1.0\r\n",
        "GET /livez HTTP/1.0\r\nHost: x\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\n",
        "GET /livez HTTP/1.1\r\nhost:x\r\n",
        "GET /livez HTTP/1.1\r\nHost:   x  \r\n",
        "GET /livez HTTP/1.1\r\nHost: x:8080\r\n",
        "GET /livez HTTP/1.1\r\nHost: x:\r\n",
        "GET /livez HTTP/1.1\r\nHost: a_b.example.\r\n",
        "GET /livez HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n",
        "GET /livez HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n",
        "GET /livez HTTP/1.1\r\nHost: [::1]\r\n",
        "GET /livez HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n",
        "GET /livez HTTP/1.1\r\nHost: [::ffff:192.0.2.1]:65535\r\n",
        "GET http://x/livez HTTP/1.1\r\nHost: x\r\n",
        "GET http://[::1]:8080/livez HTTP/1.1\r\nHost: [::1]:8080\r\n",
        // The target's own holds (RFC 9112 §3.2.2).
        "GET http://x/livez HTTP/1.1\r\nHost: y\r\n",
        "HEAD /livez HTTP/1.1\r\nHost: x\r\n",
    ];
    for text in table {
        let mut raw = Raw::to(&server.address()).await;
        raw.send(format!("{text}Connection: close\r\n\r\n")).await.unwrap();
        let end = raw.end(seconds(10)).await;
        assert!(text.starts_with("HEAD") || end == crate::raw::End::Answered(200), "{text:?}: {end:?}");
    }
}

pub(crate) async fn codings_other_than_chunked_are_refused() {
    let server = Server::with(&[]).await;
    let token = server.token("alice");
    let body = format!(r#"{{"title":"{TITLE}"}}"#);
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let post = |version: &str, codings: &str| {
        let headers = json(&token);
        format!("POST /api/me/tasks HTTP/1.{version}\r\nHost: x\r\n{headers}{codings}\r\n{chunks}")
    };
    // The first of them every library lets through: they are told in a problem.
    let table = [
        ("1", "Transfer-Encoding: gzip, chunked\r\n"),
        ("1", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        ("1", "Transfer-Encoding: chunked, chunked\r\n"),
        ("1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("1", "Transfer-Encoding: identity, chunked\r\n"),
        ("1", "Transfer-Encoding: chunked;q=1, chunked\r\n"),
        ("1", "Transfer-Encoding: identity\r\n"),
        ("1", "Transfer-Encoding: xchunked\r\n"),
        ("1", "Transfer-Encoding: chunked, gzip\r\n"),
        ("1", "Transfer-Encoding: chunked;q=1\r\n"),
        ("1", "Transfer-Encoding: \"chunked\"\r\n"),
        ("1", "Transfer-Encoding:\r\n"),
        ("0", "Transfer-Encoding: chunked\r\n"),
    ];
    let mut wrong = Vec::new();
    for (place, (version, codings)) in table.into_iter().enumerate() {
        let mut raw = Raw::to(&server.address()).await;
        raw.send(post(version, codings)).await.unwrap();
        let answer = raw.answered(seconds(10)).await;
        if !matches!(answer.status, 400 | 501) {
            wrong.push(format!("{codings:?}: {}", answer.status));
        } else if !raw.closes(seconds(5)).await {
            wrong.push(format!("{codings:?}: not closed"));
        } else if place < 6 || !answer.body.is_empty() {
            answer.problem();
        }
    }
    assert!(wrong.is_empty(), "{} are taken:\n{}", wrong.len(), wrong.join("\n"));
    for coding in ["chunked", "Chunked", " chunked "] {
        assert_eq!(ask(&server, post("1", &format!("Transfer-Encoding:{coding}\r\n"))).await.status, 201, "{coding:?}");
    }
    // The one answer to a request of two lengths is the last on its connection (RFC 9112 §6.3).
    let mut raw = Raw::to(&server.address()).await;
    raw.send(post("1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")).await.unwrap();
    let answer = raw.answered(seconds(10)).await;
    assert!(matches!(answer.status, 400 | 201), "{answer:?}");
    assert!(raw.closes(seconds(5)).await);
}
