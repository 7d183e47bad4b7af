//! Forged tokens: what an attacker may try against a server whose issuer publishes its keys, and none of it passes.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm::{self, ES256, EdDSA, RS256};
use reqwest::Method;
use serde_json::{Value, json};
use tasks_api::{Authenticate, Error, Resource, TokenFault, UserId};
use tasks_server::identity::claims::Expected;
use tasks_server::identity::key_set::Pace;
use tasks_server::identity::secret::{Secret, mint};
use tasks_server::identity::token::Verifier;

use crate::issuer::{Issuer, Signer, claims, encode};
use crate::server::{SECRET, Server};

/// A server, its issuer, and the issuer's keys.
async fn stage() -> (Server, Issuer, Vec<Signer>) {
    let signers = vec![Signer::of(EdDSA, "edwards"), Signer::of(ES256, "elliptic"), Signer::of(RS256, "rsa")];
    let issuer = Issuer::with(&signers.iter().collect::<Vec<_>>()).await;
    let server = Server::trusting(&issuer, Pace::default()).await;
    for signer in &signers {
        assert_eq!(code_of(&server, &signer.token("ada")).await, None, "the good ones are taken");
    }
    (server, issuer, signers)
}

/// How often strangers can have the key set fetched at once.
const BUDGET: usize = 5;

