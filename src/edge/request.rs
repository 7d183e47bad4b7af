//! What happens to every request before and after the contract's routes.
//!
//! It gets an id, limits in time and number, and a line in the log; pages of other origins get what CORS wants; a panic is
//! caught. Whatever was refused inside becomes a problem here, where the id is known.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Body as _;
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use poem::{Endpoint, Request, Response};
use tasks_api::{
    ChangesNothing, Error, McpRefusals, MessageId, Meter, Metered, Misread, ProblemCode, PublicUrl, Route, UserId,
};
use tokio::time::{self, timeout_at};
use uuid::Uuid;

use crate::edge::compression::{Coding, compress};
use crate::edge::cors::{Cors, is_preflight};
use crate::edge::framing;
use crate::edge::limits::{Limits, Quotum};
use crate::edge::metrics::Metrics;
#[cfg(feature = "otlp")]
use crate::edge::otlp::Traces;
use crate::edge::receiving::{MOST, MOST_OF_A_USER, Receiving, STANDSTILL};
use crate::edge::security_headers;
use crate::edge::share::{SMALL, Share};
use crate::edge::trace::{Parent, TraceId};
use crate::storage::timing::watch;

/// What answers with tasks that are not read hold together, and those of one user, in bytes.
const UNREAD: usize = 24 * 1024 * 1024;
const UNREAD_OF_A_USER: usize = 8 * 1024 * 1024;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives each request an id, limits, an answer whatever happens, and one line in the log.
pub struct Edge<E> {
    inner: E,
    rules: Rules,
    limits: Arc<Limits>,
    bodies: Arc<Share>,
    answers: Arc<Share>,
    metrics: Arc<Metrics>,
    outages: Outages,
}

/// What is set.
pub(crate) struct Rules {
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// Without it, pages of other origins cannot call.
    pub(crate) cors: Option<Cors>,
    /// Where the world finds the server.
    pub(crate) public_url: PublicUrl,
    /// How agents are refused, where they are served.
    pub(crate) mcp: Option<McpRefusals>,
    /// Whether answers say how long they took (Server Timing, W3C).
    pub(crate) tells_time: bool,
    /// Where spans go, if anywhere.
    #[cfg(feature = "otlp")]
    pub(crate) traces: Option<Traces>,
}

impl<E: Endpoint<Output = Response>> Edge<E> {
    /// Around `inner`.
    pub(crate) fn new(inner: E, rules: Rules, limits: Arc<Limits>, metrics: Arc<Metrics>) -> Self {
        let bodies = Arc::new(Share::new(MOST, MOST_OF_A_USER));
        let answers = Arc::new(Share::new(UNREAD, UNREAD_OF_A_USER));
        Self { inner, rules, limits, bodies, answers, metrics, outages: Outages::default() }
    }

    /// What unfinished bodies hold.
    pub(crate) fn bodies(&self) -> &Arc<Share> {
        &self.bodies
    }

    /// What happened since the start.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Answers a request, and says whether the connection must be closed behind it.
    pub(super) async fn handle(&self, mut request: Request, receiving: Option<Arc<Receiving>>) -> (Response, bool) {
        let started = Instant::now();
        let _in_flight = self.metrics.begin();
        let id = request_id(request.headers());
        let text = id.to_str().unwrap_or_default();
        let mcp = self.rules.mcp.as_ref().filter(|mcp| mcp.are_for(request.method(), request.uri().path()));
        let asked = Asked { id: text, mcp };
        let (method, version) = (known(request.method()), request.version());
        let wanted = Coding::of(request.headers());
        let parent = Parent::of(request.headers());
        let expects = receiving.is_some() && request.headers().contains_key(header::EXPECT);
        let cors = self.rules.cors.as_ref().map(|cors| (cors, cors.allowed_origin(request.headers())));
        let is_preflight = is_preflight(&request);

        let framed = framing::check(version, request.headers());
        let is_misframed = framed.is_err();
        let visit = Arc::new(self.visit(&request, receiving.as_ref()));
        let mut account =
            Account { metrics: &self.metrics, started, method, id: text, visit: &visit, is_closed: false };
        let is_allowed = is_preflight && !is_misframed && matches!(cors, Some((_, Some(_))));
        let mut response = if let Err(error) = framed {
            self.refuse(error.into(), asked)
        } else if is_allowed {
            Cors::preflight(request.headers())
        } else {
            request.set_data(Metered(Arc::clone(&visit) as Arc<dyn Meter>));
            // Named nowhere, so that it is moved nowhere: it is thousands of bytes long.
            if self.rules.tells_time {
                let (mut response, spent) = Box::pin(watch(self.answer(request, asked, receiving.as_deref()))).await;
                tell_time(response.headers_mut(), spent, started.elapsed());
                response
            } else {
                self.answer(request, asked, receiving.as_deref()).await
            }
        };
        if !is_allowed {
            response = self.count_address(response, asked, &visit);
        }
        compress(&mut response, wanted).await;
        let has_room = self.hold(&mut response, visit.user.get().copied(), method, asked);
        if !has_room {
            response = self.refuse_at(Error::Overloaded, &response, asked);
        }
        // Once, for all that follows: a map that grows is made anew.
        response.headers_mut().reserve(8);
        if let Some(quotum) = visit.quotum.get() {
            quotum.tell(response.headers_mut());
        }
        if let Some((cors, origin)) = cors {
            cors.complete(response.headers_mut(), origin, is_preflight);
        }
        let is_last = is_misframed
            || !has_room
            || match &receiving {
                // HTTP/2 ends the stream, and the connection goes on.
                Some(receiving) if version != Version::HTTP_2 => !receiving.drain(expects).await,
                _ => false,
            };
        if is_last && version != Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }

