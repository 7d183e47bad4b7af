//! The protocol of agents: revisions, headers, tokens, origins, and messages that are none.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::id;
use crate::mcp::{Agent, DEFINITIONS, Reply, message};
use crate::server::{AUTH, ORIGIN, Server};

on_each_engine!(no_message_makes_a_500);

const MODERN: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");

async fn server() -> Server {
    Server::given(&[("MCP", "on"), ("PUBLIC_URL", ORIGIN), ("AUTHORIZATION_SERVERS", AUTH), ("JWT_AUDIENCE", "tasks")])
        .await
}

impl Reply {
    /// Its status and the code of its error; the id must be this one, or none at all.
    #[track_caller]
    fn error(&self, id: &Value) -> (u16, i64) {
        let answer = self.json();
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        // Null in the place of an id that was not read, as clients in Python want one.
        let none =
            if (400..600).contains(&answer["error"]["code"].as_i64().unwrap()) { Some(&Value::Null) } else { None };
        assert_eq!(answer.get("id"), Some(id).filter(|id| !id.is_null()).or(none), "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.ends_with('.')), "{answer}");
        (self.status, answer["error"]["code"].as_i64().unwrap())
    }
}

#[tokio::test]
async fn revision_2026_07_28_needs_no_beginning() {
    let server = server().await;
    let agent = Agent::of(&server, "alice");
    let reply = agent.request("server/discover", json!({})).await;
    assert_eq!(
        (reply.status, reply.header("content-type"), reply.header("cache-control")),
        (200, "application/json", "no-store")
    );
    let found = &reply.json()["result"];
    assert_eq!(found["supportedVersions"], json!(["2026-07-28", "2025-11-25", "2025-06-18"]));
    assert_eq!(found["capabilities"], json!({ "tools": {} }));
    assert_eq!((&found["resultType"], &found["cacheScope"]), (&"complete".into(), &"public".into()));
    assert!(found["ttlMs"].is_u64() && found["instructions"].as_str().unwrap().contains("no time zone"));
    let listed = agent.request("tools/list", json!({})).await.json();
    assert_eq!(listed["result"]["tools"], Value::from(DEFINITIONS.clone()));
    assert!(listed["result"]["ttlMs"].is_u64() && listed["result"]["cacheScope"] == "public");
    for method in
        ["ping", "initialize", "logging/setLevel", "resources/list", "prompts/list", "subscriptions/listen", ""]
    {
        let reply = agent.request(method, json!({ "protocolVersion": "2026-07-28" })).await;
        assert_eq!(reply.error(&7.into()), (404, -32_601), "{method}");
    }
    assert_eq!(agent.request("tools/list", json!({ "cursor": "x" })).await.error(&7.into()), (400, -32_602));
    assert_eq!(agent.request("tools/list", json!({ "cursor": null })).await.status, 200);
    assert_eq!(agent.request("tools/call", json!({ "name": "drop_table" })).await.error(&7.into()), (400, -32_602));
    for arguments in [json!([]), json!("{}"), json!(1)] {
        let reply = agent.request("tools/call", json!({ "name": "list_tasks", "arguments": arguments })).await;
        assert_eq!(reply.error(&7.into()), (400, -32_602));
    }
}

#[tokio::test]
async fn older_revisions_begin_with_initialize_and_have_no_session() {
    let server = server().await;
    let agent = Agent::of(&server, "alice");
    let ask = async |method: &str, params: Value, headers: &[(&str, &str)]| {
        let message = json!({ "jsonrpc": "2.0", "id": "a\"b", "method": method, "params": params });
        let reply = agent.send(message.to_string(), headers).await;
        assert_eq!(reply.json()["id"], "a\"b");
        assert!(!reply.headers.contains_key("mcp-session-id"));
        reply
    };
    for (asked, agreed) in [
        ("2025-11-25", "2025-11-25"),
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("tomorrow", "2025-11-25"),
    ] {
        let result = ask("initialize", json!({ "protocolVersion": asked, "capabilities": {} }), &[]).await.json();
        assert_eq!(result["result"]["protocolVersion"], agreed);
        assert_eq!(result["result"]["capabilities"], json!({ "tools": {} }));
        assert_eq!(result["result"]["serverInfo"]["name"], "tasks-api");
        assert!(result["result"]["instructions"].is_string());
    }
    // A status beside 200 is the transport's to these clients, and 404 the end of a session.
    assert_eq!(ask("initialize", json!({}), &[]).await.error(&"a\"b".into()), (200, -32_602));
    for version in ["2025-11-25", "2025-06-18"] {
        let headers = [("MCP-Protocol-Version", version)];
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
        let reply = agent.send(initialized, &headers).await;
        assert_eq!((reply.status, reply.text.as_str()), (202, ""));
        assert_eq!(ask("ping", json!({}), &headers).await.json()["result"], json!({}));
        let listed = ask("tools/list", json!({}), &headers).await.json();
        assert_eq!(listed["result"], json!({ "tools": *DEFINITIONS }));
        let call = json!({ "name": "add_task", "arguments": { "title": "x" } });
        let called = ask("tools/call", call, &headers).await.json();
        assert_eq!(called["result"]["structuredContent"]["title"], "x");
        assert_eq!(called["result"].get("resultType"), None);
        for method in ["server/discover", "resources/list", "notifications/initialized"] {
            assert_eq!(ask(method, json!({}), &headers).await.error(&"a\"b".into()), (200, -32_601));
        }
        let unknown = ask("tools/call", json!({ "name": "drop_table" }), &headers).await;
        assert_eq!(unknown.error(&"a\"b".into()), (200, -32_602));
    }
    // Clients before 2025-06-18 send no header.
    assert_eq!(ask("tools/list", json!({}), &[]).await.json()["result"], json!({ "tools": *DEFINITIONS }));
}

#[tokio::test]
async fn headers_and_body_must_say_the_same() {
    let server = server().await;
    let agent = Agent::of(&server, "alice");
    let call = message("tools/call", json!({ "name": "list_tasks" }));
    let good = [MODERN, ("Mcp-Method", "tools/call"), ("Mcp-Name", "list_tasks")];
    let without = |name: &str| -> Vec<_> { good.into_iter().filter(|(header, _)| *header != name).collect() };
    let with = |name, value| -> Vec<_> { without(name).into_iter().chain([(name, value)]).collect() };
    assert_eq!(agent.send(call.to_string(), &good).await.status, 200);
    for headers in [
        with("Mcp-Name", "=?base64?bGlzdF90YXNrcw==?="),
        with("mcp-protocol-version", "2026-07-28").into_iter().filter(|(name, _)| *name != MODERN.0).collect(),
        with("Mcp-Name", " list_tasks "),
    ] {
        assert_eq!(agent.send(call.to_string(), &headers).await.status, 200, "{headers:?}");
    }
    for headers in [
        without("MCP-Protocol-Version"),
        without("Mcp-Method"),
        without("Mcp-Name"),
        with("Mcp-Method", "tools/list"),
        with("Mcp-Method", "TOOLS/CALL"),
        with("Mcp-Name", "add_task"),
        with("Mcp-Name", "=?base64?YWRkX3Rhc2s=?="),
        with("Mcp-Name", "=?base64?%%%?="),
        with("Mcp-Name", "=?BASE64?bGlzdF90YXNrcw==?="),
        with("Mcp-Name", "l\u{00ef}st_tasks"),
        with("MCP-Protocol-Version", "2025-11-25"),
        good.into_iter().chain([MODERN]).collect(),
        good.into_iter().chain([("Mcp-Name", "add_task")]).collect(),
    ] {
        assert_eq!(agent.send(call.to_string(), &headers).await.error(&7.into()), (400, -32_020), "{headers:?}");
    }
    // A revision that is not served is told with those that are.
    let mut old = call.clone();
    old["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "1900-01-01".into();
    let reply = agent.send(old.to_string(), &with("MCP-Protocol-Version", "1900-01-01")).await;
    assert_eq!(reply.error(&7.into()), (400, -32_022));
    let data = reply.json()["error"]["data"].clone();
    assert_eq!(data, json!({ "supported": ["2026-07-28", "2025-11-25", "2025-06-18"], "requested": "1900-01-01" }));
    let bare = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" }).to_string();
    let reply = agent.send(bare.clone(), &[("MCP-Protocol-Version", "2024-11-05")]).await;
    assert_eq!(reply.error(&7.into()), (400, -32_022));
    // What is said is held to, also where nothing need be said.
    let older =
        json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "list_tasks" } }).to_string();
    for headers in [&[][..], &[("MCP-Protocol-Version", "2025-11-25")]] {
        assert_eq!(agent.send(older.clone(), headers).await.status, 200);
        for wrong in [("Mcp-Method", "tools/list"), ("Mcp-Name", "add_task"), ("Mcp-Name", "=?base64?%?=")] {
            let headers = [headers, &[wrong]].concat();
            assert_eq!(agent.send(older.clone(), &headers).await.error(&7.into()), (400, -32_020), "{wrong:?}");
        }
    }
    let initialize =
        json!({ "jsonrpc": "2.0", "id": 7, "method": "initialize", "params": { "protocolVersion": "2025-11-25" } });
    for (version, expected) in [("2026-07-28", -32_602), ("1900-01-01", -32_022)] {
        let reply = agent.send(initialize.to_string(), &[("MCP-Protocol-Version", version)]).await;
        assert_eq!(reply.error(&7.into()), (400, expected), "{version}");
    }
    // What a request must say of itself.
    assert_eq!(agent.send(bare, &[MODERN, ("Mcp-Method", "tools/list")]).await.error(&7.into()), (400, -32_602));
    for (name, value) in [
        ("protocolVersion", Value::Null),
        ("protocolVersion", 1.into()),
        ("clientCapabilities", Value::Null),
        ("clientCapabilities", json!([])),
    ] {
        let mut wrong = call.clone();
        wrong["params"]["_meta"][format!("io.modelcontextprotocol/{name}")] = value;
        assert_eq!(agent.send(wrong.to_string(), &good).await.error(&7.into()), (400, -32_602), "{wrong}");
    }
    let mut wrong = call.clone();
    wrong["params"]["_meta"].as_object_mut().unwrap().remove("io.modelcontextprotocol/clientCapabilities");
    assert_eq!(agent.send(wrong.to_string(), &good).await.error(&7.into()), (400, -32_602));
    // Where an argument is called as a header is, nothing is meant by it.
    let reply =
        agent.send(call.to_string(), &good.into_iter().chain([("Mcp-Param-Limit", "1")]).collect::<Vec<_>>()).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn what_is_no_message_is_told_so() {
    let server = server().await;
    let agent = Agent::of(&server, "alice");
    let deep = |open: &str, close: &str| format!("{}7{}", open.repeat(200), close.repeat(200));
    let nested = |value: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":{value}}}}}"#);
    for (body, id, status, code) in [
        ("", json!(null), 400, -32_700),
        (" \n", json!(null), 400, -32_700),
        ("{", json!(null), 400, -32_700),
        ("nonsense", json!(null), 400, -32_700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#, json!(null), 400, -32_700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#, json!(null), 400, -32_700),
        (r#"{"jsonrpc":"2.0","id":01,"method":"ping"}"#, json!(null), 400, -32_700),
        ("[]", json!(null), 400, -32_600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, json!(null), 400, -32_600),
        ("null", json!(null), 400, -32_600),
        ("7", json!(null), 400, -32_600),
        (r#""ping""#, json!(null), 400, -32_600),
        ("{}", json!(null), 400, -32_600),
        (r#"{"id":1,"method":"ping"}"#, json!(1), 400, -32_600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, json!(1), 400, -32_600),
        (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, json!(1), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":1}"#, json!(null), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#, json!(null), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":1e999,"method":"ping"}"#, json!(null), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, json!(1), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, json!(null), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, json!(null), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, json!(null), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, json!(null), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, json!(null), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, json!(null), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#, json!(null), 400, -32_600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#, json!(1), 400, -32_602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#, json!(1), 400, -32_602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":7}}"#, json!(1), 400, -32_602),
        (r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{}}"#, json!("x"), 200, -32_602),
        (r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":7}}"#, json!("x"), 200, -32_602),
        (
            r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"list_tasks","name":"add_task"}}"#,
            json!("x"),
            400,
            -32_602,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"add_task","arguments":{"title":"x"}}}"#,
            json!(null),
            400,
            -32_600,
        ),
        (r#"{"jsonrpc":"2.0","method":"nothing"}"#, json!(null), 400, -32_600),
        (&deep("[", "]"), json!(null), 400, -32_600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"a","io.modelcontextprotocol/protocolVersion":"b"}}}"#,
            json!(1),
            400,
            -32_602,
        ),
    ] {
        let reply = agent.send(body.to_owned(), &[]).await;
        assert_eq!(reply.error(&id), (status, code), "{body:.200}: {}", reply.text);
    }
    // What is deep where nothing looks is nobody's matter; in arguments it is a value of another type.
    for deep in [deep("[", "]"), deep("{\"a\":", "}")] {
        assert_eq!(agent.send(nested(&deep), &[]).await.status, 200);
    }
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add_task","arguments":{"title":DEEP}}}"#;
    let reply = agent.send(call.replace("DEEP", &deep("[", "]")), &[]).await;
    assert_eq!((reply.status, &reply.json()["result"]["isError"]), (200, &true.into()), "{}", reply.text);
    // Bytes that are no text.
    let reply = agent.send(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec(), &[]).await;
    assert_eq!(reply.error(&Value::Null), (400, -32_700));
    // The largest id comes back to the digit, a text in its own spelling.
    for id in ["123456789012345678901234567890", "-1", "1.0", r#""\u00e9\"""#] {
        let reply = agent.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#), &[]).await;
        assert_eq!(reply.text, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    }
    // What HTTP refuses, it refuses with its own statuses; agents read the reason all the same.
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "x".repeat(1024 * 1024));
    assert_eq!(agent.send(long, &[]).await.error(&Value::Null), (413, 413));
    let reply = server
        .with_token(&server.token_for("alice", &format!("{ORIGIN}/mcp").into()))
        .to(Method::POST, "/mcp")
        .body("{}");
    assert_eq!(reply.bare().send().await.unwrap().status(), 415);
}

