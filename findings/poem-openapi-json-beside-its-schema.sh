#!/usr/bin/env bash
# poem-openapi's Json takes numbers and booleans where its own document says string, and refuses whole numbers where it says integer.
#
# Versions: poem-openapi 5.1.16, poem 3.1.12, tokio 1.54.1, serde_json 1.0.154.
#
# Behaviour: the derive of Object documents a String member as {"type": "string"} and an i64 member as {"type": "integer"}. What reads
# the body knows other rules than the document: a String is read from a JSON number or boolean too, by its text, so that a
# client that sends a wrong type is told that all went well, and finds another value stored than it sent; and an integer is read only
# where the number is written without a fraction, although to JSON Schema 1.0 is the integer 1 (2020-12, 6.1.1) and some clients write
# it so. A contract test that sends what the document refuses, or all that it allows, fails on both.
#
# Output seen:
#   document: title is string, count is integer
#   {"title":"milk","count":1} is 200 "milk" 1
#   {"title":5,"count":1} is 200 "5" 1
#   {"title":true,"count":1} is 200 "true" 1
#   {"title":1.50,"count":1} is 200 "1.5" 1
#   {"title":null,"count":1} is 400
#   {"title":"milk","count":1.0} is 400
#   {"title":"milk","count":1e0} is 400
#   {"title":"milk","count":"1"} is 400
#
# Needs: a Rust toolchain. Takes some minutes.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'MANIFEST'
[package]
name = "probe"
version = "0.0.0"
edition = "2024"

[dependencies]
poem = { version = "=3.1.12", default-features = false, features = ["test"] }
poem-openapi = { version = "=5.1.16", default-features = false }
serde_json = "=1.0.154"
tokio = { version = "=1.54.1", features = ["macros", "rt"] }
MANIFEST
cat >src/main.rs <<'PROGRAM'
use poem::test::TestClient;
use poem_openapi::payload::{Json, PlainText};
use poem_openapi::{Object, OpenApi, OpenApiService};

#[derive(Object)]
struct Thing {
    title: String,
    count: i64,
}

struct Things;

#[OpenApi]
impl Things {
    #[oai(path = "/", method = "post")]
    async fn create(&self, thing: Json<Thing>) -> PlainText<String> {
        PlainText(format!("{:?} {}", thing.title, thing.count))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let service = OpenApiService::new(Things, "Things", "1");
    let document: serde_json::Value = serde_json::from_str(&service.spec()).unwrap();
    let member = |name: &str| document["components"]["schemas"]["Thing"]["properties"][name]["type"].as_str().unwrap().to_owned();
    println!("document: title is {}, count is {}", member("title"), member("count"));
    let client = TestClient::new(service);
    for body in [
        r#"{"title":"milk","count":1}"#,
        r#"{"title":5,"count":1}"#,
        r#"{"title":true,"count":1}"#,
        r#"{"title":1.50,"count":1}"#,
        r#"{"title":null,"count":1}"#,
        r#"{"title":"milk","count":1.0}"#,
        r#"{"title":"milk","count":1e0}"#,
        r#"{"title":"milk","count":"1"}"#,
    ] {
        let answer = client.post("/").content_type("application/json").body(body).send().await.0;
        let status = answer.status().as_u16();
        let text = answer.into_body().into_string().await.unwrap();
        println!("{body} is {status}{}", if status == 200 { format!(" {text}") } else { String::new() });
    }
}
PROGRAM
cargo run --quiet >seen 2>build.log || {
    cat build.log
    exit 1
}
cat seen

if ! diff <(echo "$expected") seen >changed; then
    echo "poem-openapi behaves otherwise than recorded (< recorded, > now):"
    cat changed
    exit 1
fi
echo "as recorded"
