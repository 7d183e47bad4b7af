//! Keys that verify tokens, each for algorithms of its own, and the sets in which issuers publish them.
//!
//! The key decides the algorithm, never the token: a token's `alg` only chooses among what its key is for, so no public
//! key can be taken for a secret (RFC 8725 §3.1). The names are those of RFC 7518 §3.1, RFC 8037 §3.1 and RFC 9864 §2.2.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, EcdsaVerificationAlgorithm,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, RSAKeyParameters,
};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::identity::point;
use crate::identity::secret::Secret;

/// The algorithms that keys here can be for. (The library's own names lack ES512, which it cannot verify.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    HS256,
    HS384,
    HS512,
    ES256,
    ES384,
    ES512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    EdDSA,
}

impl Algorithm {
    /// The algorithm of this name; `Ed25519` is the newer name of `EdDSA` with that curve (RFC 9864 §2.2).
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::HS256,
            "HS384" => Self::HS384,
            "HS512" => Self::HS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "ES512" => Self::ES512,
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "EdDSA" | "Ed25519" => Self::EdDSA,
            _ => return None,
        })
    }

    /// Whether its keys are secrets.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// The algorithms of secrets, each with what it is in the library; a secret is for those whose hash is not longer than
/// itself (RFC 7518 §3.2).
const HMAC: [(Algorithm, hmac::Algorithm); 3] = [
    (Algorithm::HS256, hmac::HMAC_SHA256),
    (Algorithm::HS384, hmac::HMAC_SHA384),
    (Algorithm::HS512, hmac::HMAC_SHA512),
];

/// The algorithms of RSA keys, each with what verifies it: at least 2048 bits (RFC 7518 §3.3, §3.5).
const RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::RS256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::RS384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::RS512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::PS256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::PS384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::PS512, &RSA_PSS_2048_8192_SHA512),
];

/// The curves of ECDSA, each with its algorithm and the bytes of a coordinate (RFC 7518 §3.4).
const ELLIPTIC: [(EllipticCurve, Algorithm, &EcdsaVerificationAlgorithm, usize); 3] = [
    (EllipticCurve::P256, Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, 32),
    (EllipticCurve::P384, Algorithm::ES384, &ECDSA_P384_SHA384_FIXED, 48),
    (EllipticCurve::P521, Algorithm::ES512, &ECDSA_P521_SHA512_FIXED, 66),
];

/// The bits that the modulus of an RSA key may have.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The secrets that tokens may be signed with, each for its algorithms.
#[derive(Default)]
pub(crate) struct Secrets(Vec<(Algorithm, hmac::Key)>);

impl Secrets {
    /// Takes one more secret.
    pub(crate) fn add(&mut self, secret: &Secret) {
        let fitting = HMAC.iter().filter(|(_, own)| own.digest_algorithm().output_len() <= secret.bytes().len());
        self.0.extend(fitting.map(|(algorithm, own)| (*algorithm, hmac::Key::new(*own, secret.bytes()))));
    }

    /// Whether `signature` is over `message` and that of one of them; `None` when none is for this algorithm.
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Option<bool> {
        let mut fitting = self.0.iter().filter(|(own, _)| *own == algorithm).peekable();
        fitting.peek()?;
        Some(fitting.any(|(_, key)| hmac::verify(key, message, signature).is_ok()))
    }
}

/// A public key that verifies the signatures of one algorithm.
#[derive(Clone)]
pub(crate) struct Key {
    algorithm: Algorithm,
    key: Arc<ParsedPublicKey>,
}

impl Key {
    fn new(algorithm: Algorithm, key: ParsedPublicKey) -> Self {
        Self { algorithm, key: Arc::new(key) }
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && (*self.key).as_ref() == (*other.key).as_ref()
    }
}

/// Public keys that can verify tokens.
#[derive(Clone)]
pub(crate) struct Keys(pub(super) Vec<Named>);

/// The key of a JWK without what is private of it.
fn public_half(jwk: &str) -> Option<Named> {
    let mut jwk: Value = serde_json::from_str(jwk).ok()?;
    let members = jwk.as_object_mut()?;
    members.retain(|name, _| ["kty", "crv", "x", "y", "n", "e"].contains(&name.as_str()));
    Named::parse(jwk).ok()
}

/// A key with its name.
#[derive(Clone, PartialEq)]
pub(super) struct Named {
    /// Its `kid`.
    id: Option<String>,
    /// The key, once for each algorithm that it is for.
    keys: Vec<Key>,
}