        let took = started.elapsed();
        let trace = parent.map(|parent| parent.trace);
        #[cfg(feature = "otlp")]
        let trace = self.rules.traces.as_ref().and_then(|to| to.record(parent, method, &response, took)).or(trace);
        let misread = response.data::<Misread>().map(|Misread(what)| *what);
        let code = response.data::<ProblemCode>().map(|code| code.as_str()).or(misread);
        account.close(response.data(), response.status().as_u16(), code, trace, took);
        drop(account);
        response.headers_mut().insert(X_REQUEST_ID.clone(), id);
        security_headers::add(response.headers_mut(), self.rules.public_url.is_https());
        (response, is_last)
    }

    /// The answer of what is inside, whatever happens there.
    async fn answer(&self, request: Request, asked: Asked<'_>, receiving: Option<&Receiving>) -> Response {
        let now = time::Instant::now;
        let deadline = now() + self.rules.timeout;
        let mut until = if receiving.is_some() { deadline.min(now() + STANDSTILL) } else { deadline };
        let mut call = pin!(AssertUnwindSafe(self.inner.call(request)).catch_unwind());
        let outcome = loop {
            match timeout_at(until, call.as_mut()).await {
                Ok(Ok(outcome)) => break outcome,
                // The panic hook has logged where.
                Ok(Err(_panic)) => break Err(Error::internal("a panic").into()),
                Err(_elapsed) => match receiving.and_then(Receiving::awaited_until) {
                    // One timer serves both: setting another for its body would cost each request that has one.
                    Some(awaited) if awaited.min(deadline) <= now() => break Err(Error::BodyTimedOut.into()),
                    None if deadline <= now() => break Err(Error::TimedOut.into()),
                    // Without a body that is waited for, one may be later.
                    awaited => until = deadline.min(awaited.unwrap_or_else(|| now() + STANDSTILL)),
                },
            }
        };
        outcome.unwrap_or_else(|error| self.refuse(error, asked))
    }

    /// What is counted of a request.
    fn visit(&self, request: &Request, receiving: Option<&Arc<Receiving>>) -> Visit {
        let peer = request.remote_addr().as_socket_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip);
        Visit {
            client: self.limits.client(peer, request.headers()),
            limits: Arc::clone(&self.limits),
            answers: Arc::clone(&self.answers),
            receiving: receiving.cloned(),
            quotum: OnceLock::new(),
            user: OnceLock::new(),
            waits: AtomicBool::new(false),
        }
    }

    /// Counts for the address what needs no user, and what has no good token; the probes are free.
    fn count_address(&self, response: Response, asked: Asked<'_>, visit: &Visit) -> Response {
        let route = response.data::<Route>();
        let is_probe = route.is_some_and(|route| matches!(&*route.path, "/livez" | "/readyz"));
        if visit.user.get().is_some() || is_probe {
            return response;
        }
        let Some(counted) = self.limits.of_address(visit.client) else { return response };
        let (Ok(quotum) | Err(quotum)) = counted;
        let _ = visit.quotum.set(quotum);
        if counted.is_ok() {
            return response;
        }
        self.refuse_at(Error::RateLimited(quotum.retry_after()), &response, asked)
    }

    /// Holds room for an answer until it is written, and says whether there is some. Only of what changes nothing it can be said that
    /// nothing was done.
    fn hold(&self, response: &mut Response, user: Option<u64>, method: &str, asked: Asked<'_>) -> bool {
        if asked.mcp.is_none() && !response.data::<Route>().is_some_and(|route| route.path.starts_with("/api/")) {
            // Pages are there once, for all who read them.
            return true;
        }
        let changes_nothing = response.data::<ChangesNothing>().is_some();
        let body = BoxBody::from(response.take_body());
        let length = body.size_hint().exact().and_then(|length| length.try_into().ok()).unwrap_or_default();
        response.set_body(body);
        if length <= SMALL {
            return true;
        }
        let (held, has_room) = self.answers.hold(user, length);
        response.extensions_mut().insert(Arc::new(held));
        has_room || !(method == "GET" || changes_nothing)
    }

    /// The problem in place of an answer.
    fn refuse_at(&self, error: Error, response: &Response, asked: Asked<'_>) -> Response {
        let mut error = poem::Error::from(error);
        if let Some(route) = response.data::<Route>() {
            error.set_data(route.clone());
        }
        self.refuse(error, asked)
    }

    /// The problem for an error; what the server is to blame for is logged with its cause.
    fn refuse(&self, error: poem::Error, asked: Asked<'_>) -> Response {
        let id = asked.id;
        let route = error.data::<Route>().cloned().or_else(|| asked.mcp.map(McpRefusals::route));
        let message = error.data::<MessageId>().cloned();
        let error = Error::from_framework(error);
        match &error {
            Error::Internal(cause) => {
                self.metrics.failed();
                tracing::error!(request_id = id, %cause, "internal error");
            }
            Error::Unavailable(cause) => {
                self.metrics.failed();
                self.outages.say(id, &cause.to_string());
            }
            _ => {}
        }
        let code = error.code();
        let mut response = match asked.mcp {
            Some(mcp) => mcp.answer(error, id, message.as_ref()),
            None => error.into_response(id, &self.rules.public_url),
        };
        response.set_data(code);
        if let Some(route) = route {
            response.set_data(route);
        }
        response
    }
}

