//! What tokens say (RFC 7519 §4): the user, and until when, for whom and for what they are good.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use tasks_api::{Error, Resource, TokenFault, UserId};

use crate::identity::jose::Member;

/// The latest `exp`, in seconds since 1970: the end of the year 9999. What is later was written in milliseconds, and
/// would in effect never expire.
pub(crate) const MAX_EXP: f64 = 253_402_300_799.0;

/// The claim that names the user, unless another is wanted (RFC 7519 §4.1.2).
pub const SUBJECT: &str = "sub";

/// The claim that says whom a token is for (RFC 7519 §4.1.3).
pub const AUDIENCE: &str = "aud";

/// What a token must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The one issuer that is trusted; with `None`, `iss` is not looked at.
    pub issuer: Option<String>,
    /// The names of which a token must have one; where there are none, its audience is not looked at.
    pub audience: Vec<String>,
    /// In which claim it must have it: `aud`, unless the issuer writes none.
    pub audience_claim: &'static str,
    /// What a token for the tools of agents must say; with `None`, those for the operations are taken there too.
    pub tools: Option<ToolTokens>,
    /// Which claim names the user: one that can ([`Expected::can_name_users`]).
    pub user_claim: String,
    /// By how much the issuer's clock and ours may differ.
    pub leeway: Duration,
}

/// What a token for the tools of agents must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolTokens {
    /// The address of the tools, which its `aud` must name (RFC 8707 §2). That of other tokens may not, unless
    /// theirs are looked for in `aud` and it names one of them.
    pub audience: String,
    /// The issuers of which it must name one: those whom agents are sent to.
    pub issuers: Vec<String>,
}

impl Default for Expected {
    /// Any issuer, any audience, the user in `sub`, clocks that agree.
    fn default() -> Self {
        Self {
            issuer: None,
            audience: Vec::new(),
            audience_claim: AUDIENCE,
            tools: None,
            user_claim: SUBJECT.to_owned(),
            leeway: Duration::ZERO,
        }
    }
}