/// Why a set has no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// No key has the token's `kid`, or more than one could be meant.
    Unknown,
    /// The key is for another algorithm than the token's.
    Algorithm,
}

/// What is no set at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not JSON (RFC 8259) with an array `keys`")]
pub(crate) struct SetError;

/// A key of a set that is left out, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Its place in the set, from 0.
    pub(crate) index: usize,
    pub(crate) reason: &'static str,
}

impl Keys {
    /// Reads a JWK Set (RFC 7517 §5), key by key: one that cannot be used does not spoil the others.
    ///
    /// # Errors
    /// When it is no such set.
    pub(crate) fn parse(json: &[u8]) -> Result<(Self, Vec<Skipped>), SetError> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }

        let json = json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json);
        // A derived reader takes an array as well, member by member.
        let json = Some(json).filter(|json| json.trim_ascii_start().starts_with(b"{")).ok_or(SetError)?;
        let Set { keys } = serde_json::from_slice(json).map_err(|_| SetError)?;
        let (mut usable, mut skipped) = (Vec::<Named>::new(), Vec::new());
        let (mut exposed, mut places) = (Vec::new(), Vec::new());
        for (index, jwk) in keys.into_iter().enumerate() {
            let parsed = serde_json::from_str(jwk.get()).map_err(|_| MALFORMED).and_then(Named::parse);
            if parsed.as_ref().is_err_and(|reason| *reason == PRIVATE) {
                exposed.extend(public_half(jwk.get()));
            }
            match parsed {
                Ok(key) if usable.contains(&key) => skipped.push(Skipped { index, reason: "it stands there twice" }),
                Ok(key) => {
                    if key.id.is_some() && usable.iter().any(|other| other.id == key.id) {
                        let reason = "its kid is another key's too, and for an algorithm of both neither is used";
                        skipped.push(Skipped { index, reason });
                    }
                    usable.push(key);
                    places.push(index);
                }
                Err(reason) => skipped.push(Skipped { index, reason }),
            }
        }
        // A copy without its private half is as known as the one with it.
        let is_exposed =
            |named: &Named| exposed.iter().any(|key: &Named| named.keys.iter().any(|own| key.keys.contains(own)));
        let mut places = places.into_iter();
        usable.retain(|named| {
            let place = places.next();
            let is_exposed = is_exposed(named);
            skipped.extend(place.filter(|_| is_exposed).map(|index| Skipped { index, reason: EXPOSED }));
            !is_exposed
        });
        Ok((Self(usable), skipped))
    }

    /// How many keys it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one key for tokens of this `kid` and algorithm. A token without `kid` gets the only key of its algorithm.
    ///
    /// # Errors
    /// When there is none, or it is for other algorithms.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, NoKey> {
        let mut named = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == id).peekable();
        if named.peek().is_none() {
            return Err(NoKey::Unknown);
        }
        let mut fitting = named.flat_map(|key| &key.keys).filter(|key| key.algorithm == algorithm);
        let key = fitting.next().ok_or(NoKey::Algorithm)?;
        // Two keys under one name: the issuer has lost track of its keys, and none is tried.
        if fitting.next().is_some() { Err(NoKey::Unknown) } else { Ok(key.clone()) }
    }

    /// The keys for tokens of this `kid` and algorithm where whoever runs the server has named each key: those of that name,
    /// else those without a name; for a token without `kid` all of them.
    ///
    /// # Errors
    /// When there is none, or all of them are for other algorithms.
    pub(crate) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<&Key>, NoKey> {
        let is_known = id.is_some() && self.0.iter().any(|key| key.id.as_deref() == id);
        let name = if is_known { id } else { None };
        let meant: Vec<_> = self.0.iter().filter(|key| id.is_none() || key.id.as_deref() == name).collect();
        if meant.is_empty() {
            return Err(NoKey::Unknown);
        }
        let fitting: Vec<_> =
            meant.into_iter().flat_map(|key| &key.keys).filter(|key| key.algorithm == algorithm).collect();
        if fitting.is_empty() { Err(NoKey::Algorithm) } else { Ok(fitting) }
    }
}

const MALFORMED: &str = "it is malformed";
pub(super) const PRIVATE: &str = "its private half is published with it";
const EXPOSED: &str = "its private half is published with another one of the set";
pub(super) const SECRET: &str = "it is a secret, and published";