/// What is known of a request whatever becomes of it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    /// Its id.
    id: &'a str,
    /// How it is refused, where an agent sent it.
    mcp: Option<&'a McpRefusals>,
}

/// The line of a request in the log, and its part in the figures: written once, at its end.
struct Account<'a> {
    metrics: &'a Metrics,
    started: Instant,
    method: &'static str,
    id: &'a str,
    visit: &'a Visit,
    is_closed: bool,
}

impl Account<'_> {
    fn close(
        &mut self,
        route: Option<&Route>,
        status: u16,
        code: Option<&str>,
        trace: Option<TraceId>,
        took: Duration,
    ) {
        self.is_closed = true;
        self.metrics.answered(route, status, (!self.visit.waits.load(Relaxed)).then_some(took));
        let (method, path, id) = (self.method, route.map_or("", |route| &route.path), self.id);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(target: "tasks_server::request", method, route = path, status, code, micros, request_id = id, trace_id = trace.map(tracing::field::display));
    }
}

impl Drop for Account<'_> {
    /// The client went before there was an answer.
    fn drop(&mut self) {
        if !self.is_closed {
            self.close(None, CLIENT_GONE, Some("client-gone"), None, self.started.elapsed());
        }
    }
}

/// The status, in the log and the figures alone, of a request whose client did not wait for its answer: nginx's.
const CLIENT_GONE: u16 = 499;

/// The method, where it is one that HTTP has: anybody can send others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::CONNECT => "CONNECT",
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

/// What is counted of a request once its user is known.
struct Visit {
    /// Who sent it, as far as its connection tells.
    client: IpAddr,
    limits: Arc<Limits>,
    answers: Arc<Share>,
    receiving: Option<Arc<Receiving>>,
    /// What its sender has left, where there is a limit.
    quotum: OnceLock<Quotum>,
    /// The user's number, once their token was found good.
    user: OnceLock<u64>,
    /// Whether it waits for what is to come.
    waits: AtomicBool,
}

impl Meter for Visit {
    fn waits(&self) {
        self.waits.store(true, Relaxed);
    }

    fn admit(&self, user: &UserId) -> Result<(), Error> {
        let number = *self.user.get_or_init(|| self.limits.number(user.as_str()));
        if let Some(receiving) = &self.receiving {
            receiving.is_of(number);
        }
        // Before anything is done: what was written cannot be refused any more.
        if self.answers.is_full_for(number) {
            return Err(Error::Overloaded);
        }
        match self.limits.of_user(number) {
            None => Ok(()),
            Some(Ok(quotum)) => {
                let _ = self.quotum.set(quotum);
                Ok(())
            }
            Some(Err(quotum)) => {
                let _ = self.quotum.set(quotum);
                Err(Error::RateLimited(quotum.retry_after()))
            }
        }
    }
}

/// What was last said of outages: of each cause, one line a second, however many requests it meets.
#[derive(Default)]
struct Outages(Mutex<Vec<Outage>>);

