//! The tools of agents: the Model Context Protocol at `POST /mcp`, over the same guard, service and errors as the operations.
//!
//! In comes one JSON-RPC message, with a token that is meant for `/mcp`; out goes one JSON answer, or none to a notification. Every
//! request stands for itself, in revision 2026-07-28 as well as in those before it, to which no session is given. What is wrong with a
//! message is a JSON-RPC error, what is wrong with a call a result that says so, so that a model can do better; what is no matter of the
//! message (no token, too many requests, no database) is the same problem as everywhere, with its status and headers.
//!
//! By hand, not with rmcp 3.11: without sessions and streams the server's side of the protocol is six methods. The crate would bring 12
//! crates, 9 of them in second versions, a release every few weeks, a limit of bodies of its own, and `schemars` as a second source of
//! schemas beside the contract. Nothing here may know a schema: `document/tools.rs` chooses them from the document.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `call` | a tool is called: arguments in, a call of the service, and what a model is told of it |
//! | `arguments` | what tools are called with |
//! | `message` | JSON-RPC: a message, its revision, and what is wrong with it |

mod arguments;
mod call;
mod message;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use poem::endpoint::{BoxEndpoint, make_sync};
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, EndpointExt, Request, Response};
use poem_openapi::OpenApi;
use poem_openapi::registry::{MetaApi, Registry};
use serde::Serialize;
use serde_json::{Value, json};

use crate::document::tools::{DEFINITIONS, INSTRUCTIONS, Tool};
use crate::http::body::{MAX_BYTES, bytes};
use crate::http::error::{Error, Problem};
use crate::http::json::JSON;
use crate::http::public_url::PublicUrl;
use crate::mcp::call::{Outcome, call};
use crate::mcp::message::{Era, LEGACY, MODERN, Message, RpcError};
use crate::security::guard::{Route, RouteInfo, caller};
use crate::security::owner::{Authenticate, Owner, Resource};
use crate::service::TaskService;

/// Where messages are sent.
pub(crate) const PATH: &str = "/mcp";

/// What stands before the path of a resource in that of its metadata (RFC 9728 §3.1).
const METADATA: &str = "/.well-known/oauth-protected-resource";

/// How the tools of agents are served.
#[derive(Debug, Clone)]
pub struct McpOptions {
    /// The authorization servers that give tokens for them, by their issuers (RFC 8414 §2); where there are none, nobody is told where
    /// to get one.
    pub authorization_servers: Vec<String>,
    /// The origins whose pages may call.
    pub origins: Origins,
}

/// Which origins (RFC 6454 §6.2) are meant, as `Origin` names them.
#[derive(Clone)]
pub struct Origins(pub Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origins(…)")
    }
}

/// How requests of agents are refused, where it is not a matter of their message.
///
/// Status and headers are those of the problem. The body is a JSON-RPC error with the problem as its `data`, and with the seconds of
/// `Retry-After` as its member `retry_after`: of any other body clients of the protocol tell nobody anything, not even the status, and
/// of headers none does (the packages `mcp` 2.3 for Python, `@modelcontextprotocol/client` 2.4). Its id is null, as that of a request
/// whose id was not read (JSON-RPC 2.0 §5), without which the former reads no error either.
#[derive(Debug)]
pub struct McpRefusals {
    public_url: PublicUrl,
    /// Where clients learn how to get a token (RFC 9728 §5.1).
    metadata: Option<String>,
}

impl McpRefusals {
    /// Of a server that the world finds there.
    #[must_use]
    pub fn new(options: &McpOptions, public_url: &PublicUrl) -> Self {
        let metadata = options.has_metadata(public_url).then(|| format!("{public_url}{METADATA}{PATH}"));
        Self { public_url: public_url.clone(), metadata }
    }

    /// Whether a request is one of an agent.
    #[must_use]
    pub fn are_for(&self, method: &Method, path: &str) -> bool {
        let path = path.strip_prefix(self.public_url.prefix.as_str()).unwrap_or(path);
        *method == Method::POST && path == PATH
    }

    /// The answer that an agent gets. Its code is the status.
    #[must_use]
    pub fn answer(&self, error: Error, request_id: &str) -> Response {
        let problem = error.problem(request_id, &self.public_url);
        let mut response = error.into_response(request_id, &self.public_url);
        let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let data = Refused { problem: &problem, retry_after: seconds };
        let body = json!({
            "jsonrpc": "2.0",
            "id": null,
            "error": { "code": problem.status, "message": problem.detail, "data": data },
        });
        if let Some(metadata) = &self.metadata {
            tell(response.headers_mut(), metadata);
        }
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        response.set_body(body.to_string());
        response
    }
}

/// A problem, and when to try again.
#[derive(Serialize)]
struct Refused<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

