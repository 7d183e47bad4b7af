//! Services of other people come out as OpenAPI 3.1. `just contract` judges the same documents by the official schema.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../examples/services.rs"]
#[allow(unreachable_pub, reason = "an example is a program of its own")]
mod services;

use serde_json::{Value, json};

/// All schemas of a document, wherever they stand.
fn schemas<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match name.as_str() {
                    "schema" => found.push(member),
                    "schemas" => found.extend(member.as_object().into_iter().flat_map(|schemas| schemas.values())),
                    _ => {}
                }
                schemas(member, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|item| schemas(item, found)),
        _ => {}
    }
}

#[test]
fn every_schema_is_one_of_draft_2020_12() {
    for (name, document) in services::documents() {
        assert_eq!(document["openapi"], "3.1.0", "{name}");
        let mut found = Vec::new();
        schemas(&document, &mut found);
        assert!(found.len() > 2, "{name} has {} schemas", found.len());
        for schema in found {
            let judged = jsonschema::draft202012::meta::validate(schema);
            assert!(judged.is_ok(), "{name}: {schema}: {}", judged.unwrap_err());
        }
        let text = document.to_string();
        for word in ["\"nullable\"", "\"example\":{", "\"char\"", "non_zero_integer", "\"bytes\"", "\"binary\""] {
            assert!(!text.contains(word), "{name} still says {word}: {text}");
        }
    }
}

/// A validator judges values by a schema of the document.
fn judge(document: &Value, name: &str) -> jsonschema::Validator {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#/components/schemas/{name}"),
        "components": document["components"],
    });
    jsonschema::validator_for(&schema).expect("a schema")
}

#[test]
fn values_are_judged_as_the_service_means_it() {
    let [(_, robots), _, (_, readers)] = services::documents();
    let order = judge(&robots, "Order");
    assert!(order.is_valid(&json!({"kind": "Walk", "distance": 1.5})));
    assert!(!order.is_valid(&json!({"kind": "Walk", "distance": 0})), "0 is excluded");
    assert!(order.is_valid(&json!({"kind": "Say", "words": ["a", "b"], "initial": "é"})));
    assert!(!order.is_valid(&json!({"kind": "Say", "words": ["a"], "initial": "a"})), "two words");
    assert!(!order.is_valid(&json!({"kind": "Say", "words": ["a", "b"], "initial": "ab"})), "one character");
    let name = judge(&robots, "IdOrName");
    assert!(name.is_valid(&json!(7)) && name.is_valid(&json!("Marvin")));
    assert!(!name.is_valid(&json!(0)) && !name.is_valid(&json!([])));
    let reader = judge(&readers, "Reader");
    let with = |home: Value, mood: Value| json!({"name": "Ada", "home": home, "mood": mood, "seal": "AQ=="});
    assert!(reader.is_valid(&with(Value::Null, Value::Null)));
    assert!(reader.is_valid(&with(json!({"street": "Main", "postcode": null}), json!("on_its_way"))));
    assert!(!reader.is_valid(&with(json!({"street": null}), Value::Null)));
    assert!(!reader.is_valid(&with(Value::Null, json!("angry"))));
}