/// The code with which a token is refused; `None` when it opens the tasks.
async fn code_of(server: &Server, token: &str) -> Option<String> {
    let answer = server.with_token(token).to(Method::GET, "/api/me/tasks").send().await;
    match answer.status {
        200 => None,
        401 => {
            assert!(answer.header("www-authenticate").contains(r#"error="invalid_token""#));
            Some(answer.json()["code"].as_str().unwrap().to_owned())
        }
        status => panic!("{status} on {token}"),
    }
}

/// Refused, with one of these codes.
async fn refused(server: &Server, token: &str, codes: &[&str]) {
    let code = code_of(server, token).await.unwrap_or_else(|| panic!("a forgery passed: {token}"));
    assert!(codes.contains(&code.as_str()), "{code} on {token}");
}

fn name(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_unsigned_token_passes() {
    let (server, _issuer, signers) = stage().await;
    for alg in ["none", "None", "NONE", "nOnE", "none ", "", "null"] {
        for signer in &signers {
            let good = signer.token("ada");
            let signature = good.rsplit('.').next().unwrap();
            let header = encode(json!({ "alg": alg, "kid": signer.kid }).to_string());
            let payload = encode(claims("ada").to_string());
            for end in ["", signature] {
                refused(&server, &format!("{header}.{payload}.{end}"), &["token-algorithm"]).await;
            }
            refused(&server, &format!("{header}.{payload}"), &["token-malformed"]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_public_key_serves_as_a_secret() {
    let (server, _issuer, signers) = stage().await;
    for signer in &signers {
        let jwk = signer.jwk();
        // In every form in which a careless verifier might hold it.
        let mut secrets = vec![jwk.to_string().into_bytes(), serde_json::to_vec_pretty(&jwk).unwrap(), vec![0; 32]];
        for member in ["x", "y", "n", "e"] {
            if let Some(text) = jwk.get(member).and_then(Value::as_str) {
                secrets.push(text.as_bytes().to_vec());
                secrets.push(URL_SAFE_NO_PAD.decode(text).unwrap());
                secrets.push(
                    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(text)).into(),
                );
            }
        }
        for secret in secrets {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
            for alg in ["HS256", name(signer.algorithm).as_str()] {
                let header = encode(json!({ "alg": alg, "kid": signer.kid }).to_string());
                let message = format!("{header}.{}", encode(claims("ada").to_string()));
                let signature = encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
                refused(&server, &format!("{message}.{signature}"), &["token-algorithm", "token-signature"]).await;
            }
        }
    }
    let secret = Secret::new(SECRET.into()).unwrap();
    let ada: UserId = "ada".parse().unwrap();
    let shared = mint(&secret, &ada, Duration::from_hours(1), None, None).unwrap();
    refused(&server, &shared, &["token-algorithm"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_of_a_key_is_more_than_a_name() {
    let (server, issuer, signers) = stage().await;
    let before = issuer.fetches();
    let long = "k".repeat(5000);
    for kid in [
        "../../../../dev/null",
        "/dev/null",
        "file:///dev/null",
        "' OR '1'='1",
        "x' UNION SELECT 'key';--",
        "edwards\u{0}",
        "edwards ",
        "Edwards",
        "edwards\n",
        "$(id)",
        "{{7*7}}",
        "*",
        "",
        "https://evil.example/key",
        &issuer.url,
        &long,
    ] {
        for signer in [&signers[0], &Signer::new(kid)] {
            let header = json!({ "alg": name(signer.algorithm), "kid": kid });
            refused(&server, &signer.sign(&header, &claims("ada")), &["token-key-unknown"]).await;
        }
    }
    let more = issuer.fetches() - before;
    assert!(more <= BUDGET, "{more} fetches");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_comes_with_the_token() {
    let (server, issuer, signers) = stage().await;
    let attacker = Signer::new("edwards");
    let lure = Issuer::with(&[&attacker]).await;
    let jwk = attacker.jwk();
    for (member, value) in [
        ("jwk", jwk.clone()),
        ("jku", json!(lure.url)),
        ("x5u", json!(lure.url)),
        ("x5c", json!([STANDARD.encode("a certificate")])),
        ("x5t", json!("AAAA")),
        ("iss", json!(lure.url)),
    ] {
        let mut header = json!({ "alg": "EdDSA", "kid": "edwards" });
        header[member] = value;
        refused(&server, &attacker.sign(&header, &claims("ada")), &["token-signature"]).await;
        // The same beside a good signature is not looked at.
        assert_eq!(code_of(&server, &signers[0].sign(&header, &claims("ada"))).await, None, "{member}");
        header.as_object_mut().unwrap().remove("kid");
        let nameless = attacker.sign(&header, &claims("ada"));
        refused(&server, &nameless, &["token-signature"]).await;
    }
    assert_eq!(lure.fetches(), 0, "nothing that a token says is fetched");
    assert!(issuer.fetches() <= 1 + BUDGET, "{} fetches", issuer.fetches());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_extension_and_no_other_kind_of_token_passes() {
    let (server, _issuer, signers) = stage().await;
    for signer in &signers {
        let header = |member: &str, value: Value| {
            let mut header = json!({ "alg": name(signer.algorithm), "kid": signer.kid });
            header[member] = value;
            signer.sign(&header, &claims("ada"))
        };
        for crit in [json!(["b64"]), json!(["exp"]), json!(["kid"]), json!([]), json!(null), json!("exp")] {
            refused(&server, &header("crit", crit), &["token-malformed"]).await;
        }
        for typ in [json!("logout+jwt"), json!("dpop+jwt"), json!("secevent+jwt"), json!("JWE"), json!(""), json!(null)]
        {
            refused(&server, &header("typ", typ), &["token-type"]).await;
        }
        for typ in ["JWT", "at+jwt", "application/at+JWT"] {
            assert_eq!(code_of(&server, &header("typ", json!(typ))).await, None, "{typ}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cut_or_spliced_signature_passes() {
    let (server, _issuer, signers) = stage().await;
    for signer in &signers {
        let (good, other) = (signer.token("ada"), signer.token("bob"));
        let (message, signature) = good.rsplit_once('.').unwrap();
        let (_, foreign) = other.rsplit_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let half = bytes.len() / 2;
        let mut wrong = vec![
            Vec::new(),
            vec![0],
            bytes[..bytes.len() - 1].to_vec(),
            bytes[1..].to_vec(),
            bytes[..half].to_vec(),
            [&bytes[..], &[0]].concat(),
            [&[0], &bytes[..]].concat(),
            [&bytes[..], &bytes[..]].concat(),
            [&bytes[half..], &bytes[..half]].concat(),
            vec![0; bytes.len()],
            vec![0xff; bytes.len()],
            URL_SAFE_NO_PAD.decode(foreign).unwrap(),
        ];
        for bit in [0, 7, half * 8, bytes.len() * 8 - 1] {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            wrong.push(flipped);
        }
        for bytes in wrong {
            refused(&server, &format!("{message}.{}", encode(bytes)), &["token-signature"]).await;
        }
        // Parts of two good tokens.
        let parts: Vec<Vec<&str>> = [&good, &other].map(|token| token.split('.').collect()).into();
        refused(&server, &[parts[0][0], parts[1][1], parts[0][2]].join("."), &["token-signature"]).await;
        for length in (1..good.len()).step_by(17) {
            refused(&server, &good[..length], &["token-malformed", "token-opaque", "token-signature"]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_has_one_spelling() {
    let (server, _issuer, signers) = stage().await;
    for signer in &signers {
        let good = signer.token("ada>>>???");
        let parts: Vec<&str> = good.split('.').collect();
        for place in 0..3 {
            let with = |part: String| {
                let mut parts = parts.clone();
                parts[place] = &part;
                parts.join(".")
            };
            let part = parts[place];
            for end in ["=", "==", "%3D", "\t", "+", "/", "~", "AAAA="] {
                let codes = ["token-malformed", "token-signature"];
                // White space at the very end is none of the header's value (RFC 9110 §5.5).
                if (place, end) != (2, "\t") {
                    refused(&server, &with(format!("{part}{end}")), &codes).await;
                }
                refused(&server, &with(format!("{end}{part}")), &codes).await;
            }
            let plain = STANDARD.encode(URL_SAFE_NO_PAD.decode(part).unwrap());
            if plain != part {
                refused(&server, &with(plain), &["token-malformed", "token-signature"]).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_issuer_signed_by_mistake_is_refused() {
    let (server, _issuer, signers) = stage().await;
    let signer = &signers[0];
    let header = json!({ "alg": "EdDSA", "kid": "edwards" });
    let raw = |payload: &str| {
        // The signer takes values; these are texts that are no values.
        let message = format!("{}.{}", encode(header.to_string()), encode(payload));
        signer.sign_text(&message)
    };
    let exp = claims("ada")["exp"].to_string();
    let of = |more: &str| {
        format!(r#"{{"iss":"{}","aud":"{}","exp":{exp}{more}}}"#, crate::issuer::ISSUER, crate::issuer::AUDIENCE)
    };
    assert_eq!(code_of(&server, &raw(&of(r#","sub":"ada""#))).await, None);
    for (payload, code) in [
        ("[]".to_owned(), "token-malformed"),
        (format!("[{}]", of(r#","sub":"ada""#)), "token-malformed"),
        ("null".to_owned(), "token-malformed"),
        ("\"ada\"".to_owned(), "token-malformed"),
        (String::new(), "token-malformed"),
        (of(r#","sub":"ada","sub":"bob""#), "token-malformed"),
        (of(r#","sub":"ada","s\u0075b":"bob""#), "token-malformed"),
        (of(&format!(r#","sub":"ada","exp":{exp}"#)), "token-malformed"),
        (of(r#","sub":["ada"]"#), "token-claims"),
        (of(r#","sub":7"#), "token-claims"),
        (of(r#","sub":null"#), "token-claims"),
        (of(r#","sub":"""#), "token-claims"),
        (of(r#","sub":"me""#), "token-claims"),
        (of(r#","sub":"a\u0000b""#), "token-claims"),
        (of(r#","sub":"ada","nbf":"0""#), "token-claims"),
        (of(""), "token-claims"),
        (of(r#","sub":"ada""#).replace(&exp, &format!("\"{exp}\"")), "token-claims"),
        (of(r#","sub":"ada""#).replace(&exp, "1e999"), "token-malformed"),
        (of(&format!(r#","sub":"{}""#, "x".repeat(64 * 1024))), "token-malformed"),
        (of(&format!(r#","sub":"{}""#, "x".repeat(4096))), "token-claims"),
        (of(&format!(r#","sub":"ada","groups":"{}""#, "x".repeat(12_800))), "token-too-long"),
        (of(r#","sub":"ada","type":"refresh""#), "token-type"),
    ] {
        // Longer headers than the server's are refused below the contract.
        if payload.len() < 15_000 {
            refused(&server, &raw(&payload), &[code]).await;
        } else {
            let verifier = Verifier::shared(&Secret::new(SECRET.into()).unwrap(), anything());
            let refusal = verifier.authenticate(&raw(&payload), Resource::Operations).await;
            assert!(matches!(refusal, Err(Error::Unauthorized(TokenFault::TooLong))));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_who_look_alike_are_strangers() {
    let (server, _issuer, signers) = stage().await;
    let people =
        ["ada", "Ada", "ADA", "ada ", " ada", "ad\u{e1}", "ada\u{301}", "ad\u{430}", "\u{ff41}da", "ada\u{200b}"];
    for (number, person) in people.into_iter().enumerate() {
        let client = server.with_token(&signers[0].token(person));
        let title = json!({ "title": format!("task {number}") });
        let task = client.to(Method::POST, "/api/me/tasks").json(&title).send().await.data(201);
        assert_eq!(task["user_id"], person);
    }
    for (number, person) in people.into_iter().enumerate() {
        let client = server.with_token(&signers[0].token(person));
        let tasks = client.to(Method::GET, "/api/me/tasks").send().await.data(200);
        assert_eq!(tasks.as_array().unwrap().len(), 1, "{person:?}");
        assert_eq!(tasks[0]["title"], format!("task {number}"), "{person:?}");
    }
}

fn anything() -> Expected {
    Expected { leeway: Duration::from_secs(15), ..Expected::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mutation_of_a_good_token_passes() {
    let signers = [Signer::of(EdDSA, "edwards"), Signer::of(ES256, "elliptic"), Signer::of(RS256, "rsa")];
    let issuer = Issuer::with(&signers.iter().collect::<Vec<_>>()).await;
    let published = Verifier::published(issuer.url.parse().unwrap(), Pace::default(), anything()).unwrap();
    let secret = Secret::new(SECRET.into()).unwrap();
    let shared = Verifier::shared(&secret, anything());
    let ada: UserId = "ada".parse().unwrap();
    let minted = mint(&secret, &ada, Duration::from_hours(1), None, None).unwrap();
    let mut subjects: Vec<_> = signers.iter().map(|signer| (&published, signer.token("ada"))).collect();
    subjects.push((&shared, minted));
    let mut random = Random(7);
    for (verifier, good) in subjects {
        assert_eq!(verifier.authenticate(&good, Resource::Operations).await.unwrap(), ada);
        for _ in 0..25_000 {
            let mutant = random.mutate(&good);
            if mutant == good {
                continue;
            }
            match verifier.authenticate(&mutant, Resource::Operations).await {
                Err(Error::Unauthorized(_)) => {}
                other => panic!("{other:?} on {mutant}"),
            }
        }
    }
}

/// Knuth's linear congruential generator: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }

    /// The token after one to three changes: a byte replaced, put in or taken out, two swapped, a piece doubled or cut.
    fn mutate(&mut self, good: &str) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \t%{}\"";
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=self.below(3) {
            let (at, other) = (self.below(bytes.len()), self.below(bytes.len()));
            let byte = ALPHABET[self.below(ALPHABET.len())];
            match self.below(6) {
                0 | 1 => bytes[at] = byte,
                2 => bytes.insert(at, byte),
                3 => drop(bytes.remove(at)),
                4 => bytes.swap(at, other),
                _ => {
                    let (from, to) = (at.min(other), at.max(other));
                    let piece = bytes[from..to].to_vec();
                    if byte.is_multiple_of(2) {
                        bytes.splice(to..to, piece);
                    } else {
                        bytes.drain(from..to);
                    }
                }
            }
            if bytes.is_empty() {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}