impl Expected {
    /// The claim that must be `true` where an address is the user: whoever signs up writes any address (`OpenID` Connect
    /// Core 1.0 §5.1, §5.7).
    #[must_use]
    pub fn verified_claim(&self) -> Option<&'static str> {
        match self.user_claim.as_str() {
            "email" => Some("email_verified"),
            "phone_number" => Some("phone_number_verified"),
            _ => None,
        }
    }

    /// The user of claims whose signature is good.
    pub(super) fn judge(&self, claims: &Claims<'_>, (resource, now): (Resource, f64)) -> Result<UserId, Error> {
        if claims.is_for_renewal {
            return Err(TokenFault::Type.into());
        }
        let leeway = self.leeway.as_secs_f64();
        let seconds = "must be a number, in seconds since 1970";
        match claims.exp.number() {
            Some(exp) if exp > MAX_EXP => {
                return Err(Error::UnusableClaim(
                    "The token's exp lies beyond the year 9999: it must be in seconds since 1970, not milliseconds."
                        .into(),
                ));
            }
            Some(exp) if now >= exp + leeway => return Err(TokenFault::Expired.into()),
            Some(_) => {}
            None => return Err(unusable("exp", &claims.exp, seconds)),
        }
        match (&claims.nbf, claims.nbf.number()) {
            (_, Some(nbf)) if now + leeway < nbf => return Err(TokenFault::NotYetValid.into()),
            (_, Some(_)) | (Member::Absent, _) => {}
            (nbf, None) => return Err(unusable("nbf", nbf, seconds)),
        }
        let is_trusted = match (resource, &self.tools, &self.issuer) {
            (Resource::Tools, Some(tools), _) => tools.issuers.iter().any(|issuer| claims.iss.is(issuer)),
            (_, _, Some(issuer)) => claims.iss.is(issuer),
            (_, _, None) => true,
        };
        if !is_trusted {
            return Err(TokenFault::Issuer.into());
        }
        if !self.is_for(resource, claims) {
            return Err(TokenFault::Audience.into());
        }
        match (self.verified_claim(), &claims.verified) {
            (None, _) | (_, Member::Boolean(true)) => {}
            (Some(name), verified) => return Err(unusable(name, verified, "must be true")),
        }
        self.user(&claims.user)
    }

    /// Whether a token with these claims is meant for what it was sent to.
    fn is_for(&self, resource: Resource, claims: &Claims<'_>) -> bool {
        // It may stand in a claim of its own, where the audience is looked for in another.
        let aud = if self.audience_claim == AUDIENCE { &claims.audience } else { &claims.aud };
        let is_listed =
            || self.audience.is_empty() || self.audience.iter().any(|audience| claims.audience.names(audience));
        match (resource, &self.tools) {
            (Resource::Tools, Some(tools)) => aud.names(&tools.audience),
            // Where the audience of others is no `aud`, or nobody's, it says nothing against that of agents.
            (Resource::Operations, Some(tools)) if self.audience.is_empty() || self.audience_claim != AUDIENCE => {
                is_listed() && !aud.names(&tools.audience)
            }
            _ => is_listed(),
        }
    }

    /// The user whom this claim names.
    fn user(&self, claim: &Member<'_>) -> Result<UserId, Error> {
        const TEXT: &str = "must be a text of 1 to 255 characters, without control characters and not me";
        const TEXT_OR_NUMBER: &str = "must be a text of 1 to 255 characters, without control characters and not me, or a \
                                      whole number from 0 to 18446744073709551615, without fraction and exponent";
        let takes_numbers = self.user_claim != SUBJECT;
        let user = match claim {
            Member::Text(text) => subject(text),
            // RFC 7519 §4.1.2 makes `sub` a text; the ids of other claims are often a database's numbers.
            Member::Integer(number) if takes_numbers => number.to_string().parse().ok(),
            _ => None,
        };
        user.ok_or_else(|| unusable(&self.user_claim, claim, if takes_numbers { TEXT_OR_NUMBER } else { TEXT }))
    }
}

/// A claim that is missing, or not as it must be. Its type is told and never what it holds.
fn unusable(name: &str, claim: &Member<'_>, must: &str) -> Error {
    Error::UnusableClaim(match claim {
        Member::Absent => format!("The token has no {name}, which {must}."),
        claim => format!("The token's {name} is {} that cannot be used: it {must}.", claim.kind()),
    })
}

/// The claims, as far as they are looked at.
#[derive(Default)]
pub(super) struct Claims<'a> {
    exp: Member<'a>,
    nbf: Member<'a>,
    iss: Member<'a>,
    audience: Member<'a>,
    /// `aud`, where the audience is another claim.
    aud: Member<'a>,
    user: Member<'a>,
    verified: Member<'a>,
    /// Which of the members that say what a token is for were read, a bit each.
    kinds: u8,
    /// Whether it is a refresh token, by which new tokens are got and nothing else.
    is_for_renewal: bool,
}

/// The members in which issuers say what a token is for, and what they say of refresh tokens.
const KINDS: [&str; 4] = ["typ", "type", "token_type", "token_use"];
const RENEWAL: [&str; 2] = ["refresh", "offline"];

/// A claim that is looked at.
enum Name {
    Exp,
    Nbf,
    Iss,
    Audience,
    /// `aud`, where the audience is another claim.
    Aud,
    User,
    Verified,
    /// One of [`KINDS`], with a bit of its own.
    Kind(u8),
    Other,
}

/// Claims that many users share: of issuers, applications, tenants and roles, and of how somebody signed in.
const OF_MANY: [&str; 41] = [
    "iss",
    "aud",
    "azp",
    "client_id",
    "clientid",
    "cid",
    "appid",
    "azpacr",
    "appidacr",
    "tid",
    "tenant",
    "tenant_id",
    "tenantid",
    "org",
    "organization",
    "organization_id",
    "name",
    "given_name",
    "family_name",
    "birthdate",
    "gender",
    "locale",
    "zoneinfo",
    "ipaddr",
    "idtyp",
    "scopes",
    "resource_access",
    "hd",
    "idp",
    "org_id",
    "ver",
    "role",
    "roles",
    "groups",
    "wids",
    "permissions",
    "scope",
    "scp",
    "acr",
    "amr",
    "realm",
];