struct Outage {
    cause: String,
    said: Instant,
    /// How many requests it has met since.
    silent: u64,
}

impl Outages {
    /// How many causes are told apart.
    const MOST: usize = 16;

    fn say(&self, id: &str, cause: &str) {
        let mut outages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = match outages.iter_mut().find(|outage| outage.cause == cause) {
            Some(outage) if outage.said.elapsed() < Duration::from_secs(1) => {
                outage.silent += 1;
                return;
            }
            Some(outage) => {
                outage.said = Instant::now();
                std::mem::take(&mut outage.silent)
            }
            None => {
                if outages.len() == Self::MOST {
                    outages.remove(0);
                }
                outages.push(Outage { cause: cause.to_owned(), said: Instant::now(), silent: 0 });
                0
            }
        };
        drop(outages);
        tracing::warn!(request_id = id, cause, more = silent, "unavailable");
    }
}

/// `Server-Timing`: the database's part and the whole, in milliseconds.
fn tell_time(headers: &mut HeaderMap, database: Duration, whole: Duration) {
    let [database, whole] = [database, whole].map(|time| time.as_secs_f64() * 1000.0);
    if let Ok(value) = format!("db;dur={database:.3}, total;dur={whole:.3}").try_into() {
        headers.insert("server-timing", value);
    }
}

/// The request's own id when it is 1 to 128 visible ASCII characters, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let own = headers.get(&X_REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=128).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    });
    own.cloned().unwrap_or_else(|| {
        let mut text = Uuid::encode_buffer();
        let text = Uuid::now_v7().hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use poem::endpoint::make;
    use poem::http::StatusCode;
    use serde_json::Value;

    use super::*;
    use crate::edge::limits::LimitSettings;

    fn edge<F>(inner: fn(Request) -> F) -> Edge<impl Endpoint<Output = Response>>
    where
        F: Future<Output = poem::Result<Response>> + Send + 'static,
    {
        let limits = Arc::new(Limits::new(&LimitSettings::default()));
        let timeout = Duration::from_millis(50);
        let rules = Rules {
            timeout,
            cors: None,
            mcp: None,
            public_url: PublicUrl::default(),
            tells_time: false,
            #[cfg(feature = "otlp")]
            traces: None,
        };
        Edge::new(make(inner), rules, limits, Arc::new(Metrics::new(false)))
    }

    fn request() -> Request {
        Request::builder().header("host", "a").header("x-request-id", "seven").finish()
    }

    /// The problem that the edge makes of what `inner` does.
    async fn problem_of<F>(inner: fn(Request) -> F) -> (Response, Value)
    where
        F: Future<Output = poem::Result<Response>> + Send + 'static,
    {
        let (mut response, _) = edge(inner).handle(request(), None).await;
        let body = response.take_body().into_vec().await.unwrap();
        (response, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_request_whose_client_does_not_wait_has_its_line_too() {
        let (mut log, mut text) = (tempfile::tempfile().unwrap(), String::new());
        let writer = Arc::new(log.try_clone().unwrap());
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(writer).finish();
        let _here = tracing::subscriber::set_default(lines);
        let pending = |_| std::future::pending::<poem::Result<Response>>();
        assert!(time::timeout(Duration::from_millis(5), edge(pending).handle(request(), None)).await.is_err());
        drop(edge(|_| async { Ok(Response::default()) }).handle(request(), None).await);
        log.rewind().unwrap();
        log.read_to_string(&mut text).unwrap();
        let (gone, answered) = text.trim().split_once('\n').unwrap();
        assert!(gone.contains("status=499 code=\"client-gone\"") && gone.contains("request_id=\"seven\""), "{text}");
        assert!(answered.contains("status=200") && !answered.contains("499"), "{text}");
    }

    #[tokio::test]
    async fn a_panic_is_a_500_problem_that_tells_nothing_of_its_cause() {
        let (response, problem) = problem_of(|_| async { panic!("a password") }).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.header("x-request-id"), Some("seven"));
        assert_eq!((&problem["code"], &problem["request_id"]), (&"internal-error".into(), &"seven".into()));
        assert!(!problem.to_string().contains("password"));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_a_503_problem_that_says_when_to_come_back() {
        let (response, problem) = problem_of(|_| std::future::pending()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.header("retry-after"), Some("2"));
        assert_eq!(problem["code"], "timed-out");
    }

    #[tokio::test]
    async fn the_cause_of_an_internal_error_stays_inside() {
        let (_, problem) = problem_of(|_| async { Err(Error::internal("a password").into()) }).await;
        assert_eq!(problem["code"], "internal-error");
        assert!(!problem.to_string().contains("password"));
    }
}
