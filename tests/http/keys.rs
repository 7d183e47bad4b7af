//! Tokens of an issuer that publishes its keys: which are taken, and what happens when the issuer is not well.

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
use reqwest::Method;
use serde_json::json;
use tasks_api::{Authenticate, Error, TokenFault};
use tasks_server::identity::claims::Expected;
use tasks_server::identity::key_set::Pace;
use tasks_server::identity::token::Verifier;
use tokio::time::sleep;

use crate::client::Answer;
use crate::issuer::{Issuer, Mood, Signer, claims};
use crate::server::Server;

/// A pace at which no set grows old during a test.
fn steady() -> Pace {
    Pace { timeout: Duration::from_millis(500), first: Duration::ZERO, ..Pace::default() }
}

/// A pace at which every request finds the set old, and may fetch it.
fn hasty() -> Pace {
    Pace { refresh: Duration::ZERO, retry: Duration::ZERO, ..steady() }
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
    assert_eq!(issuer.fetches(), 1);
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
    assert_eq!(issuer.fetches(), 1, "no algorithm is a reason to fetch");
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
async fn a_rotated_key_works_at_once_or_after_the_pause() {
    let (old, new, newest) = (Signer::new("old"), Signer::new("new"), Signer::new("newest"));
    let issuer = Issuer::with(&[&old]).await;
    let retry = Duration::from_millis(400);
    let server = Server::trusting(&issuer, Pace { retry, ..steady() }).await;
    assert_eq!(list(&server, &old.token("ada")).await.status, 200);
    sleep(retry).await;
    issuer.publishes(&[&old, &new]);
    assert_eq!(list(&server, &new.token("ada")).await.status, 200, "at once");
    let asked = Instant::now();
    issuer.publishes(&[&new, &newest]);
    list(&server, &newest.token("ada")).await.problem(401, "token-key-unknown");
    until_status(&server, &newest.token("ada"), 200).await;
    assert!(asked.elapsed() > retry / 2, "within the pause");
    assert_eq!(issuer.fetches(), 3);
    list(&server, &old.token("ada")).await.problem(401, "token-key-unknown");
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
    let pace = || Pace { retry: Duration::ZERO, ..steady() };
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
async fn a_flood_of_unknown_keys_costs_no_fetch_and_refuses_nobody() {
    let signer = Signer::new("a");
    let issuer = Issuer::with(&[&signer]).await;
    let expected = Expected { issuer: None, audience: None, leeway: Duration::ZERO };
    let pace = steady();
    let retry = pace.retry;
    let verifier = Verifier::published(issuer.url.parse().unwrap(), pace, expected).unwrap();
    let (good, begun) = (signer.token("ada"), Instant::now());
    let (_, rest) = good.split_once('.').unwrap();
    for number in 0..100_000 {
        if number % 1000 == 0 {
            assert_eq!(verifier.authenticate(&good).await.unwrap().as_str(), "ada");
        }
        let header = crate::issuer::encode(format!(r#"{{"alg":"EdDSA","kid":"unknown {number}"}}"#));
        let refusal = verifier.authenticate(&format!("{header}.{rest}")).await;
        assert!(matches!(refusal, Err(Error::Unauthorized(TokenFault::UnknownKey))));
    }
    let pauses = begun.elapsed().as_secs() / retry.as_secs();
    assert!(issuer.fetches() as u64 <= 1 + pauses, "{} fetches", issuer.fetches());
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
