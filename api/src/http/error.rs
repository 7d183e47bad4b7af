//! Errors: one enum inside, `application/problem+json` (RFC 9457) outside.
//!
//! [`Error`] is what any layer may answer. It becomes a [`Problem`] in one place, [`Error::into_response`], which the
//! edge calls with the request's id; what the framework itself refuses is turned into an `Error` first
//! ([`Error::from_framework`]). The public text and the internal cause stay apart: a cause is logged, never sent.

use std::fmt;

use poem::Response;
use poem::error::{MethodNotAllowedError, NotFoundError, ResponseError};
use poem::http::{HeaderName, StatusCode, header};
use poem_openapi::error::{ParseParamError, ParsePathError};

use crate::http::code::ProblemCode;
use crate::http::json::write_json;
use crate::http::newtype::Nullable;
use crate::http::problem::{Current, Fault, Location, Problem, ProblemJson};
use crate::http::public_url::PublicUrl;

/// The cause of an error, for the log.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Everything that an operation, the framework or the database can refuse.
#[derive(Debug)]
pub enum Error {
    /// 400: the body is not JSON (RFC 8259); the text says where it breaks.
    MalformedJson(String),
    /// 400: parts of the request break their schema.
    Invalid(Vec<Fault>),
    /// 400: ids of drafts are of a time that is too far ahead.
    IdsAhead(Vec<Fault>),
    /// 401: no token, or one that does not verify.
    Unauthorized(TokenFault),
    /// 401: a claim of the token is missing or unusable; the sentence says which and what it must be, never what it is.
    UnusableClaim(String),
    /// 403: the path's user is not the token's.
    Forbidden,
    /// 403: a page of an origin that may not call.
    OriginForbidden,
    /// 404: the owner has no such task.
    TaskNotFound,
    /// 404: of the tasks that the body names, the owner has none at these places.
    TasksNotFound(Vec<usize>),
    /// 404: nothing is served at this path.
    PathNotFound,
    /// 405: the path does not know the method; the methods that it knows, as `Allow` lists them.
    MethodNotAllowed(String),
    /// 409: a request with this idempotency key still runs.
    KeyInUse,
    /// 422: the idempotency key was used for another request.
    KeyReused,
    /// 409: the user had a task of the id that the draft names, and it was not created by this draft, or is deleted.
    IdTaken(Option<Current>),
    /// 409: the same of the drafts at these places.
    IdsTaken(Vec<(usize, Option<Current>)>),
    /// 410: what the token of changes stands for cannot be gone on with; after so many seconds to begin anew.
    ChangesExpired(u64),
    /// 412: the task has another tag than the request's `If-Match` names.
    VersionMismatch {
        /// The task.
        current: Current,
        /// Whether `If-Match` names it by a weak tag, which matches nothing.
        is_weakened: bool,
    },
    /// 412: of the tasks that the body names, those at these places have not the versions that it says.
    VersionMismatches(Vec<(usize, Current)>),
    /// 408: the body did not come in time.
    BodyTimedOut,
    /// 413: the body is longer than this many bytes.
    BodyTooLarge(usize),
    /// 415: the body is of another media type than the operation reads.
    UnsupportedMediaType {
        /// Those that it reads.
        known: &'static [&'static str],
        /// Whether the request was a `PATCH`, which has a header of its own for them (RFC 5789 §3.1).
        is_patch: bool,
    },
    /// 415: the body is compressed.
    UnsupportedEncoding,
    /// 428: the server takes no write without a condition, which is missing here.
    ConditionRequired(Vec<Fault>),
    /// 429: the user or the address has sent as many requests as it may; after so many seconds there is room again.
    RateLimited(u64),
    /// 429: as many requests of the user wait for changes as may.
    TooManyWaiting,
    /// 429: an export of the user runs already, or as many as may at a time.
    TooManyExports,
    /// 501: the body is in a transfer coding beside `chunked` (RFC 9112 §6.1).
    TransferCoding,
    /// 503: the server holds as many unfinished bodies, or answers that are not read, as it can.
    Overloaded,
    /// 503: the time for the request is over, and whether its work was done is not known.
    TimedOut,
    /// 503: the work cannot be done now; worth another try in a while.
    Unavailable(Cause),
    /// 500: a bug.
    Internal(Cause),
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// There is no `Authorization` header.
    Missing,
    /// The `Authorization` header is of another scheme than `Bearer`.
    Scheme,
    /// Not a JWT in compact form, or more than one header.
    Malformed,
    /// Longer than is read.
    TooLong,
    /// A token that only its issuer can read: an opaque session token, or an encrypted one.
    Opaque,
    /// The token is of another kind than those that stand for a user.
    Type,
    /// Signed with an algorithm that the server's key is not for.
    Algorithm,
    /// The server has no key of the token's `kid`.
    UnknownKey,
    /// The signature does not match the server's key.
    Signature,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come yet.
    NotYetValid,
    /// `iss` is not the issuer that the server trusts.
    Issuer,
    /// `aud` does not name this server.
    Audience,
}

