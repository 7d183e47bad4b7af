#![doc = include_str!("introduction.md")]
//!
//! # The crate
//!
//! This crate is that contract: it compiles, and prints its document, with no server, database or secret.
//! [`routes`] serves it over a [`TaskService`] and an [`Authenticate`]; `README.md` has the rules of the contract.

mod document;
mod http;
mod mcp;
mod router;
mod schemas;
mod security;
mod service;

use std::collections::HashMap;
use std::sync::Arc;

use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderMap, Method, Uri, header};
use poem::{Endpoint, IntoEndpoint, PathPattern, Request, Response};

pub use crate::document::openapi;
pub use crate::http::code::ProblemCode;
pub use crate::http::error::{Cause, Error, TokenFault};
pub use crate::http::header::ETag;
pub use crate::http::newtype::{Invalid, Nullable};
pub use crate::http::problem::{Current, Fault, Location, Problem};
pub use crate::http::public_url::PublicUrl;
pub use crate::mcp::{ChangesNothing, McpOptions, McpRefusals, MessageId, Misread, Origins};
pub use crate::schemas::bulk::SelectedTask;
pub use crate::schemas::changes::{Changes, ChangesMeta, ChangesRequest, ChangesToken, Position, Wait};
pub use crate::schemas::condition::IfMatch;
pub use crate::schemas::cursor::{After, Cursor, Key};
pub use crate::schemas::details::{Description, Due, DueDate, DueTime, Priority, Tag};
pub use crate::schemas::export::ExportLine;
pub use crate::schemas::filter::{Filter, SearchText, Sort};
pub use crate::schemas::idempotency::{Done, IdempotencyKey};
pub use crate::schemas::mark::{Expected, TaskTag, etag};
pub use crate::schemas::page::{Limit, PageMeta, PageRequest, TaskPage};
pub use crate::schemas::task::{
    OwnId, StoredTitle, Task, TaskDraft, TaskEnvelope, TaskId, TaskPatch, TaskUpdate, Title,
};
pub use crate::schemas::time::Timestamp;
pub use crate::schemas::user::UserId;
pub use crate::security::guard::Route;
pub use crate::security::meter::{Meter, Metered};
pub use crate::security::owner::{Authenticate, Caller, Owner, Resource};
pub use crate::service::{Export, TaskService};

use crate::document::pages::Pages;
use crate::http::public_url::NAMES;
use crate::mcp::Mcp;
use crate::router::{Operations, operations};
use crate::security::guard::{self, Guarded, RouteInfo};

/// Everything that the contract serves: the operations and, outside the document, the pages about them.
/// Whatever is refused comes out as an [`Error`], which [`Error::into_response`] turns into a problem once the request's
/// id is known. Answers and errors carry the [`Route`] that matched as their data.
pub fn routes<S: TaskService, A: Authenticate>(
    service: Arc<S>,
    authenticator: Arc<A>,
    options: &Options,
) -> impl Endpoint<Output = Response> + use<S, A> {
    let mut operations = guard::routes::<Operations<S>>();
    if options.mcp.is_some() {
        operations.insert(mcp::PATH.to_owned(), mcp::route());
    }
    Routes {
        public_url: options.public_url.clone(),
        inner: openapi::service(api(service, authenticator, options)).into_endpoint(),
        operations,
    }
}

/// The operations, the tools of agents, and the pages about them.
fn api<S: TaskService, A: Authenticate>(
    service: Arc<S>,
    authenticator: Arc<A>,
    options: &Options,
) -> (Guarded<Operations<S>, A>, Mcp<S, A>, Pages) {
    let mcp = Mcp {
        service: Arc::clone(&service),
        authenticator: Arc::clone(&authenticator),
        needs_version: options.requires_condition,
        public_url: options.public_url.clone(),
        options: options.mcp.clone(),
    };
    let api = operations(service, options.requires_condition);
    (Guarded { api, authenticator }, mcp, Pages::new(options.advice, &options.public_url))
}

/// How the contract is served.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How somebody at Swagger UI gets a token, in Markdown.
    pub advice: &'static str,
    /// Whether a write of a task must say on which version it depends: without `If-Match` it is 428.
    pub requires_condition: bool,
    /// Where the world finds what is served.
    pub public_url: PublicUrl,
    /// How the tools of agents are served; with `None`, not at all.
    pub mcp: Option<McpOptions>,
}

/// All routes; says in our words what the framework refuses.
struct Routes {
    public_url: PublicUrl,
    inner: BoxEndpoint<'static>,
    operations: HashMap<String, RouteInfo>,
}

