//! What is the same for all: the lists, the beginnings, and the form of an answer. Texts are made once, and only the id is put in.

use std::sync::{LazyLock, OnceLock};

use poem::Response;
use poem::http::{StatusCode, header};
use serde_json::{Value, json};

use crate::document::tools::{INSTRUCTIONS, definitions};
use crate::http::json::JSON;
use crate::mcp::call::Outcome;
use crate::mcp::message::{Era, LEGACY, MODERN, RpcError};

/// What stands before the id of an answer.
const BEFORE_ID: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":";

/// The answer with a result, which is JSON.
pub(super) fn respond(id: &str, result: &str) -> Response {
    answer(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into_bytes())
}

/// The answer with an error; without an id where none could be read.
pub(super) fn refuse(error: &RpcError, id: Option<&str>) -> Response {
    let mut response = answer(error.status, error.write(id));
    response.set_data(Misread(error.name()));
    response
}

/// What was wrong with an agent's message, in a word for the log: data of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misread(pub &'static str);

/// Data of an answer to an agent that changed nothing, though it was asked for by `POST`: something else may be answered in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangesNothing;

/// The answer to a notification.
pub(super) fn accept() -> Response {
    Response::builder().status(StatusCode::ACCEPTED).finish()
}

/// The answer to a call: what it came to as text for models and, where it was done, as `structuredContent` for programs. Of one that was
/// refused, clients of before 2026-07-28 hold that against the schema of results.
pub(super) fn called(id: &str, era: Era, outcome: Outcome) -> Response {
    let (text, code) = match outcome {
        Outcome::Done(text) => (text, None),
        Outcome::Refused(code, text) => (text, Some(code)),
    };
    let beginning = if era == Era::Modern { &*BEGINNING } else { "" };
    // Written once, from end to end: with its quotes escaped it is as long again and a quarter more.
    let mut body = Vec::with_capacity(text.len() * 5 / 2 + 512);
    body.extend_from_slice(BEFORE_ID);
    body.extend_from_slice(id.as_bytes());
    body.extend_from_slice(b",\"result\":{");
    body.extend_from_slice(beginning.as_bytes());
    body.extend_from_slice(b"\"content\":[{\"type\":\"text\",\"text\":");
    // Writing a text to a Vec cannot fail.
    let _ = serde_json::to_writer(&mut body, &text);
    if code.is_none() {
        body.extend_from_slice(b"}],\"isError\":false,\"structuredContent\":");
        body.extend_from_slice(text.as_bytes());
    } else {
        body.extend_from_slice(b"}],\"isError\":true");
    }
    body.extend_from_slice(b"}}");
    let mut response = answer(StatusCode::OK, body);
    if let Some(code) = code {
        response.set_data(code);
    }
    response
}

fn answer(status: StatusCode, body: Vec<u8>) -> Response {
    Response::builder().status(status).content_type(JSON).header(header::CACHE_CONTROL, "no-store").body(body)
}

fn server() -> Value {
    json!({ "name": "tasks-api", "title": "Tasks", "version": env!("CARGO_PKG_VERSION") })
}

/// What results of revision 2026-07-28 begin with.
static BEGINNING: LazyLock<String> = LazyLock::new(|| {
    format!(r#""resultType":"complete","_meta":{{"io.modelcontextprotocol/serverInfo":{}}},"#, server())
});

/// For how many milliseconds clients may take the tools for what they were: they change with the server's version and settings alone.
const KEPT: &str = r#""ttlMs":3600000,"cacheScope":"public","#;

/// The results of `tools/list`, made when they are first asked for.
pub(super) struct Lists {
    needs_version: bool,
    made: OnceLock<(String, String)>,
}

impl Lists {
    /// Of a server whose writes must say on which version they depend, or not.
    pub(super) const fn new(needs_version: bool) -> Self {
        Self { needs_version, made: OnceLock::new() }
    }

    /// The list for this kind of revision.
    pub(super) fn of(&self, era: Era) -> &str {
        let (modern, legacy) = self.made.get_or_init(|| {
            let tools = definitions(self.needs_version);
            (format!(r#"{{{}{KEPT}"tools":{tools}}}"#, *BEGINNING), format!(r#"{{"tools":{tools}}}"#))
        });
        if era == Era::Modern { modern } else { legacy }
    }
}

/// The result of `server/discover`.
pub(super) static DISCOVERED: LazyLock<String> = LazyLock::new(|| {
    let versions: Value = [MODERN].into_iter().chain(LEGACY).collect();
    let (beginning, instructions) = (&*BEGINNING, Value::from(INSTRUCTIONS));
    format!(
        r#"{{{beginning}{KEPT}"supportedVersions":{versions},"capabilities":{{"tools":{{}}}},"instructions":{instructions}}}"#
    )
});

/// The result of `initialize`, with the revision to go on with.
pub(super) fn initialized(version: &str) -> String {
    json!({
        "protocolVersion": version,
        "capabilities": { "tools": {} },
        "serverInfo": server(),
        "instructions": INSTRUCTIONS,
    })
    .to_string()
}