/// Claims that a user's next token has another value of.
const OF_A_TOKEN: [&str; 18] = [
    "exp",
    "nbf",
    "iat",
    "rat",
    "jti",
    "uti",
    "origin_jti",
    "nonce",
    "csrf",
    "auth_time",
    "updated_at",
    "sid",
    "session_id",
    "session_state",
    "at_hash",
    "c_hash",
    "s_hash",
    "event_id",
];

impl Expected {
    /// Whether a user can be read from a claim of this name: one that is looked at for something else, or that says nothing
    /// of a person, would make one user of many, or many of one.
    #[must_use]
    pub fn can_name_users(name: &str) -> bool {
        // Of another spelling it would not be known that it must be verified.
        let is_misspelt =
            ["email", "phone_number"].iter().any(|known| *known != name && name.eq_ignore_ascii_case(known));
        let name = name.to_ascii_lowercase();
        let is_about = |others: &[&str]| others.contains(&&*name);
        !(is_misspelt || is_about(&OF_MANY) || is_about(&OF_A_TOKEN) || is_about(&KINDS) || name.ends_with("_verified"))
    }
}

/// Reads [`Claims`], in which no claim that is read stands twice (RFC 7519 §4).
pub(super) struct Reader<'e>(pub(super) &'e Expected);

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Claims<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Claims<'de>, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Claims<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims<'de>, A::Error> {
        let mut claims = Claims::default();
        let Expected { audience_claim, user_claim, .. } = self.0;
        let names = NameReader { audience: audience_claim, user: user_claim, verified: self.0.verified_claim() };
        while let Some(name) = map.next_key_seed(names)? {
            let place = match name {
                Name::Exp => &mut claims.exp,
                Name::Nbf => &mut claims.nbf,
                Name::Iss => &mut claims.iss,
                Name::Audience => &mut claims.audience,
                Name::Aud => &mut claims.aud,
                Name::User => &mut claims.user,
                Name::Verified => &mut claims.verified,
                Name::Kind(bit) => {
                    let kind: Member<'de> = map.next_value()?;
                    if claims.kinds & bit != 0 {
                        return Err(A::Error::custom("a claim that stands twice"));
                    }
                    claims.kinds |= bit;
                    claims.is_for_renewal |= RENEWAL.iter().any(|renewal| kind.is_in_any_case(renewal));
                    continue;
                }
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if !matches!(place, Member::Absent) {
                return Err(A::Error::custom("a claim that stands twice"));
            }
            *place = map.next_value()?;
        }
        Ok(claims)
    }
}

/// Reads the name of a claim.
#[derive(Clone, Copy)]
struct NameReader<'e> {
    audience: &'e str,
    user: &'e str,
    verified: Option<&'e str>,
}

impl<'de> DeserializeSeed<'de> for NameReader<'_> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Name, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for NameReader<'_> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a claim")
    }

    fn visit_str<E>(self, text: &str) -> Result<Name, E> {
        // Names that are settings come last: they are none of the others.
        Ok(match text {
            "exp" => Name::Exp,
            "nbf" => Name::Nbf,
            "iss" => Name::Iss,
            "typ" => Name::Kind(1),
            "type" => Name::Kind(1 << 1),
            "token_type" => Name::Kind(1 << 2),
            "token_use" => Name::Kind(1 << 3),
            name if name == self.audience => Name::Audience,
            AUDIENCE => Name::Aud,
            name if name == self.user => Name::User,
            name if Some(name) == self.verified => Name::Verified,
            _ => Name::Other,
        })
    }
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
