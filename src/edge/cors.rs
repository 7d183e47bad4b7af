//! What pages of other origins are told (Fetch standard, "CORS protocol").

use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};
use reqwest::Url;

use crate::identity::key_set;

/// Lets pages of other origins call the server (Fetch standard, "CORS protocol").
///
/// The framework's own middleware answers 403 to pages of origins that are not listed, also of the server's own, and
/// replaces `Vary`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// Pages of every site: the token is in a header, which no page sends unasked.
    Any,
    /// Pages of these origins; they may send what the browser has of this server, such as cookies of a proxy before it.
    Origins(Vec<Origin>),
}

/// An origin, or a pattern of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This one, as browsers write it.
    Exact(String),
    /// Those that begin and end like this, with 1 or more of `a-z`, `0-9` and `-` between: a part of one label of a name.
    Between(String, String),
}

impl Origin {
    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exact(text) => text == origin,
            Self::Between(before, after) => {
                let between = origin.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
                let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                between.is_some_and(|text| !text.is_empty() && text.bytes().all(is_label))
            }
        }
    }
}

/// Whether an origin, as browsers write it, is of this machine.
pub(crate) fn is_loopback(origin: &str) -> bool {
    let url = Url::parse(origin).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    url.is_some_and(|url| key_set::is_loopback(&url) && url.origin().ascii_serialization() == origin)
}

/// What a page may send.
const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id";
/// What a page may read.
const EXPOSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "ETag, Location, Idempotency-Replayed, Retry-After, X-Request-Id, Allow, WWW-Authenticate, RateLimit, \
     RateLimit-Policy, Server-Timing, Accept-Encoding, Accept-Patch, Content-Disposition, Date, Link",
);
/// For how many seconds a browser need not ask again: two hours, the most that browsers keep.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const ALLOW_CREDENTIALS: HeaderValue = HeaderValue::from_static("true");
const VARY: HeaderValue = HeaderValue::from_static("Origin");
/// What the answer to a preflight depends on.
const VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// The most headers that a page may ask for, and their length in bytes: a browser with two tracing tools asks for 20.
const MOST_ASKED: usize = 64;
const MOST_BYTES: usize = 4096;

/// What no page may send: what browsers keep to themselves (Fetch standard, "forbidden request-header") and credentials
/// other than a token.
const FORBIDDEN: [&str; 21] = [
    "accept-charset",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "date",
    "dnt",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
const FORBIDDEN_BEGINNINGS: [&str; 3] = ["access-control-", "proxy-", "sec-"];

pub(super) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    /// Whether this origin is listed: where all may call, none is.
    pub(crate) fn lists(&self, origin: &str) -> bool {
        matches!(self, Self::Origins(list) if list.iter().any(|item| item.matches(origin)))
    }

    /// The request's origin, when its pages may call.
    pub(super) fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        match self {
            Self::Any => true,
            Self::Origins(_) => origin.to_str().is_ok_and(|text| self.lists(text)),
        }
        .then(|| origin.clone())
    }

    /// The answer to the question that a browser asks before a call: pages may send what operations take, and whatever
    /// else is asked for here that is no credential, such as the headers of tracing tools.
    pub(super) fn preflight(asked: &HeaderMap) -> Response {
        Response::builder()
            .status(StatusCode::NO_CONTENT)
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS)
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, allow_headers(asked))
            .header(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE)
            .finish()
    }

    /// Adds to an answer what a page needs to read it.
    pub(super) fn complete(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>, is_preflight: bool) {
        headers.append(header::VARY, if is_preflight { VARY_PREFLIGHT } else { VARY });
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
            if matches!(self, Self::Origins(_)) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, ALLOW_CREDENTIALS);
            }
        }
    }
}

