//! From a bearer token to the user it stands for.
//!
//! A token is a JSON Web Token (RFC 7519) in compact form (RFC 7515 §3.1). The router hands it to [`Verifier`] through
//! [`Authenticate`]; nothing after it sees the token again. Only the subject is kept: the other claims may hold a whole
//! user record, and neither they nor the token appear in an error or in the log.
//!
//! The checks, in this order, each with its own [`TokenFault`]:
//!
//! | check | fault |
//! | --- | --- |
//! | at most 8 KiB | `Malformed` |
//! | not what only its issuer can read: an opaque session token, or an encrypted one (RFC 7516) | `Opaque` |
//! | three parts; header and signature are base64url as RFC 7515 §2 writes it: no padding, white space or stray bits | `Malformed` |
//! | the header is a JSON object in which no member that is read stands twice (RFC 7515 §4) | `Malformed` |
//! | no `crit`: no extension is understood here (RFC 7515 §4.1.11) | `Malformed` |
//! | `typ`, where present, is `JWT` or `at+jwt` (RFC 9068 §2.1), in any case, also behind `application/` (RFC 7515 §4.1.9): a token of another kind is not for us (RFC 8725 §3.11) | `Type` |
//! | `alg` is one that keys here can be for, letter for letter | `Algorithm` |
//! | `kid`, where present, is a text and names a key; without it there is only one key that could be meant | `Malformed`, `UnknownKey` |
//! | `alg` is one that the key is for | `Algorithm` |
//! | the signature | `Signature` |
//! | the payload is base64url and a JSON object in which no claim that is read stands twice (RFC 7519 §4) | `Malformed` |
//! | `exp` is a number and has not passed (RFC 7519 §4.1.4) | `Claims`, `Expired` |
//! | `nbf`, where present, is a number and has come (§4.1.5) | `Claims`, `NotYetValid` |
//! | `iss`, where an issuer is configured, is that text (§4.1.1) | `Issuer` |
//! | `aud`, where an audience is configured, is that text or a list of texts with it (§4.1.3) | `Audience` |
//! | `sub` is a user id and not `me` (§4.1.2) | `Claims` |
//!
//! Nothing that a token's header offers as its key, or as the place of one (`jwk`, `jku`, `x5c`, `x5u`), is looked at.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use reqwest::Url;
use serde::Deserialize;
use tasks_api::{Authenticate, Error, TokenFault, UserId};

use crate::identity::claims::{Expected, now};
use crate::identity::jose::{Member, decode, parse};
use crate::identity::key::{Key, Keys, NoKey, algorithm};
use crate::identity::key_set::{KeySet, KeySetFigures, Pace};
use crate::identity::secret::Secret;

/// The longest token that is read, in bytes.
const MAX_BYTES: usize = 8 * 1024;

/// Verifies tokens.
pub struct Verifier {
    keys: KeySource,
    expected: Expected,
}

/// Where the key of a token comes from.
enum KeySource {
    /// One secret, shared with the issuer. A `kid` is no name of it and is not looked at.
    Shared(Key),
    /// The keys that the issuer publishes.
    Published(Arc<KeySet>),
}

impl Verifier {
    /// A verifier of tokens that are signed with a shared secret (HS256).
    #[must_use]
    pub fn shared(secret: &Secret, expected: Expected) -> Self {
        Self { keys: KeySource::Shared(Key::shared(secret)), expected }
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
        Ok(Self { keys: KeySource::Published(set), expected })
    }

    /// What there is of the key set, where one is published.
    #[must_use]
    pub fn figures(&self) -> Option<KeySetFigures> {
        match &self.keys {
            KeySource::Shared(_) => None,
            KeySource::Published(set) => Some(set.figures()),
        }
    }

    /// The user whom the token stands for, at a time in seconds since 1970.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] with the first check of the module's list that fails; [`Error::Unavailable`] when there
    /// is no key set yet.
    fn verify_at<'a>(&'a self, token: &'a str, now: f64) -> Answer<'a> {
        let signed = match Signed::parse(token) {
            Ok(signed) => signed,
            Err(fault) => return Box::pin(ready(Err(fault.into()))),
        };
        match &self.keys {
            // Nothing to wait for.
            KeySource::Shared(key) => Box::pin(ready(self.verify(&signed, key, now).map_err(Error::from))),
            // No secret is ever published.
            KeySource::Published(_) if signed.header.algorithm.family() == AlgorithmFamily::Hmac => {
                Box::pin(ready(Err(TokenFault::Algorithm.into())))
            }
            KeySource::Published(set) => Box::pin(async move {
                let Some(keys) = set.keys().await else {
                    return Err(Error::Unavailable("there is no key set to verify tokens with (JWKS_URL)".into()));
                };
                let found = self.verify_with(&signed, &keys, now);
                // Its key may be newer than the set.
                let newer = match &found {
                    Err(TokenFault::UnknownKey | TokenFault::Algorithm | TokenFault::Signature) => {
                        set.newer_than(&keys).await
                    }
                    _ => None,
                };
                Ok(newer.map_or(found, |newer| self.verify_with(&signed, &newer, now))?)
            }),
        }
    }

