//! What tokens say (RFC 7519 §4): the subject, and until when and for whom they are good.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tasks_api::{TokenFault, UserId};

use crate::identity::jose::Member;

/// The latest `exp`, in seconds since 1970: the end of the year 9999. What is later was written in milliseconds, and
/// would in effect never expire.
pub(crate) const MAX_EXP: f64 = 253_402_300_799.0;

/// What a token must say beside its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The one issuer that is trusted; with `None`, `iss` is not looked at.
    pub issuer: Option<String>,
    /// The name that `aud` must hold; with `None`, `aud` is not looked at.
    pub audience: Option<String>,
    /// By how much the issuer's clock and ours may differ.
    pub leeway: Duration,
}

impl Expected {
    /// The subject of claims whose signature is good.
    pub(super) fn judge(&self, claims: &Claims<'_>, now: f64) -> Result<UserId, TokenFault> {
        let leeway = self.leeway.as_secs_f64();
        match claims.exp {
            Member::Number(exp) if exp > MAX_EXP => return Err(TokenFault::Claims),
            Member::Number(exp) if now >= exp + leeway => return Err(TokenFault::Expired),
            Member::Number(_) => {}
            _ => return Err(TokenFault::Claims),
        }
        match claims.nbf {
            Member::Number(nbf) if now + leeway < nbf => return Err(TokenFault::NotYetValid),
            Member::Number(_) | Member::Absent => {}
            _ => return Err(TokenFault::Claims),
        }
        if self.issuer.as_ref().is_some_and(|issuer| !claims.iss.is(issuer)) {
            return Err(TokenFault::Issuer);
        }
        if self.audience.as_ref().is_some_and(|audience| !claims.aud.names(audience)) {
            return Err(TokenFault::Audience);
        }
        match &claims.sub {
            Member::Text(sub) => subject(sub).ok_or(TokenFault::Claims),
            _ => Err(TokenFault::Claims),
        }
    }
}

/// The claims, as far as they are looked at.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Claims<'a> {
    exp: Member<'a>,
    nbf: Member<'a>,
    #[serde(borrow)]
    iss: Member<'a>,
    #[serde(borrow)]
    aud: Member<'a>,
    #[serde(borrow)]
    sub: Member<'a>,
}

/// The user of this subject, if it can be one: a user id, but not `me`. In a path `me` means the caller, whoever that
/// is; a user of that name could not be told from it.
#[must_use]
pub fn subject(text: &str) -> Option<UserId> {
    if text == "me" { None } else { text.parse().ok() }
}

/// The time since 1970; zero on a clock that stands before that.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
