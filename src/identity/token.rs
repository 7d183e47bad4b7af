//! From a bearer token to the user it stands for.
//!
//! A token is a JSON Web Token (RFC 7519) in compact form (RFC 7515 §3.1). The router hands it to [`Verifier`] through
//! [`Authenticate`]; nothing after it sees the token again. Only the user's id is kept: the other claims may hold a whole
//! user record, and neither they nor the token appear in an error or in the log.
//!
//! The checks, in this order, each with its own [`TokenFault`] or, of claims, [`Error::UnusableClaim`]:
//!
//! | check | fault |
//! | --- | --- |
//! | at most 16 KiB | `TooLong` |
//! | not what only its issuer can read: an opaque session token, or an encrypted one (RFC 7516) | `Opaque` |
//! | three parts; header and signature are base64url as RFC 7515 §2 writes it: no padding, white space or stray bits | `Malformed` |
//! | the header is a JSON object in which no member that is read stands twice (RFC 7515 §4) | `Malformed` |
//! | no `crit`: no extension is understood here (RFC 7515 §4.1.11) | `Malformed` |
//! | `typ`, where present, is `JWT` or `at+jwt` (RFC 9068 §2.1), in any case, also behind `application/` (RFC 7515 §4.1.9): a token of another kind is not for us (RFC 8725 §3.11) | `Type` |
//! | `alg` is one that keys here can be for, letter for letter | `Algorithm` |
//! | `kid`, where present, is a text and names a public key; without it there is only one key that could be meant. A secret has no name | `Malformed`, `UnknownKey` |
//! | `alg` is one that the key is for | `Algorithm` |
//! | the signature | `Signature` |
//! | the payload is base64url and a JSON object in which no claim that is read stands twice (RFC 7519 §4) | `Malformed` |
//! | none of `typ`, `type`, `token_type`, `token_use` of the payload is `refresh` or `offline`, in any case: other texts and types are a user record's | `Type` |
//! | `exp` is a number and has not passed (RFC 7519 §4.1.4) | `UnusableClaim`, `Expired` |
//! | `nbf`, where present, is a number and has come (§4.1.5) | `UnusableClaim`, `NotYetValid` |
//! | `iss`, where an issuer is configured, is that text (§4.1.1); at `/mcp` it is one of the authorization servers | `Issuer` |
//! | `aud`, or the claim in its place, where audiences are configured, is one of them or a list of texts with one (§4.1.3). At `/mcp` it is `aud` that names the address of that, and elsewhere, where no audience is configured or it is looked for in another claim, `aud` that does not (RFC 8707 §2) | `Audience` |
//! | an address that is the user is verified | `UnusableClaim` |
//! | `sub` is a user id and not `me` (§4.1.2); another claim in its place may be a whole number too | `UnusableClaim` |
//!
//! Nothing that a token's header offers as its key, or as the place of one (`jwk`, `jku`, `x5c`, `x5u`), is looked at.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::Url;
use serde::Deserialize;
use tasks_api::{Authenticate, Error, Resource, TokenFault, UserId};

use crate::identity::claims::{Expected, Reader, now};
use crate::identity::jose::{Member, decode, parse, parse_by};
use crate::identity::key::{Algorithm, Keys, NoKey, Secrets};
use crate::identity::key_set::{KeySet, KeySetFigures, Pace};
use crate::identity::public_key::PublicKeys;
use crate::identity::secret::Secret;

/// The longest token that is read, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// Verifies tokens: those of HS256, HS384 and HS512 by the secrets alone, all others by the public keys alone.
pub struct Verifier {
    secrets: Secrets,
    public: Public,
    expected: Expected,
}

/// Where the public key of a token comes from.
enum Public {
    /// There is none: tokens are signed with secrets.
    None,
    /// The keys that a setting holds.
    Given(PublicKeys),
    /// The keys that the issuer publishes.
    Published(Arc<KeySet>),
}

impl Verifier {
    /// A verifier that has no key yet and takes no token.
    #[must_use]
    pub fn new(expected: Expected) -> Self {
        Self { secrets: Secrets::default(), public: Public::None, expected }
    }

    /// A verifier of tokens that are signed with a shared secret.
    #[must_use]
    pub fn shared(secret: &Secret, expected: Expected) -> Self {
        Self::new(expected).or_shared(secret)
    }

    /// A verifier of tokens that are signed with one of these keys.
    #[must_use]
    pub fn given(keys: PublicKeys, expected: Expected) -> Self {
        Self { public: Public::Given(keys), ..Self::new(expected) }
    }

