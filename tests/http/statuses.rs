//! Every status that the document promises of an operation is one that the server answers.

use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::client::{Answer, id};
use crate::contract::{CONTRACT, Operation};
use crate::idempotency::TAKE_A_KEY;
use crate::request::{bare, body, request, with_query};
use crate::server::Server;

on_each_engine!(every_documented_status_is_answered);

/// The answer of this status, on a database of this server's; `None` where it cannot be had, for a reason that stands here.
/// A status without a line fails.
async fn provoke(server: &Server, operation: &Operation, status: u16) -> Option<Answer> {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    let valid = |task: &str| request(&alice, operation, "alice", task);
    let call = match status {
        200 | 201 | 204 => valid(id(&task)),
        304 => {
            let first = valid(id(&task)).send().await;
            valid(id(&task)).header("if-none-match", first.header("etag"))
        }
        400 => with_query(&alice, operation, "alice", id(&task), "?unknown=1"),
        401 => request(&server.nobody(), operation, "alice", id(&task)),
        403 => request(&server.user("bob"), operation, "alice", id(&task)),
        404 => valid(&Uuid::now_v7().to_string()),
        408 => {
            let impatient = Server::given(&[("REQUEST_TIMEOUT_SECONDS", "1")]).await;
            let alice = impatient.user("alice");
            let never = reqwest::Body::wrap_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
            return Some(bare(&alice, operation, "alice", id(&task)).text(never).send().await);
        }
        // One statement of SQLite's waits for another as a whole: a request sees a key of a request that has ended.
        409 if server.url().starts_with("sqlite") => return None,
        409 => {
            let mut other = PgConnection::connect(&server.direct()).await.unwrap();
            let begun = "BEGIN; INSERT INTO idempotency_keys VALUES \
                ('alice', $OPERATION, 'k409', decode(repeat('00', 32), 'hex'), decode(repeat('00', 16), 'hex'), now())";
            let begun = begun.replace("$OPERATION", &format!("'{}'", operation.id));
            sqlx::raw_sql(sqlx::AssertSqlSafe(begun)).execute(&mut other).await.unwrap();
            let answer = valid(id(&task)).header("idempotency-key", "k409").send().await;
            other.close().await.unwrap();
            return Some(answer);
        }
        410 => {
            let next = alice.list("/changes").await.json()["meta"]["next"].clone();
            let other = next.as_str().unwrap();
            let mark = if other.starts_with('0') { "1" } else { "0" };
            with_query(&alice, operation, "alice", id(&task), &format!("?since={mark}{}", &other[1..]))
        }
        412 if operation.id.starts_with("bulk") => {
            // Only an open task is not completed as it should be.
            let mut body = body(&operation.id, id(&task)).unwrap();
            body["tasks"][0]["version"] = json!(7);
            bare(&alice, operation, "alice", id(&task)).json(&body)
        }
        412 => valid(id(&task)).header("if-match", "\"7\""),
        413 => bare(&alice, operation, "alice", id(&task)).text(vec![b' '; (2 << 20) + 1]),
        415 => bare(&alice, operation, "alice", id(&task)).body("x").header("content-type", "text/plain"),
        422 => {
            let first = valid(id(&task)).header("idempotency-key", "k422").send().await;
            assert!((200..300).contains(&first.status), "{first:?}");
            let other = body(&operation.id, &Uuid::now_v7().to_string());
            let other = other.unwrap().to_string().replace("changed", "other");
            bare(&alice, operation, "alice", id(&task)).text(other).header("idempotency-key", "k422")
        }
        428 => {
            let insisting = Server::insisting().await;
            let alice = insisting.user("alice");
            let task = alice.create("before").await;
            return Some(request(&alice, operation, "alice", id(&task)).send().await);
        }
        429 => {
            let limited = Server::given(&[("RATE_LIMIT_PER_MINUTE", "1")]).await;
            let alice = limited.user("alice");
            let task = alice.create("before").await;
            let answer = request(&alice, operation, "alice", id(&task)).send().await;
            answer.problem(429, "rate-limited");
            assert_eq!(answer.header("ratelimit-policy"), "\"user\";q=1;w=60");
            assert!(answer.header("ratelimit").starts_with("\"user\";r=0;t="));
            assert!((1..=60).contains(&answer.header("retry-after").parse().unwrap()));
            return Some(answer);
        }
        // A bug: no request is known to make one, and the client of these tests refuses it wherever it shows up.
        // The tests in `src/http.rs` have the form of it.
        500 => return None,
        503 => {
            let away = Server::start("postgresql://nobody@127.0.0.1:9/away?sslmode=disable", None).await;
            return Some(request(&away.user("alice"), operation, "alice", id(&task)).send().await);
        }
        other => panic!("{} promises {other}, and nothing here makes it", operation.id),
    };
    Some(call.send().await)
}

async fn every_documented_status_is_answered(server: Server) {
    let mut left_out = Vec::new();
    for operation in &CONTRACT.operations {
        for status in operation.statuses() {
            match provoke(&server, operation, status).await {
                Some(answer) => assert_eq!(answer.status, status, "{}: {answer:?}", operation.id),
                None => left_out.push((operation.id.as_str(), status)),
            }
        }
    }
    let mut expected: Vec<_> = CONTRACT.operations.iter().map(|operation| (operation.id.as_str(), 500)).collect();
    if server.url().starts_with("sqlite") {
        expected.extend(TAKE_A_KEY.map(|operation| (operation, 409)));
    }
    left_out.sort_unstable();
    expected.sort_unstable();
    assert_eq!(left_out, expected);
}
