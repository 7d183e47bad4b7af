//! Errors: one enum inside, `application/problem+json` (RFC 9457) outside.
//!
//! [`Error`] is what any layer may answer. It becomes a [`Problem`] in one place, [`Error::into_response`], which the
//! edge calls with the request's id; what the framework itself refuses is turned into an `Error` first
//! ([`Error::from_framework`]). The public text and the internal cause stay apart: a cause is logged, never sent.

use std::borrow::Cow;
use std::fmt;

use poem::Response;
use poem::error::{MethodNotAllowedError, NotFoundError, ResponseError};
use poem::http::{HeaderName, StatusCode, header};
use poem_openapi::error::{ParseParamError, ParsePathError};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use poem_openapi::{Enum, Object};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::http::header::ETag;
use crate::http::json::{Written, write_json};
use crate::http::newtype::Nullable;
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

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
pub struct Fault {
    /// Where in the body: a JSON pointer (RFC 6901), empty for the whole of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Where outside the body, together with `name`.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    #[oai(rename = "in")]
    pub location: Option<Location>,
    /// The name of the parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What to change.
    pub detail: String,
    /// The version that the task has; only where the request was about another. Look at the task before you write again.
    #[oai(validator(minimum(value = "1"), maximum(value = "9000000000000000")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<i64>,
    /// The task as it is, or null where it was deleted; only where the request was about another version of it, or took its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Nullable<Current>>,
}

/// A place outside the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "ParameterLocation", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// The query.
    Query,
    /// The path.
    Path,
    /// The headers.
    Header,
}

impl Fault {
    /// A fault in the body.
    pub fn body(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            location: None,
            name: None,
            detail: detail.into(),
            current_version: None,
            current: None,
        }
    }

    /// A fault in a parameter.
    pub fn parameter(location: Location, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            location: Some(location),
            name: Some(name.into()),
            detail: detail.into(),
            current_version: None,
            current: None,
        }
    }

    /// The same, with the task that it is about.
    fn about(self, current: Option<Current>) -> Self {
        Self { current: Some(current.into()), ..self }
    }
}

/// What went wrong, for a person and for a program (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct Problem {
    /// The address of a page on this server that explains the problem.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub type_: String,
    /// The problem in a few words, always the same for a `code`.
    pub title: String,
    /// The HTTP status.
    #[oai(validator(minimum(value = "400"), maximum(value = "599")))]
    pub status: u16,
    /// What went wrong this time and what to do.
    pub detail: String,
    /// The kind of problem, of which the examples are those of today: what a program decides by. More may come; where it does not know
    /// one, `status` tells enough.
    pub code: ProblemCode,
    /// The id of the request, also in the server's log.
    pub request_id: String,
    /// Each part of the request that was refused; only where parts of it can be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub errors: Option<Vec<Fault>>,
    /// The version that the task has; only where the request was about another. Look at the task before you write again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "1"), maximum(value = "9000000000000000")))]
    pub current_version: Option<i64>,
    /// The task as it is, or null where it was deleted; only where the request was about another version of it, or took its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub current: Option<Nullable<Current>>,
}

impl Written for Problem {}

/// A task as it is now, and its tag. Tasks are nouns above this room, so that it comes as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Its tag.
    pub(crate) etag: ETag,
    json: Value,
}

impl Current {
    /// Of this task.
    pub(crate) fn new(etag: ETag, task: &impl Serialize) -> Self {
        Self { etag, json: serde_json::to_value(task).unwrap_or_default() }
    }

    /// A member of it.
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.json.get(name)
    }
}

impl Serialize for Current {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(to)
    }
}

/// The component of this name, which the operations register.
impl Type for Current {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "Task".into()
    }
    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference("Task".to_owned())
    }
    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }
    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for Current {
    fn to_json(&self) -> Option<Value> {
        Some(self.json.clone())
    }
}

/// Problems are written and never read.
impl ParseFromJSON for Current {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Err(ParseError::expected_type(value.unwrap_or_default()))
    }
}

macro_rules! problem_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $status:ident, $title:literal, $help:literal;)+) => {
        /// The kinds of problems. More may come: decide by those that you know, and by `status` where you do not know it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum ProblemCode {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $variant,)+
        }

        impl ProblemCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code as it stands in a problem and at the end of its `type`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The status that it comes with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            /// The problem in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }

            /// What it means and what to do, for the page at its `type`.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help),+ }
            }
        }
    };
}