#[tokio::test]
async fn only_post_is_known_at_mcp() {
    let server = server().await;
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::PATCH, Method::HEAD, Method::OPTIONS] {
        let response = server.nobody().to(method.clone(), "/mcp").bare().send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()["allow"].to_str().unwrap()),
            (405, "POST"),
            "{method}"
        );
    }
}

/// What a client is told with a refusal that is no matter of its message: the status, the code of the problem, and the challenge.
async fn refusal(agent: &Agent, headers: &[(&str, &str)]) -> (u16, String, String) {
    let reply = agent.send(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, headers).await;
    let challenge = reply.headers.get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    if reply.status == 200 {
        return (200, String::new(), String::new());
    }
    let problem = reply.json()["error"]["data"].clone();
    assert_eq!(reply.error(&Value::Null), (reply.status, i64::from(reply.status)));
    assert_eq!(problem["status"], reply.status);
    assert_eq!(problem["request_id"], reply.header("x-request-id"));
    (reply.status, problem["code"].as_str().unwrap().to_owned(), challenge.unwrap_or_default())
}

#[tokio::test]
async fn a_token_opens_what_it_is_for_and_nothing_else() {
    let database = Server::on_sqlite().await;
    let tools = format!("{ORIGIN}/mcp");
    let (apart, named, both) = (
        database.with_tools(&[("JWT_AUDIENCE", ""), ("JWT_ISSUER", "https://other.example")]).await,
        database.with_tools(&[]).await,
        database.with_tools(&[("JWT_AUDIENCE", "tasks,https://tasks.example/mcp")]).await,
    );
    for (audience, expected) in [
        // For each server: whether /mcp opens, and whether the operations do.
        (json!(tools), [(true, false), (true, false), (true, true)]),
        (json!([tools, "https://auth.example/userinfo"]), [(true, false), (true, false), (true, true)]),
        (json!("tasks"), [(false, false), (false, true), (false, true)]),
        (json!([tools, "tasks"]), [(true, false), (true, true), (true, true)]),
        (json!("https://tasks.example"), [(false, false), (false, false), (false, false)]),
        (json!(format!("{tools}/")), [(false, false), (false, false), (false, false)]),
        (json!("https://tasks.example/MCP"), [(false, false), (false, false), (false, false)]),
        (json!([[tools]]), [(false, false), (false, false), (false, false)]),
        (json!({ tools.as_str(): tools }), [(false, false), (false, false), (false, false)]),
        (json!([]), [(false, false), (false, false), (false, false)]),
        (Value::Null, [(false, false), (false, false), (false, false)]),
    ] {
        for (server, (mcp, rest)) in [&apart, &named, &both].into_iter().zip(expected) {
            let token = server.token_for("alice", &audience);
            let (status, code, challenge) = refusal(&Agent::with(server, &token), &[]).await;
            assert_eq!(status, if mcp { 200 } else { 401 }, "{audience}");
            if !mcp {
                assert_eq!(code, "token-audience");
                let metadata = "resource_metadata=\"https://tasks.example/.well-known/oauth-protected-resource/mcp\"";
                assert!(challenge.starts_with("Bearer ") && challenge.ends_with(metadata), "{challenge}");
            }
            let answer = server.with_token(&token).list("").await;
            assert_eq!(answer.status, if rest { 200 } else { 401 }, "{audience}");
        }
    }
    // Every message needs a token, initialize too.
    let reply = Agent::with(&apart, "")
        .send(json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize" }).to_string(), &[])
        .await;
    assert_eq!(reply.status, 401);
    let (status, code, challenge) = refusal(&Agent::with(&apart, "x.y.z"), &[]).await;
    assert_eq!((status, code.as_str()), (401, "token-malformed"));
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    // And from whom agents were sent to, whoever the operations trust.
    for (variables, mcp, rest) in [
        (&[("JWT_ISSUER", "https://other.example")][..], 200, 401),
        (&[("JWT_ISSUER", AUTH), ("AUTHORIZATION_SERVERS", "")], 200, 200),
        (&[("JWT_ISSUER", AUTH), ("AUTHORIZATION_SERVERS", "https://other.example")], 401, 200),
        (&[("AUTHORIZATION_SERVERS", "https://other.example,https://auth.example/api/auth")], 200, 200),
        (&[("AUTHORIZATION_SERVERS", "https://auth.example/api/auth/")], 401, 200),
    ] {
        let server = database.with_tools(&[variables, &[("JWT_AUDIENCE", "tasks")]].concat()).await;
        let token = server.token_for("alice", &json!([tools, "tasks"]));
        let (status, code, _) = refusal(&Agent::with(&server, &token), &[]).await;
        assert_eq!((status, server.with_token(&token).list("").await.status), (mcp, rest), "{variables:?}");
        assert!(status == 200 || code == "token-issuer", "{code}");
    }
    // One that opens both doors says so in `aud`, wherever the operations look.
    let elsewhere = database.with_tools(&[("JWT_AUDIENCE", "web"), ("JWT_AUDIENCE_CLAIM", "client_id")]).await;
    for (audience, mcp, rest) in [(json!("x"), 401, 200), (json!(tools), 200, 401), (json!([tools, "web"]), 200, 401)] {
        let claims = json!({ "sub": "alice", "iss": AUTH, "aud": audience, "client_id": "web" });
        let token = elsewhere.token_saying(claims);
        assert_eq!(refusal(&Agent::with(&elsewhere, &token), &[]).await.0, mcp, "{audience}");
        assert_eq!(elsewhere.with_token(&token).list("").await.status, rest, "{audience}");
    }
    // Where the audience stands in another claim, that of tokens for agents stands in aud all the same.
    let other = database.with_tools(&[("JWT_AUDIENCE", "web"), ("JWT_AUDIENCE_CLAIM", "client_id")]).await;
    assert_eq!(refusal(&Agent::of(&other, "alice"), &[]).await.0, 200);
    assert_eq!(refusal(&Agent::with(&other, &other.token("alice")), &[]).await.0, 401);
}

#[tokio::test]
async fn pages_call_from_listed_origins_alone() {
    let database = Server::on_sqlite().await;
    let (server, any) = (database.with_tools(&[]).await, database.with_tools(&[("CORS_ALLOWED_ORIGINS", "*")]).await);
    for (origin, listed, everywhere) in [
        ("https://tasks.example", 200, 200),
        ("https://app.example", 200, 403),
        ("http://localhost:3000", 200, 403),
        ("http://localhost:3001", 403, 403),
        ("http://127.0.0.1", 403, 403),
        ("https://evil.example", 403, 403),
        ("https://tasks.example.evil.example", 403, 403),
        ("http://tasks.example", 403, 403),
        ("https://tasks.example:8443", 403, 403),
        ("HTTPS://TASKS.EXAMPLE", 403, 403),
        ("null", 403, 403),
        ("", 403, 403),
    ] {
        for (server, status) in [(&server, listed), (&any, everywhere)] {
            let refusal = refusal(&Agent::of(server, "alice"), &[("Origin", origin)]).await;
            assert_eq!(refusal.0, status, "{origin}");
            assert!(status == 200 || refusal.1 == "origin-forbidden", "{origin}: {}", refusal.1);
        }
    }
    let two = [("Origin", "https://tasks.example"), ("Origin", "https://evil.example")];
    assert_eq!(refusal(&Agent::of(&server, "alice"), &two).await.0, 403);
    // Before the token is looked at, and nothing of it is anybody's on the operations.
    assert_eq!(refusal(&Agent::with(&server, ""), &[("Origin", "https://evil.example")]).await.0, 403);
    let rest = server.user("alice").on(Method::GET, "").header("Origin", "https://evil.example").send().await;
    assert_eq!(rest.status, 200);
}

#[tokio::test]
async fn whoever_has_no_token_learns_where_to_get_one() {
    let database = Server::on_sqlite().await;
    for (public_url, issuers, paths) in [
        ("https://tasks.example", json!([AUTH]), vec!["/.well-known/oauth-protected-resource/mcp"]),
        (
            "https://example.com/tasks",
            json!(["https://a.example", AUTH]),
            vec![
                "/.well-known/oauth-protected-resource/tasks/mcp",
                "/tasks/.well-known/oauth-protected-resource/mcp",
                "/.well-known/oauth-protected-resource/mcp",
            ],
        ),
    ] {
        let servers =
            issuers.as_array().unwrap().iter().map(|issuer| issuer.as_str().unwrap()).collect::<Vec<_>>().join(", ");
        let server = database.with_tools(&[("PUBLIC_URL", public_url), ("AUTHORIZATION_SERVERS", &servers)]).await;
        for path in &paths {
            let response = server.nobody().to(Method::GET, path).bare().send().await.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["content-type"]),
                (200, &"application/json".parse().unwrap())
            );
            let metadata: Value = response.json().await.unwrap();
            assert_eq!(metadata["resource"], format!("{public_url}/mcp"), "{path}");
            assert_eq!(metadata["authorization_servers"], issuers);
            assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
        }
        let reply = Agent::with(&server, "").send("{}", &[]).await;
        let url = format!("{public_url}/.well-known/oauth-protected-resource/mcp");
        assert!(reply.header("www-authenticate").contains(&format!("resource_metadata=\"{url}\"")));
        // Below the prefix as without it.
        let prefix = public_url.strip_prefix("https://example.com").unwrap_or_default();
        let token = server.token_for("alice", &format!("{public_url}/mcp").into());
        let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
        for path in ["/mcp".to_owned(), format!("{prefix}/mcp")] {
            let response = server.with_token(&token).to(Method::POST, &path).json(&ping).bare().send().await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
            let bare = server.with_token("").to(Method::POST, &path).json(&ping).bare().send().await.unwrap();
            assert_eq!(bare.headers()["content-type"], "application/json", "{path}");
        }
    }
    // The issuer, where nothing else is said.
    let server = database.with_tools(&[("AUTHORIZATION_SERVERS", ""), ("JWT_ISSUER", "https://issuer.example")]).await;
    let path = "/.well-known/oauth-protected-resource/mcp";
    let metadata: Value = server.nobody().to(Method::GET, path).bare().send().await.unwrap().json().await.unwrap();
    assert_eq!(metadata["authorization_servers"], json!(["https://issuer.example"]));
}

