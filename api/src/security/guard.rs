//! What every operation checks before its own extractors, in the order that the contract promises: first the token
//! (401), then that the query has only parameters that the operation knows, each once, and that neither the condition of
//! a write nor the key of its repeats would be overlooked (400).
//!
//! Which operations want a token and which parameters they know is read from the metadata that the document is made of,
//! so the two cannot differ.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderMap, HeaderName, Method, header};
use poem::{Endpoint, EndpointExt, Request, Response};
use poem_openapi::OpenApi;
use poem_openapi::error::ParsePathError;
use poem_openapi::registry::{MetaApi, MetaOperation, MetaParamIn, MetaSchemaRef, Registry};

use crate::http::error::Error;
use crate::http::problem::{Fault, Location};
use crate::security::meter::Metered;
use crate::security::owner::{Authenticate, Caller, Resource, bearer_token};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// An API whose operations are guarded.
pub(crate) struct Guarded<T, A> {
    pub(crate) api: T,
    pub(crate) authenticator: Arc<A>,
}

/// An operation behind its guard.
struct Guard<A> {
    operation: BoxEndpoint<'static>,
    authenticator: Option<Arc<A>>,
    path: Vec<String>,
    /// The parameters of the query, and whether each may be repeated.
    query: Vec<(String, bool)>,
    /// The headers that would be overlooked, each with what to do.
    refused: Vec<(HeaderName, &'static str, &'static str)>,
}

impl<T: OpenApi, A: Authenticate> OpenApi for Guarded<T, A> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        let mut operations = HashMap::new();
        for path in T::meta().into_iter().flat_map(|api| api.paths) {
            for operation in path.operations {
                operations.insert((route_of(&path.path), operation.method.clone()), operation);
            }
        }
        let mut inner = HashMap::new();
        self.api.add_routes(&mut inner);
        for (route, methods) in inner {
            for (method, endpoint) in methods {
                let endpoint = match operations.get(&(route.clone(), method.clone())) {
                    Some(meta) => Guard::new(endpoint, meta, &self.authenticator).boxed(),
                    None => endpoint,
                };
                table.entry(route.clone()).or_default().insert(method, endpoint);
            }
        }
    }
}

/// What a request matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The path, with its parameters by name: `/api/{user_id}/tasks`.
    pub path: Arc<str>,
    /// The id of the operation; `page` for a page, `none` where the path does not know the method.
    pub operation: Arc<str>,
}

/// What there is at a route.
pub(crate) struct RouteInfo {
    /// Its path as the document writes it.
    pub(crate) path: Arc<str>,
    /// Its methods as the `Allow` header lists them (RFC 9110 §10.2.1); `GET` answers `HEAD` too.
    pub(crate) methods: String,
    pub(crate) operations: Vec<(Method, Route)>,
}

impl RouteInfo {
    /// What a request of this method matches here.
    pub(crate) fn route(&self, method: &Method) -> Route {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let operation = self.operations.iter().find(|(known, _)| known == method).map(|(_, route)| route.clone());
        operation.unwrap_or_else(|| Route { path: Arc::clone(&self.path), operation: "none".into() })
    }
}

/// The operations' routes, by poem's pattern.
pub(crate) fn routes<T: OpenApi>() -> HashMap<String, RouteInfo> {
    let mut routes = HashMap::new();
    for path in T::meta().into_iter().flat_map(|api| api.paths) {
        let info = routes.entry(route_of(&path.path)).or_insert_with(|| RouteInfo {
            path: path.path.as_str().into(),
            methods: String::new(),
            operations: vec![],
        });
        for operation in path.operations {
            let method = operation.method.as_str();
            let names = if method == "GET" { "GET, HEAD" } else { method };
            let comma = if info.methods.is_empty() { "" } else { ", " };
            info.methods.push_str(comma);
            info.methods.push_str(names);
            let id = operation.operation_id.unwrap_or_default();
            let route = Route { path: Arc::clone(&info.path), operation: id.into() };
            info.operations.push((operation.method, route));
        }
    }
    routes
}