problem_codes! {
    /// The body cannot be read as JSON.
    MalformedJson = "malformed-json", BAD_REQUEST, "The body cannot be read as JSON",
        "The body is not JSON (RFC 8259), or is nested more than 127 deep, or has a number that no double can hold. The \
         problem's errors say at which line and column.";
    /// A part of the request breaks its schema.
    InvalidRequest = "invalid-request", BAD_REQUEST, "The request breaks the contract",
        "A member of the body or a parameter is missing, unknown, sent twice or out of its limits. Each entry of errors \
         names one of them, by a JSON pointer into the body or by the place and name of the parameter, and says what \
         to change.";
    /// The id of a draft is of a time that is too far ahead.
    IdInFuture = "task-id-in-future", BAD_REQUEST, "The id is of a time ahead",
        "An id of version 7 begins with the time at which it was made, and this one's is more than 24 hours ahead of the server's \
         clock. Compare the clock of the device with the header Date of any answer, and make a new id.";
    /// No token was sent.
    TokenMissing = "token-missing", UNAUTHORIZED, "A token is required",
        "Send the header Authorization: Bearer <token> with a token of your sign-in system.";
    /// The `Authorization` header is not of the `Bearer` scheme.
    TokenScheme = "token-scheme", UNAUTHORIZED, "The Authorization header is not Bearer",
        "The server reads bearer tokens only, and there must be one. Send the header Authorization: Bearer <token>.";
    /// The token is not a JWT.
    TokenMalformed = "token-malformed", UNAUTHORIZED, "The token is malformed",
        "The token is not a JSON Web Token in compact form (three parts with dots between them), has a crit header, or \
         came in more than one Authorization header. Send it exactly as the sign-in system gave \
         it; look for undefined, quotation marks or a second Bearer in its place.";
    /// The token is too long.
    TokenTooLong = "token-too-long", UNAUTHORIZED, "The token is too long",
        "The token is longer than 16 KiB. Make the sign-in system leave out of it what this server does not need, such as \
         groups, roles, pictures or the whole user record.";
    /// The token is opaque: only its issuer can read it.
    TokenOpaque = "token-opaque", UNAUTHORIZED, "The token is opaque, not a signed JWT",
        "This is an opaque session token or an encrypted token, which only the sign-in system can read. Ask the sign-in system \
         for a signed JSON Web Token and send that.";
    /// The token is of a kind that stands for no user.
    TokenType = "token-type", UNAUTHORIZED, "The token is of another kind",
        "The typ of the token's header is not JWT or at+jwt, or its payload says that it is a refresh token, by which new \
         tokens are got and nothing else. Send an access token or an ID token.";
    /// The token is signed with another algorithm.
    TokenAlgorithm = "token-algorithm", UNAUTHORIZED, "The token's algorithm is not allowed",
        "The alg of the token's header is not an algorithm of the server's keys. The keys decide the algorithm, never the \
         token. HS256 wants JWT_SECRET with at least 32 bytes, HS384 with 48, HS512 with 64; EdDSA (Ed25519), ES256, ES384, \
         ES512, RS256 to RS512 and PS256 to PS512 want JWKS_URL or JWT_PUBLIC_KEY; no other is read. Check that the server is \
         set to the keys of the sign-in system that made the token.";
    /// The token names a key that the server does not know.
    TokenKeyUnknown = "token-key-unknown", UNAUTHORIZED, "The token's key is unknown",
        "The server has no key with the kid of the token's header, or the token has no kid where there are several keys. Ask \
         for a new token; if it is new, try again in 30 seconds, and check that the server is set to the keys of this sign-in \
         system (JWKS_URL or JWT_PUBLIC_KEY).";
    /// The token's signature is wrong.
    TokenSignature = "token-signature", UNAUTHORIZED, "The token's signature is wrong",
        "The token was signed with another key than the server's, or was changed on its way. Check that the server is \
         set to the secret or the keys of the sign-in system that made the token; in development mode, that tokens \
         are made in the folder where the server runs.";
    /// The token has expired.
    TokenExpired = "token-expired", UNAUTHORIZED, "The token has expired",
        "The token's exp has passed. Ask the sign-in system for a new one; if it is new, compare the clocks.";
    /// The token is not valid yet.
    TokenNotYetValid = "token-not-yet-valid", UNAUTHORIZED, "The token is not valid yet",
        "The token's nbf lies ahead. Wait, or compare the clocks of the sign-in system and the server.";
    /// The token is of another issuer.
    TokenIssuer = "token-issuer", UNAUTHORIZED, "The token's issuer is not trusted",
        "The token's iss is missing or not the issuer that the server is set to (JWT_ISSUER). The two must be equal to the letter, also \
         in a slash at the end. At /mcp it must be one of AUTHORIZATION_SERVERS: a token for the operations is not taken there.";
    /// The token is for another audience.
    TokenAudience = "token-audience", UNAUTHORIZED, "The token is for another audience",
        "The token's aud, or the claim that the server is set to in its place (JWT_AUDIENCE_CLAIM), is missing or names no \
         audience that the server is set to (JWT_AUDIENCE). At /mcp aud must name the address of that, PUBLIC_URL with /mcp behind it; elsewhere a token for that \
         is not taken. Ask the sign-in system for a token for such an audience.";
    /// A claim of the token is missing or unusable.
    TokenClaims = "token-claims", UNAUTHORIZED, "A claim of the token is missing or unusable",
        "The token needs exp (in seconds since 1970) and its user's id: sub, or the claim that the server is set to in its \
         place (JWT_USER_CLAIM), of 1 to 255 characters, none of them a control character, and not me; nbf, if it has one, \
         must be a number. The problem's detail names the claim.";
    /// The path's user is not the token's.
    UserMismatch = "user-mismatch", FORBIDDEN, "These are another user's tasks",
        "The user in the path is not the user of the token (its sub, unless JWT_USER_CLAIM names another claim). Use your own id, or me.";
    /// A page of this origin may not call agents' tools.
    OriginForbidden = "origin-forbidden", FORBIDDEN, "Pages of this origin may not call",
        "The request has the header Origin, as those of browsers' pages have, and /mcp takes it only from pages of the server's own \
         address (PUBLIC_URL) and of the origins that it is set to (CORS_ALLOWED_ORIGINS, where * counts for nothing here). Add the \
         page's origin there; a program that is no page leaves the header out.";
    /// The user has no such task.
    TaskNotFound = "task-not-found", NOT_FOUND, "No such task",
        "The user has no task with this id: it never was, was deleted, or is another user's. Where a body names many \
         tasks, errors says which are not there; nothing was changed.";
    /// Nothing is served at this path.
    PathNotFound = "path-not-found", NOT_FOUND, "No such path",
        "The server has nothing at this path. The contract at /docs lists every path.";
    /// The path does not know the method.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "The path does not know this method",
        "The header Allow of the answer lists the methods that the path knows.";
    /// A request with the same key still runs.
    KeyInUse = "idempotency-key-in-use", CONFLICT, "A request with this key still runs",
        "Another request with the same Idempotency-Key has not ended yet. Send this one again after the seconds that the \
         header Retry-After says.";
    /// A draft names an id that is taken.
    IdTaken = "task-id-taken", CONFLICT, "The id is taken",
        "The user has a task of this id that was created otherwise, or had one that was deleted in the last days. The member \
         current is that task, null when it was deleted. The same draft sent again is no conflict: it is answered as the first \
         time. Change the task that there is; drop the draft of one that was deleted, or make a new id to have it again.";
    /// The key was used for another request.
    KeyReused = "idempotency-key-reused", UNPROCESSABLE_ENTITY, "The key was used for another request",
        "The Idempotency-Key was used in the last day with another body. A key is for one request and its repeats: make \
         a new one, such as a random UUID, for each.";
    /// What the token of changes stands for cannot be gone on with.
    ChangesExpired = "changes-expired", GONE, "The changes cannot be gone on with",
        "The token is of another user, or from before what is still known of deletions, or from before the database was restored or the \
         user's data erased. Wait for the seconds that the header Retry-After says, forget what was read, but not what has not been sent \
         yet, and begin again without since.";
    /// The task has another version than the request names.
    VersionMismatch = "version-mismatch", PRECONDITION_FAILED, "The task has changed meanwhile",
        "The task has another version than If-Match names: somebody changed it after it was read. Read it again, decide \
         anew, and send the ETag of that answer, or its version. current_version is the version that it has. Where a body names many tasks, \
         errors has it for each that changed; nothing was written. A tag that begins with W/ was weakened by a proxy that \
         compresses answers, and matches nothing: send it without the W/, such as \"7\".";
    /// The body did not come.
    BodyTimedOut = "body-timed-out", REQUEST_TIMEOUT, "The body did not come",
        "The server waited for the rest of the body, and nothing of the request was carried out. Send it again, whole; where \
         that happens often, look at the connection between client and server.";
    /// The body is too long.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, "The body is too large",
        "The body is longer than the operation reads.";
    /// The body's media type is not read here.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body's media type is not supported",
        "Send the body as JSON, uncompressed and with the header Content-Type: application/json; patchTask also reads \
         application/merge-patch+json. The header Accept of the answer lists the media types that are read, or the header \
         Accept-Encoding says that the body must not be compressed.";
    /// The server takes no write without a condition.
    ConditionRequired = "condition-required", PRECONDITION_REQUIRED, "A condition is required",
        "The server takes changes of a task only with the header If-Match: the ETag of the answer that the change is \
         based on, such as \"7\", or * to overwrite whatever is there. Where a body names many tasks, each needs its version.";
    /// The user or the address sends too many requests.
    RateLimited = "rate-limited", TOO_MANY_REQUESTS, "Too many requests",
        "The user, or for requests without a good token the address, has sent as many requests as it may. Send the next one \
         after the seconds that the header Retry-After says; RateLimit-Policy has the limit.";
    /// As many requests of the user wait for changes as may.
    TooManyWaiting = "too-many-waiting", TOO_MANY_REQUESTS, "Too many requests wait already",
        "20 requests of the user wait for changes at this server. End one, such as that of a tab that is not seen, or let one tab wait for \
         all; or ask without wait.";
    /// An export of the user runs already, or as many as may at a time.
    TooManyExports = "too-many-exports", TOO_MANY_REQUESTS, "Too many exports run already",
        "An export of the user runs, or some of others: a server makes few at a time. Read the one that runs to its end, or end it; or send \
         this one again after the seconds that the header Retry-After says.";
    /// The body is in a transfer coding that is not read.
    TransferCoding = "transfer-coding", NOT_IMPLEMENTED, "The transfer coding is not supported",
        "The only transfer coding is chunked, once. Send the body with Content-Length or with Transfer-Encoding: chunked.";
    /// A bug of the server.
    InternalError = "internal-error", INTERNAL_SERVER_ERROR, "The server failed",
        "This is a bug of the server. Its log has the cause under the problem's request_id.";
    /// The request took too long.
    TimedOut = "timed-out", SERVICE_UNAVAILABLE, "The request took too long",
        "The server gave the request up. A write may have been carried out all the same: look before you repeat it.";
    /// The server holds as many unfinished bodies, or answers that are not read, as it can.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "Too much is under way",
        "The server, or its share for one user, is full of bodies that have not come to their end, or of answers that are not read, \
         and nothing of the request was carried out. Send it again after the seconds that the header Retry-After says.";
    /// The server cannot work now.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "The service is unavailable",
        "The database is away, asleep or busy, or the keys of the sign-in system could not be fetched yet. Try again after the \
         seconds that the header Retry-After says.";
}