    /// As [`Self::verify`], with the key of a set that the token names.
    fn verify_with(&self, signed: &Signed<'_>, keys: &Keys, now: f64) -> Result<UserId, TokenFault> {
        let key = keys.find(signed.header.key.as_deref(), signed.header.algorithm).map_err(|none| match none {
            NoKey::Unknown => TokenFault::UnknownKey,
            NoKey::Algorithm => TokenFault::Algorithm,
        })?;
        self.verify(signed, &key, now)
    }

    /// The user whom a token stands for that this key must have signed.
    fn verify(&self, signed: &Signed<'_>, key: &Key, now: f64) -> Result<UserId, TokenFault> {
        if !key.is_for(signed.header.algorithm) {
            return Err(TokenFault::Algorithm);
        }
        self.expected.judge(&parse(&signed.payload(key)?)?, now)
    }
}

/// What becomes of a token.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<UserId, Error>> + Send + 'a>>;

impl Authenticate for Verifier {
    fn authenticate<'a>(&'a self, token: &'a str) -> Answer<'a> {
        self.verify_at(token, now().as_secs_f64())
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
            return Err(TokenFault::Malformed);
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

    /// What it says, when the key signed it.
    fn payload(&self, key: &Key) -> Result<Vec<u8>, TokenFault> {
        if key.verifies(self.message.as_bytes(), &self.signature) {
            decode(self.payload)
        } else {
            Err(TokenFault::Signature)
        }
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
            Member::Text(name) => algorithm(name).ok_or(TokenFault::Algorithm)?,
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

    use super::TokenFault::{
        Algorithm as WrongAlgorithm, Audience, Claims, Expired, Issuer, Malformed, NotYetValid, Opaque, Signature, Type,
    };
    use super::*;
    use crate::identity::secret::{MintError, mint};

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
            audience: audience.map(str::to_owned),
            leeway: Duration::from_secs(15),
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

    fn verify(token: &str) -> Result<String, TokenFault> {
        verifier(None, None).at(token, NOW)
    }

    impl Verifier {
        /// What becomes of a token at this time; nothing is waited for.
        fn at(&self, token: &str, now: u32) -> Result<String, TokenFault> {
            match self.verify_at(token, f64::from(now)).now_or_never().expect("no wait") {
                Ok(user) => Ok(user.as_str().to_owned()),
                Err(Error::Unauthorized(fault)) => Err(fault),
                Err(other) => panic!("{other:?}"),
            }
        }

        fn today(&self, token: &str) -> Result<String, TokenFault> {
            self.at(token, u32::try_from(now().as_secs()).unwrap())
        }
    }

    /// What becomes of a payload under a good header and signature.
    fn claims(payload: &str) -> Result<String, TokenFault> {
        verify(&token(HEADER, payload))
    }

    /// What becomes of a header over a good payload, under a good signature.
    fn header(header: &str) -> Result<String, TokenFault> {
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
    fn more_than_8_kib_are_not_read() {
        let of = |filler: usize| {
            let filler = "x".repeat(filler);
            token(HEADER, format!(r#"{{"sub":"alice","exp":1900000060,"x":"{filler}"}}"#))
        };
        let longest = (0..MAX_BYTES).rev().map(of).find(|token| token.len() <= MAX_BYTES).unwrap();
        assert!(longest.len() > MAX_BYTES - 2);
        assert!(verify(&longest).is_ok());
        assert_eq!(verify(&format!("{longest}AA")), Err(Malformed));
        assert_eq!(verify(&of(MAX_BYTES)), Err(Malformed));
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
        let other = Verifier::shared(
            &Secret::new(vec![8; 32]).unwrap(),
            Expected { issuer: None, audience: None, leeway: Duration::ZERO },
        );
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