    /// A verifier of tokens that are signed with a key of the set at this address. Begins to fetch it.
    ///
    /// # Errors
    /// When the system's cryptography or certificates cannot be used.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn published(url: Url, pace: Pace, expected: Expected) -> Result<Self, reqwest::Error> {
        let set = KeySet::new(url, pace)?;
        set.prefetch();
        Ok(Self { public: Public::Published(set), ..Self::new(expected) })
    }

    /// The same, which takes tokens that are signed with this secret too.
    #[must_use]
    pub fn or_shared(mut self, secret: &Secret) -> Self {
        self.secrets.add(secret);
        self
    }

    /// What there is of the key set, where one is published.
    #[must_use]
    pub fn figures(&self) -> Option<KeySetFigures> {
        match &self.public {
            Public::None | Public::Given(_) => None,
            Public::Published(set) => Some(set.figures()),
        }
    }

    /// The user whom a token that was sent there stands for, at a time in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] or [`Error::UnusableClaim`] with the first check of the module's list that fails;
    /// [`Error::Unavailable`] when there is no key set yet.
    fn verify_at<'a>(&'a self, token: &'a str, resource: Resource, now: f64) -> Answer<'a> {
        let signed = match Signed::parse(token) {
            Ok(signed) => signed,
            Err(fault) => return Box::pin(ready(Err(fault.into()))),
        };
        let at = (resource, now);
        // No secret is ever published, and no public key is one.
        if signed.header.algorithm.is_shared() {
            return Box::pin(ready(self.verify_shared(&signed, at)));
        }
        match &self.public {
            Public::None => Box::pin(ready(Err(TokenFault::Algorithm.into()))),
            // Nothing to wait for.
            Public::Given(keys) => Box::pin(ready(self.verify_given(&signed, keys, at))),
            Public::Published(set) => Box::pin(async move {
                let Some(keys) = set.keys().await else {
                    return Err(Error::Unavailable("there is no key set to verify tokens with (JWKS_URL)".into()));
                };
                let found = self.verify_published(&signed, &keys, at);
                // Its key may be newer than the set.
                let newer = match &found {
                    Err(Error::Unauthorized(
                        TokenFault::UnknownKey | TokenFault::Algorithm | TokenFault::Signature,
                    )) => set.newer_than(&keys).await,
                    _ => None,
                };
                newer.map_or(found, |newer| self.verify_published(&signed, &newer, at))
            }),
        }
    }

    /// The user of a token that one of the secrets must have signed.
    fn verify_shared(&self, signed: &Signed<'_>, at: At) -> Result<UserId, Error> {
        let message = signed.message.as_bytes();
        match self.secrets.verify(signed.header.algorithm, message, &signed.signature) {
            None => Err(TokenFault::Algorithm.into()),
            Some(false) => Err(TokenFault::Signature.into()),
            Some(true) => self.judge(signed, at),
        }
    }

    /// The user of a token that one of these keys must have signed.
    fn verify_given(&self, signed: &Signed<'_>, keys: &PublicKeys, at: At) -> Result<UserId, Error> {
        let keys = keys.candidates(signed.header.key.as_deref(), signed.header.algorithm)?;
        if keys.iter().any(|key| key.verifies(signed.message.as_bytes(), &signed.signature)) {
            self.judge(signed, at)
        } else {
            Err(TokenFault::Signature.into())
        }
    }

    /// The user of a token that the key which it names in this set must have signed.
    fn verify_published(&self, signed: &Signed<'_>, keys: &Keys, at: At) -> Result<UserId, Error> {
        let key = keys.find(signed.header.key.as_deref(), signed.header.algorithm)?;
        if key.verifies(signed.message.as_bytes(), &signed.signature) {
            self.judge(signed, at)
        } else {
            Err(TokenFault::Signature.into())
        }
    }

    /// The user of a token whose signature is good.
    fn judge(&self, signed: &Signed<'_>, at: At) -> Result<UserId, Error> {
        let payload = decode(signed.payload)?;
        self.expected.judge(&parse_by(Reader(&self.expected), &payload)?, at)
    }
}

/// Where a token was sent, and when: in seconds since 1970.
type At = (Resource, f64);

impl From<NoKey> for Error {
    fn from(none: NoKey) -> Self {
        Self::Unauthorized(match none {
            NoKey::Unknown => TokenFault::UnknownKey,
            NoKey::Algorithm => TokenFault::Algorithm,
        })
    }
}

/// What becomes of a token.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<UserId, Error>> + Send + 'a>>;

impl Authenticate for Verifier {
    fn authenticate<'a>(&'a self, token: &'a str, resource: Resource) -> Answer<'a> {
        self.verify_at(token, resource, now().as_secs_f64())
    }
}

/// A token in its parts; of what it says, only the header is known yet.
struct Signed<'a> {
    header: Header,
    /// What the signature is over: the first two parts.
    message: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

/// `{"alg":"HS256","typ":"JWT"}`, as nearly all tokens with a shared secret have it: need not be read.
const PLAIN_HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// The header (RFC 7515 §4), as far as it is looked at.
struct Header {
    algorithm: Algorithm,
    key: Option<String>,
}

impl<'a> Signed<'a> {
    fn parse(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > MAX_BYTES {
            return Err(TokenFault::TooLong);
        }
        let parts = || token.rsplit_once('.').and_then(|(message, end)| Some((message.split_once('.')?, message, end)));
        let ((header, payload), message, signature) = match parts() {
            Some(parts) if !parts.0.1.contains('.') => parts,
            _ if is_opaque(token) => return Err(TokenFault::Opaque),
            _ => return Err(TokenFault::Malformed),
        };
        let signature = decode(signature)?;
        let header = match header {
            PLAIN_HEADER => Header { algorithm: Algorithm::HS256, key: None },
            _ => parse::<Head>(&decode(header)?)?.check()?,
        };
        Ok(Self { header, message, payload, signature })
    }
}

/// Whether it is a token that only its issuer can read: an opaque one, as in session cookies, or an encrypted one.
fn is_opaque(token: &str) -> bool {
    let dots = token.bytes().filter(|byte| *byte == b'.').count();
    let is_json = token.starts_with("ey");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=%".contains(&byte);
    let is_of_their_form = match dots {
        0 => true,
        1 => !is_json,
        4 => is_json,
        _ => false,
    };
    is_of_their_form && token.len() >= 16 && token.bytes().all(is_plain)
}

/// The header as it is written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head<'a> {
    #[serde(borrow)]
    alg: Member<'a>,
    #[serde(borrow)]
    kid: Member<'a>,
    #[serde(borrow)]
    typ: Member<'a>,
    #[serde(borrow)]
    crit: Member<'a>,
}

