//! The document: committed as the code derives it, and true to itself.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};
use tasks_api::{Title, UserId, openapi};

fn document() -> Value {
    serde_json::from_str(&openapi::JSON).expect("the document is JSON")
}

/// A schema of the document, ready to judge.
fn validator(document: &Value, schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let options = jsonschema::options().should_validate_formats(true);
    options.build(&schema).expect("a schema of JSON Schema 2020-12")
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let items = document["paths"].as_object().expect("paths").values();
    items.flat_map(|item| item.as_object().expect("operations").values())
}

#[test]
fn the_committed_document_is_the_derived_one() {
    let committed = include_str!("../openapi.json");
    let differs = committed.lines().zip(openapi::JSON.lines()).position(|(a, b)| a != b);
    assert!(
        committed == openapi::JSON.as_str(),
        "api/openapi.json is stale from line {:?}: refresh it with `just document` (cargo run -p tasks-api > api/openapi.json) and review the difference",
        differs.map(|line| line + 1)
    );
}

#[test]
fn the_yaml_says_the_same() {
    let yaml: Value = serde_saphyr::from_str(&openapi::YAML).expect("YAML");
    assert_eq!(yaml, document());
}

#[test]
fn every_body_has_examples_that_fit_its_schema() {
    let document = document();
    for operation in operations(&document) {
        let id = &operation["operationId"];
        let request = [("request", &operation["requestBody"])].into_iter().filter(|(_, body)| !body.is_null());
        let responses = operation["responses"].as_object().expect("responses").iter();
        for (place, holder) in request.chain(responses.map(|(status, response)| (status.as_str(), response))) {
            for (media, content) in holder["content"].as_object().into_iter().flatten() {
                let validator = validator(&document, &content["schema"]);
                let examples = content["examples"].as_object();
                let examples = examples.unwrap_or_else(|| panic!("{id} {place} {media} has no example"));
                for (name, example) in examples {
                    if let Err(error) = validator.validate(&example["value"]) {
                        panic!("{id} {place} {name}: {error}");
                    }
                    if place.parse::<u16>().is_ok_and(|status| status >= 400) {
                        assert_eq!(example["value"]["status"].to_string(), place);
                    }
                }
            }
        }
    }
}

#[test]
fn every_operation_has_what_generated_clients_are_named_by() {
    let document = document();
    for operation in operations(&document) {
        for member in ["operationId", "summary", "tags", "security"] {
            assert!(!operation[member].is_null(), "{member} is missing: {operation}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{parameter}");
        }
    }
}

#[test]
fn request_bodies_are_closed_and_answers_are_whole() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for name in ["NewTask", "TaskUpdate", "TaskPatch", "TaskCompletion"] {
        assert_eq!(schemas[name]["additionalProperties"], json!(false), "{name}");
    }
    for name in ["Task", "TaskEnvelope", "TaskPage", "PageMeta"] {
        let members: Vec<&String> = schemas[name]["properties"].as_object().expect("members").keys().collect();
        assert_eq!(schemas[name]["required"], json!(members), "{name}: every member is always present");
    }
    assert_eq!(schemas["Task"]["properties"]["completed_at"]["type"], json!(["string", "null"]));
    assert_eq!(schemas["NewTask"]["required"], json!(["title"]));
    assert_eq!(schemas["TaskUpdate"]["required"], json!(["title", "is_completed"]));
    assert!(schemas["TaskPatch"].get("required").is_none());
}

#[test]
fn links_lead_to_operations_and_their_parameters() {
    let document = document();
    let links = document["components"]["links"].as_object().expect("links");
    let mut used = BTreeSet::new();
    for operation in operations(&document) {
        for response in operation["responses"].as_object().expect("responses").values() {
            for (_, link) in response["links"].as_object().into_iter().flatten() {
                used.insert(link["$ref"].as_str().expect("$ref").trim_start_matches("#/components/links/"));
            }
        }
    }
    assert_eq!(used, links.keys().map(String::as_str).collect());
    for (name, link) in links {
        let operation = operations(&document).find(|operation| operation["operationId"] == link["operationId"]);
        let parameters = operation.unwrap_or_else(|| panic!("{name} leads nowhere"))["parameters"].as_array();
        for parameter in link["parameters"].as_object().expect("parameters").keys() {
            let known = parameters.into_iter().flatten().any(|known| {
                let text = |member: &str| known[member].as_str().expect("text");
                *parameter == format!("{}.{}", text("in"), text("name"))
            });
            assert!(known, "{name}: {parameter}");
        }
    }
}

/// Texts around every edge of the rules.
fn corpus() -> Vec<String> {
    let mut corpus: Vec<String> = (0..=0x3100)
        .chain([0xFEFF, 0xFFFD, 0x1_F600, 0x10_FFFF])
        .filter_map(char::from_u32)
        .flat_map(|c| [c.to_string(), format!("a{c}"), format!("{c} ")])
        .collect();
    corpus.push(String::new());
    for length in [199, 200, 201, 254, 255, 256] {
        corpus.extend(["x", "\u{1F600}", " "].map(|c| c.repeat(length)));
    }
    corpus
}

#[test]
fn the_check_of_a_title_is_its_schema() {
    let document = document();
    let schema = validator(&document, &document["components"]["schemas"]["NewTask"]["properties"]["title"]);
    for text in corpus() {
        assert_eq!(text.parse::<Title>().is_ok(), schema.is_valid(&json!(text)), "{text:?}");
    }
}

#[test]
fn the_check_of_a_user_is_its_schema() {
    let document = document();
    let schema = validator(&document, &document["components"]["schemas"]["Task"]["properties"]["user_id"]);
    for text in corpus() {
        assert_eq!(text.parse::<UserId>().is_ok(), schema.is_valid(&json!(text)), "{text:?}");
    }
}