/// Adds the address of the metadata to a challenge.
fn tell(headers: &mut HeaderMap, metadata: &str) {
    if let Some(challenge) = headers.get_mut(header::WWW_AUTHENTICATE)
        && let Ok(text) = challenge.to_str()
        && let Ok(more) = format!("{text}, resource_metadata=\"{metadata}\"").try_into()
    {
        *challenge = more;
    }
}

impl McpOptions {
    /// Whether there is something to say of how to get a token.
    fn has_metadata(&self, public_url: &PublicUrl) -> bool {
        !public_url.origin.is_empty() && !self.authorization_servers.is_empty()
    }
}

/// The tools, where they are served.
pub(crate) struct Mcp<S, A> {
    pub(crate) service: Arc<S>,
    pub(crate) authenticator: Arc<A>,
    /// Whether a write must say on which version it depends.
    pub(crate) needs_version: bool,
    pub(crate) public_url: PublicUrl,
    pub(crate) options: Option<McpOptions>,
}

impl<S: TaskService, A: Authenticate> OpenApi for Mcp<S, A> {
    fn meta() -> Vec<MetaApi> {
        Vec::new()
    }

    fn register(_: &mut Registry) {}

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        let Some(options) = self.options else { return };
        let mut add = |path: String, method, endpoint| drop(table.entry(path).or_default().insert(method, endpoint));
        let public_url = &self.public_url;
        if options.has_metadata(public_url) {
            let document: Arc<str> = json!({
                "resource": format!("{public_url}{PATH}"),
                "authorization_servers": options.authorization_servers,
                "bearer_methods_supported": ["header"],
                "resource_name": "Tasks",
                "resource_documentation": format!("{public_url}/docs/reference"),
            })
            .to_string()
            .into();
            // Behind the prefix, where a proxy brings it anyway; and before it, where RFC 9728 has it.
            for path in [format!("{METADATA}{PATH}"), format!("{METADATA}{}{PATH}", public_url.prefix)] {
                let document = Arc::clone(&document);
                add(path, Method::GET, make_sync(move |_| about(&document)).boxed());
            }
        }
        let tools = Tools {
            service: self.service,
            authenticator: self.authenticator,
            needs_version: self.needs_version,
            origins: options.origins,
            routes: Tool::ALL.map(|tool| (tool, Route { path: PATH.into(), operation: tool.name().into() })).into(),
        };
        add(PATH.to_owned(), Method::POST, tools.boxed());
    }
}

/// The metadata of the resource (RFC 9728 §3.2), which anybody may keep for some minutes.
fn about(document: &str) -> Response {
    let response = Response::builder().content_type(JSON).header(header::CACHE_CONTROL, "public, max-age=300");
    response.body(document.to_owned())
}

/// What there is at [`PATH`] for requests that call no tool.
pub(crate) fn route() -> RouteInfo {
    let route = Route { path: PATH.into(), operation: "mcp".into() };
    let methods = Method::POST.to_string();
    RouteInfo { path: Arc::clone(&route.path), methods, operations: vec![(Method::POST, route)] }
}

/// The endpoint.
struct Tools<S, A> {
    service: Arc<S>,
    authenticator: Arc<A>,
    needs_version: bool,
    origins: Origins,
    /// What a request matched, by the tool that it calls.
    routes: HashMap<Tool, Route>,
}

impl<S: TaskService, A: Authenticate> Endpoint for Tools<S, A> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        self.check_origin(request.headers())?;
        let caller = caller(&request, &*self.authenticator, Resource::Tools).await?;
        let body = bytes(&mut request, &[JSON], MAX_BYTES).await?;
        let message = match Message::read(&body) {
            Ok(message) => message,
            Err((error, id)) => return Ok(refuse(&error, id)),
        };
        let era = match message.era(request.headers()) {
            Ok(era) => era,
            Err(error) => return Ok(refuse(&error, message.id)),
        };
        let Some(id) = message.id else {
            return Ok(if message.method.starts_with("notifications/") {
                Response::builder().status(StatusCode::ACCEPTED).finish()
            } else {
                refuse(&RpcError::unnamed(&message.method), None)
            });
        };
        match self.answer(&message, era, id, &caller.owner()).await? {
            Ok(response) => Ok(response),
            Err(error) => Ok(refuse(&error.of(era), Some(id))),
        }
    }
}

