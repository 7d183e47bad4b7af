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
//! | `endpoint` | a request comes in at `/mcp`, and is answered |
//! | `metadata` | where agents learn how to get a token (RFC 9728), and how they are refused without one |
//! | `answer` | what is the same for all: lists, the beginnings, the form of an answer |
//! | `call` | a tool is called: arguments in, a call of the service, and what a model is told of it |
//! | `arguments` | what tools are called with |
//! | `message` | JSON-RPC: a message, its revision, and what is wrong with it |
//! | `options` | how the tools are served |

mod answer;
mod arguments;
mod call;
mod endpoint;
mod message;
mod metadata;
mod options;

use std::collections::HashMap;
use std::sync::Arc;

use poem::EndpointExt;
use poem::endpoint::BoxEndpoint;
use poem::http::Method;
use poem_openapi::OpenApi;
use poem_openapi::registry::{MetaApi, Registry};

use crate::http::public_url::PublicUrl;
pub use crate::mcp::answer::{ChangesNothing, Misread};
use crate::mcp::endpoint::Tools;
use crate::mcp::metadata::Metadata;
pub use crate::mcp::metadata::{McpRefusals, MessageId};
pub(crate) use crate::mcp::options::PATH;
pub use crate::mcp::options::{McpOptions, Origins};
use crate::security::guard::{Route, RouteInfo};
use crate::security::owner::Authenticate;
use crate::service::TaskService;

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
        let mut add = |path, method, endpoint| drop(table.entry(path).or_default().insert(method, endpoint));
        for (path, endpoint) in Metadata::of(&options, &self.public_url).into_iter().flat_map(Metadata::routes) {
            add(path, Method::GET, endpoint);
        }
        let tools = Tools::new(self.service, self.authenticator, self.needs_version, options.origins);
        add(PATH.to_owned(), Method::POST, tools.boxed());
    }
}

/// What there is at [`PATH`] for requests that call no tool.
pub(crate) fn route() -> RouteInfo {
    let route = Route { path: PATH.into(), operation: "mcp".into() };
    let methods = Method::POST.to_string();
    RouteInfo { path: Arc::clone(&route.path), methods, operations: vec![(Method::POST, route)] }
}