#[tokio::test]
async fn tools_are_off_where_nobody_has_turned_them_on() {
    let database = Server::on_sqlite().await;
    let quiet = [("AUTHORIZATION_SERVERS", ""), ("JWT_ISSUER", "tasks")];
    for (server, rest) in [
        // Where the world finds the server opens no door.
        (Server::given(&[("PUBLIC_URL", ORIGIN), ("AUTHORIZATION_SERVERS", AUTH)]).await, 401),
        // What agents still hold opens nothing else then.
        (database.with_tools(&[("MCP", "off"), ("JWT_AUDIENCE", "")]).await, 401),
        (database.with_tools(&[("MCP", "off"), ("JWT_AUDIENCE", ""), ("PUBLIC_URL", "")]).await, 200),
        // Without anybody who gives tokens for it: on, and not served.
        (database.with_tools(&quiet[..1]).await, 401),
        (database.with_tools(&quiet).await, 401),
    ] {
        for (method, path) in [(Method::POST, "/mcp"), (Method::GET, "/.well-known/oauth-protected-resource/mcp")] {
            let response = server.user("alice").to(method, path).json(&json!({})).bare().send().await.unwrap();
            assert_eq!(response.status(), 404, "{path}");
            assert_eq!(response.json::<Value>().await.unwrap()["code"], "path-not-found");
        }
        let token = server.token_for("alice", &format!("{ORIGIN}/mcp").into());
        assert_eq!(server.with_token(&token).list("").await.status, rest);
    }
}