/// Why nobody else may see a JWK: it holds what signs (RFC 7518 §6).
pub(super) fn signs(jwk: &Value) -> Option<&'static str> {
    let holds = |members: &[&str]| members.iter().any(|member| jwk.get(member).is_some());
    if holds(&["d", "p", "q", "dp", "dq", "qi", "oth"]) { Some(PRIVATE) } else { holds(&["k"]).then_some(SECRET) }
}

impl Named {
    /// A key in JWK (RFC 7517 §4), or why it cannot be used.
    pub(super) fn parse(jwk: Value) -> Result<Self, &'static str> {
        if let Some(reason) = signs(&jwk) {
            return Err(reason);
        }
        // Looked at as text: the library knows no name that is newer than itself.
        let name = match jwk.get("alg") {
            None => None,
            Some(Value::String(name)) => {
                Some(Algorithm::named(name).ok_or("its alg is not one that verifies tokens here")?)
            }
            Some(_) => return Err("its alg is no text"),
        };
        let Jwk { common, algorithm: parameters } = serde_json::from_value(jwk).map_err(|_| MALFORMED)?;
        check_purpose(&common)?;
        let mut keys = match &parameters {
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => edwards(&decode(&key.x)?)?,
            AlgorithmParameters::EllipticCurve(key) => {
                let curve = ELLIPTIC.iter().find(|(curve, ..)| *curve == key.curve);
                let (_, algorithm, verification, bytes) = curve.ok_or("its curve is not P-256, P-384 or P-521")?;
                let (x, y) = (decode(&key.x)?, decode(&key.y)?);
                if x.len() != *bytes || y.len() != *bytes {
                    return Err("its coordinates have not the length of its curve");
                }
                // A point in its uncompressed form (SEC 1 §2.3.3).
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                let key = ParsedPublicKey::new(*verification, point).map_err(|_| "its point is not on its curve")?;
                vec![Key::new(*algorithm, key)]
            }
            AlgorithmParameters::RSA(RSAKeyParameters { n, e, .. }) => rsa(&decode(n)?, &decode(e)?, name)?,
            AlgorithmParameters::OctetKey(_) => return Err(SECRET),
            _ => return Err("its kty or crv is not one that verifies tokens here"),
        };
        if let Some(name) = name {
            keys.retain(|key| key.algorithm == name);
        }
        if keys.is_empty() {
            return Err("its alg does not fit its kty or crv");
        }
        Ok(Self { id: common.key_id, keys })
    }

    /// A key in DER, as it stands in a PEM: SPKI (RFC 5280 §4.1.2.7) or an RSA key by itself (RFC 8017 §A.1.1), without a name;
    /// or why it cannot be used.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        /// What stands before the point in the SPKI of Ed25519 (RFC 8410 §4).
        const EDWARDS: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

        let keys = if let Some(point) = der.strip_prefix(EDWARDS) {
            edwards(point)?
        } else if let Ok(key) = PublicKey::from_der(der) {
            let number = |number: aws_lc_rs::io::Positive<'_>| number.big_endian_without_leading_zero().to_vec();
            rsa(&number(key.modulus()), &number(key.exponent()), None)?
        } else {
            let elliptic = ELLIPTIC.iter().find_map(|(_, algorithm, verification, _)| {
                Some(Key::new(*algorithm, ParsedPublicKey::new(*verification, der).ok()?))
            });
            vec![elliptic.ok_or("it is no key of RSA, P-256, P-384, P-521 or Ed25519, or a broken one")?]
        };
        Ok(Self { id: None, keys })
    }
}

/// Refuses keys that are for something else (RFC 7517 §4.2, §4.3).
fn check_purpose(key: &CommonParameters) -> Result<(), &'static str> {
    if key.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return Err("its use is not sig");
    }
    if key.key_operations.as_ref().is_some_and(|operations| !operations.contains(&KeyOperations::Verify)) {
        return Err("its key_ops lack verify");
    }
    Ok(())
}

/// An Ed25519 key (RFC 8032 §5.1.5). A point of small order verifies signatures that anybody can make.
fn edwards(point: &[u8]) -> Result<Vec<Key>, &'static str> {
    let point: &[u8; 32] = point.try_into().map_err(|_| "its x is no Ed25519 key")?;
    point::check(point)?;
    let key = ParsedPublicKey::new(&ED25519, point).map_err(|_| "its x is no Ed25519 key")?;
    Ok(vec![Key::new(Algorithm::EdDSA, key)])
}

