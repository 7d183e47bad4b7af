//! What pages of other origins are told (Fetch standard, "CORS protocol").

use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};

/// Lets pages of other origins call the server (Fetch standard, "CORS protocol").
///
/// The framework's own middleware answers 403 to pages of origins that are not listed, also of the server's own, and
/// replaces `Vary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// Pages of every site: the token is in a header, which no page sends unasked.
    Any,
    /// Pages of these origins.
    Origins(Vec<HeaderValue>),
}

/// What a page may send.
const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const ALLOW_HEADERS: HeaderValue =
    HeaderValue::from_static("Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id");
/// What a page may read.
const EXPOSE_HEADERS: HeaderValue =
    HeaderValue::from_static("ETag, Location, Idempotency-Replayed, Retry-After, X-Request-Id, Allow");
/// For how many seconds a browser need not ask again: two hours, the most that browsers keep.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

pub(super) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    /// The request's origin, when its pages may call.
    pub(super) fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        match self {
            Self::Any => true,
            Self::Origins(list) => list.contains(origin),
        }
        .then(|| origin.clone())
    }

    /// The answer to the question that a browser asks before a call.
    pub(super) fn preflight() -> Response {
        Response::builder()
            .status(StatusCode::NO_CONTENT)
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS)
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS)
            .header(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE)
            .finish()
    }

    /// Adds to an answer what a page needs to read it.
    pub(super) fn complete(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
        }
    }
}