#[tokio::test]
async fn limits_and_outages_are_told_as_everywhere() {
    let database = Server::on_sqlite().await;
    let server = database.with_tools(&[("RATE_LIMIT_PER_MINUTE", "60")]).await;
    let agent = Agent::of(&server, "alice");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let mut last = agent.send(ping, &[]).await;
    for _ in 0..200 {
        if last.status != 200 {
            break;
        }
        last = agent.send(ping, &[]).await;
    }
    assert_eq!(last.error(&Value::Null), (429, 429), "messages are requests, and counted with them");
    assert!(last.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert!(last.headers.contains_key("ratelimit-policy"));
    let data = &last.json()["error"]["data"];
    assert_eq!(data["code"], "rate-limited");
    assert_eq!(data["retry_after"].to_string(), last.header("retry-after"), "most clients show no header");
    let wait = format!("Too many requests. Try again in {} seconds.", last.header("retry-after"));
    assert_eq!(last.json()["error"]["message"], wait, "and some the message alone");
    // One limit for both doors.
    let token = server.token_for("alice", &json!("tasks"));
    assert_eq!(server.with_token(&token).list("").await.status, 429);
    assert_eq!(Agent::of(&server, "bob").send(ping, &[]).await.status, 200);
    // Whoever has no good token is counted by address.
    let server = database.with_tools(&[("RATE_LIMIT_PER_MINUTE_ADDRESS", "60")]).await;
    let stranger = Agent::with(&server, "x");
    let mut statuses = BTreeMap::new();
    for _ in 0..150 {
        *statuses.entry(stranger.send(ping, &[]).await.status).or_insert(0) += 1;
    }
    assert!(statuses.contains_key(&401) && statuses.contains_key(&429) && statuses.len() == 2, "{statuses:?}");
    // Keys that cannot be fetched: nobody is told that their token is wrong.
    let server = database.with_tools(&[("JWKS_URL", "http://127.0.0.1:9/"), ("JWT_SECRET", "")]).await;
    let agent = Agent::with(&server, "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AAAA");
    let reply = agent.send(ping, &[]).await;
    assert_eq!((reply.error(&Value::Null), reply.header("retry-after")), ((503, 503), "2"));
}

/// Pieces that messages are made of, and that break them.
const PIECES: [&str; 40] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "null",
    "true",
    "-1",
    "1e400",
    "1.0",
    "\"2.0\"",
    "\"id\":",
    "\"method\":",
    "\"params\":",
    "\"jsonrpc\":\"2.0\",",
    "\"_meta\":{}",
    "\"name\":\"delete_task\",",
    "\"arguments\":",
    "\"title\":",
    "\"tags\":[",
    "\\ud800",
    "\\u0000",
    "\u{0}",
    "\u{feff}",
    "é",
    "\n",
    "[[[[[[[[",
    "{\"a\":",
    "\"limit\":",
    "\"cursor\":\"a\"",
    "\"version\":9e15",
    "\"due_date\":\"2026-02-30\"",
    "\"idempotency_key\":\"\"",
    "99999999999999999999",
    "\"notifications/x\"",
    "\"tools/list\"",
    "\"initialize\"",
];

