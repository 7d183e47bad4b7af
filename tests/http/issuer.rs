//! A sign-in system: signs tokens, publishes its keys, and misbehaves on request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A private key with its name.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    /// A new key for `EdDSA`.
    pub(crate) fn new(kid: &str) -> Self {
        Self::of(Algorithm::EdDSA, kid)
    }

    /// A new key for this algorithm; one of RSA has 2048 bits.
    pub(crate) fn of(algorithm: Algorithm, kid: &str) -> Self {
        let random = SystemRandom::new();
        let elliptic = |curve: &'static EcdsaSigningAlgorithm| {
            EncodingKey::from_ec_der(EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap().as_ref())
        };
        let key = match algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_der(Ed25519KeyPair::generate_pkcs8v1(&random).unwrap().as_ref()),
            Algorithm::ES256 => elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING),
            _ => {
                let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
                let pkcs8: Pkcs8V1Der = pair.as_der().unwrap();
                // The library reads the key itself (RFC 8017 §A.1.2), which stands behind 26 bytes of wrapping.
                EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..])
            }
        };
        Self { kid: kid.to_owned(), algorithm, key }
    }

    /// The same key under another algorithm.
    pub(crate) fn used_for(&self, algorithm: Algorithm) -> Self {
        Self { kid: self.kid.clone(), algorithm, key: self.key.clone() }
    }

    /// The public half, as an issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(format!("{:?}", self.algorithm));
        jwk
    }

    /// The public half of an RSA key as a PEM (RFC 8017 §A.1.1).
    pub(crate) fn pem(&self) -> String {
        let jwk = self.jwk();
        let number = |name: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
            // A zero byte keeps it positive (X.690 §8.3).
            element(2, &[&[0], bytes.as_slice()].concat())
        };
        // The exponent's highest bit is not set.
        let exponent = element(2, &URL_SAFE_NO_PAD.decode(jwk["e"].as_str().unwrap()).unwrap());
        let key = element(0x30, &[number("n"), exponent].concat());
        format!("-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n", STANDARD.encode(key))
    }

    /// A good token of this user for the next hour.
    pub(crate) fn token(&self, sub: &str) -> String {
        let header = json!({ "alg": format!("{:?}", self.algorithm), "kid": self.kid });
        self.sign(&header, &claims(sub))
    }

    /// This header and these claims under a good signature.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&format!("{}.{}", encode(header.to_string()), encode(claims.to_string())))
    }

    /// This text, and a good signature behind it.
    pub(crate) fn sign_text(&self, message: &str) -> String {
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

/// A private key for ES512, with its name: the library that signs for the others cannot.
pub(crate) struct Es512 {
    kid: String,
    key: EcdsaKeyPair,
}

impl Es512 {
    pub(crate) fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), key: EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap() }
    }

    /// The public half, as an issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(66);
        json!({ "kty": "EC", "crv": "P-521", "alg": "ES512", "use": "sig", "kid": self.kid, "x": encode(x), "y": encode(y) })
    }

    /// A good token of this user for the next hour.
    pub(crate) fn token(&self, sub: &str) -> String {
        let header = json!({ "alg": "ES512", "kid": self.kid });
        let message = format!("{}.{}", encode(header.to_string()), encode(claims(sub).to_string()));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature))
    }
}

/// The claims of a good token.
pub(crate) fn claims(sub: &str) -> Value {
    let now = chrono::Utc::now().timestamp();
    json!({ "sub": sub, "iat": now, "exp": now + 3600, "iss": ISSUER, "aud": AUDIENCE, "name": "Ada", "email": "ada@example.com" })
}

pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const AUDIENCE: &str = "https://tasks.example.com";

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An element in DER (X.690 §8.1).
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match length {
        [0, short @ 0..=127] => vec![short],
        long => [&[0x82], long.as_slice()].concat(),
    };
    [&[tag], length.as_slice(), content].concat()
}

/// What the issuer does when it is asked for its keys.
#[derive(Clone)]
pub(crate) enum Mood {
    /// Answers this set of keys.
    Keys(Vec<Value>),
    /// The same, after this time.
    Slow(Duration, Vec<Value>),
    /// Answers this text with status 200.
    Text(String),
    /// Answers this status.
    Status(u16),
    /// Sends on to this address.
    Redirect(String),
    /// Begins an answer that never ends.
    Endless,
    /// Closes the connection.
    Down,
}

/// A running issuer; ends with the runtime of its test.
pub(crate) struct Issuer {
    pub(crate) url: String,
    mood: Arc<Mutex<Mood>>,
    fetches: Arc<AtomicUsize>,
}

impl Issuer {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let issuer = Self { url, mood: Arc::new(Mutex::new(mood)), fetches: Arc::default() };
        let (mood, fetches) = (Arc::clone(&issuer.mood), Arc::clone(&issuer.fetches));
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                fetches.fetch_add(1, Ordering::SeqCst);
                let mood = mood.lock().unwrap().clone();
                tokio::spawn(answer(connection, mood));
            }
        });
        issuer
    }

    /// An issuer that publishes these keys.
    pub(crate) async fn with(signers: &[&Signer]) -> Self {
        Self::start(Mood::Keys(signers.iter().map(|signer| signer.jwk()).collect())).await
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn publishes(&self, signers: &[&Signer]) {
        self.becomes(Mood::Keys(signers.iter().map(|signer| signer.jwk()).collect()));
    }

    /// How often it was asked.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

async fn answer(mut connection: TcpStream, mood: Mood) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if connection.read_exact(&mut byte).await.is_err() {
            return;
        }
        request.push(byte[0]);
    }
    let (status, more, body) = match mood {
        Mood::Keys(keys) => (200, String::new(), json!({ "keys": keys }).to_string()),
        Mood::Slow(time, keys) => {
            tokio::time::sleep(time).await;
            (200, String::new(), json!({ "keys": keys }).to_string())
        }
        Mood::Text(text) => (200, String::new(), text),
        Mood::Status(status) => (status, String::new(), "{}".to_owned()),
        Mood::Redirect(to) => (302, format!("location: {to}\r\n"), String::new()),
        Mood::Endless => {
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"keys\":[").await;
            while connection.write_all(&[b' '; 4096]).await.is_ok() {}
            return;
        }
        Mood::Down => return,
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n");
    // Whoever does not read to the end may close.
    let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
}