/// The media types of a patch (RFC 5789 §3.1).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// After how many seconds another try is worth it: a sleeping database is back by then.
const RETRY_AFTER: &str = "2";

impl Error {
    /// The most faults that one answer lists: a request with thousands must not cost thousands.
    pub(crate) const MAX_FAULTS: usize = 20;

    /// A bug, with its cause.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    /// One fault of the request.
    #[must_use]
    pub fn invalid(fault: Fault) -> Self {
        Self::Invalid(vec![fault])
    }

    /// The kind of problem that it is.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::MalformedJson(_) => ProblemCode::MalformedJson,
            Self::Invalid(_) => ProblemCode::InvalidRequest,
            Self::IdsAhead(_) => ProblemCode::IdInFuture,
            Self::IdTaken(_) | Self::IdsTaken(_) => ProblemCode::IdTaken,
            Self::Unauthorized(fault) => fault.code(),
            Self::UnusableClaim(_) => ProblemCode::TokenClaims,
            Self::Forbidden => ProblemCode::UserMismatch,
            Self::OriginForbidden => ProblemCode::OriginForbidden,
            Self::TaskNotFound | Self::TasksNotFound(_) => ProblemCode::TaskNotFound,
            Self::PathNotFound => ProblemCode::PathNotFound,
            Self::MethodNotAllowed(_) => ProblemCode::MethodNotAllowed,
            Self::KeyInUse => ProblemCode::KeyInUse,
            Self::KeyReused => ProblemCode::KeyReused,
            Self::ChangesExpired(_) => ProblemCode::ChangesExpired,
            Self::VersionMismatch { .. } | Self::VersionMismatches(_) => ProblemCode::VersionMismatch,
            Self::BodyTimedOut => ProblemCode::BodyTimedOut,
            Self::BodyTooLarge(_) => ProblemCode::BodyTooLarge,
            Self::UnsupportedMediaType { .. } | Self::UnsupportedEncoding => ProblemCode::UnsupportedMediaType,
            Self::ConditionRequired(_) => ProblemCode::ConditionRequired,
            Self::RateLimited(_) => ProblemCode::RateLimited,
            Self::TooManyWaiting => ProblemCode::TooManyWaiting,
            Self::TooManyExports => ProblemCode::TooManyExports,
            Self::TransferCoding => ProblemCode::TransferCoding,
            Self::Overloaded => ProblemCode::Overloaded,
            Self::TimedOut => ProblemCode::TimedOut,
            Self::Unavailable(_) => ProblemCode::Unavailable,
            Self::Internal(_) => ProblemCode::InternalError,
        }
    }

    /// The problem that a client sees, at a server that the world finds there.
    #[must_use]
    pub fn problem(&self, request_id: &str, public_url: &PublicUrl) -> Problem {
        let code = self.code();
        let errors = match self {
            Self::MalformedJson(place) => Some(vec![Fault::body("", place)]),
            Self::Invalid(faults) | Self::IdsAhead(faults) | Self::ConditionRequired(faults) => Some(faults.clone()),
            Self::TasksNotFound(places) => Some(places.iter().map(|place| not_found(*place)).collect()),
            Self::VersionMismatches(places) => {
                Some(places.iter().map(|(place, current)| mismatch(*place, current)).collect())
            }
            Self::IdsTaken(places) => {
                Some(places.iter().map(|(place, current)| taken(*place, current.clone())).collect())
            }
            _ => None,
        };
        let detail = match (self, errors.as_deref()) {
            (Self::MalformedJson(_), _) => "The body cannot be read as JSON; see errors.".to_owned(),
            (Self::TasksNotFound(places), Some([_, _, ..])) => {
                format!("{} of the tasks are not there; see errors. Nothing was changed.", places.len())
            }
            (Self::VersionMismatches(places), Some([_, _, ..])) => {
                let count = places.len();
                format!("{count} of the tasks have another version than the request names; see errors. Nothing was changed.")
            }
            (Self::IdsTaken(places), Some([_, _, ..])) => {
                format!("{} of the ids are taken; see errors. Nothing was created.", places.len())
            }
            (_, Some([fault])) => fault.to_string(),
            // The list ends there, whether or not the faults do.
            (Self::Invalid(_), Some(faults)) if faults.len() == Self::MAX_FAULTS => {
                format!("At least {} parts of the request must be changed; see errors.", faults.len())
            }
            (_, Some(faults)) => format!("{} parts of the request must be changed; see errors.", faults.len()),
            (Self::MethodNotAllowed(allow), _) => format!("The path knows {allow}."),
            (Self::VersionMismatch { current: Current { etag, .. }, is_weakened: true }, _) => format!(
                "The weak tag names what the task is, but a weak tag matches nothing: a proxy has weakened it by compressing the \
                 answer. Send If-Match: {etag} in its place."
            ),
            (Self::VersionMismatch { current: Current { etag, .. }, .. }, _) => {
                format!(
                    "The task is another one now, of version {}, as current shows it. Send If-Match: {etag} to write over that.",
                    etag.version
                )
            }
            (Self::IdTaken(Some(_)), _) => {
                "The user has a task of this id that was created otherwise; current shows it. Change that task, or make a new id."
                    .to_owned()
            }
            (Self::IdTaken(None), _) => {
                "The user had a task of this id, which was deleted. Drop the draft; or, to have the task again, make a new id."
                    .to_owned()
            }
            (Self::UnsupportedMediaType { known, .. }, _) => {
                format!("Send the body with the header Content-Type: {}.", known.join(" or "))
            }
            (Self::UnsupportedEncoding, _) => {
                "Send the body uncompressed, and leave the header Content-Encoding out.".to_owned()
            }
            (Self::UnusableClaim(sentence), _) => sentence.clone(),
            (Self::BodyTooLarge(limit), _) => format!("The body must have at most {limit} bytes."),
            _ => code.help_at(public_url),
        };
        Problem {
            type_: format!("{}/problems/{}", public_url.prefix, code.as_str()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail,
            code,
            request_id: request_id.to_owned(),
            errors,
            current_version: match self {
                Self::VersionMismatch { current, .. } => Some(current.etag.version),
                _ => None,
            },
            current: match self {
                Self::VersionMismatch { current, .. } => Some(Nullable(Some(current.clone()))),
                Self::IdTaken(current) => Some(Nullable(current.clone())),
                _ => None,
            },
        }
    }

    /// The answer that a client gets, from a server that the world finds there.
    #[must_use]
    pub fn into_response(self, request_id: &str, public_url: &PublicUrl) -> Response {
        let code = self.code();
        let mut response = Response::builder()
            .status(code.status())
            .content_type(ProblemJson::MEDIA_TYPE)
            .header(header::CACHE_CONTROL, "no-store")
            .body(write_json(&self.problem(request_id, public_url)));
        let mut set = |name, value: String| {
            if let Ok(value) = value.try_into() {
                response.headers_mut().insert(name, value);
            }
        };
        match self {
            Self::Unauthorized(_) | Self::UnusableClaim(_) => set(header::WWW_AUTHENTICATE, challenge(code)),
            Self::MethodNotAllowed(allow) => set(header::ALLOW, allow),
            Self::VersionMismatch { current, .. } => set(header::ETAG, current.etag.to_string()),
            Self::UnsupportedMediaType { known, is_patch } => {
                if is_patch {
                    set(ACCEPT_PATCH, known.join(", "));
                }
                set(header::ACCEPT, known.join(", "));
            }
            Self::UnsupportedEncoding => set(header::ACCEPT_ENCODING, "identity".to_owned()),
            Self::KeyInUse
            | Self::TimedOut
            | Self::Unavailable(_)
            | Self::Overloaded
            | Self::TooManyWaiting
            | Self::TooManyExports => {
                set(header::RETRY_AFTER, RETRY_AFTER.to_owned());
            }
            Self::RateLimited(seconds) | Self::ChangesExpired(seconds) => set(header::RETRY_AFTER, seconds.to_string()),
            _ => {}
        }
        response
    }

    /// An error that came up through the framework: one of ours, or the framework's own refusal in our words.
    #[must_use]
    pub fn from_framework(error: poem::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(ours) => return ours,
            Err(error) => error,
        };
        if error.is::<NotFoundError>() {
            return Self::PathNotFound;
        }
        if error.is::<MethodNotAllowedError>() {
            return Self::MethodNotAllowed(String::new());
        }
        if let Some(ParseParamError { name, reason }) = error.downcast_ref() {
            return Self::invalid(Fault::parameter(Location::Query, *name, own_words(reason)));
        }
        if let Some(ParsePathError { name, reason }) = error.downcast_ref() {
            return Self::invalid(Fault::parameter(Location::Path, *name, own_words(reason)));
        }
        Self::internal(error.to_string())
    }
}

