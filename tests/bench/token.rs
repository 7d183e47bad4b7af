//! What a whole check of a token costs, beside the bare check of its signature by the crypto library: `just bench-token`.
//!
//! Both run in turns in one process; what counts is their ratio, which is printed at the end and may be 2 at most.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking"
)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::Criterion;
use futures_util::FutureExt;
use serde_json::{Value, json};
use tasks_api::{Authenticate, Resource};
use tasks_server::identity::claims::Expected;
use tasks_server::identity::key_set::Pace;
use tasks_server::identity::secret::Secret;
use tasks_server::identity::token::Verifier;

/// The server's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The most that a whole check may cost of the bare one.
const LIMIT: f64 = 2.0;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _context = runtime.enter();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();

    let secret = [7; 32];
    let own = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let claims = json!({
        "sub": USER, "iss": ORIGIN, "aud": ORIGIN, "iat": now(), "exp": now() + 86_400,
    });
    let token = token(&json!({ "alg": "HS256", "typ": "JWT" }), &claims, |message| hmac::sign(&own, message));
    let verifier = Verifier::shared(&Secret::new(secret.to_vec()).unwrap(), expected());
    // A secret is bytes: the library makes its key of them.
    compare(&mut criterion, "HS256", &verifier, &token, |message, signature| {
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, black_box(&secret)), message, signature).is_ok()
    });

    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let public = ParsedPublicKey::new(&ED25519, pair.public_key()).unwrap();
    let kid = "wxKqTqT7xLXPpYKa3Ogp8Tr9cTZBGdWu";
    // Better Auth puts the whole user record into a token.
    let claims = json!({
        "iat": now(), "name": "Ada Lovelace", "email": "ada@example.com", "emailVerified": false, "image": null,
        "createdAt": "2026-01-31T09:30:00.123Z", "updatedAt": "2026-01-31T09:30:00.123Z", "id": USER, "sub": USER,
        "exp": now() + 86_400, "iss": ORIGIN, "aud": ORIGIN,
    });
    let token = self::token(&json!({ "alg": "EdDSA", "kid": kid }), &claims, |message| pair.sign(message));
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": kid, "x": x });
    let url = publish(&json!({ "keys": [jwk] }));
    let verifier = Verifier::published(url.parse().unwrap(), Pace::default(), expected()).unwrap();
    runtime.block_on(verifier.authenticate(&token, Resource::Operations)).expect("a key set");
    compare(&mut criterion, "EdDSA", &verifier, &token, |message, signature| {
        public.verify_sig(message, signature).is_ok()
    });

    criterion.final_summary();
    let ratios = ["HS256", "EdDSA"].map(|name| (name, median(name, "token") / median(name, "signature")));
    for (name, ratio) in ratios {
        println!("{name}: a token costs {ratio:.2} times its signature (at most {LIMIT})");
    }
    if ratios.iter().all(|(_, ratio)| *ratio <= LIMIT) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compare(
    criterion: &mut Criterion,
    name: &str,
    verifier: &Verifier,
    token: &str,
    bare: impl Fn(&[u8], &[u8]) -> bool,
) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut group = criterion.benchmark_group(name);
    group.bench_function("signature", |bencher| {
        bencher.iter(|| assert!(bare(black_box(message.as_bytes()), black_box(&signature))));
    });
    group.bench_function("token", |bencher| {
        bencher.iter(|| {
            verifier
                .authenticate(black_box(token), Resource::Operations)
                .now_or_never()
                .expect("no wait")
                .expect("a good token")
        });
    });
}

const USER: &str = "k6WfVnq3QpYdXbRt0uLsEjHaGcMz1o8v";
const ORIGIN: &str = "https://app.example.com";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn token<S: AsRef<[u8]>>(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> S) -> String {
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = encode(sign(message.as_bytes()).as_ref());
    format!("{message}.{signature}")
}

fn expected() -> Expected {
    let origin = ORIGIN.to_owned();
    let leeway = Duration::from_secs(15);
    Expected { issuer: Some(origin.clone()), audience: vec![origin], leeway, ..Expected::default() }
}

/// The address at which this key set is served.
fn publish(set: &Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let body = set.to_string();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 4096]).unwrap();
            write!(connection, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .unwrap();
        }
    });
    url
}

/// The median of a benchmark, in nanoseconds.
fn median(group: &str, name: &str) -> f64 {
    let target = env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let text = fs::read_to_string(format!("{target}/criterion/{group}/{name}/new/estimates.json")).unwrap();
    let estimates: Value = serde_json::from_str(&text).unwrap();
    estimates["median"]["point_estimate"].as_f64().unwrap()
}