/// Any text, with the codes as its examples, which the document adds: a client that is older than the server reads its problems
/// all the same. (An `anyOf` of an enum and any text becomes an empty object in openapi-generator's Rust, Kotlin, Swift, C# and
/// others, which then read no problem at all. It is no component either, as some make an empty class of a text that has a name.)
impl Type for ProblemCode {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "ProblemCode".into()
    }
    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))
    }
    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }
    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for ProblemCode {
    fn to_json(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl ParseFromJSON for ProblemCode {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let code = value.as_ref().and_then(Value::as_str);
        let known = Self::ALL.iter().copied().find(|known| Some(known.as_str()) == code);
        known.ok_or_else(|| ParseError::expected_type(value.unwrap_or_default()))
    }
}

impl ProblemCode {
    /// What it means and what to do, at a server that the world finds there.
    pub(crate) fn help_at(self, public_url: &PublicUrl) -> String {
        self.help().replace(" /docs ", &format!(" {}/docs ", public_url.prefix))
    }
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pointer.as_deref(), self.location, &self.name) {
            (Some(""), ..) => write!(f, "The body {}.", self.detail),
            (Some(pointer), ..) => write!(f, "{pointer} {}.", self.detail),
            (None, Some(place), Some(name)) => {
                let place = match place {
                    Location::Query => "query parameter",
                    Location::Path => "path parameter",
                    Location::Header => "header",
                };
                write!(f, "The {place} {name} {}.", self.detail)
            }
            _ => write!(f, "{}.", self.detail),
        }
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

/// The media type of problems.
pub(super) struct ProblemJson;

impl ProblemJson {
    pub(super) const MEDIA_TYPE: &'static str = "application/problem+json";
}
