//! Where agents learn how to get a token (RFC 9728), and how they are refused where it is not a matter of their message.

use std::sync::Arc;

use poem::endpoint::{BoxEndpoint, make_sync};
use poem::http::{HeaderMap, HeaderValue, Method, header};
use poem::{EndpointExt, Response};
use serde::Serialize;
use serde_json::json;

use crate::http::error::Error;
use crate::http::json::JSON;
use crate::http::problem::Problem;
use crate::http::public_url::{NAMES, PublicUrl};
use crate::mcp::options::{McpOptions, PATH};
use crate::security::guard::Route;

/// What stands before the path of a resource in that of its metadata (RFC 9728 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// What is said of the tools as a protected resource.
pub(super) struct Metadata {
    /// Where it is found, as the world sees it: behind the prefix, where every proxy brings it.
    url: String,
    /// The paths at which it is served.
    paths: [String; 2],
    document: Arc<str>,
}

impl Metadata {
    /// That of a server that the world finds there; `None` where there is nothing to be said.
    pub(super) fn of(options: &McpOptions, public_url: &PublicUrl) -> Option<Self> {
        if public_url.origin.is_empty() || options.authorization_servers.is_empty() {
            return None;
        }
        let document = json!({
            "resource": format!("{public_url}{PATH}"),
            "authorization_servers": options.authorization_servers,
            "bearer_methods_supported": ["header"],
            "resource_name": "Tasks",
            "resource_documentation": format!("{public_url}/docs/reference"),
        });
        Some(Self {
            url: format!("{public_url}{WELL_KNOWN}{PATH}"),
            // The second is where RFC 9728 has it.
            paths: [format!("{WELL_KNOWN}{PATH}"), format!("{WELL_KNOWN}{}{PATH}", public_url.prefix)],
            document: document.to_string().into(),
        })
    }

    /// Its routes.
    pub(super) fn routes(self) -> impl Iterator<Item = (String, BoxEndpoint<'static>)> {
        let Self { paths, document, .. } = self;
        paths.into_iter().map(move |path| {
            let document = Arc::clone(&document);
            (path, make_sync(move |_| answer(&document)).boxed())
        })
    }
}

/// The document (RFC 9728 §3.2), which anybody may keep for some minutes.
fn answer(document: &str) -> Response {
    let response = Response::builder().content_type(JSON).header(header::CACHE_CONTROL, "public, max-age=300");
    response.body(document.to_owned())
}

/// How requests of agents are refused, where it is not a matter of their message.
///
/// Status and headers are those of the problem. The body is a JSON-RPC error with the problem as its `data`, and with the seconds of
/// `Retry-After` as its member `retry_after`: of any other body clients of the protocol tell nobody anything, not even the status, and
/// of headers none does (the packages `mcp` 2.3 for Python, `@modelcontextprotocol/client` 2.4). Where the id of the request was not
/// read, it is null (JSON-RPC 2.0 §5): without one the former reads no error either.
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
        let metadata = Metadata::of(options, public_url).map(|metadata| metadata.url);
        Self { public_url: public_url.clone(), metadata }
    }

    /// Whether a request is one of an agent.
    #[must_use]
    pub fn are_for(&self, method: &Method, path: &str) -> bool {
        *method == Method::POST && self.public_url.strip(path, &NAMES) == PATH
    }

    /// What such a request matches, if nothing more is known of it.
    #[must_use]
    pub fn route(&self) -> Route {
        Route { path: PATH.into(), operation: "mcp".into() }
    }

    /// The answer that an agent gets. Its code is the status.
    #[must_use]
    pub fn answer(&self, error: Error, request_id: &str, message: Option<&MessageId>) -> Response {
        let problem = error.problem(request_id, &self.public_url);
        let mut response = error.into_response(request_id, &self.public_url);
        let seconds: Option<u64> =
            response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let data = Refused { problem: &problem, retry_after: seconds };
        let told = match seconds {
            Some(seconds) => format!("{}. Try again in {seconds} seconds.", problem.title),
            None => problem.detail.clone(),
        };
        let error = json!({ "code": problem.status, "message": told, "data": data });
        let id = message.map_or("null", |MessageId(id)| id);
        if let Some(metadata) = &self.metadata {
            tell(response.headers_mut(), metadata);
        }
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        response.set_body(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
        response
    }
}

/// The id of an agent's request, as it was written: data of an error that is no matter of its message.
#[derive(Debug, Clone)]
pub struct MessageId(pub(super) Arc<str>);

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
