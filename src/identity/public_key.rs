//! The public keys that a setting holds: for issuers that sign with a private key and publish no key set.
//!
//! They are PEM (RFC 7468), a JWK or a JWK Set (RFC 7517), in the setting itself or in a file that it names. They are read
//! once. Whoever runs the server put each of them there, so more than one may be meant by a token: all that fit are tried.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::identity::key::{Algorithm, Key, Keys, Named, NoKey, PRIVATE, SECRET, SetError, Skipped, signs};

/// The longest text that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// The most keys: a token that names none is held against each of them.
const MAX_KEYS: usize = 16;

/// Public keys of an issuer: at least one.
#[derive(Clone)]
pub struct PublicKeys {
    keys: Keys,
    left_out: Vec<String>,
}

/// Why there are none, as the end of a sentence that begins with the name of the setting. It holds nothing of its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// A private key, in any form.
    #[error(
        "holds a private key, which could make tokens and has no place here: take its public half, as \
         `openssl pkey -in FILE -pubout` prints it"
    )]
    Private,
    /// A certificate.
    #[error("holds a certificate: take the key out of it, as `openssl x509 -in FILE -pubkey -noout` prints it")]
    Certificate,
    /// A secret in JWK.
    #[error("holds a secret (kty oct), which is no public key: it goes to JWT_SECRET, as it is without base64")]
    Secret,
    /// An address.
    #[error("holds an address: where keys are published is named by JWKS_URL")]
    Address,
    /// A key of SSH.
    #[error("holds a key of SSH: `ssh-keygen -e -m PKCS8 -f FILE` writes it as a PEM")]
    Ssh,
    /// A PEM of something else, or one that cannot be read.
    #[error(
        "holds a PEM that is no public key, or is broken: it must have lines `-----BEGIN PUBLIC KEY-----` and \
             `-----END PUBLIC KEY-----` with base64 between them"
    )]
    Pem,
    /// JSON that is no JWK.
    #[error("holds JSON that is neither a JWK (RFC 7517) nor a JWK Set")]
    Jwk,
    /// No key can be used.
    #[error("holds no key that can verify tokens: of the first, {0}")]
    Unusable(&'static str),
    /// There is no key at all.
    #[error("holds a JWK Set without a key")]
    Empty,
    /// There are more keys than can be meant.
    #[error("holds more than {MAX_KEYS} keys")]
    TooMany,
    /// The file that it names cannot be read.
    #[error("is neither a PEM nor a JWK, and as the path of a file it cannot be read: {0}")]
    File(Unreadable),
    /// The file that it names holds something else.
    #[error("names a file that holds neither a PEM nor a JWK")]
    Content,
}

/// Why a file cannot be read, without its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self(match error.kind() {
            ErrorKind::NotFound => "there is none".to_owned(),
            ErrorKind::IsADirectory => "it is a folder".to_owned(),
            ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
            _ => error.to_string(),
        })
    }
}

impl PublicKeys {
    /// The keys of this text, or of the file whose path it is.
    ///
    /// # Errors
    /// When there is no usable key, or something that is no public key.
    pub fn read(text: &str) -> Result<Self, PublicKeyError> {
        let text = trim(text);
        if let Some(keys) = Self::parse(text) {
            return keys;
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Err(PublicKeyError::Address);
        }
        // Such a text is never a path, and would be looked for as one.
        if ["ssh-", "ecdsa-sha2-"].iter().any(|beginning| text.starts_with(beginning)) {
            return Err(PublicKeyError::Ssh);
        }
        let content = read(text).map_err(|error| PublicKeyError::File(error.into()))?;
        Self::parse(trim(&content)).unwrap_or(Err(PublicKeyError::Content))
    }

    /// The keys of this text; `None` when it is neither JSON nor PEM.
    fn parse(text: &str) -> Option<Result<Self, PublicKeyError>> {
        let found = if text.starts_with(['{', '[']) {
            jwk(text)
        } else if text.contains("-----BEGIN") {
            pem(text).map(|keys| Self { keys, left_out: Vec::new() })
        } else {
            return None;
        };
        Some(match found {
            Ok(found) if found.keys.len() > MAX_KEYS => Err(PublicKeyError::TooMany),
            found => found,
        })
    }

    /// Which keys of a set are left out, and why: each the end of a sentence.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        self.left_out.iter().map(String::as_str)
    }

    /// Those that a token of this `kid` and algorithm may be signed with.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<&Key>, NoKey> {
        self.keys.candidates(id, algorithm)
    }
}