impl Routes {
    /// What there is at a pattern of poem's, and what this method matches there; what is no operation is a page.
    fn at(&self, pattern: Option<&PathPattern>, method: &Method) -> (Option<&RouteInfo>, Option<Route>) {
        let info = pattern.and_then(|pattern| self.operations.get(&*pattern.0));
        let page = || pattern.map(|pattern| Route { path: pattern.0.clone(), operation: "page".into() });
        (info, info.map(|info| info.route(method)).or_else(page))
    }

    /// Takes the public prefix off the path, where a proxy left it.
    fn strip(&self, request: &mut Request) {
        let path = request.uri().path();
        let rest = self.public_url.strip(path, &NAMES);
        if rest != path {
            let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = format!("{rest}{query}").parse().ok();
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }

    /// Puts the public prefix before the path that `Location` names.
    fn locate(&self, headers: &mut HeaderMap) {
        if !self.public_url.prefix.is_empty()
            && let Some(location) = headers.get_mut(header::LOCATION)
            && let Some(path) = location.to_str().ok().map(|path| format!("{}{path}", self.public_url.prefix))
            && let Ok(path) = path.try_into()
        {
            *location = path;
        }
    }
}

impl Endpoint for Routes {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        self.strip(&mut request);
        // The router takes an empty segment for a parameter, where the contract has no path.
        if request.uri().path().contains("//") {
            return Err(Error::PathNotFound.into());
        }
        let method = request.method().clone();
        match self.inner.call(request).await {
            Ok(mut response) => {
                self.locate(response.headers_mut());
                if response.data::<Route>().is_none()
                    && let (_, Some(route)) = self.at(response.data(), &method)
                {
                    response.set_data(route);
                }
                Ok(response)
            }
            Err(error) => {
                let (info, route) = self.at(error.data(), &method);
                let route = error.data::<Route>().cloned().or(route);
                let message = error.data::<MessageId>().cloned();
                let mut error = poem::Error::from(match Error::from_framework(error) {
                    Error::MethodNotAllowed(_) => {
                        Error::MethodNotAllowed(info.map_or("GET, HEAD", |info| &info.methods).to_owned())
                    }
                    error => error,
                });
                if let Some(route) = route {
                    error.set_data(route);
                }
                if let Some(message) = message {
                    error.set_data(message);
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::future::ready;

    use futures_util::future::BoxFuture;
    use poem_openapi::OpenApi;
    use serde_json::Value;

    use super::*;
    use crate::document::openapi::Nobody;
    use crate::security::guard::route_of;

    impl Authenticate for Nobody {
        fn authenticate<'a>(&'a self, _: &'a str, _: Resource) -> BoxFuture<'a, Result<UserId, Error>> {
            Box::pin(ready(Err(TokenFault::Missing.into())))
        }
    }

    /// The pages, which are no operations.
    const PAGES: [&str; 12] = [
        "/",
        "/.well-known/oauth-protected-resource/mcp",
        "/docs",
        "/docs/",
        "/docs/reference",
        "/docs/start.js",
        "/docs/swagger-ui.css",
        "/docs/swagger-ui.js",
        "/openapi.json",
        "/openapi.yaml",
        "/problems",
        "/problems/:code",
    ];

    #[test]
    fn the_routes_are_the_operations_of_the_document_and_the_pages() {
        let mcp = McpOptions {
            authorization_servers: vec!["https://auth.example".to_owned()],
            origins: Origins(Arc::new(|_| false)),
        };
        let public_url = PublicUrl { origin: "https://tasks.example".to_owned(), prefix: String::new() };
        let mut table = HashMap::new();
        let options = Options { mcp: Some(mcp), public_url, ..Options::default() };
        api(Arc::new(Nobody), Arc::new(Nobody), &options).add_routes(&mut table);
        let served: BTreeSet<(String, String)> = table
            .into_iter()
            .flat_map(|(path, methods)| methods.into_keys().map(move |method| (path.clone(), method.to_string())))
            .collect();
        let document: Value = serde_json::from_str(&openapi::JSON).expect("the document is JSON");
        let paths = document.get("paths").and_then(Value::as_object).expect("paths");
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().expect("operations").keys();
            methods.map(|method| (route_of(path), method.to_uppercase()))
        });
        let pages = PAGES.map(|path| (path.to_owned(), "GET".to_owned()));
        // JSON-RPC, which stands outside the document.
        let mcp = [("/mcp".to_owned(), "POST".to_owned())];
        assert_eq!(served, operations.chain(pages).chain(mcp).collect());
        let names: BTreeSet<&str> = served.iter().filter_map(|(path, _)| path.split('/').nth(1)).collect();
        assert_eq!(names, [""].into_iter().chain(NAMES).collect(), "what a path with the public prefix goes on with");
    }
}