/// An RSA key of this modulus and exponent, once for each algorithm that it may be used with: the one that it names, else
/// all.
fn rsa(n: &[u8], e: &[u8], name: Option<Algorithm>) -> Result<Vec<Key>, &'static str> {
    // Some issuers write the zero byte in front that their library keeps for the sign.
    let (n, e) = (trim_zeros(n), trim_zeros(e));
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err("its modulus has not 2048 to 8192 bits");
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    if !is_odd(n) || !is_odd(e) || e == [1] || e.len() > 4 {
        return Err("its modulus or exponent is not one of an RSA key");
    }
    if is_roca(n) {
        return Err("its modulus is of a faulty generator (CVE-2017-15361) and can be factored");
    }
    let components = RsaPublicKeyComponents { n, e };
    let wanted = RSA.into_iter().filter(|(algorithm, _)| name.is_none_or(|name| name == *algorithm));
    wanted
        .map(|(algorithm, parameters)| Ok(Key::new(algorithm, components.to_parsed_public_key(parameters)?)))
        .collect::<Result<_, aws_lc_rs::error::KeyRejected>>()
        .map_err(|_| "its modulus or exponent is not one of an RSA key")
}

/// Whether a modulus is one of Infineon's faulty generator: modulo every small prime it is a power of 65537, which of
/// other moduli only one in some hundred millions is (Nemec et al., "The Return of Coppersmith's Attack", §2.3).
fn is_roca(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107,
        109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.into_iter().all(|prime| {
        let rest = modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let powers = std::iter::successors(Some(1), |power| Some(power * 65537 % prime));
        powers.take(prime as usize).any(|power| power == rest)
    })
}

fn decode(text: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a number of it is not base64url")
}