impl fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKeys({})", self.keys.len())
    }
}

/// Without what editors and shells leave at the ends.
fn trim(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim()
}

fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if file.take(MAX_BYTES + 1).read_to_string(&mut text)? as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is longer than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// The key of a JWK, or those of a set.
fn jwk(text: &str) -> Result<PublicKeys, PublicKeyError> {
    let refuse = |reason| match reason {
        PRIVATE => PublicKeyError::Private,
        SECRET => PublicKeyError::Secret,
        reason => PublicKeyError::Unusable(reason),
    };
    let value: Value = serde_json::from_str(text).map_err(|_| PublicKeyError::Jwk)?;
    if value.get("keys").is_none() {
        if value.get("kty").is_none() {
            return Err(PublicKeyError::Jwk);
        }
        let keys = Keys(vec![Named::parse(value).map_err(refuse)?]);
        return Ok(PublicKeys { keys, left_out: Vec::new() });
    }
    let (keys, skipped) = Keys::parse(text.as_bytes()).map_err(|SetError| PublicKeyError::Jwk)?;
    // What signs was put here by mistake, and is not for others to see: in a key of any purpose, and beside the keys.
    let reasons = skipped.iter().map(|key| key.reason).filter(|reason| [PRIVATE, SECRET].contains(reason));
    if let Some(reason) = reasons.chain(signs(&value)).next() {
        return Err(refuse(reason));
    }
    match (keys.len(), skipped.first()) {
        (0, None) => Err(PublicKeyError::Empty),
        (0, Some(first)) => Err(refuse(first.reason)),
        _ => {
            let told = |Skipped { index, reason }| format!("of the key {index} of its set, {reason}");
            Ok(PublicKeys { keys, left_out: skipped.into_iter().map(told).collect() })
        }
    }
}

