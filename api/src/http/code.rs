//! The kinds of problems: a code, a status, a title and what to do about it, each said once, in one list.

use poem::http::StatusCode;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON};
use serde::Serialize;
use serde_json::Value;

use crate::http::newtype::schema_type;
use crate::http::public_url::PublicUrl;

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

impl ProblemCode {
    /// Any text, with the codes as its examples, which the document adds: a client that is older than the server reads its problems
    /// all the same. (An `anyOf` of an enum and any text becomes an empty object in openapi-generator's Rust, Kotlin, Swift, C# and
    /// others, which then read no problem at all. It is no component either, as some make an empty class of a text that has a name.)
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    /// What it means and what to do, at a server that the world finds there.
    pub(crate) fn help_at(self, public_url: &PublicUrl) -> String {
        self.help().replace(" /docs ", &format!(" {}/docs ", public_url.prefix))
    }
}

schema_type!(ProblemCode);

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
