//! The tools of agents: what they do, and what they say of what they do not do.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::client::{Client, id};
use crate::contract::CONTRACT;
use crate::server::{ORIGIN, Server};

on_each_engine!(
    the_five_tools_keep_a_users_tasks,
    a_call_that_is_sent_again_is_the_same_creation,
    another_users_task_is_as_absent_as_none,
    lists_are_those_of_the_operation,
    a_task_that_has_changed_is_not_written_over,
    what_is_wrong_with_a_call_is_told_by_its_argument,
    null_is_as_if_left_out_but_in_a_patch,
    a_list_says_which_tasks_have_a_description,
);

/// An agent of one user.
pub(crate) struct Agent {
    client: Client,
}

/// An answer to a message.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Agent {
    pub(crate) fn of(server: &Server, user: &str) -> Self {
        Self::with(server, &server.token_for(user, &format!("{ORIGIN}/mcp").into()))
    }

    pub(crate) fn with(server: &Server, token: &str) -> Self {
        Self { client: server.with_token(token) }
    }

    /// Sends a body with these headers, and the one of JSON.
    pub(crate) async fn send(&self, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> Reply {
        let call = self.client.to(Method::POST, "/mcp").text(body);
        let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
        let response = call.bare().send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }

    /// A request of revision 2026-07-28.
    pub(crate) async fn request(&self, method: &str, params: Value) -> Reply {
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        let mut headers = vec![("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)];
        if !name.is_empty() {
            headers.push(("Mcp-Name", &name));
        }
        self.send(message(method, params).to_string(), &headers).await
    }

    /// Calls a tool, and answers what a model sees and whether that is an error. All that clients rely on is looked at.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> (Value, bool) {
        let reply = self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await;
        assert_eq!(reply.status, 200, "{tool} {arguments}: {}", reply.text);
        let answer = reply.json();
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&"2.0".into(), &7.into()));
        let result = &answer["result"];
        assert_eq!(result["resultType"], "complete", "{answer}");
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "tasks-api");
        let [content] = result["content"].as_array().unwrap().as_slice() else { panic!("{answer}") };
        assert_eq!(content["type"], "text");
        let seen: Value = serde_json::from_str(content["text"].as_str().unwrap()).unwrap();
        let is_error = result["isError"].as_bool().unwrap();
        if is_error {
            assert_eq!(result.get("structuredContent"), None, "clients hold it against the schema of results");
            assert!(seen["code"].is_string() && seen["detail"].is_string(), "{seen}");
        } else {
            assert_eq!(result["structuredContent"], seen, "the text and what programs read are one");
            let schema = jsonschema::validator_for(&definition(tool)["outputSchema"]).unwrap();
            assert!(schema.is_valid(&seen), "{tool}: {seen}");
            for members in [&seen].into_iter().chain(seen["tasks"].as_array().into_iter().flatten()) {
                let known = known_members(tool, members);
                let extra: Vec<_> = members.as_object().unwrap().keys().filter(|name| !known.contains(*name)).collect();
                assert!(extra.is_empty(), "{tool} answers what its schema does not name: {extra:?}");
            }
        }
        (seen, is_error)
    }

    /// What a call that is done answers.
    pub(crate) async fn done(&self, tool: &str, arguments: Value) -> Value {
        let (seen, is_error) = self.call(tool, arguments.clone()).await;
        assert!(!is_error, "{tool} {arguments}: {seen}");
        seen
    }

    /// What a call that is refused answers.
    pub(crate) async fn refused(&self, tool: &str, arguments: Value, code: &str) -> Value {
        let (seen, is_error) = self.call(tool, arguments.clone()).await;
        assert!(is_error, "{tool} {arguments}: {seen}");
        assert_eq!(seen["code"], code, "{tool} {arguments}: {seen}");
        seen
    }

    async fn ids(&self, arguments: Value) -> Vec<String> {
        let page = self.done("list_tasks", arguments).await;
        page["tasks"].as_array().unwrap().iter().map(|task| id(task).to_owned()).collect()
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }
}

