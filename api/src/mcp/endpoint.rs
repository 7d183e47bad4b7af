//! A request comes in at `/mcp`: origin, token, limits, body, message, revision, in this order; then its method.

use std::sync::Arc;

use poem::http::{HeaderMap, HeaderValue, header};
use poem::{Endpoint, Request, Response};

use crate::document::tools::Tool;
use crate::http::body::{MAX_BYTES, bytes};
use crate::http::error::Error;
use crate::http::json::JSON;
use crate::mcp::answer::{ChangesNothing, DISCOVERED, Lists, accept, called, initialized, refuse, respond};
use crate::mcp::call::call;
use crate::mcp::message::{Era, Message, Params, RpcError};
use crate::mcp::metadata::MessageId;
use crate::mcp::options::{Origins, PATH};
use crate::security::guard::{Route, caller};
use crate::security::owner::{Authenticate, Owner, Resource};
use crate::service::TaskService;

/// The endpoint.
pub(super) struct Tools<S, A> {
    service: Arc<S>,
    authenticator: Arc<A>,
    /// Whether a write must say on which version it depends.
    needs_version: bool,
    origins: Origins,
    lists: Lists,
    /// Where it is, for the log.
    path: Arc<str>,
}

/// Why a request is not answered with a result.
enum Refusal {
    /// Its message is not as it must be.
    Message(RpcError),
    /// It is no matter of the message.
    Request(poem::Error),
}

impl From<RpcError> for Refusal {
    fn from(error: RpcError) -> Self {
        Self::Message(error)
    }
}

impl<S, A> Tools<S, A> {
    pub(super) fn new(service: Arc<S>, authenticator: Arc<A>, needs_version: bool, origins: Origins) -> Self {
        let lists = Lists::new(needs_version);
        Self { service, authenticator, needs_version, origins, lists, path: PATH.into() }
    }

    /// Refuses pages of origins that nobody has listed (basic/transports/streamable-http, "Security & Endpoint"): a page may come to know
    /// a server that only its reader reaches.
    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Error> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next().map(HeaderValue::to_str), origins.next()) {
            (None, _) => Ok(()),
            (Some(Ok(origin)), None) if (self.origins.0)(origin) => Ok(()),
            _ => Err(Error::OriginForbidden),
        }
    }
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
            let is_notification = message.method.starts_with("notifications/");
            return Ok(if is_notification { accept() } else { refuse(&RpcError::unnamed(&message.method), None) });
        };
        match self.answer(&message, era, id, &caller.owner()).await {
            Ok(response) => Ok(response),
            Err(Refusal::Message(error)) => Ok(refuse(&error.of(era), Some(id))),
            Err(Refusal::Request(error)) => Err(error),
        }
    }
}

impl<S: TaskService, A> Tools<S, A> {
    /// The answer to a request by its method.
    async fn answer(&self, message: &Message<'_>, era: Era, id: &str, owner: &Owner) -> Result<Response, Refusal> {
        let params = &message.params;
        match (&*message.method, era) {
            ("tools/call", _) => return self.call_tool(params, era, id, owner).await,
            ("tools/list", _) => params.check_cursor().map(|()| respond(id, self.lists.of(era))),
            ("server/discover", Era::Modern) => Ok(respond(id, &DISCOVERED)),
            ("initialize", Era::Legacy) => params.agreed().map(|version| respond(id, &initialized(version))),
            ("ping", Era::Legacy) => Ok(respond(id, "{}")),
            (method, Era::Modern) => Err(RpcError::method(method, &["server/discover", "tools/list", "tools/call"])),
            (method, Era::Legacy) => Err(RpcError::method(method, &["initialize", "ping", "tools/list", "tools/call"])),
        }
        .map_err(Refusal::Message)
    }

    async fn call_tool(&self, params: &Params<'_>, era: Era, id: &str, owner: &Owner) -> Result<Response, Refusal> {
        let name = params.name()?;
        let tool = Tool::named(&name).ok_or_else(|| RpcError::tool(&name, &Tool::ALL.map(Tool::name)))?;
        let route = Route { path: Arc::clone(&self.path), operation: tool.name().into() };
        match call(tool, params.arguments()?, owner, &*self.service, self.needs_version).await {
            Ok(outcome) => {
                let mut response = called(id, era, outcome);
                response.set_data(route);
                if tool == Tool::ListTasks {
                    response.set_data(ChangesNothing);
                }
                Ok(response)
            }
            Err(error) => {
                let mut error = poem::Error::from(error);
                error.set_data(route);
                error.set_data(MessageId(id.into()));
                Err(Refusal::Request(error))
            }
        }
    }
}