/// What is done to a message, at a place of it.
#[derive(Debug, Clone)]
enum Mutation {
    Insert(&'static str),
    Cut(usize),
    Flip(u8),
    Double(usize),
}

fn mutation() -> impl Strategy<Value = (prop::sample::Index, Mutation)> {
    let kind = prop_oneof![
        4 => prop::sample::select(&PIECES[..]).prop_map(Mutation::Insert),
        2 => (1_usize..40).prop_map(Mutation::Cut),
        2 => any::<u8>().prop_map(Mutation::Flip),
        1 => (1_usize..60).prop_map(Mutation::Double),
    ];
    (any::<prop::sample::Index>(), kind)
}

fn mutated(text: &str, mutations: &[(prop::sample::Index, Mutation)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (place, mutation) in mutations {
        let place = place.index(bytes.len() + 1);
        let end = |length: usize| (place + length).min(bytes.len());
        match mutation {
            Mutation::Insert(piece) => drop(bytes.splice(place..place, piece.bytes())),
            Mutation::Cut(length) => drop(bytes.drain(place..end(*length))),
            Mutation::Flip(bits) => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= bits),
            Mutation::Double(length) => {
                let again = bytes[place..end(*length)].to_vec();
                bytes.splice(place..place, again);
            }
        }
    }
    bytes
}

/// 5,000 messages that were right once. Each is answered as the protocol says: with a result, with one of its errors, or, to a
/// notification, with nothing.
async fn no_message_makes_a_500(server: Server) {
    let server = server.with_tools(&[]).await;
    let agent = Agent::of(&server, "alice");
    let task = agent.done("add_task", json!({ "title": "x", "due_date": "2026-12-01" })).await;
    let task = id(&task);
    let call = |name: &str, arguments: Value| message("tools/call", json!({ "name": name, "arguments": arguments }));
    let seeds = [
        message("server/discover", json!({})),
        message("tools/list", json!({ "cursor": null })),
        call("list_tasks", json!({ "limit": 2, "q": "x", "sort": "due_date", "tag": ["a"], "priority": ["low"] })),
        call("add_task", json!({ "title": "y", "description": "z", "due_date": "2026-12-01", "due_time": "18:30", "tags": ["a", "b"] })),
        call("add_task", json!({ "title": "y", "idempotency_key": "k" })),
        call("complete_task", json!({ "id": task, "is_completed": false })),
        call("update_task", json!({ "id": task, "title": "w", "priority": null, "version": 1 })),
        call("delete_task", json!({ "id": "019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70" })),
        json!({ "jsonrpc": "2.0", "id": 7, "method": "initialize", "params": { "protocolVersion": "2025-11-25", "capabilities": {} } }),
        json!({ "jsonrpc": "2.0", "id": 7, "method": "ping" }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": "t", "method": "tools/call", "params": { "name": "list_tasks", "arguments": { "limit": 1 } } }),
    ]
    .map(|seed| seed.to_string());
    let headers = [
        ("MCP-Protocol-Version", ["2026-07-28", "2025-11-25", "2024-01-01"]),
        ("Mcp-Method", ["tools/call", "tools/list", "server/discover"]),
        ("Mcp-Name", ["list_tasks", "add_task", "=?base64?eA==?="]),
    ];
    let strategy = (
        0..seeds.len(),
        prop::collection::vec(mutation(), 0..4),
        prop::array::uniform3(prop_oneof![6 => Just(0_usize), 1 => 1_usize..3, 2 => Just(3_usize)]),
        any::<bool>(),
    );
    // The same messages each time, so that one that fails is one that fails again.
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut kinds = BTreeMap::new();
    for _ in 0..5_000 {
        let (seed, mutations, choices, is_fitting) = strategy.new_tree(&mut runner).unwrap().current();
        let body = mutated(&seeds[seed], &mutations);
        // Half of them have the headers of what they were.
        let was: Value = serde_json::from_str(&seeds[seed]).unwrap();
        let sent: Vec<(&str, &str)> = if is_fitting {
            let name = was["params"]["name"].as_str().map(|name| ("Mcp-Name", name));
            let is_modern = was["params"].get("_meta").is_some();
            let own = [Some(MODERN), was["method"].as_str().map(|method| ("Mcp-Method", method)), name];
            own.into_iter().flatten().filter(|_| is_modern).collect()
        } else {
            let choice = |(place, (name, values)): (usize, (&'static str, [&'static str; 3]))| {
                Some((name, *values.get(choices[place])?))
            };
            headers.into_iter().enumerate().filter_map(choice).collect()
        };
        let text = String::from_utf8_lossy(&body).into_owned();
        let reply = agent.send(body, &sent).await;
        let told = format!("{text} {sent:?}: {} {}", reply.status, reply.text);
        let kind = match reply.status {
            202 => {
                assert_eq!(reply.text, "", "{told}");
                "accepted".to_owned()
            }
            200 | 400 | 404 => {
                let answer = reply.json();
                assert_eq!(answer["jsonrpc"], "2.0", "{told}");
                let members: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
                assert!(
                    [&["jsonrpc", "id", "result"][..], &["jsonrpc", "id", "error"], &["jsonrpc", "error"]]
                        .contains(&&members[..]),
                    "{told}"
                );
                if let Ok(request) = serde_json::from_str::<Value>(&text)
                    && let Some(id) = answer.get("id")
                {
                    assert_eq!(id, &request["id"], "{told}");
                }
                match answer["error"]["code"].as_i64() {
                    None => {
                        assert_eq!(reply.status, 200, "{told}");
                        format!("result, isError {}", answer["result"]["isError"])
                    }
                    Some(code) => {
                        let statuses: &[u16] = match code {
                            -32_700 | -32_600 | -32_020 | -32_022 => &[400],
                            -32_601 => &[404, 200],
                            -32_602 => &[400, 200],
                            _ => &[],
                        };
                        assert!(statuses.contains(&reply.status), "{told}");
                        code.to_string()
                    }
                }
            }
            _ => panic!("{told}"),
        };
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert!(kinds.len() >= 9, "every kind of answer was seen: {kinds:?}");
    assert_eq!(kinds.values().sum::<i32>(), 5_000);
}