/// The fault of a body that names, at this place, a task which is not there.
fn not_found(place: usize) -> Fault {
    Fault::body(format!("/tasks/{place}/id"), "is the id of no task of the user; leave the task out")
}

/// The fault of a body that names, at this place, a task which has this version and not the one that it says.
fn mismatch(place: usize, current: &Current) -> Fault {
    let version = current.etag.version;
    let detail = format!("is not the task's version, which is {version} now; current shows the task");
    let fault = Fault { current_version: Some(version), ..Fault::body(format!("/tasks/{place}/version"), detail) };
    fault.about(Some(current.clone()))
}

/// The fault of a body that names, at this place, an id for a new task which another one has or had.
fn taken(place: usize, current: Option<Current>) -> Fault {
    let detail = match current {
        Some(_) => {
            "is the id of a task that was created otherwise; current shows it; change that task, or make a new id"
        }
        None => "is the id of a task that was deleted; drop the draft, or make a new id to have the task again",
    };
    Fault::body(format!("/tasks/{place}/id"), detail).about(current)
}

/// Our sentence out of poem-openapi's `failed to parse "Type": sentence`.
fn own_words(reason: &str) -> &str {
    match reason.split_once("\": ") {
        Some((_, sentence)) => sentence.split(" (occurred while parsing").next().unwrap_or(sentence),
        None => "must be given, as UTF-8",
    }
}