impl Head<'_> {
    fn check(self) -> Result<Header, TokenFault> {
        if !matches!(self.crit, Member::Absent) {
            return Err(TokenFault::Malformed);
        }
        let is_user_token = match &self.typ {
            Member::Absent => true,
            Member::Text(typ) => ["JWT", "at+jwt", "application/jwt", "application/at+jwt"]
                .iter()
                .any(|known| typ.eq_ignore_ascii_case(known)),
            _ => false,
        };
        if !is_user_token {
            return Err(TokenFault::Type);
        }
        let algorithm = match &self.alg {
            Member::Text(name) => Algorithm::named(name).ok_or(TokenFault::Algorithm)?,
            _ => return Err(TokenFault::Algorithm),
        };
        let key = match self.kid {
            Member::Absent => None,
            Member::Text(id) => Some(id.into_owned()),
            _ => return Err(TokenFault::Malformed),
        };
        Ok(Header { algorithm, key })
    }
}

#[cfg(test)]
mod wycheproof;

#[cfg(test)]
mod tests {
    use std::iter;
    use std::time::Duration;

    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use futures_util::FutureExt;

    use tasks_api::ProblemCode::{
        self, TokenAlgorithm as WrongAlgorithm, TokenAudience as Audience, TokenClaims as Claims,
        TokenExpired as Expired, TokenIssuer as Issuer, TokenMalformed as Malformed, TokenNotYetValid as NotYetValid,
        TokenOpaque as Opaque, TokenSignature as Signature, TokenTooLong as TooLong, TokenType as Type,
    };

    use super::*;
    use crate::identity::claims::ToolTokens;
    use crate::identity::secret::{MintError, mint, mint_as_expected};

    /// What the tests take for the present.
    const NOW: u32 = 1_900_000_000;
    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
    const GOOD: &str = r#"{"sub":"alice","exp":1900000060}"#;

    fn secret() -> Secret {
        Secret::new(vec![7; 32]).unwrap()
    }

    fn verifier(issuer: Option<&str>, audience: Option<&str>) -> Verifier {
        let expected = Expected {
            issuer: issuer.map(str::to_owned),
            audience: audience.into_iter().map(str::to_owned).collect(),
            leeway: Duration::from_secs(15),
            ..Expected::default()
        };
        Verifier::shared(&secret(), expected)
    }

    fn encode(part: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(part)
    }

