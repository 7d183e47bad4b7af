//! Keys that verify tokens, each for algorithms of its own, and the sets in which issuers publish them.
//!
//! The key decides the algorithm, never the token: a token's `alg` only chooses among what its key is for, so no public
//! key can be taken for a secret (RFC 8725 §3.1). The names are those of RFC 7518 §3.1, RFC 8037 §3.1 and RFC 9864 §2.2.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, RSAKeyParameters,
};
use serde::Deserialize;
use serde_json::Value;

use crate::secret::Secret;

/// The algorithms of RSA keys, each with what verifies it: at least 2048 bits (RFC 7518 §3.3, §3.5).
const RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::RS256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::RS384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::RS512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::PS256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::PS384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::PS512, &RSA_PSS_2048_8192_SHA512),
];

/// The bits that the modulus of an RSA key may have.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The algorithm of this name; `Ed25519` is the newer name of `EdDSA` with that curve (RFC 9864 §2.2).
pub(crate) fn algorithm(name: &str) -> Option<Algorithm> {
    if name == "Ed25519" { Some(Algorithm::EdDSA) } else { Algorithm::from_str(name).ok() }
}

/// Verifies the signatures of one algorithm.
#[derive(Clone)]
pub(crate) enum Key {
    /// HS256.
    Secret(hmac::Key),
    /// Every other algorithm: it is the key's.
    Public(Arc<ParsedPublicKey>),
}

impl Key {
    /// The key for HS256 that this secret is.
    pub(crate) fn shared(secret: &Secret) -> Self {
        Self::Secret(hmac::Key::new(hmac::HMAC_SHA256, secret.bytes()))
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

/// The public keys of an issuer that can verify tokens.
pub(crate) struct Keys(Vec<Published>);

/// One key of a set.
struct Published {
    id: Option<String>,
    keys: Vec<(Algorithm, Key)>,
}

/// Why a set has no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// No key has the token's `kid`, or more than one could be meant.
    Unknown,
    /// The key is for another algorithm than the token's.
    Algorithm,
}

/// Why a set cannot be used at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SetError {
    #[error("it is no JSON object with an array `keys`")]
    Malformed,
    #[error("it has no key that can verify tokens")]
    Empty,
}

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
    /// When it is no such set or no key of it can be used.
    pub(crate) fn parse(json: &[u8]) -> Result<(Self, Vec<Skipped>), SetError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }

        let Set { keys } = serde_json::from_slice(json).map_err(|_| SetError::Malformed)?;
        let (mut usable, mut skipped) = (Vec::new(), Vec::new());
        for (index, jwk) in keys.into_iter().enumerate() {
            match Published::parse(jwk) {
                Ok(key) => usable.push(key),
                Err(reason) => skipped.push(Skipped { index, reason }),
            }
        }
        if usable.is_empty() { Err(SetError::Empty) } else { Ok((Self(usable), skipped)) }
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
        let mut fitting = named.flat_map(|key| &key.keys).filter(|(own, _)| *own == algorithm);
        let (_, key) = fitting.next().ok_or(NoKey::Algorithm)?;
        // Of two keys under one name, either could have been forged for: none is tried.
        if fitting.next().is_some() { Err(NoKey::Unknown) } else { Ok(key.clone()) }
    }
}

impl Published {
    /// A key of a set, or why it is left out.
    fn parse(jwk: Value) -> Result<Self, &'static str> {
        if jwk.get("d").is_some() {
            return Err("its private half is published with it");
        }
        // Looked at as text: the library knows no name that is newer than itself.
        let name = match jwk.get("alg") {
            None => None,
            Some(Value::String(name)) => Some(algorithm(name).ok_or("its alg is not one that verifies tokens here")?),
            Some(_) => return Err("its alg is no text"),
        };
        let Jwk { common, algorithm: parameters } = serde_json::from_value(jwk).map_err(|_| "it is malformed")?;
        check_purpose(&common)?;
        let mut keys = match &parameters {
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                let point = decode(&key.x)?;
                let key = ParsedPublicKey::new(&ED25519, point).map_err(|_| "its x is no Ed25519 key")?;
                vec![(Algorithm::EdDSA, key)]
            }
            AlgorithmParameters::EllipticCurve(key) => {
                let (algorithm, verification, bytes) = match key.curve {
                    EllipticCurve::P256 => (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, 32),
                    EllipticCurve::P384 => (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED, 48),
                    _ => return Err("its curve is not P-256 or P-384"),
                };
                let (x, y) = (decode(&key.x)?, decode(&key.y)?);
                if x.len() != bytes || y.len() != bytes {
                    return Err("its coordinates have not the length of its curve");
                }
                // A point in its uncompressed form (SEC 1 §2.3.3).
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                let key = ParsedPublicKey::new(verification, point).map_err(|_| "its point is not on its curve")?;
                vec![(algorithm, key)]
            }
            AlgorithmParameters::RSA(key) => rsa(key, name)?,
            AlgorithmParameters::OctetKey(_) => return Err("it is a secret, and published"),
            _ => return Err("its kty or crv is not one that verifies tokens here"),
        };
        if let Some(name) = name {
            keys.retain(|(algorithm, _)| *algorithm == name);
        }
        if keys.is_empty() {
            return Err("its alg does not fit its kty or crv");
        }
        let keys = keys.into_iter().map(|(algorithm, key)| (algorithm, Key::Public(Arc::new(key)))).collect();
        Ok(Self { id: common.key_id, keys })
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

/// An RSA key, once for each algorithm that it may be used with: the one that it names, else all.
fn rsa(key: &RSAKeyParameters, name: Option<Algorithm>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, &'static str> {
    let (n, e) = (decode(&key.n)?, decode(&key.e)?);
    // Some issuers write the zero byte in front that their library keeps for the sign.
    let (n, e) = (trim_zeros(&n), trim_zeros(&e));
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err("its modulus has not 2048 to 8192 bits");
    }
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    if !is_odd(n) || !is_odd(e) || e == [1] || e.len() > 4 {
        return Err("its modulus or exponent is not one of an RSA key");
    }
    let components = RsaPublicKeyComponents { n, e };
    let wanted = RSA.into_iter().filter(|(algorithm, _)| name.is_none_or(|name| name == *algorithm));
    wanted
        .map(|(algorithm, parameters)| Ok((algorithm, components.to_parsed_public_key(parameters)?)))
        .collect::<Result<_, aws_lc_rs::error::KeyRejected>>()
        .map_err(|_| "its modulus or exponent is not one of an RSA key")
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
