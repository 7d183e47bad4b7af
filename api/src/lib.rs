#![doc = include_str!("introduction.md")]
//!
//! # The crate
//!
//! This crate is that contract: it compiles, and prints its document, with no server, database or secret.
//! [`routes`] serves it over a [`TaskService`] and an [`Authenticate`]; `README.md` has the rules of the contract.

mod body;
mod bulk;
mod condition;
mod docs;
mod error;
mod examples;
mod field;
mod guard;
mod header;
mod health;
mod idempotency;
mod json;
mod links;
mod newtype;
pub mod openapi;
mod owner;
mod reference;
mod router;
mod service;
mod task;
mod upgrade;

use std::collections::HashMap;
use std::sync::Arc;

use poem::endpoint::BoxEndpoint;
use poem::{Endpoint, IntoEndpoint, PathPattern, Request, Response};

pub use crate::bulk::SelectedTask;
pub use crate::condition::IfMatch;
pub use crate::error::{Cause, Error, Fault, Location, Problem, ProblemCode, TokenFault};
pub use crate::idempotency::{Created, IdempotencyKey};
pub use crate::newtype::{Invalid, Nullable};
pub use crate::owner::{Authenticate, Caller, Owner};
pub use crate::service::TaskService;
pub use crate::task::{
    Cursor, Limit, NewTask, PageMeta, PageRequest, Task, TaskEnvelope, TaskId, TaskPage, TaskPatch, TaskUpdate,
    Timestamp, Title, UserId,
};

use crate::docs::Pages;
use crate::guard::{Guarded, RouteInfo};
use crate::router::TaskRouter;

/// Everything that the contract serves: the operations and, outside the document, the pages about them.
/// Whatever is refused comes out as an [`Error`], which [`Error::into_response`] turns into a problem once the request's
/// id is known. Answers and errors carry the [`Route`] that matched as their data.
pub fn routes<S: TaskService, A: Authenticate>(
    service: Arc<S>,
    authenticator: Arc<A>,
    options: Options,
) -> impl Endpoint<Output = Response> {
    Routes {
        inner: openapi::service(api(service, authenticator, options)).into_endpoint(),
        operations: guard::routes::<TaskRouter<S>>(),
    }
}

/// The operations, and the pages about them.
fn api<S: TaskService, A: Authenticate>(
    service: Arc<S>,
    authenticator: Arc<A>,
    options: Options,
) -> (Guarded<TaskRouter<S>, A>, Pages) {
    let router = TaskRouter { service, requires_condition: options.requires_condition };
    (Guarded { api: router, authenticator }, Pages::new(options.advice))
}

/// How the contract is served.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How somebody at Swagger UI gets a token, in Markdown.
    pub advice: &'static str,
    /// Whether a write of a task must say on which version it depends: without `If-Match` it is 428.
    pub requires_condition: bool,
}

/// The path that a request matched, with its parameters by name: `/api/{user_id}/tasks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route(pub Arc<str>);

/// All routes; says in our words what the framework refuses.
struct Routes {
    inner: BoxEndpoint<'static>,
    operations: HashMap<String, RouteInfo>,
}

impl Routes {
    /// What there is at a pattern of poem's, and its route; what is no operation is a page.
    fn at(&self, pattern: Option<&PathPattern>) -> (Option<&RouteInfo>, Option<Route>) {
        let info = pattern.and_then(|pattern| self.operations.get(&*pattern.0));
        let page = || pattern.map(|pattern| Route(pattern.0.clone()));
        (info, info.map(|info| info.route.clone()).or_else(page))
    }
}

impl Endpoint for Routes {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        // The router takes an empty segment for a parameter, where the contract has no path.
        if request.uri().path().contains("//") {
            return Err(Error::PathNotFound.into());
        }
        match self.inner.call(request).await {
            Ok(mut response) => {
                if let (_, Some(route)) = self.at(response.data()) {
                    response.set_data(route);
                }
                Ok(response)
            }
            Err(error) => {
                let (info, route) = self.at(error.data());
                let mut error = poem::Error::from(match Error::from_framework(error) {
                    Error::MethodNotAllowed(_) => {
                        Error::MethodNotAllowed(info.map_or("GET, HEAD", |info| &info.methods).to_owned())
                    }
                    error => error,
                });
                if let Some(route) = route {
                    error.set_data(route);
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
    use crate::guard::route_of;
    use crate::openapi::Nobody;

    impl Authenticate for Nobody {
        fn authenticate<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<UserId, Error>> {
            Box::pin(ready(Err(TokenFault::Missing.into())))
        }
    }

    /// The pages, which are no operations.
    const PAGES: [&str; 11] = [
        "/",
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
        let mut table = HashMap::new();
        api(Arc::new(Nobody), Arc::new(Nobody), Options::default()).add_routes(&mut table);
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
        assert_eq!(served, operations.chain(pages).collect());
    }
}