/// A request of revision 2026-07-28.
pub(crate) fn message(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

/// The definitions of the tools, as a server answers them.
pub(crate) static DEFINITIONS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let list = || async {
        let server = Server::on_sqlite().await;
        let server = server.with_tools(&[]).await;
        let reply = Agent::of(&server, "alice").request("tools/list", json!({})).await;
        reply.json()["result"]["tools"].as_array().unwrap().clone()
    };
    // Asked for within a test, which has a runtime of its own.
    std::thread::spawn(move || tokio::runtime::Runtime::new().unwrap().block_on(list())).join().unwrap()
});

fn definition(tool: &str) -> &'static Value {
    DEFINITIONS.iter().find(|definition| definition["name"] == tool).unwrap()
}

/// The members that the schema of a result names, for the result itself or a task in it.
fn known_members(tool: &str, members: &Value) -> BTreeSet<String> {
    let schema = &definition(tool)["outputSchema"];
    let is_task_of_list = tool == "list_tasks" && members.get("tasks").is_none();
    let schema = if is_task_of_list { &schema["properties"]["tasks"]["items"] } else { schema };
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

async fn the_five_tools_keep_a_users_tasks(server: Server) {
    let server = server.with_tools(&[]).await;
    let (agent, alice) = (Agent::of(&server, "alice"), server.user("alice"));
    let added = agent
        .done(
            "add_task",
            json!({
                "title": "Buy milk", "description": "Oat milk,\nif they have it.", "due_date": "2026-12-01", "due_time": "18:30",
                "priority": "high", "tags": ["shop", "home"],
            }),
        )
        .await;
    assert_eq!(
        (&added["is_completed"], &added["version"], &added["is_replay"]),
        (&json!(false), &1.into(), &json!(false))
    );
    let stored = alice.get(id(&added)).await.data(200);
    for member in ["title", "description", "due_date", "due_time", "priority", "tags", "version"] {
        assert_eq!(added[member], stored[member], "{member}");
    }
    let listed = agent.done("list_tasks", json!({})).await;
    let [task] = listed["tasks"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    assert_eq!((id(task), task.get("description")), (id(&added), None), "descriptions are long");
    assert_eq!(listed["next_cursor"], Value::Null);
    let described = agent.done("list_tasks", json!({ "include_description": true, "include_total": true })).await;
    assert_eq!((&described["tasks"][0]["description"], &described["total"]), (&stored["description"], &1.into()));

    let done = agent.done("complete_task", json!({ "id": id(&added) })).await;
    assert_eq!((&done["is_completed"], &done["version"]), (&true.into(), &2.into()));
    assert!(done["completed_at"].is_string());
    assert_eq!(agent.done("complete_task", json!({ "id": id(&added) })).await, done, "a repeat changes nothing");
    let open = agent.done("complete_task", json!({ "id": id(&added), "is_completed": false })).await;
    assert_eq!((&open["is_completed"], &open["completed_at"]), (&false.into(), &Value::Null));

    let changed =
        agent.done("update_task", json!({ "id": id(&added), "due_date": null, "title": "Buy oat milk" })).await;
    assert_eq!(
        (&changed["title"], &changed["due_date"], &changed["due_time"]),
        (&"Buy oat milk".into(), &Value::Null, &Value::Null)
    );
    assert_eq!(changed["tags"], json!(["shop", "home"]), "what is not sent stays");
    assert_eq!(changed["description"], stored["description"]);

    let deleted = agent.done("delete_task", json!({ "id": id(&added) })).await;
    assert_eq!(deleted, json!({ "id": id(&added), "deleted": true }));
    assert_eq!(agent.done("delete_task", json!({ "id": id(&added) })).await["deleted"], false, "absent is done");
    assert_eq!(alice.get(id(&added)).await.status, 404);
}

async fn a_call_that_is_sent_again_is_the_same_creation(server: Server) {
    let server = server.with_tools(&[]).await;
    let agent = Agent::of(&server, "alice");
    let arguments = json!({ "title": "Call the plumber", "idempotency_key": "call-the-plumber-1" });
    let first = agent.done("add_task", arguments.clone()).await;
    agent.done("complete_task", json!({ "id": id(&first) })).await;
    let again = agent.done("add_task", arguments.clone()).await;
    assert_eq!((id(&again), &again["is_replay"], &again["version"]), (id(&first), &true.into(), &1.into()));
    // The header of the operation and the argument of the tool name the same.
    let call = server.user("alice").on(Method::POST, "").header("Idempotency-Key", "call-the-plumber-1");
    assert_eq!(id(&call.json(&json!({ "title": "Call the plumber" })).send().await.data(201)), id(&first));
    let other = json!({ "title": "Call the baker", "idempotency_key": "call-the-plumber-1" });
    let refused = agent.refused("add_task", other, "idempotency-key-reused").await;
    assert!(refused["detail"].as_str().unwrap().contains("new one for each task"), "{refused}");
    let own = json!({ "title": "Water the plants", "id": Uuid::now_v7() });
    let first = agent.done("add_task", own.clone()).await;
    assert_eq!(agent.done("add_task", own.clone()).await["is_replay"], true);
    let taken = agent.refused("add_task", json!({ "title": "Another", "id": own["id"] }), "task-id-taken").await;
    assert_eq!(taken["current"]["id"], first["id"]);
    assert_eq!(taken["current"].get("user_id"), None, "as little of it as of any task");
    agent.done("delete_task", json!({ "id": first["id"] })).await;
    let gone = agent.refused("add_task", own, "task-id-taken").await;
    assert_eq!(gone.get("current"), None);
    assert_eq!(agent.ids(json!({})).await.len(), 1);
}

async fn another_users_task_is_as_absent_as_none(server: Server) {
    let server = server.with_tools(&[]).await;
    let (alice, bob) = (Agent::of(&server, "alice"), Agent::of(&server, "bob"));
    let task = alice.done("add_task", json!({ "title": "Hers", "idempotency_key": "k" })).await;
    let none = Uuid::now_v7().to_string();
    for id in [id(&task), &none] {
        for (tool, arguments) in [
            ("complete_task", json!({ "id": id })),
            ("update_task", json!({ "id": id, "title": "His" })),
            ("update_task", json!({ "id": id, "title": "His", "version": 1 })),
        ] {
            let refused = bob.refused(tool, arguments, "task-not-found").await;
            assert_eq!(refused.as_object().unwrap().keys().collect::<Vec<_>>(), ["code", "detail"], "{refused}");
        }
        for arguments in [json!({ "id": id }), json!({ "id": id, "version": 1 })] {
            assert_eq!(bob.done("delete_task", arguments).await["deleted"], false);
        }
    }
    assert_eq!(bob.ids(json!({})).await, [] as [&str; 0]);
    let his = bob.done("add_task", json!({ "title": "His", "idempotency_key": "k" })).await;
    assert_ne!(id(&his), id(&task), "keys are a user's own");
    assert_eq!(alice.ids(json!({})).await, [id(&task)]);
    assert_eq!(server.user("alice").get(id(&task)).await.data(200)["version"], 1);
}

async fn lists_are_those_of_the_operation(server: Server) {
    let server = server.with_tools(&[]).await;
    let (agent, alice) = (Agent::of(&server, "alice"), server.user("alice"));
    for n in 0..65 {
        let task = json!({
            "title": format!("Task {} {n}", if n % 3 == 0 { "ÄPFEL" } else { "birnen" }),
            "due_date": (n % 4 > 0).then(|| format!("2026-12-{:02}", n % 28 + 1)),
            "priority": (["high", "medium", "low"].get(n % 4)),
            "tags": if n % 2 == 0 { json!(["a", "b"]) } else { json!(["a"]) },
            "is_completed": n % 5 == 0,
        });
        alice.post(task).await.data(201);
    }
    let mut all_pages = 0;
    for (arguments, query) in [
        (json!({}), "limit=20"),
        (json!({ "limit": 50 }), "limit=50"),
        (json!({ "limit": 7.0, "is_completed": true }), "limit=7&is_completed=true"),
        (json!({ "q": "äpfel", "is_completed": false }), "limit=20&q=%C3%A4pfel&is_completed=false"),
        (json!({ "priority": ["low", "high"] }), "limit=20&priority=high&priority=low"),
        (json!({ "tag": ["b", "a"], "sort": "title" }), "limit=20&tag=a&tag=b&sort=title"),
        (json!({ "due_from": "2026-12-03", "due_to": "2026-12-20" }), "limit=20&due_from=2026-12-03&due_to=2026-12-20"),
        (json!({ "sort": "due_date", "include_description": true }), "limit=10&sort=due_date"),
        (json!({ "include_description": true, "limit": 50 }), "limit=10"),
        (json!({ "sort": "priority", "limit": 3 }), "limit=3&sort=priority"),
        (json!({ "sort": "-updated_at" }), "limit=20&sort=-updated_at"),
        (json!({ "sort": "created_at" }), "limit=20&sort=created_at"),
    ] {
        let mut arguments = arguments;
        let (mut cursor, mut pages) = (String::new(), 0);
        loop {
            arguments["include_total"] = true.into();
            let page = agent.done("list_tasks", arguments.clone()).await;
            let same = alice.list(&format!("?{query}{cursor}&include_total=true")).await.json();
            let ids = |tasks: &Value| -> Vec<String> {
                tasks.as_array().unwrap().iter().map(|task| id(task).to_owned()).collect()
            };
            assert_eq!(ids(&page["tasks"]), ids(&same["data"]), "{arguments}");
            assert_eq!((&page["next_cursor"], &page["total"]), (&same["meta"]["next_cursor"], &same["meta"]["total"]));
            pages += 1;
            let Some(next) = page["next_cursor"].as_str() else { break };
            arguments["cursor"] = next.into();
            cursor = format!("&cursor={next}");
        }
        all_pages += pages;
    }
    assert!(all_pages > 30, "{all_pages}: lists have pages");
    // A cursor is of one list.
    let page = agent.done("list_tasks", json!({})).await;
    let other = json!({ "cursor": page["next_cursor"], "is_completed": true });
    assert_eq!(agent.refused("list_tasks", other, "invalid-request").await["errors"][0]["pointer"], "/cursor");
}

async fn a_task_that_has_changed_is_not_written_over(server: Server) {
    let insisting = server.with_tools(&[("REQUIRE_IF_MATCH", "true")]).await;
    let server = server.with_tools(&[]).await;
    let (agent, careful) = (Agent::of(&server, "alice"), Agent::of(&insisting, "alice"));
    let task = agent.done("add_task", json!({ "title": "One" })).await;
    agent.done("update_task", json!({ "id": id(&task), "title": "Two", "version": 1 })).await;
    for (tool, arguments) in [
        ("update_task", json!({ "id": id(&task), "title": "Three", "version": 1 })),
        ("complete_task", json!({ "id": id(&task), "version": 1 })),
        ("delete_task", json!({ "id": id(&task), "version": 1 })),
    ] {
        let refused = agent.refused(tool, arguments.clone(), "version-mismatch").await;
        assert_eq!((&refused["current"]["title"], &refused["current"]["version"]), (&"Two".into(), &2.into()));
        assert!(refused["detail"].as_str().unwrap().contains("version is 2"), "{refused}");
        assert!(!refused.to_string().contains("If-Match"), "a header is nothing that a tool has: {refused}");
        assert_eq!(careful.refused(tool, arguments, "version-mismatch").await["current"]["version"], 2);
        let bare = json!({ "id": id(&task) });
        let listed = careful.request("tools/list", json!({})).await.json();
        let listed = listed["result"]["tools"].as_array().unwrap().iter();
        let schema = listed.clone().find(|listed| listed["name"] == tool).unwrap();
        assert_eq!(schema["inputSchema"]["required"], json!(["id", "version"]), "it is told before");
        let required = careful.refused(tool, bare, "condition-required").await;
        assert_eq!(required["errors"][0]["pointer"], "/version");
    }
    // What the task shows already is so, whatever version is named.
    agent.done("update_task", json!({ "id": id(&task), "title": "Two", "version": 1 })).await;
    careful.done("delete_task", json!({ "id": id(&task), "version": 2 })).await;
}

async fn what_is_wrong_with_a_call_is_told_by_its_argument(server: Server) {
    let server = server.with_tools(&[]).await;
    let agent = Agent::of(&server, "alice");
    let task = agent.done("add_task", json!({ "title": "One" })).await;
    let task = id(&task);
    for (tool, arguments, pointers) in [
        ("list_tasks", json!({ "limt": 3 }), vec!["/limt"]),
        ("list_tasks", json!({ "limit": 0 }), vec!["/limit"]),
        ("list_tasks", json!({ "limit": 51 }), vec!["/limit"]),
        ("list_tasks", json!({ "limit": "20" }), vec!["/limit"]),
        ("list_tasks", json!({ "limit": 2.5 }), vec!["/limit"]),
        ("list_tasks", json!({ "limit": -1 }), vec!["/limit"]),
        ("list_tasks", json!({ "due_from": "tomorrow", "due_to": "2026-02-30" }), vec!["/due_from", "/due_to"]),
        ("list_tasks", json!({ "due_from": "2026-12-02", "due_to": "2026-12-01" }), vec!["/due_from"]),
        ("list_tasks", json!({ "is_completed": "false" }), vec!["/is_completed"]),
        ("list_tasks", json!({ "priority": "high" }), vec!["/priority"]),
        ("list_tasks", json!({ "priority": ["high", "high"] }), vec!["/priority"]),
        ("list_tasks", json!({ "priority": ["urgent"] }), vec!["/priority/0"]),
        ("list_tasks", json!({ "tag": [] , "sort": "newest" }), vec!["/sort"]),
        ("list_tasks", json!({ "q": "" }), vec!["/q"]),
        ("list_tasks", json!({ "cursor": "x" }), vec!["/cursor"]),
        ("list_tasks", json!({ "user_id": "bob" }), vec!["/user_id"]),
        ("add_task", json!({}), vec!["/title"]),
        ("add_task", json!({ "title": "" }), vec!["/title"]),
        ("add_task", json!({ "title": "x".repeat(201) }), vec!["/title"]),
        ("add_task", json!({ "title": "x", "due_time": "18:30" }), vec!["/due_time"]),
        ("add_task", json!({ "title": "x", "due_date": "2026-12-01T00:00:00Z" }), vec!["/due_date"]),
        ("add_task", json!({ "title": "x", "due_date": "2026-12-01", "due_time": "6pm" }), vec!["/due_time"]),
        ("add_task", json!({ "title": "x", "tags": "home" }), vec!["/tags"]),
        ("add_task", json!({ "title": "x", "tags": ["a", "a"] }), vec!["/tags"]),
        ("add_task", json!({ "title": "x", "idempotency_key": "two words" }), vec!["/idempotency_key"]),
        ("add_task", json!({ "title": "x", "id": "9b2d6c8e-7c1e-4a43-9f5b-2d6c8e1f4a70" }), vec!["/id"]),
        ("add_task", json!({ "title": "x", "user_id": "bob", "version": 1 }), vec!["/user_id", "/version"]),
        ("complete_task", json!({}), vec!["/id"]),
        ("complete_task", json!({ "id": "1" }), vec!["/id"]),
        ("complete_task", json!({ "id": task, "title": "x" }), vec!["/title"]),
        ("update_task", json!({ "title": "x" }), vec!["/id"]),
        ("update_task", json!({ "id": task, "title": null }), vec!["/title"]),
        ("update_task", json!({ "id": task, "tags": null }), vec!["/tags"]),
        ("update_task", json!({ "id": task, "description": "" }), vec!["/description"]),
        ("list_tasks", json!({ "priority": [null] }), vec!["/priority/0"]),
        ("list_tasks", json!({ "cursor": "" }), vec!["/cursor"]),
        ("update_task", json!({ "id": task, "due_time": "18:30" }), vec!["/due_time"]),
        ("update_task", json!({ "id": task, "due_time": "18:30", "due_date": null }), vec!["/due_time"]),
        ("update_task", json!({ "id": task, "version": 0 }), vec!["/version"]),
        ("update_task", json!({ "id": task, "completed": true }), vec!["/completed"]),
        ("delete_task", json!({ "id": task, "confirm": true }), vec!["/confirm"]),
        ("delete_task", json!({ "id": task, "version": "1" }), vec!["/version"]),
    ] {
        let refused = agent.refused(tool, arguments.clone(), "invalid-request").await;
        let errors = refused["errors"].as_array().unwrap();
        let told: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(told, pointers, "{tool} {arguments}: {refused}");
        if let ([error], detail) = (errors.as_slice(), refused["detail"].as_str().unwrap()) {
            assert_eq!(detail, format!("{} {}.", pointers[0], error["detail"].as_str().unwrap()));
        }
    }
    // What a model does next must be in it, and nothing that it could take for its own.
    for (tool, arguments, hint) in [
        ("list_tasks", json!({ "limit": "20" }), "must be a whole number from 1 to 50, not a string"),
        ("list_tasks", json!({ "is_completed": "false" }), "must be a boolean, not a string"),
        ("list_tasks", json!({ "priority": ["urgent"] }), "must be high, medium or low"),
        ("list_tasks", json!({ "cursor": "" }), "; leave it out for the first page"),
        ("add_task", json!({ "title": "x", "id": "task-1" }), "must be a UUID of version 7: leave it out"),
        ("complete_task", json!({ "id": "task-1" }), "must be the id of a task, as list_tasks returns it"),
        ("update_task", json!({ "id": task, "due_date": "" }), "without a time; or null, to remove it"),
        ("delete_task", json!({ "id": task, "version": "1" }), ", not a string"),
    ] {
        let refused = agent.refused(tool, arguments, "invalid-request").await;
        let detail = refused["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains(hint) && !detail.contains("019ab0d2"), "{detail}");
    }
    let ahead = json!({ "title": "x", "id": "ffffffff-ffff-7fff-bfff-ffffffffffff" });
    assert_eq!(agent.refused("add_task", ahead, "task-id-in-future").await["errors"][0]["pointer"], "/id");
    // What stands twice has two meanings.
    for (tool, arguments) in [
        ("list_tasks", r#"{"limit":1,"limit":2}"#),
        ("add_task", r#"{"title":"a","title":"b"}"#),
        ("delete_task", &format!(r#"{{"id":"{task}","id":"{task}"}}"#)),
    ] {
        let text = message("tools/call", json!({ "name": tool, "arguments": 0 })).to_string();
        let text = text.replace(r#""arguments":0"#, &format!(r#""arguments":{arguments}"#));
        let headers = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", tool)];
        let reply = agent.send(text, &headers).await;
        assert!(reply.text.contains("is sent twice"), "{}", reply.text);
    }
    assert_eq!(agent.ids(json!({})).await, [task], "nothing of all this was done");
}

/// Programs that make a model fill in every argument have it say null for what it would leave out.
async fn null_is_as_if_left_out_but_in_a_patch(server: Server) {
    let server = server.with_tools(&[]).await;
    let agent = Agent::of(&server, "alice");
    let nulls = |tool: &str, given: Value| {
        let names = definition(tool)["inputSchema"]["properties"].as_object().unwrap().keys();
        let all: Map<_, _> = names.map(|name| (name.clone(), given.get(name).cloned().unwrap_or_default())).collect();
        Value::from(all)
    };
    let task = agent.done("add_task", nulls("add_task", json!({ "title": "x" }))).await;
    assert_eq!((&task["tags"], &task["is_completed"], &task["is_replay"]), (&json!([]), &false.into(), &false.into()));
    let listed = agent.done("list_tasks", nulls("list_tasks", json!({}))).await;
    assert_eq!((id(&listed["tasks"][0]), &listed["total"]), (id(&task), &Value::Null));
    let done = agent.done("complete_task", nulls("complete_task", json!({ "id": id(&task) }))).await;
    assert_eq!(done["is_completed"], true);
    let refused =
        agent.refused("update_task", nulls("update_task", json!({ "id": id(&task) })), "invalid-request").await;
    let errors = refused["errors"].as_array().unwrap().iter();
    let told: BTreeSet<_> = errors.map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(told, BTreeSet::from(["/title", "/tags", "/is_completed"]));
    agent.done("delete_task", nulls("delete_task", json!({ "id": id(&task) }))).await;
}

/// What a list leaves out it says that there is, so that nobody writes over it unseen.
async fn a_list_says_which_tasks_have_a_description(server: Server) {
    let server = server.with_tools(&[]).await;
    let agent = Agent::of(&server, "alice");
    agent.done("add_task", json!({ "title": "bare" })).await;
    agent.done("add_task", json!({ "title": "described", "description": "long" })).await;
    for (arguments, descriptions) in [
        (json!({}), [Value::Null, Value::Null]),
        (json!({ "include_description": true }), [json!("long"), Value::Null]),
    ] {
        let tasks = agent.done("list_tasks", arguments).await["tasks"].clone();
        assert_eq!((&tasks[0]["has_description"], &tasks[1]["has_description"]), (&true.into(), &false.into()));
        assert_eq!([tasks[0]["description"].clone(), tasks[1]["description"].clone()], descriptions);
    }
}

/// The schema of a component's member, or of a parameter.
fn contracted(operation: &str, name: &str) -> Value {
    let document = &CONTRACT.document;
    let paths = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let of = paths.clone().find(|of| of["operationId"] == operation).unwrap();
    let mut parameters = of["parameters"].as_array().unwrap().iter();
    let named = |parameter: &&Value| {
        parameter["name"] == name || (name == "idempotency_key" && parameter["name"] == "Idempotency-Key")
    };
    if let Some(parameter) = parameters.find(named).filter(|parameter| parameter["in"] != "path") {
        return parameter["schema"].clone();
    }
    let component = |reference: &str| document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
    let body = of.pointer("/requestBody/content/application~1json/schema/$ref").and_then(Value::as_str);
    let body = body.and_then(|reference| component(reference)["properties"].get(name));
    match name {
        "id" if body.is_none() => document["components"]["schemas"]["Task"]["properties"]["id"].clone(),
        "version" => document["components"]["schemas"]["SelectedTask"]["properties"]["version"].clone(),
        _ => body.unwrap_or_else(|| panic!("{operation} takes no {name}")).clone(),
    }
}

/// Types and limits of a schema, what it refers to in its place. A list of types and an `anyOf` of them are one.
fn limits(schema: &Value) -> Value {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return limits(CONTRACT.document.pointer(reference.strip_prefix('#').unwrap()).unwrap());
    }
    let mut kept = Map::new();
    for (name, value) in schema.as_object().unwrap() {
        match name.as_str() {
            "description" | "examples" | "pattern" | "title" => {}
            "items" => drop(kept.insert(name.clone(), limits(value))),
            "anyOf" => drop(kept.insert(name.clone(), value.as_array().unwrap().iter().map(limits).collect())),
            _ => drop(kept.insert(name.clone(), value.clone())),
        }
    }
    if let Some(Value::Array(types)) = kept.get("type").cloned() {
        let one = |of: &Value| {
            let mut schema = if of == "null" { Map::new() } else { kept.clone() };
            schema.insert("type".to_owned(), of.clone());
            Value::from(schema)
        };
        return json!({ "anyOf": types.iter().map(one).collect::<Vec<_>>() });
    }
    kept.into()
}

/// The same without the limits: those of what is sent are no news in what is answered.
fn types(schema: &Value) -> Value {
    fn strip(schema: &mut Value) {
        match schema {
            Value::Object(members) => {
                members.retain(|name, _| !name.starts_with("min") && !name.starts_with("max"));
                members.values_mut().for_each(strip);
            }
            Value::Array(schemas) => schemas.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut schema = limits(schema);
    strip(&mut schema);
    schema
}

#[tokio::test]
async fn the_schemas_of_tools_are_the_contracts() {
    let operations = [
        ("list_tasks", "listTasks"),
        ("add_task", "createTask"),
        ("complete_task", "completeTask"),
        ("update_task", "patchTask"),
        ("delete_task", "deleteTask"),
    ];
    assert_eq!(
        DEFINITIONS.iter().map(|tool| tool["name"].as_str().unwrap()).collect::<Vec<_>>(),
        operations.map(|(tool, _)| tool)
    );
    for (tool, operation) in operations {
        let definition = definition(tool);
        assert_eq!(definition["inputSchema"]["additionalProperties"], false);
        for (name, schema) in definition["inputSchema"]["properties"].as_object().unwrap() {
            assert!(schema["description"].as_str().is_some_and(|text| text.ends_with('.')), "{tool} {name}");
            let mut expected = match name.as_str() {
                "include_description" => json!({ "type": "boolean", "default": false }),
                name => limits(&contracted(operation, name)),
            };
            if name == "limit" {
                (expected["maximum"], expected["default"]) = (50.into(), 20.into());
            }
            assert_eq!(limits(schema), expected, "{tool} {name}");
        }
        let results = &definition["outputSchema"];
        let tasks = if tool == "list_tasks" { &results["properties"]["tasks"]["items"] } else { results };
        for (name, schema) in tasks["properties"].as_object().unwrap() {
            match CONTRACT.document["components"]["schemas"]["Task"]["properties"].get(name) {
                Some(expected) => assert_eq!(limits(schema), types(expected), "{tool} {name}"),
                None => assert_eq!(schema["type"], "boolean", "{tool} {name}"),
            }
        }
        // What old clients ask of both.
        assert_eq!((&definition["inputSchema"]["type"], &results["type"]), (&"object".into(), &"object".into()));
        jsonschema::meta::validate(&definition["inputSchema"]).unwrap();
        jsonschema::meta::validate(results).unwrap();
    }
    let hints = |tool: &str, name: &str| definition(tool)["annotations"][name].as_bool().unwrap();
    for (tool, _) in operations {
        assert_eq!(hints(tool, "readOnlyHint"), tool == "list_tasks", "{tool}");
        assert_eq!(hints(tool, "destructiveHint"), ["update_task", "delete_task"].contains(&tool), "{tool}");
        assert_eq!(hints(tool, "idempotentHint"), tool != "add_task", "{tool}");
        assert!(!hints(tool, "openWorldHint"));
    }
}

#[tokio::test]
async fn a_model_has_little_to_read() {
    let definitions = Value::from(DEFINITIONS.clone()).to_string();
    assert!(definitions.chars().count() / 4 < 2_500, "{}", definitions.chars().count());
    let server = Server::on_sqlite().await;
    let server = server.with_tools(&[]).await;
    let agent = Agent::of(&server, "alice");
    for n in 0..20 {
        agent.done("add_task", json!({ "title": format!("{n:030}"), "due_date": "2026-12-01", "priority": "medium", "tags": ["home"] })).await;
    }
    let reply = agent.request("tools/call", json!({ "name": "list_tasks" })).await.json();
    let text = reply["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(reply["result"]["structuredContent"]["tasks"].as_array().unwrap().len(), 20);
    assert!(text.chars().count() / 4 < 2_000, "{}", text.chars().count());
}

/// Every argument that a schema names is read, and no other.
#[tokio::test]
async fn what_a_schema_names_is_what_is_read() {
    let server = Server::on_sqlite().await;
    let server = server.with_tools(&[]).await;
    let agent = Agent::of(&server, "alice");
    for definition in &*DEFINITIONS {
        let tool = definition["name"].as_str().unwrap();
        let named: BTreeSet<&str> =
            definition["inputSchema"]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let refused = agent.refused(tool, json!({ "unheard_of": 1 }), "invalid-request").await;
        let errors = refused["errors"].as_array().unwrap().iter();
        let told = errors.filter_map(|error| error["detail"].as_str().unwrap().split_once("the arguments are "));
        let told: Vec<_> = told.map(|(_, members)| members).collect();
        assert_eq!(told.len(), 1, "{refused}");
        assert_eq!(told[0].split(", ").collect::<BTreeSet<_>>(), named, "{tool}");
    }
}

/// The samples of the reference can be called as they stand.
#[tokio::test]
async fn the_samples_of_the_reference_can_be_called() {
    let server = Server::on_sqlite().await;
    let server = server.with_tools(&[]).await;
    let agent = Agent::of(&server, "alice");
    let page = server.nobody().to(Method::GET, "/docs/reference").bare().send().await.unwrap().text().await.unwrap();
    let samples = page.split("<pre class=\"agents\" tabindex=\"0\"><code>").skip(1);
    let samples: Vec<_> = samples.map(|rest| rest.split("</code>").next().unwrap().replace("&quot;", "\"")).collect();
    assert_eq!(samples.len(), 1 + 5);
    assert!(samples[0].contains(&format!("{ORIGIN}/mcp")), "{}", samples[0]);
    serde_json::from_str::<Value>(&samples[0]).unwrap();
    let mut called = BTreeSet::new();
    for sample in &samples[1..] {
        let call: Value = serde_json::from_str(sample).unwrap();
        let tool = call["name"].as_str().unwrap();
        let schema = jsonschema::validator_for(&definition(tool)["inputSchema"]).unwrap();
        assert!(schema.is_valid(&call["arguments"]), "{call}");
        let (seen, _) = agent.call(tool, call["arguments"].clone()).await;
        assert!(["null", "\"task-not-found\""].contains(&seen["code"].to_string().as_str()), "{call}: {seen}");
        called.insert(tool.to_owned());
    }
    assert_eq!(called.len(), 5);
}