    /// A signature over whatever stands in front of it.
    fn sign(message: &str) -> String {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret().bytes());
        format!("{message}.{}", encode(aws_lc_rs::hmac::sign(&key, message.as_bytes())))
    }

    fn token(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        sign(&format!("{}.{}", encode(header), encode(payload)))
    }

    fn verify(token: &str) -> Result<String, ProblemCode> {
        verifier(None, None).at(token, NOW)
    }

    impl Verifier {
        /// What becomes of a token at this time; nothing is waited for.
        fn at(&self, token: &str, now: u32) -> Result<String, ProblemCode> {
            let verified = self.verify_at(token, Resource::Operations, f64::from(now)).now_or_never().expect("no wait");
            verified.map(|user| user.as_str().to_owned()).map_err(|error| error.code())
        }

        fn today(&self, token: &str) -> Result<String, ProblemCode> {
            self.at(token, u32::try_from(now().as_secs()).unwrap())
        }
    }

    /// What becomes of a payload under a good header and signature.
    fn claims(payload: &str) -> Result<String, ProblemCode> {
        verify(&token(HEADER, payload))
    }

    /// What becomes of a header over a good payload, under a good signature.
    fn header(header: &str) -> Result<String, ProblemCode> {
        verify(&token(header, GOOD))
    }

    #[test]
    fn a_good_token_stands_for_its_subject() {
        assert_eq!(verify(&token(HEADER, GOOD)).unwrap(), "alice");
        assert_eq!(claims(r#" { "exp" : 1900000060 , "x" : {"sub":[1]} , "\u0073ub" : "\u00e9" } "#).unwrap(), "é");
    }

    #[test]
    fn a_minted_token_verifies() {
        let (iss, aud) = (Some("https://issuer"), Some("tasks"));
        let user = |text: &str| text.parse::<UserId>().unwrap();
        let hour = Duration::from_hours(1);
        let token = mint(&secret(), &user("auth0|é "), hour, iss, aud).unwrap();
        assert_eq!(verifier(iss, aud).today(&token).unwrap(), "auth0|é ");
        assert_eq!(verifier(None, None).today(&token).unwrap(), "auth0|é ");
        assert_eq!(verifier(iss, Some("other")).today(&token), Err(Audience));
        let plain = mint(&secret(), &user("bob"), hour, None, None).unwrap();
        assert_eq!(verifier(None, None).today(&plain).unwrap(), "bob");
        assert_eq!(verifier(iss, None).today(&plain), Err(Issuer));
        assert!(matches!(mint(&secret(), &user("me"), hour, None, None), Err(MintError::Subject)));
        assert!(matches!(mint(&secret(), &user("bob"), Duration::MAX, None, None), Err(MintError::Lifetime)));
    }

    #[test]
    fn more_than_16_kib_are_not_read() {
        let of = |filler: usize| {
            let filler = "x".repeat(filler);
            token(HEADER, format!(r#"{{"sub":"alice","exp":1900000060,"x":"{filler}"}}"#))
        };
        let longest = (0..MAX_BYTES).rev().map(of).find(|token| token.len() <= MAX_BYTES).unwrap();
        assert!(longest.len() > MAX_BYTES - 2);
        assert!(verify(&longest).is_ok());
        assert_eq!(MAX_BYTES, 16 * 1024);
        assert_eq!(verify(&format!("{longest}AA")), Err(TooLong));
        assert_eq!(verify(&of(MAX_BYTES)), Err(TooLong));
        assert_eq!(verify(&"x".repeat(MAX_BYTES + 1)), Err(TooLong));
    }

    #[test]
    fn a_token_has_three_parts() {
        let good = token(HEADER, GOOD);
        let (message, signature) = good.rsplit_once('.').unwrap();
        for wrong in ["", ".", "..", "...", message, &format!(".{good}"), &format!("{good}."), &format!("a.{good}.b")] {
            assert_eq!(verify(wrong), Err(Malformed), "{wrong}");
        }
        assert_eq!(verify(&format!("{message}.")), Err(Signature));
        assert_eq!(verify(&format!("{}..{signature}", encode(HEADER))), Err(Signature));
        assert_eq!(claims(""), Err(Malformed));
    }

    #[test]
    fn tokens_that_only_the_issuer_can_read_are_told_from_malformed_ones() {
        let good = token(HEADER, GOOD);
        let (head, _) = good.split_once('.').unwrap();
        for opaque in [
            "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4",
            "v8aYQmH2nC7bXw3K.r1T4sVdQb0uLz9Jk%2F%2FPq6Xe8%3D",
            "00000000-0000-4000-8000-000000000000",
            head,
            &format!("{head}..iv.text.tag"),
        ] {
            assert_eq!(verify(opaque), Err(Opaque), "{opaque}");
        }
        for malformed in
            ["undefined", "null", "[object Object]", "a b c d e f g h i j k l", &good[..good.len() / 2], "a.b.c.d.e"]
        {
            assert_eq!(verify(malformed), Err(Malformed), "{malformed}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        // 'a' ends a header of one more byte than a multiple of three, so that stray bits are possible.
        for header in [HEADER, r#"{"alg":"HS256"}  "#, r#"{"alg":"HS256"} "#] {
            let (head, payload) = (encode(header), encode(GOOD));
            assert!(verify(&sign(&format!("{head}.{payload}"))).is_ok());
            for end in ["=", "==", " ", "\n", "+", "/", "%3D", "é"] {
                assert_eq!(verify(&sign(&format!("{head}{end}.{payload}"))), Err(Malformed), "{end:?}");
                assert_eq!(verify(&sign(&format!("{head}.{payload}{end}"))), Err(Malformed), "{end:?}");
                assert_eq!(verify(&(sign(&format!("{head}.{payload}")) + end)), Err(Malformed), "{end:?}");
            }
        }
        let head = encode(r#"{"alg":"HS256"} "#);
        assert!(head.ends_with('A'), "the last digit has four stray bits");
        assert_eq!(verify(&sign(&format!("{}B.{}", &head[..head.len() - 1], encode(GOOD)))), Err(Malformed));
        let good = token(HEADER, GOOD);
        let next = char::from(good.as_bytes()[good.len() - 1] + 1);
        assert_eq!(verify(&format!("{}{next}", &good[..good.len() - 1])), Err(Malformed));
        // The bytes 0xFB 0xFF are `-_8` here and `+/8` in plain base64.
        let text = token(HEADER, "{\"exp\":1900000060,\"sub\":\"\u{7fb}\u{7ff}>>>???\"}");
        assert!(verify(&text).is_ok());
        assert!(text.contains(['-', '_']));
        let (message, _) = text.rsplit_once('.').unwrap();
        assert_eq!(verify(&sign(&message.replace('-', "+").replace('_', "/"))), Err(Malformed));
    }

    #[test]
    fn header_and_payload_are_json_objects() {
        for wrong in
            ["", " ", "null", "1", "\"HS256\"", "[]", r#"["HS256"]"#, "{", r#"{"alg":"HS256"}x"#, r#"{"alg":"HS256",}"#]
        {
            assert_eq!(header(wrong), Err(Malformed), "{wrong}");
        }
        for wrong in
            ["", "null", r#"[1900000060,null,null,null,"alice"]"#, "{}{}", "{'sub':'alice'}", r#"{"sub":"\ud800"}"#]
        {
            assert_eq!(claims(wrong), Err(Malformed), "{wrong}");
        }
        let mut latin = br#"{"sub":"alice","exp":1900000060,"name":"caf?"}"#.to_vec();
        let place = latin.len() - 3;
        latin[place] = 0xe9;
        assert_eq!(verify(&token(HEADER, latin)), Err(Malformed));
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert_eq!(claims(&format!(r#"{{"sub":"alice","exp":1900000060,"aud":{deep}}}"#)), Err(Malformed));
    }

    #[test]
    fn no_member_stands_twice() {
        for twice in [
            r#""alg":"HS256","alg":"HS256""#,
            r#""alg":"HS256","typ":"JWT","typ":"JWT""#,
            r#""alg":"none","\u0061lg":"HS256""#,
        ] {
            assert_eq!(header(&format!("{{{twice}}}")), Err(Malformed), "{twice}");
        }
        for twice in [
            r#""sub":"bob""#,
            r#""exp":1900000060"#,
            r#""s\u0075b":"bob""#,
            r#""aud":1,"aud":1"#,
            r#""nbf":1,"nbf":1"#,
            r#""iss":"","iss":null"#,
        ] {
            let payload = format!(r#"{{"sub":"alice","exp":1900000060,{twice}}}"#);
            assert_eq!(claims(&payload), Err(Malformed), "{twice}");
        }
    }

    #[test]
    fn only_the_keys_own_algorithm_is_taken() {
        for alg in [
            "none",
            "None",
            "NONE",
            "nOnE",
            "",
            "hs256",
            "HS256 ",
            "HS384",
            "HS512",
            "RS256",
            "ES256",
            "EdDSA",
            "HS256\\u0000",
        ] {
            let text = format!(r#"{{"alg":"{alg}"}}"#);
            assert_eq!(header(&text), Err(WrongAlgorithm), "{alg}");
            let unsigned = format!("{}.{}.", encode(&text), encode(GOOD));
            assert_eq!(verify(&unsigned), Err(WrongAlgorithm), "{alg}");
        }
        for text in ["{}", r#"{"alg":null}"#, r#"{"alg":256}"#, r#"{"alg":["HS256"]}"#, r#"{"ALG":"HS256"}"#] {
            assert_eq!(header(text), Err(WrongAlgorithm), "{text}");
        }
    }

    #[test]
    fn a_critical_extension_is_refused() {
        for crit in [r#"["b64"]"#, r#"["exp"]"#, "[]", "null", "\"\"", "{}"] {
            assert_eq!(header(&format!(r#"{{"alg":"HS256","b64":true,"crit":{crit}}}"#)), Err(Malformed), "{crit}");
        }
    }

    #[test]
    fn only_a_jwt_or_an_access_token_is_taken() {
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT"] {
            assert!(header(&format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#)).is_ok(), "{typ}");
        }
        for typ in
            ["\"\"", "\"JOSE\"", "\"id+jwt\"", "\"logout+jwt\"", "\"text/jwt\"", "\"JWT \"", "null", "1", "[\"JWT\"]"]
        {
            assert_eq!(header(&format!(r#"{{"alg":"HS256","typ":{typ}}}"#)), Err(Type), "{typ}");
        }
    }

    #[test]
    fn the_signature_comes_before_the_claims() {
        let good = token(HEADER, GOOD);
        let (_, foreign) = good.rsplit_once('.').unwrap();
        for payload in [r#"{"sub":"bob","exp":1900000060}"#, r#"{"sub":"bob","exp":1}"#, r#"{"sub":1}"#, "{}"] {
            let forged = format!("{}.{}.{foreign}", encode(HEADER), encode(payload));
            assert_eq!(verify(&forged), Err(Signature), "{payload}");
        }
        let other = Verifier::shared(&Secret::new(vec![8; 32]).unwrap(), Expected::default());
        assert_eq!(other.today(&good), Err(Signature));
        let (message, signature) = good.rsplit_once('.').unwrap();
        let bytes = decode(signature).unwrap();
        for wrong in [&bytes[..31], &bytes[..16], &[bytes.as_slice(), &[0]].concat()] {
            assert_eq!(verify(&format!("{message}.{}", encode(wrong))), Err(Signature));
        }
    }

    #[test]
    fn a_token_expires_after_the_leeway() {
        let exp = |exp: &str| claims(&format!(r#"{{"sub":"alice","exp":{exp}}}"#));
        for good in ["1900000000", "1899999986", "1899999985.5", "1.9e9", "19e8", "253402300799"] {
            assert!(exp(good).is_ok(), "{good}");
        }
        for past in ["1899999985", "1899999984.9", "0", "-0.0", "-1", "-1e300", "-9223372036854775808"] {
            assert_eq!(exp(past), Err(Expired), "{past}");
        }
        for wrong in
            ["null", "true", "\"1900000060\"", "[1900000060]", "{}", "1900000060000", "1e300", "18446744073709551616"]
        {
            assert_eq!(exp(wrong), Err(Claims), "{wrong}");
        }
        for wrong in ["1e400", "01900000060", "NaN", "Infinity", "+1900000060"] {
            assert_eq!(exp(wrong), Err(Malformed), "{wrong}");
        }
        assert_eq!(claims(r#"{"sub":"alice"}"#), Err(Claims));
    }

    #[test]
    fn a_token_is_not_good_before_its_time() {
        let nbf = |nbf: &str| claims(&format!(r#"{{"sub":"alice","exp":1900000060,"nbf":{nbf}}}"#));
        for good in ["1900000000", "1900000015", "1900000014.9", "0", "-1"] {
            assert!(nbf(good).is_ok(), "{good}");
        }
        for early in ["1900000016", "1900000015.5", "1900000000000", "1e300"] {
            assert_eq!(nbf(early), Err(NotYetValid), "{early}");
        }
        for wrong in ["null", "\"0\"", "[]", "false"] {
            assert_eq!(nbf(wrong), Err(Claims), "{wrong}");
        }
    }

    #[test]
    fn issuer_and_audience_are_checked_when_configured() {
        let check = |issuer, audience, more: &str| {
            let token = token(HEADER, format!(r#"{{"sub":"alice","exp":1900000060{more}}}"#));
            verifier(issuer, audience).at(&token, NOW).map(drop)
        };
        let none = check(None, None, r#","iss":["a"],"aud":7"#);
        assert_eq!(none, Ok(()));
        assert_eq!(check(Some("a"), None, r#","iss":"a""#), Ok(()));
        for wrong in
            ["", r#","iss":"A""#, r#","iss":"a/""#, r#","iss":["a"]"#, r#","iss":null"#, r#","iss":"""#, r#","iss":1"#]
        {
            assert_eq!(check(Some("a"), None, wrong), Err(Issuer), "{wrong}");
        }
        for good in [r#","aud":"b""#, r#","aud":["b"]"#, r#","aud":["a","b"]"#, r#","aud":["b","b"]"#] {
            assert_eq!(check(None, Some("b"), good), Ok(()), "{good}");
        }
        for wrong in [
            "",
            r#","aud":"a""#,
            r#","aud":[]"#,
            r#","aud":["a"]"#,
            r#","aud":["b",1]"#,
            r#","aud":[null,"b"]"#,
            r#","aud":[["b"]]"#,
            r#","aud":{"b":"b"}"#,
            r#","aud":null"#,
        ] {
            assert_eq!(check(None, Some("b"), wrong), Err(Audience), "{wrong}");
        }
        assert_eq!(check(Some("a"), Some("b"), r#","aud":"c","iss":"c""#), Err(Issuer));
    }

    #[test]
    fn the_subject_is_a_user_id() {
        let sub = |sub: &str| claims(&format!(r#"{{"exp":1900000060,"sub":{sub}}}"#));
        let text = |text: &str| sub(&format!("\"{text}\""));
        for good in ["alice", "alice ", "Me", "auth0|1", "me ", " ", "é", "e\u{301}", &"ä".repeat(255)] {
            assert_eq!(text(good).unwrap(), good);
        }
        assert_ne!(text("alice"), text("alice "));
        for wrong in ["", "me", r"m\u0065", r"a\u0000", r"\u0000", r"a\n", r"\u007f", "\u{85}", &"ä".repeat(256)] {
            assert_eq!(text(wrong), Err(Claims), "{wrong:?}");
        }
        for wrong in ["null", "1", "[\"alice\"]", "{}", "true"] {
            assert_eq!(sub(wrong), Err(Claims), "{wrong}");
        }
        assert_eq!(claims(r#"{"exp":1900000060}"#), Err(Claims));
    }

    /// The sentence with which these claims are refused.
    fn told(expected: &Expected, payload: &str) -> String {
        let verifier = Verifier::shared(&secret(), expected.clone());
        match verifier
            .verify_at(&token(HEADER, payload), Resource::Operations, f64::from(NOW))
            .now_or_never()
            .expect("no wait")
        {
            Err(Error::UnusableClaim(sentence)) => sentence,
            other => panic!("{other:?}: {payload}"),
        }
    }

    #[test]
    fn the_problem_names_the_claim_and_its_type_and_never_its_value() {
        let plain = Expected::default();
        let by = |name: &str| Expected { user_claim: name.to_owned(), ..Expected::default() };
        for (expected, payload, start) in [
            (&plain, "{}", "The token has no exp, which must be a number"),
            (&plain, r#"{"exp":"canary"}"#, "The token's exp is a text that cannot be used: it must be a number"),
            (&plain, r#"{"exp":null}"#, "The token's exp is null"),
            (&plain, r#"{"exp":true}"#, "The token's exp is a boolean"),
            (&plain, r#"{"exp":["canary"]}"#, "The token's exp is a list"),
            (&plain, r#"{"exp":{"canary":1}}"#, "The token's exp is an object"),
            (&plain, r#"{"exp":1900000060000}"#, "The token's exp lies beyond the year 9999"),
            (&plain, r#"{"exp":1900000060,"nbf":"canary"}"#, "The token's nbf is a text"),
            (&plain, r#"{"exp":1900000060}"#, "The token has no sub, which must be a text"),
            (&plain, r#"{"exp":1900000060,"user_id":"canary"}"#, "The token has no sub"),
            (
                &plain,
                r#"{"exp":1900000060,"sub":7654321}"#,
                "The token's sub is a number that cannot be used: it must be a text",
            ),
            (&plain, r#"{"exp":1900000060,"sub":"me"}"#, "The token's sub is a text that cannot be used"),
            (&plain, r#"{"exp":1900000060,"sub":"canary\u0000"}"#, "The token's sub is a text that cannot be used"),
            (&plain, r#"{"exp":1900000060,"sub":["canary"]}"#, "The token's sub is a list"),
            (&plain, r#"{"exp":1900000060,"sub":["canary",1]}"#, "The token's sub is a list"),
            (&by("user_id"), r#"{"exp":1900000060,"sub":"canary"}"#, "The token has no user_id, which must be a text"),
            (
                &by("user_id"),
                r#"{"exp":1900000060,"user_id":7654321.5}"#,
                "The token's user_id is a number that cannot be used",
            ),
            (
                &by("email"),
                r#"{"exp":1900000060,"email":"canary@x"}"#,
                "The token has no email_verified, which must be true",
            ),
            (
                &by("email"),
                r#"{"exp":1900000060,"email":"canary@x","email_verified":"true"}"#,
                "The token's email_verified is a text that cannot be used: it must be true",
            ),
        ] {
            let sentence = told(expected, payload);
            assert!(sentence.starts_with(start) && sentence.ends_with('.'), "{sentence}: {payload}");
            assert!(!sentence.contains("canary") && !sentence.contains("7654321"), "{sentence}");
        }
    }

    #[test]
    fn refresh_tokens_are_refused_and_user_records_are_not() {
        let with =
            |member: &str, value: &str| claims(&format!(r#"{{"sub":"alice","exp":1900000060,"{member}":{value}}}"#));
        for member in ["typ", "type", "token_type", "token_use"] {
            for renewal in
                ["refresh", "Refresh", "REFRESH", "rEfReSh", "offline", "Offline", "OFFLINE", r"\u0072efresh"]
            {
                assert_eq!(with(member, &format!("\"{renewal}\"")), Err(Type), "{member} {renewal}");
            }
            for other in [
                r#""access""#,
                r#""Bearer""#,
                r#""id""#,
                r#""user""#,
                r#""ID""#,
                r#""refresh_token""#,
                r#"" refresh""#,
                r#""re-fresh""#,
                r#""""#,
                "1",
                "null",
                "true",
                "[]",
                r#"["refresh"]"#,
                r#"{"type":"refresh","refresh":"offline"}"#,
            ] {
                assert_eq!(with(member, other).unwrap(), "alice", "{member} {other}");
            }
        }
        for other in ["Typ", "TYPE", "tokenType", "use", "scope", "grant_type"] {
            assert!(with(other, "\"refresh\"").is_ok(), "{other}");
        }
        // One among others, wherever it stands; twice is as malformed as any claim that is read.
        assert_eq!(with("type", r#""access","token_type":"refresh""#), Err(Type));
        assert_eq!(with("token_type", r#""refresh","type":{"a":1}"#), Err(Type));
        assert_eq!(with("type", r#""access","type":"refresh""#), Err(Malformed));
        // It is for another purpose, whether or not it is still good.
        assert_eq!(claims(r#"{"sub":"alice","exp":1,"type":"refresh"}"#), Err(Type));
    }

    #[test]
    fn another_claim_can_name_the_user() {
        let by = |name: &str, payload: &str| {
            let expected = Expected { user_claim: name.to_owned(), ..Expected::default() };
            let payload = format!(r#"{{"exp":1900000060,"sub":"nobody",{payload}}}"#);
            Verifier::shared(&secret(), expected).at(&token(HEADER, payload), NOW)
        };
        for (name, payload, user) in [
            ("user_id", r#""user_id":"alice""#, "alice"),
            ("user_id", r#""user_id":"1""#, "1"),
            ("user_id", r#""user_id":1"#, "1"),
            ("user_id", r#""user_id":0"#, "0"),
            ("user_id", r#""user_id":9007199254740993"#, "9007199254740993"),
            ("user_id", r#""user_id":18446744073709551615"#, "18446744073709551615"),
            ("https://example.com/uid", r#""https://example.com/uid":"alice""#, "alice"),
            ("https://example.com/uid", r#""https:\/\/example.com\/uid":7"#, "7"),
            ("user.id", r#""user":{"id":"bob"},"user.id":"alice""#, "alice"),
            ("größe", r#""gr\u00f6\u00dfe":"alice""#, "alice"),
            ("email", r#""email":"Ada@example.com","email_verified":true"#, "Ada@example.com"),
            ("email", r#""email_verified":true,"email":"ada@example.com""#, "ada@example.com"),
            ("phone_number", r#""phone_number":"+49301234","phone_number_verified":true"#, "+49301234"),
            ("oid", r#""oid":"00000000-0000-0000-0000-000000000001""#, "00000000-0000-0000-0000-000000000001"),
        ] {
            assert_eq!(by(name, payload).as_deref(), Ok(user), "{payload}");
        }
        for (name, payload) in [
            ("user_id", r#""User_id":"alice""#),
            ("user_id", r#""user_id":null"#),
            ("user_id", r#""user_id":true"#),
            ("user_id", r#""user_id":"""#),
            ("user_id", r#""user_id":"me""#),
            ("user_id", r#""user_id":["alice"]"#),
            ("user_id", r#""user_id":{"id":"alice"}"#),
            ("user_id", r#""user_id":-1"#),
            ("user_id", r#""user_id":-0"#),
            ("user_id", r#""user_id":1.0"#),
            ("user_id", r#""user_id":1.5"#),
            ("user_id", r#""user_id":1e3"#),
            ("user_id", r#""user_id":1E0"#),
            ("user_id", r#""user_id":18446744073709551616"#),
            ("user_id", r#""user_id":1e300"#),
            ("user.id", r#""user":{"id":"bob"}"#),
            ("email", r#""email":"ada@example.com""#),
            ("email", r#""email":"ada@example.com","email_verified":false"#),
            ("email", r#""email":"ada@example.com","email_verified":"true""#),
            ("email", r#""email":"ada@example.com","email_verified":1"#),
            ("email", r#""email":"ada@example.com","email_verified":null"#),
            ("email", r#""email":"ada@example.com","email_verified":[true]"#),
            ("phone_number", r#""phone_number":"+49301234","email_verified":true"#),
        ] {
            assert_eq!(by(name, payload), Err(Claims), "{payload}");
        }
        assert_eq!(by("user_id", r#""user_id":"alice","user_id":"bob""#), Err(Malformed));
        assert_eq!(by("email", r#""email":"a@b","email_verified":true,"email_verified":true"#), Err(Malformed));
        // Nobody looks at what is no setting.
        assert_eq!(
            by("user_id", r#""user_id":"alice","email_verified":true,"email_verified":7"#).as_deref(),
            Ok("alice")
        );
        assert!(claims(r#"{"sub":"alice","exp":1900000060,"user_id":1,"user_id":2}"#).is_ok());
    }

    #[test]
    fn what_tells_no_users_apart_names_none() {
        for name in [
            "exp",
            "nbf",
            "iat",
            "iss",
            "aud",
            "jti",
            "typ",
            "type",
            "token_type",
            "token_use",
            "scope",
            "scp",
            "sid",
            "nonce",
            "email_verified",
            "phone_number_verified",
            "client_id",
            "azp",
            "Azp",
            "appid",
            "tid",
            "hd",
            "roles",
            "locale",
            "at_hash",
            "updated_at",
            "origin_jti",
        ] {
            assert!(!Expected::can_name_users(name), "{name}");
        }
        for name in ["sub", "user_id", "oid", "email", "preferred_username", "uid", "https://example.com/uid"] {
            assert!(Expected::can_name_users(name), "{name}");
        }
    }

    #[test]
    fn one_of_several_audiences_is_enough_and_another_claim_can_hold_it() {
        let check = |claim: &'static str, more: &str| {
            let audience = ["a", "b"].map(str::to_owned).into();
            let expected = Expected { audience, audience_claim: claim, ..Expected::default() };
            let payload = format!(r#"{{"sub":"alice","exp":1900000060{more}}}"#);
            Verifier::shared(&secret(), expected).at(&token(HEADER, payload), NOW).map(drop)
        };
        for (claim, good) in [
            ("aud", r#","aud":"a""#),
            ("aud", r#","aud":"b""#),
            ("aud", r#","aud":["c","b"]"#),
            ("client_id", r#","client_id":"a""#),
            ("client_id", r#","client_id":"b","aud":"c""#),
            ("azp", r#","azp":"b""#),
        ] {
            assert_eq!(check(claim, good), Ok(()), "{claim} {good}");
        }
        for (claim, wrong) in [
            ("aud", ""),
            ("aud", r#","aud":"c""#),
            ("aud", r#","aud":"a,b""#),
            ("aud", r#","aud":["a",1]"#),
            ("aud", r#","client_id":"a""#),
            ("client_id", r#","aud":"a""#),
            ("client_id", r#","client_id":"A""#),
            ("client_id", r#","client_id":null"#),
            ("azp", r#","client_id":"a""#),
        ] {
            assert_eq!(check(claim, wrong), Err(Audience), "{claim} {wrong}");
        }
    }

    #[test]
    fn a_token_for_agents_opens_the_operations_only_where_its_aud_is_listed() {
        let tools = ToolTokens { audience: "mcp".to_owned(), issuers: Vec::new() };
        for (audience_claim, listed, more, result) in [
            ("aud", &[][..], r#","aud":"mcp""#, Err(Audience)),
            ("aud", &[], r#","aud":"a""#, Ok(())),
            ("aud", &[], "", Ok(())),
            ("aud", &["a"], r#","aud":"mcp""#, Err(Audience)),
            ("aud", &["a"], r#","aud":["a","mcp"]"#, Ok(())),
            ("aud", &["a", "mcp"], r#","aud":"mcp""#, Ok(())),
            ("azp", &["a"], r#","azp":"a""#, Ok(())),
            ("azp", &["a"], r#","azp":"a","aud":"b""#, Ok(())),
            ("azp", &["a"], r#","azp":"a","aud":"mcp""#, Err(Audience)),
            // What is listed is looked for in another claim alone.
            ("azp", &["a", "mcp"], r#","azp":"c","aud":"mcp""#, Err(Audience)),
            ("azp", &["a", "mcp"], r#","azp":"a","aud":"mcp""#, Err(Audience)),
        ] {
            let audience = listed.iter().map(|&audience| audience.to_owned()).collect();
            let expected = Expected { audience, audience_claim, tools: Some(tools.clone()), ..Expected::default() };
            let payload = format!(r#"{{"sub":"alice","exp":1900000060{more}}}"#);
            let seen = Verifier::shared(&secret(), expected).at(&token(HEADER, payload), NOW).map(drop);
            assert_eq!(seen, result, "{audience_claim} {listed:?} {more}");
        }
    }

    #[test]
    fn tokens_are_minted_as_they_are_expected() {
        for (audience_claim, user_claim) in
            [("aud", "sub"), ("client_id", "user_id"), ("azp", "email"), ("aud", "phone_number")]
        {
            let expected = Expected {
                issuer: Some("https://issuer".to_owned()),
                audience: vec!["a".to_owned(), "b".to_owned()],
                audience_claim,
                tools: None,
                user_claim: user_claim.to_owned(),
                leeway: Duration::ZERO,
            };
            let token = mint_as_expected(&secret(), &"7".parse().unwrap(), Duration::from_hours(1), &expected).unwrap();
            assert_eq!(Verifier::shared(&secret(), expected).today(&token).as_deref(), Ok("7"), "{user_claim}");
        }
    }

    /// The signature of this algorithm by this secret over whatever stands in front of it.
    fn signed_by(secret: &[u8], alg: &str, header: &str) -> String {
        let algorithm = match alg {
            "HS256" => aws_lc_rs::hmac::HMAC_SHA256,
            "HS384" => aws_lc_rs::hmac::HMAC_SHA384,
            _ => aws_lc_rs::hmac::HMAC_SHA512,
        };
        let message = format!("{}.{}", encode(header.replace("ALG", alg)), encode(GOOD));
        let key = aws_lc_rs::hmac::Key::new(algorithm, secret);
        format!("{message}.{}", encode(aws_lc_rs::hmac::sign(&key, message.as_bytes())))
    }

    #[test]
    fn the_previous_secret_is_taken_beside_the_new_one_and_no_third() {
        let (old, new, third) = ([1; 64], [2; 64], [3; 64]);
        let of = |bytes: &[u8]| Secret::new(bytes.to_vec()).unwrap();
        let verifier = Verifier::shared(&of(&new), Expected::default()).or_shared(&of(&old));
        for alg in ["HS256", "HS384", "HS512"] {
            for header in [r#"{"alg":"ALG","typ":"JWT"}"#, r#"{"alg":"ALG","kid":"whatever"}"#, r#"{"alg":"ALG"}"#] {
                assert!(verifier.at(&signed_by(&old, alg, header), NOW).is_ok(), "{alg}");
                assert!(verifier.at(&signed_by(&new, alg, header), NOW).is_ok(), "{alg}");
                assert_eq!(verifier.at(&signed_by(&third, alg, header), NOW), Err(Signature), "{alg}");
            }
        }
        let short = Verifier::shared(&of(&new[..40]), Expected::default());
        assert!(short.at(&signed_by(&new[..40], "HS256", r#"{"alg":"ALG"}"#), NOW).is_ok());
        for alg in ["HS384", "HS512"] {
            assert_eq!(short.at(&signed_by(&new[..40], alg, r#"{"alg":"ALG"}"#), NOW), Err(WrongAlgorithm), "{alg}");
        }
        assert_eq!(Verifier::new(Expected::default()).at(&token(HEADER, GOOD), NOW), Err(WrongAlgorithm));
    }

    #[test]
    fn no_changed_token_is_taken() {
        let good = token(HEADER, r#"{"sub":"alice","exp":1900000060,"iat":1899999999,"name":"Alice"}"#);
        assert!(verify(&good).is_ok());
        // Knuth's linear congruential generator: the same changes in every run.
        let mut random = iter::successors(Some(1_u64), |state| {
            Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
        })
        .map(|state| usize::try_from(state >> 33).unwrap());
        let mut tried = 0;
        while tried < 10_000 {
            let mut bytes = good.clone().into_bytes();
            let place = random.next().unwrap() % bytes.len();
            let byte = u8::try_from(random.next().unwrap() % 128).unwrap();
            if bytes[place] != byte {
                bytes[place] = byte;
                tried += 1;
                assert!(verify(str::from_utf8(&bytes).unwrap()).is_err(), "byte {place} as {byte}");
            }
        }
    }
}
