//! The committed document as a judge of answers.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// `api/openapi.json`, ready to judge.
pub(crate) static CONTRACT: LazyLock<Contract> =
    LazyLock::new(|| Contract::new(include_str!("../../api/openapi.json")));

pub(crate) struct Contract {
    pub(crate) document: Value,
    pub(crate) operations: Vec<Operation>,
    problem: Validator,
}

pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) is_secured: bool,
    responses: HashMap<u16, Promise>,
}

impl Operation {
    /// The statuses that the document promises, in order.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let mut statuses: Vec<_> = self.responses.keys().copied().collect();
        statuses.sort_unstable();
        statuses
    }
}

/// What the document promises of one status.
struct Promise {
    bodies: HashMap<String, Validator>,
    headers: Vec<(String, bool, Validator, bool)>,
}

impl Contract {
    fn new(text: &str) -> Self {
        let document: Value = serde_json::from_str(text).expect("the document is JSON");
        let mut components = document["components"].clone();
        // An answer may have no member that the document does not name.
        for schema in components["schemas"].as_object_mut().expect("schemas").values_mut() {
            if schema["type"] == "object" {
                schema["additionalProperties"] = json!(false);
            }
        }
        let validator = |schema: &Value| {
            let mut schema = schema.clone();
            schema["components"] = components.clone();
            jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema of JSON Schema 2020-12")
        };
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let responses = operation["responses"].as_object().expect("responses");
                let responses = responses.iter().map(|(status, response)| {
                    let bodies = response["content"].as_object().into_iter().flatten();
                    let headers = response["headers"].as_object().into_iter().flatten();
                    let promise = Promise {
                        bodies: bodies.map(|(media, content)| (media.clone(), validator(&content["schema"]))).collect(),
                        headers: headers
                            .map(|(name, header)| {
                                let schema = &header["schema"];
                                (
                                    name.clone(),
                                    header["required"] == true,
                                    validator(schema),
                                    schema["type"] == "integer",
                                )
                            })
                            .collect(),
                    };
                    (status.parse().expect("a status"), promise)
                });
                operations.push(Operation {
                    id: operation["operationId"].as_str().expect("operationId").to_owned(),
                    method: method.to_uppercase(),
                    path: path.clone(),
                    is_secured: operation["security"] != json!([]),
                    responses: responses.collect(),
                });
            }
        }
        let problem = validator(&json!({ "$ref": "#/components/schemas/Problem" }));
        Self { document: document.clone(), operations, problem }
    }

    /// The operation that a request calls.
    fn operation(&self, method: &str, path: &str) -> Option<&Operation> {
        let method = if method == "HEAD" { "GET" } else { method };
        let path = path.split('?').next().unwrap_or_default();
        // A path without a parameter goes before one with it (OpenAPI 3.1 §4.8.8.1).
        let matching = self.operations.iter().filter(|operation| {
            let (mut asked, mut known) = (path.split('/'), operation.path.split('/'));
            operation.method == method
                && loop {
                    match (asked.next(), known.next()) {
                        (None, None) => break true,
                        (Some(asked), Some(known)) if asked == known => {}
                        (Some(asked), Some(known)) if known.starts_with('{') && !asked.is_empty() => {}
                        _ => break false,
                    }
                }
        });
        matching.min_by_key(|operation| operation.path.matches('{').count())
    }

    /// Panics when the document does not promise this answer.
    pub(crate) fn judge(&self, method: &str, path: &str, status: u16, headers: &HeaderMap, body: &[u8]) {
        let what = format!("{method} {path} answered {status}");
        assert!(headers.contains_key("x-request-id"), "{what} without X-Request-Id");
        assert_ne!(status, 500, "{what}: {}", String::from_utf8_lossy(body));
        let media = headers.get("content-type").map(|value| value.to_str().expect("ASCII"));
        let json = || serde_json::from_slice::<Value>(body).unwrap_or_else(|e| panic!("{what}, not JSON: {e}"));
        let judge = |validator: &Validator, value: &Value| {
            if let Err(error) = validator.validate(value) {
                panic!("{what}, against the document: {error} at {}\n{value}", error.instance_path());
            }
        };
        let Some(operation) = self.operation(method, path) else {
            // A page or nothing at all: what is refused is a problem all the same.
            if status >= 400 {
                assert!(matches!(status, 404 | 405), "{what}");
                assert_eq!(media, Some("application/problem+json"), "{what}");
                if method != "HEAD" {
                    judge(&self.problem, &json());
                }
            }
            return;
        };
        let promise = operation.responses.get(&status);
        let promise = promise.unwrap_or_else(|| panic!("{what}, which {} does not document", operation.id));
        for (name, required, validator, is_integer) in &promise.headers {
            let values: Vec<_> = headers.get_all(name).iter().map(|v| v.to_str().expect("ASCII")).collect();
            assert!(!(*required && values.is_empty()), "{what} without {name}");
            if !values.is_empty() {
                let text = values.join(", ");
                let value = if *is_integer { text.parse::<u64>().expect(name).into() } else { text.into() };
                judge(validator, &value);
            }
        }
        if method == "HEAD" || promise.bodies.is_empty() {
            assert!(body.is_empty(), "{what} with a body");
            return;
        }
        let media = media.unwrap_or_else(|| panic!("{what} without Content-Type"));
        let validator = promise.bodies.get(media);
        let is_json = media.ends_with("json") && !media.ends_with("ndjson");
        let value = if is_json { json() } else { std::str::from_utf8(body).expect("a text").into() };
        judge(validator.unwrap_or_else(|| panic!("{what} as {media}")), &value);
        if status >= 400 {
            assert_eq!(value["status"], status, "{what}");
            assert_eq!(value["request_id"], headers["x-request-id"].to_str().expect("ASCII"), "{what}");
        }
    }
}