/// The keys of a PEM, one for each block. What stands before, between and behind them is a comment (RFC 7468 §2).
fn pem(text: &str) -> Result<Keys, PublicKeyError> {
    // As variables hold it that can have one line only.
    let text = text.replace("\\r", "").replace("\\n", "\n");
    let labels = || text.split("-----BEGIN ").skip(1).filter_map(|rest| Some(rest.split_once("-----")?.0));
    if labels().any(|label| label.contains("PRIVATE KEY")) {
        return Err(PublicKeyError::Private);
    }
    if labels().any(|label| label.contains("CERTIFICATE")) {
        return Err(PublicKeyError::Certificate);
    }
    let mut keys = Vec::new();
    for block in text.split("-----BEGIN ").skip(1) {
        let (label, rest) = block.split_once("-----").ok_or(PublicKeyError::Pem)?;
        if !["PUBLIC KEY", "RSA PUBLIC KEY"].contains(&label) {
            return Err(PublicKeyError::Pem);
        }
        let (body, _) = rest.split_once(&format!("-----END {label}-----")).ok_or(PublicKeyError::Pem)?;
        let body: String = body.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| PublicKeyError::Pem)?;
        let key = Named::from_der(&der).map_err(PublicKeyError::Unusable)?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if keys.is_empty() { Err(PublicKeyError::Pem) } else { Ok(Keys(keys)) }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    };
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS512, RS256, RS512};
    use super::*;

    fn armoured(label: &str, der: &[u8]) -> String {
        let body = STANDARD.encode(der);
        let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    fn spki<K: AsDer<PublicKeyX509Der<'static>>>(key: &K) -> String {
        let der: PublicKeyX509Der<'_> = key.as_der().unwrap();
        armoured("PUBLIC KEY", der.as_ref())
    }

    fn elliptic(curve: &'static EcdsaSigningAlgorithm) -> String {
        spki(EcdsaKeyPair::generate(curve).unwrap().public_key())
    }

    fn edwards() -> String {
        spki(Ed25519KeyPair::generate().unwrap().public_key())
    }

    fn rsa() -> RsaPair {
        RsaPair::generate(KeySize::Rsa2048).unwrap()
    }

    /// An Ed25519 key (RFC 8037 §A.2) with these members beside.
    fn jwk(more: &Value) -> Value {
        let mut jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        jwk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        jwk
    }

    fn count(keys: &PublicKeys, id: Option<&str>, algorithm: Algorithm) -> Result<usize, NoKey> {
        keys.candidates(id, algorithm).map(|keys| keys.len())
    }

    /// Why a text holds no keys; nothing of it is told.
    fn refused(text: &str) -> String {
        let told = PublicKeys::read(text).expect_err("no keys").to_string();
        assert!(text.len() < 20 || !told.contains(text), "{told}");
        told
    }

    #[test]
    fn the_key_fixes_the_algorithms_in_every_form() {
        let pair = rsa();
        let rsa = pair.public_key();
        for (pem, algorithms) in [
            (elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING), &[ES256][..]),
            (elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING), &[ES384]),
            (elliptic(&ECDSA_P521_SHA512_FIXED_SIGNING), &[ES512]),
            (edwards(), &[EdDSA]),
            (spki(rsa), &[RS256, RS512, PS256, PS512]),
            (armoured("RSA PUBLIC KEY", rsa.as_ref()), &[RS256, RS512, PS256, PS512]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key.pem");
            std::fs::write(&path, &pem).unwrap();
            for text in [
                pem.clone(),
                pem.trim().to_owned(),
                pem.replace('\n', "\r\n"),
                pem.replace('\n', "\\n"),
                pem.replace('\n', "\\r\\n"),
                format!("\u{feff}the key of our issuer\nsince May\n\n{pem}\nand no other\n"),
                // Once, though it stands there twice.
                format!("{pem}{pem}"),
                path.to_str().unwrap().to_owned(),
                format!(" {} \n", path.to_str().unwrap()),
            ] {
                let keys = PublicKeys::read(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                for algorithm in [ES256, ES384, ES512, EdDSA, RS256, RS512, PS256, PS512] {
                    let expected = if algorithms.contains(&algorithm) { Ok(1) } else { Err(NoKey::Algorithm) };
                    assert_eq!(count(&keys, None, algorithm), expected, "{algorithm:?}: {text}");
                    assert_eq!(count(&keys, Some("any"), algorithm), expected, "a PEM has no name");
                }
            }
        }
    }

    #[test]
    fn keys_are_found_by_name_else_all_that_fit_are_tried() {
        let two = format!("{}# the old one\n{}{}", edwards(), edwards(), elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING));
        let keys = PublicKeys::read(&two).unwrap();
        assert_eq!(count(&keys, None, EdDSA), Ok(2));
        assert_eq!(count(&keys, Some("x"), EdDSA), Ok(2));
        assert_eq!(count(&keys, None, ES256), Ok(1));
        assert_eq!(count(&keys, None, RS256), Err(NoKey::Algorithm));

        let own = PublicKeys::read(&jwk(&json!({ "kid": "a" })).to_string()).unwrap();
        assert_eq!(count(&own, None, EdDSA), Ok(1));
        assert_eq!(count(&own, Some("a"), EdDSA), Ok(1));
        assert_eq!(count(&own, Some("b"), EdDSA), Err(NoKey::Unknown));
        assert_eq!(count(&own, Some("a"), ES256), Err(NoKey::Algorithm));

        let x = URL_SAFE_NO_PAD.encode(Ed25519KeyPair::generate().unwrap().public_key());
        let set =
            json!({ "keys": [jwk(&json!({ "kid": "a" })), jwk(&json!({ "x": x })), jwk(&json!({ "use": "enc" }))] });
        let keys = PublicKeys::read(&format!("\u{feff} {set}\n")).unwrap();
        assert_eq!(count(&keys, Some("a"), EdDSA), Ok(1));
        assert_eq!(count(&keys, Some("b"), EdDSA), Ok(1), "the one without a name");
        assert_eq!(count(&keys, None, EdDSA), Ok(2));
        assert_eq!(keys.left_out().collect::<Vec<_>>(), ["of the key 2 of its set, its use is not sig"]);
    }

    #[test]
    fn only_public_keys_are_taken_and_others_are_told_apart() {
        let random = SystemRandom::new();
        let private = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let of = |label: &str| armoured(label, private.as_ref());
        for label in
            ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY"]
        {
            for text in [
                of(label),
                of(label).replace('\n', "\\n"),
                format!("{}{}", edwards(), of(label)),
                of(label) + &edwards(),
            ] {
                assert!(refused(&text).contains("a private key"), "{label}");
            }
        }
        assert!(refused(&(of("EC PARAMETERS") + &of("EC PRIVATE KEY"))).contains("a private key"));
        for label in ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE", "CERTIFICATE REQUEST"] {
            assert!(refused(&of(label)).contains("a certificate"), "{label}");
            assert!(refused(&(edwards() + &of(label))).contains("a certificate"), "{label}");
        }
        for private in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
            let one = jwk(&json!({ private: "AAAA" }));
            assert!(refused(&one.to_string()).contains("a private key"));
            assert!(refused(&json!({ "keys": [jwk(&json!({})), one] }).to_string()).contains("a private key"));
            // Also in a key that is for something else, or that is none, and beside the keys.
            for other in [jwk(&json!({ "use": "enc", private: "AAAA" })), json!({ private: "AAAA" })] {
                assert!(refused(&json!({ "keys": [jwk(&json!({})), other] }).to_string()).contains("a private key"));
            }
            assert!(
                refused(&json!({ "keys": [jwk(&json!({}))], private: "AAAA" }).to_string()).contains("a private key")
            );
        }
        let secret = json!({ "kty": "oct", "k": "AAAA" });
        assert!(refused(&secret.to_string()).contains("JWT_SECRET"));
        assert!(refused(&json!({ "keys": [jwk(&json!({})), secret] }).to_string()).contains("JWT_SECRET"));
        let other = json!({ "kty": "oct", "k": "AAAA", "use": "enc" });
        assert!(refused(&json!({ "keys": [jwk(&json!({})), other] }).to_string()).contains("JWT_SECRET"));
    }

    #[test]
    fn what_is_no_key_is_told_by_what_it_is() {
        let montgomery = [&[48, 42, 48, 5, 6, 3, 43, 101, 110, 3, 33, 0], [9; 32].as_slice()].concat();
        let small = [&[48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0], [0; 32].as_slice()].concat();
        let good = edwards();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let many: String = (0..17).map(|_| edwards()).collect();
        for (text, expected) in [
            (armoured("PUBLIC KEY", &montgomery), "no key of RSA"),
            (armoured("PUBLIC KEY", &small), "small order"),
            (armoured("PUBLIC KEY", b"nothing"), "no key of RSA"),
            (armoured("DSA PUBLIC KEY", b"nothing"), "a PEM that is no public key"),
            (good.replace("PUBLIC KEY-----\n", "PUBLIC KEY-----\n*"), "a PEM that is no public key"),
            (good.replace("-----END", "-----BEGIN"), "a PEM that is no public key"),
            (good.replace("-----END PUBLIC KEY-----", ""), "a PEM that is no public key"),
            (many, "more than 16"),
            (jwk(&json!({ "crv": "X25519" })).to_string(), "kty or crv"),
            (jwk(&json!({ "crv": "Ed448" })).to_string(), "kty or crv"),
            (jwk(&json!({ "alg": "ES256" })).to_string(), "does not fit"),
            (jwk(&json!({ "use": "enc" })).to_string(), "use is not sig"),
            (jwk(&json!({ "key_ops": ["sign"] })).to_string(), "key_ops"),
            (json!({ "keys": [jwk(&json!({ "use": "enc" }))] }).to_string(), "use is not sig"),
            (json!({ "keys": [] }).to_string(), "without a key"),
            (json!({ "keys": 7 }).to_string(), "neither a JWK"),
            (json!({}).to_string(), "neither a JWK"),
            (json!([jwk(&json!({}))]).to_string(), "neither a JWK"),
            ("{".to_owned(), "neither a JWK"),
            ("https://auth.example.com/jwks".to_owned(), "JWKS_URL"),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIz8 ada".to_owned(), "ssh-keygen"),
            (folder.path().join("none").to_str().unwrap().to_owned(), "there is none"),
            (folder.path().to_str().unwrap().to_owned(), "it is a folder"),
            (file("binary", &[0x30, 0x82, 0xff, 0xfe]), "it is not UTF-8"),
            (file("empty", b""), "neither a PEM nor a JWK"),
            (file("other", b"hello"), "neither a PEM nor a JWK"),
            (file("path", b"key.pem"), "neither a PEM nor a JWK"),
            (file("long", &vec![b'x'; 70_000]), "longer than"),
        ] {
            let told = refused(&text);
            assert!(told.contains(expected), "{told}: {text}");
        }
        assert_eq!(format!("{:?}", PublicKeys::read(&good).unwrap()), "PublicKeys(1)");
    }
}