/// The path of an operation as its route names it: poem-openapi numbers the parameters, `/{a}/{b}` is `/:param0/:param1`.
pub(crate) fn route_of(path: &str) -> String {
    let mut count = 0;
    let segment = |segment: &str| {
        if segment.starts_with('{') {
            count += 1;
            format!(":param{}", count - 1)
        } else {
            segment.to_owned()
        }
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

impl<A: Authenticate> Guard<A> {
    fn new(operation: BoxEndpoint<'static>, meta: &MetaOperation, authenticator: &Arc<A>) -> Self {
        let names = |place| -> Vec<String> {
            let params = meta.params.iter().filter(move |param| param.in_type == place);
            params.map(|param| param.name.clone()).collect()
        };
        let taken = names(MetaParamIn::Header);
        let is_overlooked = |name: &str| !taken.iter().any(|taken| taken.eq_ignore_ascii_case(name));
        let mut refused = Vec::new();
        if meta.method != Method::GET && is_overlooked("If-Match") {
            let detail = "is not read by this operation, and would be overlooked; leave it out";
            refused.push((header::IF_MATCH, "If-Match", detail));
        }
        if is_overlooked("Idempotency-Key") {
            let detail = "is not read by this operation, which can be repeated without it; leave it out";
            refused.push((IDEMPOTENCY_KEY, "Idempotency-Key", detail));
        }
        Self {
            operation,
            authenticator: (!meta.security.is_empty()).then(|| Arc::clone(authenticator)),
            path: names(MetaParamIn::Path),
            query: meta
                .params
                .iter()
                .filter(|param| param.in_type == MetaParamIn::Query)
                .map(|param| {
                    let is_list = matches!(&param.schema, MetaSchemaRef::Inline(schema) if schema.ty == "array");
                    (param.name.clone(), is_list)
                })
                .collect(),
            refused,
        }
    }

    fn check_headers(&self, sent: &HeaderMap) -> Result<(), Error> {
        let mut faults = Vec::new();
        for (header, name, detail) in &self.refused {
            if sent.contains_key(header) {
                faults.push(Fault::parameter(Location::Header, *name, *detail));
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
    }

    /// A refusal names path parameters by poem-openapi's numbers; the client knows them by name.
    fn name_path_parameter(&self, error: poem::Error) -> poem::Error {
        let number = |name: &str| name.strip_prefix("param")?.parse::<usize>().ok();
        match error.downcast_ref() {
            Some(ParsePathError { name, .. }) => {
                let known = number(name).and_then(|n| self.path.get(n)).cloned();
                match (Error::from_framework(error), known) {
                    (Error::Invalid(mut faults), Some(known)) => {
                        for fault in &mut faults {
                            fault.name = Some(known.clone());
                        }
                        Error::Invalid(faults).into()
                    }
                    (error, _) => error.into(),
                }
            }
            None => error,
        }
    }
}

impl<A: Authenticate> Endpoint for Guard<A> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if let Some(authenticator) = &self.authenticator {
            let caller = caller(&request, &**authenticator, Resource::Operations).await?;
            request.set_data(caller);
        }
        self.check_headers(request.headers())?;
        check_query(request.uri().query().unwrap_or_default(), &self.query)?;
        self.operation.call(request).await.map_err(|error| self.name_path_parameter(error))
    }
}

/// The caller of a request, by its token, and counted.
///
/// # Errors
/// [`Error::Unauthorized`] or [`Error::UnusableClaim`] without a good token for this resource, [`Error::RateLimited`] when the user's
/// requests are too many, [`Error::Unavailable`] when nothing can be told now.
pub(crate) async fn caller<A: Authenticate>(
    request: &Request,
    authenticator: &A,
    resource: Resource,
) -> Result<Caller, Error> {
    let token = bearer_token(request.headers())?;
    let caller = Caller(authenticator.authenticate(token, resource).await?);
    if let Some(Metered(meter)) = request.data() {
        meter.admit(&caller.0)?;
    }
    Ok(caller)
}

/// Refuses parameters that the operation does not know, and any that is sent twice and is no list: `?is_complete=true` must not list
/// everything.
fn check_query(query: &str, known: &[(String, bool)]) -> Result<(), Error> {
    if query.is_empty() {
        return Ok(());
    }
    // Else what is no text would be read as another one.
    let is_text = |part: &&str| percent_decode_str(part).decode_utf8().is_ok();
    if let Some(part) = query.split('&').find(|part| !is_text(part)) {
        let name = percent_decode_str(part.split('=').next().unwrap_or_default()).decode_utf8_lossy();
        return Err(Error::invalid(Fault::parameter(Location::Query, name, "must be UTF-8, percent-encoded")));
    }
    let (mut seen, mut refused, mut faults) = (HashSet::new(), HashSet::new(), Vec::new());
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        let detail = match known.iter().find(|(known, _)| *known == name) {
            None if known.is_empty() => "is unknown here; the operation takes no query".to_owned(),
            None => {
                let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
                format!("is unknown here; the parameters are {}", names.join(", "))
            }
            Some((_, true)) => continue,
            Some(_) if seen.insert(name.clone()) => continue,
            Some(_) => "is sent twice; send it once".to_owned(),
        };
        if refused.insert(name.clone()) {
            faults.push(Fault::parameter(Location::Query, name, detail));
        }
        if faults.len() == Error::MAX_FAULTS {
            break;
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}
