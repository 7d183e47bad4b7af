//! What happens to every request before and after the contract's routes.
//!
//! It gets an id, a time limit and a line in the log; pages of other origins get what CORS wants; a panic is
//! caught. Whatever was refused inside becomes a problem here, where the id is known.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use poem::http::{HeaderMap, HeaderName, HeaderValue};
use poem::{Endpoint, Request, Response};
use tasks_api::{Error, ProblemCode, PublicUrl, Route};
use uuid::Uuid;

use crate::edge::cors::{Cors, is_preflight};
use crate::edge::security_headers;

static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives each request an id, a time limit, an answer whatever happens, and one line in the log.
pub struct Edge<E> {
    inner: E,
    timeout: Duration,
    cors: Option<Cors>,
    public_url: PublicUrl,
    outages: Outages,
}

impl<E: Endpoint<Output = Response>> Edge<E> {
    /// Around `inner`, whose answers may take `timeout`; without `cors`, pages of other origins cannot call.
    pub fn new(inner: E, timeout: Duration, cors: Option<Cors>, public_url: PublicUrl) -> Self {
        Self { inner, timeout, cors, public_url, outages: Outages::default() }
    }

    /// The answer of what is inside, whatever happens there.
    async fn answer(&self, request: Request, id: &str) -> Response {
        let work = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        let outcome = match tokio::time::timeout(self.timeout, work).await {
            Ok(Ok(outcome)) => outcome,
            // The panic hook has logged where.
            Ok(Err(_panic)) => Err(Error::internal("a panic").into()),
            Err(_elapsed) => Err(Error::TimedOut.into()),
        };
        outcome.unwrap_or_else(|error| refuse(error, id, &self.public_url, &self.outages))
    }
}

impl<E: Endpoint<Output = Response>> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let started = Instant::now();
        let id = request_id(request.headers());
        let text = id.to_str().unwrap_or_default();
        let method = request.method().clone();
        let mut response = match &self.cors {
            None => self.answer(request, text).await,
            Some(cors) => {
                let origin = cors.allowed_origin(request.headers());
                let is_preflight = is_preflight(&request);
                let mut response = match &origin {
                    Some(_) if is_preflight => Cors::preflight(request.headers()),
                    _ => self.answer(request, text).await,
                };
                cors.complete(response.headers_mut(), origin, is_preflight);
                response
            }
        };
        let status = response.status().as_u16();
        let route = response.data::<Route>().map_or("", |route| &route.0);
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let code = response.data::<ProblemCode>().map(|code| code.as_str());
        tracing::info!(target: "tasks_server::request", %method, route, status, code, micros, request_id = text);
        response.headers_mut().insert(X_REQUEST_ID.clone(), id);
        security_headers::add(response.headers_mut(), self.public_url.is_https());
        Ok(response)
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

/// The problem for an error; what the server is to blame for is logged with its cause.
fn refuse(error: poem::Error, id: &str, public_url: &PublicUrl, outages: &Outages) -> Response {
    let route = error.data::<Route>().cloned();
    let error = Error::from_framework(error);
    match &error {
        Error::Internal(cause) => tracing::error!(request_id = id, %cause, "internal error"),
        Error::Unavailable(cause) => outages.say(id, &cause.to_string()),
        _ => {}
    }
    let code = error.code();
    let mut response = error.into_response(id, public_url);
    response.set_data(code);
    if let Some(route) = route {
        response.set_data(route);
    }
    response
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
    use poem::endpoint::make;
    use poem::http::StatusCode;
    use serde_json::Value;

    use super::*;

    /// The problem that the edge makes of what `inner` does.
    async fn problem_of<F>(inner: fn(Request) -> F) -> (Response, Value)
    where
        F: Future<Output = poem::Result<Response>> + Send + 'static,
    {
        let edge = Edge::new(make(inner), Duration::from_millis(50), None, PublicUrl::default());
        let mut response = edge.call(Request::builder().header("x-request-id", "seven").finish()).await.unwrap();
        let body = response.take_body().into_vec().await.unwrap();
        (response, serde_json::from_slice(&body).unwrap())
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
