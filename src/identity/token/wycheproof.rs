//! Project Wycheproof's vectors for JWS, JWK and Ed25519, on the function that checks signatures. They are no part of
//! this project: `WYCHEPROOF_DIR` names the folder with `jws.json`, `jwk.json` and `ed25519.json`.

use std::path::PathBuf;
use std::{env, fs};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::identity::key::Keys;

/// Vectors that end otherwise here, and why that is right.
const EXCEPTIONS: [(&str, u64, &str); 5] = [
    ("jws.json", 367, "to the letter the good token of its group: the padding that the vector speaks of is not in it"),
    ("jws.json", 370, "to the letter the good token of its group: the padding that the vector speaks of is not in it"),
    ("jws.json", 372, "has a `?` in its header, which base64url does not know (RFC 7515 §2)"),
    ("jws.json", 373, "has a `?` in its payload, which base64url does not know (RFC 7515 §2)"),
    ("jwk.json", 2, "is of a set of secrets, and a secret that is published is none"),
];

/// The groups of a file, each a key and its tests; none when the vectors are not at hand.
fn groups(file: &str) -> Vec<Value> {
    let Some(folder) = env::var_os("WYCHEPROOF_DIR") else {
        println!("WYCHEPROOF_DIR is not set: {file} is not run");
        return Vec::new();
    };
    let text = fs::read_to_string(PathBuf::from(folder).join(file)).unwrap();
    let Value::Array(groups) = serde_json::from_str::<Value>(&text).unwrap()["groups"].take() else { panic!() };
    assert!(!groups.is_empty());
    groups
}

/// What the server makes of a token whose issuer has this key, or this set of keys. A single `oct` key is a secret that
/// the two share; every other is published.
fn open(key: &Value, token: &str) -> Result<Vec<u8>, TokenFault> {
    let signed = Signed::parse(token)?;
    let keys = key.get("keys").cloned().unwrap_or_else(|| json!([key]));
    let message = signed.message.as_bytes();
    let is_good = match keys.as_array().unwrap().as_slice() {
        [only]
            if only["kty"] == "oct"
                && Algorithm::named(only["alg"].as_str().unwrap()) == Some(signed.header.algorithm) =>
        {
            let secret = URL_SAFE_NO_PAD.decode(only["k"].as_str().unwrap()).unwrap();
            let mut secrets = Secrets::default();
            secrets.add(&Secret::new(secret).ok_or(TokenFault::UnknownKey)?);
            secrets.verify(signed.header.algorithm, message, &signed.signature).ok_or(TokenFault::Algorithm)?
        }
        _ => {
            let set = json!({ "keys": keys }).to_string();
            let (keys, _) = Keys::parse(set.as_bytes()).map_err(|_| TokenFault::UnknownKey)?;
            let found = keys.find(signed.header.key.as_deref(), signed.header.algorithm);
            found.map_err(|_| TokenFault::UnknownKey)?.verifies(message, &signed.signature)
        }
    };
    if is_good { decode(signed.payload) } else { Err(TokenFault::Signature) }
}

#[test]
fn tokens_are_judged_as_wycheproof_judges_them() {
    let mut surprises = Vec::new();
    for file in ["jws.json", "jwk.json"] {
        for group in groups(file) {
            for test in group["tests"].as_array().unwrap() {
                let id = test["tcId"].as_u64().unwrap();
                let token = match &test["jws"] {
                    Value::String(token) => token.clone(),
                    other => other.to_string(),
                };
                let is_expected = open(&group["key"], &token).is_ok() == (test["result"] == "valid");
                let is_exception = EXCEPTIONS.iter().any(|(of, at, _)| (*of, *at) == (file, id));
                if is_expected == is_exception {
                    surprises.push(format!("{file} {id} {}: {}", test["comment"], test["result"]));
                }
            }
        }
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
}

#[test]
fn ed25519_signatures_are_judged_as_wycheproof_judges_them() {
    for group in groups("ed25519.json") {
        let set = json!({ "keys": [group["key"]] }).to_string();
        let (keys, _) = Keys::parse(set.as_bytes()).unwrap();
        let key = keys.find(None, Algorithm::EdDSA).unwrap();
        for test in group["tests"].as_array().unwrap() {
            let bytes = |name: &str| {
                let text = test[name].as_str().unwrap().as_bytes();
                let pairs = text.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap());
                pairs.collect::<Vec<_>>()
            };
            let is_valid = test["result"] == "valid";
            assert_eq!(key.verifies(&bytes("msg"), &bytes("sig")), is_valid, "{test}");
        }
    }
}