fn trim_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.split_at(zeros).1
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const P256: (&str, &str) =
        ("04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY", "UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw");

    /// An Ed25519 key (RFC 8037 §A.2) with these members beside.
    fn edwards(more: Value) -> Value {
        merged(json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }), more)
    }

    fn elliptic(more: Value) -> Value {
        merged(json!({ "kty": "EC", "crv": "P-256", "x": P256.0, "y": P256.1 }), more)
    }

    /// An odd number of this many bits as a modulus.
    fn rsa(bits: usize, more: Value) -> Value {
        let mut modulus = vec![0xb5; bits.div_ceil(8)];
        modulus[0] = 0xff >> (modulus.len() * 8 - bits);
        merged(json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB" }), more)
    }

    fn merged(mut jwk: Value, more: Value) -> Value {
        let Value::Object(more) = more else { panic!() };
        jwk.as_object_mut().unwrap().extend(more);
        jwk
    }

    fn reason(jwk: Value) -> &'static str {
        Named::parse(jwk).map(drop).expect_err("a key that is left out")
    }

    fn algorithms(jwk: Value) -> Vec<Algorithm> {
        let named = Named::parse(jwk).unwrap_or_else(|reason| panic!("{reason}"));
        named.keys.iter().map(|key| key.algorithm).collect()
    }

    #[test]
    fn a_key_is_for_the_algorithms_of_its_type_or_for_the_one_that_it_names() {
        use Algorithm::{ES256, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        assert_eq!(algorithms(edwards(json!({}))), [EdDSA]);
        assert_eq!(algorithms(edwards(json!({ "alg": "EdDSA", "use": "sig" }))), [EdDSA]);
        assert_eq!(algorithms(edwards(json!({ "alg": "Ed25519", "key_ops": ["sign", "verify"] }))), [EdDSA]);
        assert_eq!(algorithms(elliptic(json!({}))), [ES256]);
        assert_eq!(algorithms(rsa(2048, json!({}))), [RS256, RS384, RS512, PS256, PS384, PS512]);
        assert_eq!(algorithms(rsa(4096, json!({ "alg": "PS384" }))), [PS384]);
        // As some issuers write it, with a zero byte in front.
        let Value::String(n) = rsa(2048, json!({}))["n"].take() else { panic!() };
        let padded = [&[0], URL_SAFE_NO_PAD.decode(n).unwrap().as_slice()].concat();
        assert_eq!(algorithms(rsa(2048, json!({ "n": URL_SAFE_NO_PAD.encode(padded), "alg": "RS256" }))), [RS256]);
    }

    #[test]
    fn a_key_whose_private_half_is_published_elsewhere_in_the_set_is_left_out() {
        for private in [json!({ "kid": "p", "d": "AAAA" }), json!({ "kid": "p", "d": "AAAA", "use": "enc" })] {
            for public in [json!({ "kid": "a" }), json!({ "kid": "a", "alg": "EdDSA" })] {
                for keys in
                    [[edwards(private.clone()), edwards(public.clone())], [edwards(public), edwards(private.clone())]]
                {
                    let set = json!({ "keys": [keys[0], keys[1], elliptic(json!({}))] }).to_string();
                    let (keys, skipped) = Keys::parse(set.as_bytes()).unwrap();
                    assert_eq!((keys.len(), skipped.len()), (1, 2), "both are told");
                    assert!(keys.find(None, Algorithm::EdDSA).is_err() && keys.find(None, Algorithm::ES256).is_ok());
                }
            }
        }
    }

    #[test]
    fn a_key_that_cannot_verify_is_left_out_with_its_reason() {
        for (jwk, expected) in [
            (edwards(json!({ "d": "AAAA" })), "private half"),
            (edwards(json!({ "alg": "ES256" })), "does not fit"),
            (edwards(json!({ "alg": "RSA-OAEP" })), "not one that verifies"),
            (edwards(json!({ "alg": "none" })), "not one that verifies"),
            (edwards(json!({ "alg": 7 })), "no text"),
            (edwards(json!({ "alg": null })), "no text"),
            (edwards(json!({ "use": "enc" })), "use"),
            (edwards(json!({ "key_ops": ["sign"] })), "key_ops"),
            (edwards(json!({ "key_ops": [] })), "key_ops"),
            (edwards(json!({ "key_ops": "verify" })), "malformed"),
            (edwards(json!({ "kid": 7 })), "malformed"),
            (edwards(json!({ "x": "AAAA" })), "no Ed25519 key"),
            (edwards(json!({ "x": "" })), "no Ed25519 key"),
            (edwards(json!({ "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=" })), "base64url"),
            (edwards(json!({ "crv": "Ed448" })), "kty or crv"),
            (edwards(json!({ "crv": "X25519" })), "kty or crv"),
            (elliptic(json!({ "y": P256.0 })), "not on its curve"),
            (elliptic(json!({ "x": "AAAA" })), "length"),
            (elliptic(json!({ "crv": "P-384" })), "length"),
            (elliptic(json!({ "crv": "P-521" })), "length"),
            (elliptic(json!({ "alg": "ES512" })), "does not fit"),
            (elliptic(json!({ "crv": "secp256k1" })), "kty or crv"),
            (elliptic(json!({ "alg": "ES384" })), "does not fit"),
            (rsa(1024, json!({})), "2048"),
            (rsa(2047, json!({})), "2048"),
            (rsa(8200, json!({})), "8192"),
            (rsa(2048, json!({ "e": "AQ" })), "exponent"),
            (rsa(2048, json!({ "e": "AA" })), "exponent"),
            (rsa(2048, json!({ "e": "" })), "exponent"),
            (rsa(2048, json!({ "e": "Ag" })), "exponent"),
            (rsa(2048, json!({ "e": "AQAAAAE" })), "exponent"),
            (rsa(2048, json!({ "n": "" })), "2048"),
            (rsa(2048, json!({ "alg": "ES256" })), "does not fit"),
            (json!({ "kty": "oct", "k": "AAAA", "alg": "HS256" }), "secret"),
            (json!({ "kty": "RSA" }), "kty or crv"),
            (json!({}), "kty or crv"),
            (json!(null), "malformed"),
            (json!([]), "malformed"),
            (json!("key"), "malformed"),
        ] {
            let text = jwk.to_string();
            let reason = reason(jwk);
            assert!(reason.contains(expected), "{reason}: {text}");
        }
    }

    /// A signature over every message whose hash the key's order divides: R is the neutral point, and S is 0.
    fn anybodys() -> [u8; 64] {
        let mut signature = [0; 64];
        signature[0] = 1;
        signature
    }

    #[test]
    fn a_point_of_small_order_verifies_what_anybody_signs_and_is_left_out() {
        let with = |mut y: [u8; 32], sign: u8| {
            y[31] |= sign;
            y
        };
        for small in point::SMALL {
            // What it would be to take it: of so few messages one at least is "signed".
            let raw = ParsedPublicKey::new(&ED25519, small).unwrap();
            let forged = (0..200_u8).filter(|message| raw.verify_sig(&[*message], &anybodys()).is_ok()).count();
            assert!(forged > 0, "{small:x?}");
            for sign in [0, 0x80] {
                let x = URL_SAFE_NO_PAD.encode(with(small, sign));
                assert!(
                    reason(edwards(json!({ "x": x, "alg": "EdDSA" }))).contains("small order"),
                    "{small:x?} {sign}"
                );
            }
        }
        // The same points in numbers that are not reduced, and all others of that kind.
        for more in 0..19 {
            let mut y = [0xff; 32];
            (y[0], y[31]) = (0xed + more, 0x7f);
            for sign in [0, 0x80] {
                let x = URL_SAFE_NO_PAD.encode(with(y, sign));
                assert!(reason(edwards(json!({ "x": x }))).contains("not written"), "{more} {sign}");
            }
        }
        let der = |point: [u8; 32]| [&[48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0], point.as_slice()].concat();
        assert!(Named::from_der(&der(point::SMALL[0])).err().unwrap().contains("small order"));
        assert!(Named::from_der(&der([7; 32])).is_ok(), "any other may be a key");
    }

    #[test]
    fn secrets_are_for_hashes_that_are_not_longer_than_themselves() {
        use Algorithm::{HS256, HS384, HS512};
        for (bytes, known) in [(32, 1), (47, 1), (48, 2), (63, 2), (64, 3), (200, 3)] {
            let mut secrets = Secrets::default();
            secrets.add(&Secret::new(vec![7; bytes]).unwrap());
            for (number, (algorithm, hash)) in
                [(HS256, hmac::HMAC_SHA256), (HS384, hmac::HMAC_SHA384), (HS512, hmac::HMAC_SHA512)]
                    .into_iter()
                    .enumerate()
            {
                let good = hmac::sign(&hmac::Key::new(hash, &vec![7; bytes]), b"message");
                let verified = secrets.verify(algorithm, b"message", good.as_ref());
                assert_eq!(verified, (number < known).then_some(true), "{bytes} {algorithm:?}");
            }
            assert_eq!(secrets.verify(HS256, b"message", b"signature"), Some(false));
            assert_eq!(secrets.verify(Algorithm::RS256, b"message", b"signature"), None);
        }
        // Two of different length: a token of the longer hash is the longer one's.
        let mut secrets = Secrets::default();
        secrets.add(&Secret::new(vec![1; 32]).unwrap());
        secrets.add(&Secret::new(vec![2; 64]).unwrap());
        let of = |secret: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, secret), b"message");
        assert_eq!(secrets.verify(HS512, b"message", of(&[2; 64]).as_ref()), Some(true));
        assert_eq!(secrets.verify(HS512, b"message", of(&[1; 32]).as_ref()), Some(false));
    }

    #[test]
    fn one_bad_key_does_not_spoil_a_set() {
        let good = edwards(json!({ "kid": "good" })).to_string();
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let bad = [r#"{"kty":"oct","k":"AAAA"}"#, "7", r#"{"n":1e999}"#, r#"{"n":"\ud800"}"#, &deep, &"9".repeat(3000)];
        let set = format!("\u{feff}{{\"keys\":[{},{good},{good}]}}", bad.join(","));
        let (keys, skipped) = Keys::parse(set.as_bytes()).unwrap();
        let left_out: Vec<_> = skipped.iter().map(|key| key.index).collect();
        assert_eq!((keys.len(), left_out), (1, vec![0, 1, 2, 3, 4, 5, 7]));
        assert!(keys.find(Some("good"), Algorithm::EdDSA).is_ok());
        assert_eq!(keys.find(Some("good"), Algorithm::ES256).err(), Some(NoKey::Algorithm));
        assert_eq!(keys.find(Some("bad"), Algorithm::EdDSA).err(), Some(NoKey::Unknown));
        for text in ["", "[]", "[[]]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1,}"#, r#"{"keys":[]}x"#] {
            assert_eq!(Keys::parse(text.as_bytes()).map(drop).unwrap_err(), SetError, "{text}");
        }
        for text in [r#"{"keys":[]}"#, r#"{"keys":[1,null,{}]}"#] {
            assert_eq!(Keys::parse(text.as_bytes()).unwrap().0.len(), 0, "{text}");
        }
    }
}