/// The headers that operations take, and those of the others that are asked for and may be sent.
fn allow_headers(asked: &HeaderMap) -> HeaderValue {
    let asked = asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let bytes: usize = asked.iter().map(HeaderValue::len).sum();
    let names = asked.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    let names: Vec<_> = names.map(|name| HeaderName::from_bytes(name.trim_ascii())).collect();
    if bytes > MOST_BYTES || names.len() > MOST_ASKED {
        return HeaderValue::from_static(HEADERS);
    }
    let mut allowed = HEADERS.to_owned();
    for name in names.iter().filter_map(|name| name.as_ref().ok()).map(HeaderName::as_str) {
        let is_known = HEADERS.split(", ").any(|known| known.eq_ignore_ascii_case(name));
        let is_forbidden =
            FORBIDDEN.contains(&name) || FORBIDDEN_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning));
        if !is_known && !is_forbidden {
            allowed.push_str(", ");
            allowed.push_str(name);
        }
    }
    allowed.try_into().unwrap_or(HeaderValue::from_static(HEADERS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lists: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(header::ACCESS_CONTROL_REQUEST_HEADERS, list.parse().unwrap());
        }
        let allowed = allow_headers(&headers).to_str().unwrap().to_owned();
        let more = allowed.strip_prefix(HEADERS).expect("what operations take is always allowed");
        more.trim_start_matches(", ").to_owned()
    }

    #[test]
    fn a_pattern_stands_for_one_label_and_nothing_that_looks_like_it() {
        let all = Origin::Between("https://".to_owned(), ".example.com".to_owned());
        let previews = Origin::Between("https://app-".to_owned(), ".example.app".to_owned());
        for origin in ["https://a.example.com", "https://xn--bcher-kva.example.com", "https://a-1.example.com"] {
            assert!(all.matches(origin), "{origin}");
        }
        for origin in ["https://app-1.example.app", "https://app-git-main-team.example.app"] {
            assert!(previews.matches(origin), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://a.b.example.com",
            "https://evil.com/.example.com",
            "https://evil.com#.example.com",
            "https://evil.com?.example.com",
            "https://evil.com:1.example.com",
            "https://evil.com@a.example.com",
            "https://aexample.com",
            "https://a.example.com.evil.com",
            "https://a.example.com:8443",
            "https://a.example.comx",
            "http://a.example.com",
            "https://A.example.com",
            "https://a.Example.com",
            "https://a_b.example.com",
            "https://a%2e.example.com",
            "https://*.example.com",
            "https:// .example.com",
            "https://\u{0}.example.com",
            "xhttps://a.example.com",
            "null",
            "",
            "https://app-.example.app",
            "https://app.example.app",
            "https://app-1.evil.example.app",
            "https://xapp-1.example.app",
        ] {
            assert!(!all.matches(origin) && !previews.matches(origin), "{origin}");
        }
        // What is before and behind the star may not overlap.
        assert!(
            !Origin::Between("https://a-".to_owned(), "-a.example.com".to_owned()).matches("https://a-a.example.com")
        );
    }

    #[test]
    fn a_page_may_send_what_it_asks_for() {
        assert_eq!(asked(&[]), "");
        assert_eq!(asked(&["authorization,content-type,if-match"]), "");
        assert_eq!(asked(&["authorization,baggage,sentry-trace"]), "baggage, sentry-trace");
        assert_eq!(asked(&["traceparent, X-Requested-With ,\tCache-Control", "x-b3-traceid"]), {
            "traceparent, x-requested-with, cache-control, x-b3-traceid"
        });
    }

    #[test]
    fn what_browsers_keep_to_themselves_and_what_is_no_name_is_left_out() {
        for name in FORBIDDEN.into_iter().chain(["proxy-authorization", "Proxy-X", "Sec-Fetch-Site", "COOKIE", "Host"])
        {
            assert_eq!(asked(&[&format!("baggage,{name}")]), "baggage", "{name}");
        }
        for wrong in ["a b", "", "*x y", "x:y", "x\"", "(x)", "é", "x;q=1", "x/y"] {
            assert_eq!(asked(&[&format!("baggage,{wrong}")]), "baggage", "{wrong}");
        }
    }

    #[test]
    fn what_is_asked_for_is_bounded() {
        let names = |count: usize| (0..count).map(|n| format!("x-{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(asked(&[&names(64)]).split(", ").count(), 64);
        assert_eq!(asked(&[&names(65)]), "");
        assert_eq!(asked(&["x".repeat(4000).as_str()]).len(), 4000);
        assert_eq!(asked(&["x".repeat(4097).as_str()]), "");
        assert_eq!(asked(&[&"x".repeat(4000), &"y".repeat(97)]), "");
    }
}
