//! Who calls, and whose tasks they may touch.
//!
//! The token says who the caller is ([`Caller`]); the path says whose tasks are meant. [`Owner`] exists only where the
//! two agree, and without an `Owner` no call reaches a task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use poem::http::{HeaderMap, header};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::http::error::{Error, TokenFault};
use crate::schemas::user::UserId;

/// What a token is sent to. Each takes only tokens that are meant for it (RFC 8707 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The operations of the contract.
    Operations,
    /// The tools of agents, at `/mcp`.
    Tools,
}

/// Tells the user of a bearer token (RFC 6750), or why the token is refused.
pub trait Authenticate: Send + Sync + 'static {
    /// The user whom `token`, which was sent to `resource`, stands for.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] or [`Error::UnusableClaim`] when the token does not verify, [`Error::Unavailable`] when that
    /// cannot be told now.
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
        resource: Resource,
    ) -> Pin<Box<dyn Future<Output = Result<UserId, Error>> + Send + 'a>>;
}

/// The user of the request's token. In a signature it documents the operation's security requirement; the check itself
/// is made once for all operations, in `guard.rs`.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller(pub(crate) UserId);

/// The user whose tasks a call may touch: made only from a token's subject that equals the path's user.
#[derive(Clone, PartialEq, Eq)]
pub struct Owner(UserId);

impl Caller {
    /// The owner of the path's tasks, when that is the caller; `me` is the caller by definition.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when the path names somebody else.
    pub fn owner_of(self, path: &UserId) -> Result<Owner, Error> {
        if path.as_str() == "me" || *path == self.0 { Ok(Owner(self.0)) } else { Err(Error::Forbidden) }
    }

    /// The owner of the caller's own tasks, where nothing names another.
    pub(crate) fn owner(self) -> Owner {
        Owner(self.0)
    }
}

impl Owner {
    /// The owner's id.
    #[must_use]
    pub fn id(&self) -> &UserId {
        &self.0
    }
}

impl fmt::Debug for Owner {
    /// A user's id may be a name or an address: it stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner(…)")
    }
}

/// The token of the one `Authorization: Bearer …` header (RFC 6750 §2.1; the scheme in any case, RFC 9110 §11.1).
///
/// # Errors
/// [`Error::Unauthorized`] when there is none, more than one, or one of another scheme.
pub(crate) fn bearer_token(headers: &HeaderMap) -> Result<&str, Error> {
    const SCHEME: &[u8] = b"Bearer ";
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenFault::Missing)?;
    let is_bearer = value.as_bytes().get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    if !is_bearer {
        return Err(TokenFault::Scheme.into());
    }
    let is_only = values.next().is_none();
    let token = value.to_str().ok().filter(|_| is_only).and_then(|text| text.get(SCHEME.len()..));
    Ok(token.ok_or(TokenFault::Malformed)?.trim_matches(' '))
}

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            SCHEME,
            MetaSecurityScheme {
                ty: "http",
                description: Some(
                    "A JSON Web Token (RFC 7519) in the `Authorization` header: `Bearer <token>`. Its `sub`, or the claim \
                     that the server is set to in its place, is the user whose tasks it opens. Paste the token alone \
                     here, without `Bearer`.",
                ),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: Some("JWT"),
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let caller = request.data::<Self>().cloned();
        caller.ok_or_else(|| Error::internal("an operation was called without its guard").into())
    }
}

/// The name of the security scheme in the document.
const SCHEME: &str = "bearer";