impl TokenFault {
    /// The kind of problem that it is.
    #[must_use]
    pub const fn code(self) -> ProblemCode {
        match self {
            Self::Missing => ProblemCode::TokenMissing,
            Self::Scheme => ProblemCode::TokenScheme,
            Self::Malformed => ProblemCode::TokenMalformed,
            Self::TooLong => ProblemCode::TokenTooLong,
            Self::Opaque => ProblemCode::TokenOpaque,
            Self::Type => ProblemCode::TokenType,
            Self::Algorithm => ProblemCode::TokenAlgorithm,
            Self::UnknownKey => ProblemCode::TokenKeyUnknown,
            Self::Signature => ProblemCode::TokenSignature,
            Self::Expired => ProblemCode::TokenExpired,
            Self::NotYetValid => ProblemCode::TokenNotYetValid,
            Self::Issuer => ProblemCode::TokenIssuer,
            Self::Audience => ProblemCode::TokenAudience,
        }
    }
}

/// The value of `WWW-Authenticate` (RFC 6750 §3): an error only when a token was sent, with what to do about it.
fn challenge(code: ProblemCode) -> String {
    match code {
        ProblemCode::TokenMissing | ProblemCode::TokenScheme => r#"Bearer realm="tasks-api""#.to_owned(),
        sent => format!(r#"Bearer realm="tasks-api", error="invalid_token", error_description="{}""#, sent.help()),
    }
}

impl From<TokenFault> for Error {
    fn from(fault: TokenFault) -> Self {
        Self::Unauthorized(fault)
    }
}

impl fmt::Display for Error {
    /// For the log: the kind, and the cause when the server is at fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(cause) | Self::Internal(cause) => write!(f, "{cause}"),
            _ => f.write_str(self.code().as_str()),
        }
    }
}

impl std::error::Error for Error {}

impl ResponseError for Error {
    fn status(&self) -> StatusCode {
        self.code().status()
    }
}