impl<S: TaskService, A> Tools<S, A> {
    /// Refuses pages of origins that nobody has listed (streamable-http, "Security & Endpoint"): a page may come to know a server that
    /// only its reader reaches.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Error> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next().map(HeaderValue::to_str), origins.next()) {
            (None, _) => Ok(()),
            (Some(Ok(origin)), None) if (self.origins.0)(origin) => Ok(()),
            _ => Err(Error::OriginForbidden),
        }
    }

    /// The answer to a request.
    async fn answer(
        &self,
        message: &Message<'_>,
        era: Era,
        id: &str,
        owner: &Owner,
    ) -> poem::Result<Result<Response, RpcError>> {
        let params = &message.params;
        Ok(match (&*message.method, era) {
            ("tools/call", _) => match params.name().and_then(|name| Ok((tool(&name)?, params.arguments()?))) {
                Ok((tool, arguments)) => Ok(self.called(tool, arguments, era, id, owner).await?),
                Err(error) => Err(error),
            },
            ("tools/list", Era::Modern) => params.check_cursor().map(|()| respond(id, &MODERN_LIST)),
            ("tools/list", Era::Legacy) => params.check_cursor().map(|()| respond(id, &LEGACY_LIST)),
            ("server/discover", Era::Modern) => Ok(respond(id, &DISCOVERED)),
            ("initialize", Era::Legacy) => params.agreed().map(|version| respond(id, &initialized(version))),
            ("ping", Era::Legacy) => Ok(respond(id, "{}")),
            (method, Era::Modern) => Err(RpcError::method(method, &["server/discover", "tools/list", "tools/call"])),
            (method, Era::Legacy) => Err(RpcError::method(method, &["initialize", "ping", "tools/list", "tools/call"])),
        })
    }

    /// The answer to the call of a tool.
    async fn called(&self, tool: Tool, arguments: &[u8], era: Era, id: &str, owner: &Owner) -> poem::Result<Response> {
        let route = self.routes.get(&tool);
        let outcome = call(tool, arguments, owner, &*self.service, self.needs_version).await.map_err(|error| {
            let mut error = poem::Error::from(error);
            if let Some(route) = route {
                error.set_data(route.clone());
            }
            error
        })?;
        let (text, code) = match outcome {
            Outcome::Done(text) => (text, None),
            Outcome::Refused(code, text) => (text, Some(code)),
        };
        let content = Value::from(text.as_str());
        let meta = if era == Era::Modern { &*OF_A_RESULT } else { "" };
        let structured = if code.is_none() { format!(r#","structuredContent":{text}"#) } else { String::new() };
        let is_error = code.is_some();
        let result =
            format!(r#"{{{meta}"content":[{{"type":"text","text":{content}}}],"isError":{is_error}{structured}}}"#);
        let mut response = respond(id, &result);
        if let Some(code) = code {
            response.set_data(code);
        }
        if let Some(route) = route {
            response.set_data(route.clone());
        }
        Ok(response)
    }
}

/// The tool of this name.
fn tool(name: &str) -> Result<Tool, RpcError> {
    Tool::named(name).ok_or_else(|| RpcError::tool(name, &Tool::ALL.map(Tool::name)))
}

/// An answer with a result, which is JSON.
fn respond(id: &str, result: &str) -> Response {
    json_response(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into_bytes())
}

fn refuse(error: &RpcError, id: Option<&str>) -> Response {
    json_response(error.status, error.write(id))
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    Response::builder().status(status).content_type(JSON).header(header::CACHE_CONTROL, "no-store").body(body)
}

fn server() -> Value {
    json!({ "name": "tasks-api", "title": "Tasks", "version": env!("CARGO_PKG_VERSION") })
}

/// What results of revision 2026-07-28 begin with.
static OF_A_RESULT: LazyLock<String> = LazyLock::new(|| {
    format!(r#""resultType":"complete","_meta":{{"io.modelcontextprotocol/serverInfo":{}}},"#, server())
});

/// The tools do not change while the server runs; for how many milliseconds clients may believe that it does.
const KEPT: &str = r#""ttlMs":3600000,"cacheScope":"public","#;

static MODERN_LIST: LazyLock<String> =
    LazyLock::new(|| format!(r#"{{{}{KEPT}"tools":{}}}"#, *OF_A_RESULT, *DEFINITIONS));

static LEGACY_LIST: LazyLock<String> = LazyLock::new(|| format!(r#"{{"tools":{}}}"#, *DEFINITIONS));

static DISCOVERED: LazyLock<String> = LazyLock::new(|| {
    let versions: Value = [MODERN].into_iter().chain(LEGACY).collect();
    let (about, instructions) = (&*OF_A_RESULT, Value::from(INSTRUCTIONS));
    format!(
        r#"{{{about}{KEPT}"supportedVersions":{versions},"capabilities":{{"tools":{{}}}},"instructions":{instructions}}}"#
    )
});

/// The answer to `initialize`, with the revision to go on with.
fn initialized(version: &str) -> String {
    let capabilities = json!({ "tools": {} });
    json!({
        "protocolVersion": version,
        "capabilities": capabilities,
        "serverInfo": server(),
        "instructions": INSTRUCTIONS,
    })
    .to_string()
}
