//! Tokens of an issuer that publishes its keys: which are taken, and what happens when the issuer is not well.

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
use reqwest::Method;
use serde_json::{Value, json};
use tasks_api::{Authenticate, Error, Resource, TokenFault};
use tasks_server::identity::claims::Expected;
use tasks_server::identity::key_set::Pace;
use tasks_server::identity::token::Verifier;
use tokio::time::sleep;

use crate::client::Answer;
use crate::issuer::{Es512, Issuer, Mood, Signer, claims, encode};
use crate::server::{SECRET, Server};

/// A pace at which no set grows old during a test.
fn steady() -> Pace {
    Pace { timeout: Duration::from_millis(500), first: Duration::ZERO, ..Pace::default() }
}

/// A pace at which every request finds the set old, and may fetch it.
fn hasty() -> Pace {
    Pace { refresh: Duration::ZERO, retry: Duration::ZERO, refill: Duration::ZERO, ..steady() }
}

async fn list(server: &Server, token: &str) -> Answer {
    server.with_token(token).to(Method::GET, "/api/me/tasks").send().await
}

/// Waits for what happens behind a request's back.
async fn until(what: impl Fn() -> bool) {
    for _ in 0..200 {
        if what() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen");
}

/// Lists with the token until the answer has this status: a fetch behind the back of a request changes later ones.
async fn until_status(server: &Server, token: &str, status: u16) -> Answer {
    for _ in 0..200 {
        let answer = list(server, token).await;
        if answer.status == status {
            return answer;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it never was {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_algorithm_of_public_keys_is_taken() {
    let rsa = Signer::of(RS256, "rsa");
    let mut without_alg = rsa.jwk();
    without_alg.as_object_mut().unwrap().remove("alg");
    let mut keys = vec![without_alg];
    let mut signers: Vec<_> =
        [RS256, RS384, RS512, PS256, PS384, PS512].map(|algorithm| rsa.used_for(algorithm)).into();
    for algorithm in [EdDSA, ES256, ES384] {
        let signer = Signer::of(algorithm, &format!("{algorithm:?}"));
        keys.push(signer.jwk());
        signers.push(signer);
    }
    let es512 = Es512::new("ES512");
    keys.push(es512.jwk());
    let issuer = Issuer::start(Mood::Keys(keys)).await;
    let server = Server::trusting(&issuer, steady()).await;
    for signer in &signers {
        let ada = server.with_token(&signer.token("ada"));
        let task = ada.to(Method::POST, "/api/ada/tasks").json(&json!({ "title": "x" })).send().await.data(201);
        assert_eq!(task["user_id"], "ada", "{:?}", signer.algorithm);
        let others = server.with_token(&signer.token("bob")).to(Method::GET, "/api/ada/tasks").send().await;
        others.problem(403, "user-mismatch");
    }
    // Under its newer name.
    let (header, eddsa) = (json!({ "alg": "Ed25519", "kid": "EdDSA" }), &signers[6]);
    assert_eq!(list(&server, &eddsa.sign(&header, &claims("ada"))).await.status, 200);
    assert_eq!(list(&server, &es512.token("ada")).await.status, 200);
    assert_eq!(issuer.fetches(), 1);
    let (message, signature) = es512.token("ada").rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let forged = format!("{message}.{}", signature.chars().rev().collect::<String>());
    let code = list(&server, &forged).await.json()["code"].clone();
    assert!(["token-signature", "token-malformed"].contains(&code.as_str().unwrap()), "{code}");
}

/// What a token of this header and these claims is worth under each mixture of the two names of one algorithm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_names_of_ed25519_are_one_in_sets_and_tokens() {
    for in_set in [json!(null), json!("EdDSA"), json!("Ed25519")] {
        let signer = Signer::new("a");
        let mut jwk = signer.jwk();
        match in_set {
            Value::Null => drop(jwk.as_object_mut().unwrap().remove("alg")),
            ref name => jwk["alg"] = name.clone(),
        }
        let issuer = Issuer::start(Mood::Keys(vec![jwk])).await;
        let server = Server::trusting(&issuer, steady()).await;
        for in_token in ["EdDSA", "Ed25519"] {
            let token = signer.sign(&json!({ "alg": in_token, "kid": "a" }), &claims("ada"));
            assert_eq!(list(&server, &token).await.status, 200, "{in_set} {in_token}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_of_small_order_opens_anything() {
    let good = Signer::new("good");
    // The neutral point, by which R = 0·B, S = 0 signs everything.
    let neutral = encode([&[1], [0; 31].as_slice()].concat());
    let weak = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "weak", "alg": "EdDSA", "x": neutral });
    let issuer = Issuer::start(Mood::Keys(vec![weak, good.jwk()])).await;
    let server = Server::trusting(&issuer, steady()).await;
    let message = format!("{}.{}", encode(r#"{"alg":"EdDSA","kid":"weak"}"#), encode(claims("ada").to_string()));
    let forged = format!("{message}.{}", encode([&[1], [0; 63].as_slice()].concat()));
    list(&server, &forged).await.problem(401, "token-key-unknown");
    assert_eq!(list(&server, &good.token("ada")).await.status, 200);
}

/// A token of HS256 by this secret, with a name of a key or without.
fn shared(secret: &str, kid: Option<&str>) -> String {
    let header = kid.map_or(json!({ "alg": "HS256" }), |kid| json!({ "alg": "HS256", "kid": kid }));
    let message = format!("{}.{}", encode(header.to_string()), encode(claims("ada").to_string()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    format!("{message}.{}", encode(aws_lc_rs::hmac::sign(&key, message.as_bytes())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_between_secrets_and_keys_signs_nobody_out() {
    const OTHER: &str = "another secret of more than thirty-two bytes";
    let (rsa, elliptic) = (Signer::of(RS256, "rsa"), Signer::of(ES256, "elliptic"));
    let issuer = Issuer::with(&[&rsa, &elliptic]).await;
    let url = ("JWKS_URL", issuer.url.as_str());
    let nameless = |signer: &Signer| signer.sign(&json!({ "alg": format!("{:?}", signer.algorithm) }), &claims("ada"));
    let pem = rsa.pem();
    let public = ("JWT_PUBLIC_KEY", pem.as_str());
    for (variables, secrets) in [
        (vec![url], &[SECRET][..]),
        (vec![url, ("JWT_SECRET", ""), ("JWT_SECRET_PREVIOUS", SECRET)], &[SECRET]),
        (vec![url, ("JWT_SECRET_PREVIOUS", OTHER)], &[SECRET, OTHER]),
        (vec![url, ("JWT_SECRET", ""), ("BETTER_AUTH_SECRET", SECRET)], &[]),
        (vec![("JWT_SECRET_PREVIOUS", OTHER)], &[SECRET, OTHER]),
        (vec![("JWT_SECRET", OTHER), ("JWT_SECRET_PREVIOUS", SECRET)], &[SECRET, OTHER]),
        (vec![public], &[SECRET]),
        (vec![public, ("JWT_SECRET", "")], &[]),
    ] {
        let server = Server::given(&variables).await;
        for secret in [SECRET, OTHER] {
            for kid in [None, Some("rsa"), Some("elliptic"), Some("other")] {
                let answer = list(&server, &shared(secret, kid)).await;
                match (secrets.contains(&secret), secrets.is_empty()) {
                    (true, _) => assert_eq!(answer.status, 200, "{variables:?} {kid:?}"),
                    (false, true) => drop(answer.problem(401, "token-algorithm")),
                    (false, false) => drop(answer.problem(401, "token-signature")),
                }
            }
        }
        for (signer, is_known) in [
            (&rsa, variables.iter().any(|variable| [url, public].contains(variable))),
            (&elliptic, variables.contains(&url)),
        ] {
            for token in [signer.token("ada"), nameless(signer)] {
                let answer = list(&server, &token).await;
                if is_known {
                    assert_eq!(answer.status, 200, "{variables:?} {:?}", signer.algorithm);
                } else {
                    answer.problem(401, "token-algorithm");
                }
            }
        }
        // A name of the other family's key is no key, and neither is what is published of it.
        let swapped = rsa.sign(&json!({ "alg": "RS256", "kid": "elliptic" }), &claims("ada"));
        if variables.contains(&url) {
            list(&server, &swapped).await.problem(401, "token-algorithm");
        }
        for public in [rsa.pem(), rsa.pem().trim().to_owned(), rsa.jwk().to_string()] {
            let code = if secrets.is_empty() { "token-algorithm" } else { "token-signature" };
            list(&server, &shared(&public, None)).await.problem(401, code);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_key_of_the_settings_verifies_in_every_form_and_rotates() {
    let (old, new) = (Signer::of(RS256, "old"), Signer::of(RS256, "new"));
    let elliptic = Signer::of(ES384, "elliptic");
    let es512 = Es512::new("es512");
    let nameless = |signer: &Signer| signer.sign(&json!({ "alg": format!("{:?}", signer.algorithm) }), &claims("ada"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("both.pem");
    std::fs::write(&path, format!("{}{}", old.pem(), new.pem())).unwrap();
    let none = ("JWT_SECRET", "");
    let both = Server::given(&[none, ("JWT_PUBLIC_KEY", path.to_str().unwrap())]).await;
    for signer in [&old, &new, &new.used_for(PS512)] {
        for token in [signer.token("ada"), nameless(signer)] {
            assert_eq!(list(&both, &token).await.status, 200);
        }
    }
    list(&both, &Signer::of(RS256, "old").token("ada")).await.problem(401, "token-signature");
    list(&both, &elliptic.token("ada")).await.problem(401, "token-algorithm");
    list(&both, &es512.token("ada")).await.problem(401, "token-algorithm");

    // The names of a set are kept apart, and its keys are for what they say.
    let set = json!({ "keys": [old.jwk(), elliptic.jwk(), es512.jwk()] }).to_string();
    let set = Server::given(&[none, ("JWT_PUBLIC_KEY", &set)]).await;
    for token in [old.token("ada"), nameless(&old), elliptic.token("ada"), nameless(&elliptic), es512.token("ada")] {
        assert_eq!(list(&set, &token).await.status, 200);
    }
    list(&set, &old.used_for(PS512).token("ada")).await.problem(401, "token-algorithm");
    list(&set, &new.token("ada")).await.problem(401, "token-key-unknown");
    let swapped = old.sign(&json!({ "alg": "RS256", "kid": "elliptic" }), &claims("ada"));
    list(&set, &swapped).await.problem(401, "token-algorithm");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_can_be_in_another_claim_and_the_problem_names_it() {
    let server =
        Server::given(&[("JWT_USER_CLAIM", "user_id"), ("JWT_AUDIENCE", "a, b"), ("JWT_AUDIENCE_CLAIM", "client_id")])
            .await;
    let token = |more: Value| {
        let mut claims = json!({ "exp": claims("x")["exp"], "client_id": "b", "sub": "nobody" });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let message = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(claims.to_string()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
        format!("{message}.{}", encode(aws_lc_rs::hmac::sign(&key, message.as_bytes())))
    };
    let seven = server.with_token(&token(json!({ "user_id": 7 })));
    let task = seven.to(Method::POST, "/api/me/tasks").json(&json!({ "title": "x" })).send().await.data(201);
    assert_eq!(task["user_id"], "7");
    // The same person, as a text.
    let tasks =
        server.with_token(&token(json!({ "user_id": "7" }))).to(Method::GET, "/api/7/tasks").send().await.data(200);
    assert_eq!(tasks.as_array().unwrap().len(), 1);
    let others = server.with_token(&token(json!({ "user_id": 8 }))).to(Method::GET, "/api/7/tasks").send().await;
    others.problem(403, "user-mismatch");
    for (more, told) in [
        (json!({}), "The token has no user_id, which must be"),
        (json!({ "user_id": 7.5 }), "The token's user_id is a number that cannot be used"),
        (json!({ "user_id": null }), "The token's user_id is null"),
    ] {
        let answer = list(&server, &token(more)).await;
        let detail = answer.problem(401, "token-claims")["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(told), "{detail}");
        assert!(answer.header("www-authenticate").contains(r#"error="invalid_token""#));
    }
    list(&server, &token(json!({ "user_id": 7, "client_id": "c" }))).await.problem(401, "token-audience");
    list(&server, &token(json!({ "user_id": 7, "token_type": "REFRESH" }))).await.problem(401, "token-type");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_16_kib_gets_through_in_both_versions_of_http() {
    let server = Server::given(&[]).await;
    let long = |filler: usize| {
        let mut claims = claims("ada");
        claims["groups"] = json!("g".repeat(filler));
        let message = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(claims.to_string()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
        format!("{message}.{}", encode(aws_lc_rs::hmac::sign(&key, message.as_bytes())))
    };
    let longest =
        (0..16 * 1024).rev().map(|filler| filler * 3 / 4).map(long).find(|token| token.len() <= 16 * 1024).unwrap();
    assert!(longest.len() > 16 * 1024 - 4, "{}", longest.len());
    for (token, status) in [(&longest, 200), (&format!("{longest}AAAA"), 401)] {
        // What browsers and proxies send beside it.
        let headers = [
            ("authorization", format!("Bearer {token}")),
            ("user-agent", "Mozilla/5.0 ".repeat(12)),
            ("accept-language", "de-DE,de;q=0.9,en;q=0.8".to_owned()),
            ("cookie", "c".repeat(3000)),
            ("referer", format!("https://app.example/{}", "r".repeat(1000))),
            ("x-forwarded-for", "203.0.113.7, 10.0.0.1".to_owned()),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        ];
        let call = server.nobody().to(Method::GET, "/api/me/tasks");
        let answer = headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await;
        assert_eq!(answer.status, status);
        if status == 401 {
            answer.problem(401, "token-too-long");
        }

        let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = poem::http::Request::get(format!("http://{}/api/me/tasks", server.address()));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), status, "HTTP/2");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_decides_the_algorithm() {
    let rsa = Signer::of(PS256, "rsa");
    let (edwards, elliptic) = (Signer::new("edwards"), Signer::of(ES256, "elliptic"));
    let issuer = Issuer::with(&[&rsa, &edwards, &elliptic]).await;
    let server = Server::trusting(&issuer, steady()).await;
    for other in [RS256, PS384, RS512] {
        list(&server, &rsa.used_for(other).token("ada")).await.problem(401, "token-algorithm");
    }
    for (signer, kid) in [(&edwards, "rsa"), (&edwards, "elliptic"), (&rsa, "edwards"), (&elliptic, "edwards")] {
        let header = json!({ "alg": format!("{:?}", signer.algorithm), "kid": kid });
        list(&server, &signer.sign(&header, &claims("ada"))).await.problem(401, "token-algorithm");
    }
    for alg in ["none", "None", "NONE", "nOnE", "HS256", "HS512", "ES512", "eddsa", ""] {
        let token = edwards.sign(&json!({ "alg": alg, "kid": "edwards" }), &claims("ada"));
        list(&server, &token).await.problem(401, "token-algorithm");
    }
    assert!(issuer.fetches() <= 1 + 5, "{} fetches", issuer.fetches());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_names_its_key_unless_there_is_only_one() {
    let (first, second, elliptic) = (Signer::new("first"), Signer::new("second"), Signer::of(ES256, "elliptic"));
    let issuer = Issuer::with(&[&first, &second, &elliptic]).await;
    let server = Server::trusting(&issuer, steady()).await;
    let nameless = |signer: &Signer| signer.sign(&json!({ "alg": format!("{:?}", signer.algorithm) }), &claims("ada"));
    assert_eq!(list(&server, &nameless(&elliptic)).await.status, 200);
    list(&server, &nameless(&second)).await.problem(401, "token-key-unknown");
    let swapped = second.sign(&json!({ "alg": "EdDSA", "kid": "first" }), &claims("ada"));
    list(&server, &swapped).await.problem(401, "token-signature");
    for kid in [json!(7), json!(null), json!(["first"]), json!({ "kid": "first" })] {
        let token = first.sign(&json!({ "alg": "EdDSA", "kid": kid }), &claims("ada"));
        list(&server, &token).await.problem(401, "token-malformed");
    }
    // Two keys under one name: neither is tried.
    let twins = Issuer::with(&[&Signer::new("twin"), &first, &Signer::new("twin")]).await;
    let server = Server::trusting(&twins, steady()).await;
    list(&server, &Signer::new("twin").token("ada")).await.problem(401, "token-key-unknown");
    assert_eq!(list(&server, &first.token("ada")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_key_works_at_once_though_strangers_have_asked_for_others() {
    let (old, new, newest) = (Signer::new("old"), Signer::new("new"), Signer::new("newest"));
    let issuer = Issuer::with(&[&old]).await;
    let refill = Duration::from_secs(2);
    let server = Server::trusting(&issuer, Pace { refill, ..steady() }).await;
    assert_eq!(list(&server, &old.token("ada")).await.status, 200);
    let stranger = Signer::new("stranger").token("ada");
    for fetches in 2..=4 {
        list(&server, &stranger).await.problem(401, "token-key-unknown");
        assert_eq!(issuer.fetches(), fetches);
    }
    issuer.publishes(&[&old, &new]);
    assert_eq!(list(&server, &new.token("ada")).await.status, 200, "at once");
    list(&server, &stranger).await.problem(401, "token-key-unknown");
    assert_eq!(issuer.fetches(), 6, "the budget is spent");
    let asked = Instant::now();
    issuer.publishes(&[&new, &newest]);
    list(&server, &newest.token("ada")).await.problem(401, "token-key-unknown");
    assert_eq!(issuer.fetches(), 6);
    until_status(&server, &newest.token("ada"), 200).await;
    assert!(asked.elapsed() < refill + Duration::from_secs(1), "one is given back after a while");
    assert_eq!(issuer.fetches(), 7);
    list(&server, &old.token("ada")).await.problem(401, "token-key-unknown");
    // Whoever has a good key waits for nobody's fetch.
    issuer.becomes(Mood::Slow(Duration::from_millis(400), vec![newest.jwk()]));
    sleep(refill).await;
    let waiting = tokio::spawn({
        let unknown = server.with_token(&stranger).to(Method::GET, "/api/me/tasks");
        async move { unknown.send().await.status }
    });
    until(|| issuer.fetches() == 8).await;
    let asked = Instant::now();
    assert_eq!(list(&server, &newest.token("ada")).await.status, 200);
    assert!(asked.elapsed() < Duration::from_millis(300));
    assert_eq!(waiting.await.unwrap(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_key_is_refused_after_the_refresh() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::with(&[&old, &new]).await;
    let server = Server::trusting(&issuer, hasty()).await;
    assert_eq!(list(&server, &old.token("ada")).await.status, 200);
    issuer.publishes(&[&new]);
    until_status(&server, &old.token("ada"), 401).await.problem(401, "token-key-unknown");
    // A set that nobody looked at for long is not used unseen.
    let server = Server::trusting(&issuer, Pace { idle: Duration::ZERO, ..hasty() }).await;
    assert_eq!(list(&server, &new.token("ada")).await.status, 200);
    issuer.publishes(&[&old]);
    list(&server, &new.token("ada")).await.problem(401, "token-key-unknown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_set_ever_it_is_503_and_works_once_there_is_one() {
    let signer = Signer::new("a");
    let elsewhere = Issuer::with(&[&signer]).await;
    let issuer = Issuer::start(Mood::Down).await;
    let server = Server::trusting(&issuer, steady()).await;
    let good = vec![signer.jwk()];
    for (name, mood) in bad_moods(&elsewhere.url, &good).into_iter().chain(without_keys()) {
        issuer.becomes(mood);
        let answer = list(&server, &signer.token("ada")).await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "2", "{name}");
        // What no key could make good is still refused as what it is.
        list(&server, "nonsense").await.problem(401, "token-malformed");
    }
    assert_eq!(elsewhere.fetches(), 0, "a redirect is not followed");
    issuer.becomes(Mood::Keys(good));
    assert_eq!(until_status(&server, &signer.token("ada"), 200).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_not_well_stops_nobody() {
    let signer = Signer::new("a");
    let elsewhere = Issuer::with(&[&Signer::new("a")]).await;
    let issuer = Issuer::with(&[&signer]).await;
    let server = Server::trusting(&issuer, hasty()).await;
    assert_eq!(list(&server, &signer.token("ada")).await.status, 200);
    for (name, mood) in bad_moods(&elsewhere.url, &[signer.jwk()]) {
        issuer.becomes(mood);
        let before = issuer.fetches();
        for _ in 0..3 {
            let asked = Instant::now();
            assert_eq!(list(&server, &signer.token("ada")).await.status, 200, "{name}");
            assert!(asked.elapsed() < Duration::from_millis(450), "{name}: nobody waits");
        }
        until(|| issuer.fetches() > before).await;
        // Let the fetch end, so that the next one meets the next mood.
        sleep(Duration::from_millis(if name == "slow" { 550 } else { 50 })).await;
    }
    assert_eq!(elsewhere.fetches(), 0, "a redirect is not followed");
}

/// Sets without a key that could verify a token.
fn without_keys() -> [(&'static str, Mood); 2] {
    let useless = vec![json!({ "kty": "oct", "k": "AAAA" }), json!(7), json!(null)];
    [("no keys", Mood::Keys(Vec::new())), ("useless keys", Mood::Keys(useless))]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_withdraws_all_its_keys_is_taken_at_its_word() {
    let signer = Signer::new("a");
    for (_, mood) in without_keys() {
        let issuer = Issuer::with(&[&signer]).await;
        let server = Server::trusting(&issuer, hasty()).await;
        assert_eq!(list(&server, &signer.token("ada")).await.status, 200);
        issuer.becomes(mood);
        until_status(&server, &signer.token("ada"), 503).await.problem(503, "unavailable");
        issuer.publishes(&[&signer]);
        assert_eq!(until_status(&server, &signer.token("ada"), 200).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_changes_no_kid_works_all_the_same() {
    let pace = || Pace { refill: Duration::ZERO, ..steady() };
    for (old, new) in [(Signer::new("same"), Signer::new("same")), (Signer::new("same"), Signer::of(ES256, "same"))] {
        let nameless =
            |signer: &Signer| signer.sign(&json!({ "alg": format!("{:?}", signer.algorithm) }), &claims("ada"));
        let issuer = Issuer::with(&[&old]).await;
        let server = Server::trusting(&issuer, pace()).await;
        assert_eq!(list(&server, &old.token("ada")).await.status, 200);
        issuer.publishes(&[&new]);
        assert_eq!(list(&server, &new.token("ada")).await.status, 200, "at once");
        assert_eq!(list(&server, &old.token("ada")).await.status, 401);
        issuer.publishes(&[&old]);
        assert_eq!(list(&server, &nameless(&old)).await.status, 200, "without a kid, too");
    }
}

/// Ways not to answer a key set.
fn bad_moods(elsewhere: &str, keys: &[serde_json::Value]) -> Vec<(&'static str, Mood)> {
    let huge = json!({ "keys": keys, "filler": "x".repeat(64 * 1024) }).to_string();
    vec![
        ("slow", Mood::Slow(Duration::from_secs(5), keys.to_vec())),
        ("500", Mood::Status(500)),
        ("404", Mood::Status(404)),
        ("204", Mood::Status(204)),
        ("nothing", Mood::Text(String::new())),
        ("junk", Mood::Text("<!doctype html>".to_owned())),
        ("other JSON", Mood::Text(r#"{"keys":{"a":1}}"#.to_owned())),
        ("an array", Mood::Text("[[]]".to_owned())),
        ("huge", Mood::Text(huge)),
        ("endless", Mood::Endless),
        ("redirecting", Mood::Redirect(elsewhere.to_owned())),
        ("down", Mood::Down),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_that_is_too_old_is_not_used() {
    let signer = Signer::new("a");
    let issuer = Issuer::with(&[&signer]).await;
    let stale = Duration::from_secs(1);
    let server = Server::trusting(&issuer, Pace { stale, refresh: stale, ..steady() }).await;
    assert_eq!(list(&server, &signer.token("ada")).await.status, 200);
    issuer.becomes(Mood::Down);
    assert_eq!(list(&server, &signer.token("ada")).await.status, 200);
    sleep(stale).await;
    list(&server, &signer.token("ada")).await.problem(503, "unavailable");
    assert!(Pace::default().stale >= Duration::from_hours(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_server_is_silent_and_many_requests_are_one_fetch() {
    let signer = Signer::new("a");
    let issuer = Issuer::start(Mood::Slow(Duration::from_millis(200), vec![signer.jwk()])).await;
    let refresh = Duration::from_secs(2);
    let server = Server::trusting(&issuer, Pace { refresh, retry: refresh, ..Pace::default() }).await;
    let many = async || {
        let token = &signer.token("ada");
        let answers = futures_util::future::join_all((0..40).map(|_| list(&server, token))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    };
    many().await;
    assert_eq!(issuer.fetches(), 1, "all wait for the first");
    sleep(refresh * 2).await;
    assert_eq!(issuer.fetches(), 1, "nobody asked");
    many().await;
    until(|| issuer.fetches() == 2).await;
    many().await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys_costs_few_fetches_and_refuses_nobody() {
    let signer = Signer::new("a");
    let issuer = Issuer::with(&[&signer]).await;
    let pace = steady();
    let (budget, refill) = (u64::from(pace.budget), pace.refill);
    let verifier = Verifier::published(issuer.url.parse().unwrap(), pace, Expected::default()).unwrap();
    let (good, begun) = (signer.token("ada"), Instant::now());
    let (_, rest) = good.split_once('.').unwrap();
    for number in 0..100_000 {
        if number % 1000 == 0 {
            assert_eq!(verifier.authenticate(&good, Resource::Operations).await.unwrap().as_str(), "ada");
        }
        let header = crate::issuer::encode(format!(r#"{{"alg":"EdDSA","kid":"unknown {number}"}}"#));
        let refusal = verifier.authenticate(&format!("{header}.{rest}"), Resource::Operations).await;
        assert!(matches!(refusal, Err(Error::Unauthorized(TokenFault::UnknownKey))));
    }
    let given_back = begun.elapsed().as_secs() / refill.as_secs();
    assert_eq!((budget, refill), (5, Duration::from_secs(30)));
    assert!(issuer.fetches() as u64 <= 1 + budget + given_back, "{} fetches", issuer.fetches());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuer_and_audience_are_held_against_the_settings() {
    let signer = Signer::new("a");
    let issuer = Issuer::with(&[&signer]).await;
    let server = Server::trusting(&issuer, steady()).await;
    let header = json!({ "alg": "EdDSA", "kid": "a" });
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = claims("ada");
        claims[name] = value;
        signer.sign(&header, &claims)
    };
    assert_eq!(list(&server, &with("aud", json!(["x", crate::issuer::AUDIENCE]))).await.status, 200);
    for (name, value, code) in [
        ("iss", json!("https://auth.example.com/"), "token-issuer"),
        ("iss", json!([crate::issuer::ISSUER]), "token-issuer"),
        ("iss", json!(null), "token-issuer"),
        ("aud", json!("https://other.example.com"), "token-audience"),
        ("aud", json!([]), "token-audience"),
        ("exp", json!(1), "token-expired"),
        ("nbf", json!(4_000_000_000_u64), "token-not-yet-valid"),
        ("exp", json!("4000000000"), "token-claims"),
        ("sub", json!(7), "token-claims"),
    ] {
        list(&server, &with(name, value)).await.problem(401, code);
    }
}
