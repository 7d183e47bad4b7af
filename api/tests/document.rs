//! The document: committed as the code derives it, and true to itself.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};
use tasks_api::{Description, DueDate, DueTime, Tag, Title, UserId, openapi};

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
    for name in ["TaskDraft", "TaskUpdate", "TaskPatch", "TaskCompletion"] {
        assert_eq!(schemas[name]["additionalProperties"], json!(false), "{name}");
    }
    for name in ["Task", "TaskEnvelope", "TaskPage", "PageMeta"] {
        let members: Vec<&String> = schemas[name]["properties"].as_object().expect("members").keys().collect();
        assert_eq!(schemas[name]["required"], json!(members), "{name}: every member is always present");
    }
    assert_eq!(schemas["Task"]["properties"]["completed_at"]["type"], json!(["string", "null"]));
    assert_eq!(schemas["TaskDraft"]["required"], json!(["title"]));
    let writable: Vec<&String> = schemas["TaskUpdate"]["properties"].as_object().expect("members").keys().collect();
    assert_eq!(schemas["TaskUpdate"]["required"], json!(writable), "nothing is wiped unseen");
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
    let schema = validator(&document, &document["components"]["schemas"]["TaskDraft"]["properties"]["title"]);
    for text in corpus() {
        assert_eq!(text.parse::<Title>().is_ok(), schema.is_valid(&json!(text)), "{text:?}");
    }
}

#[test]
fn the_checks_of_what_a_task_says_beside_are_their_schemas() {
    let document = document();
    let members = &document["components"]["schemas"]["TaskUpdate"]["properties"];
    let mut texts = corpus();
    texts.extend(corpus().iter().map(|text| format!("a{text}\n\r\t{text}")));
    let (description, tag) =
        (validator(&document, &members["description"]), validator(&document, &members["tags"]["items"]));
    for text in texts {
        assert_eq!(text.parse::<Description>().is_ok(), description.is_valid(&json!(text)), "{text:?}");
        assert_eq!(text.parse::<Tag>().is_ok(), tag.is_valid(&json!(text)), "{text:?}");
    }
    let (date, time) = (validator(&document, &members["due_date"]), validator(&document, &members["due_time"]));
    let mut good = 0;
    for text in [
        "2026-02-28",
        "2028-02-29",
        "0001-01-01",
        "0000-01-01",
        "10000-01-01",
        "2026-13-01",
        "2026-1-1",
        "",
        "x",
        "23:59",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain((0..100).flat_map(|n| {
        [
            format!("{n:02}:00"),
            format!("12:{n:02}"),
            format!("2026-10-{n:02}"),
            format!("2026-02-{n:02}"),
            format!("{n:04}-01-01"),
            format!("{n:04}-02-29"),
            format!("{n:02}00-02-29"),
        ]
    })) {
        let (is_date, is_time) = (date.is_valid(&json!(text)), time.is_valid(&json!(text)));
        good += usize::from(is_date) + usize::from(is_time);
        assert_eq!(text.parse::<DueDate>().is_ok(), is_date, "{text:?}");
        assert_eq!(text.parse::<DueTime>().is_ok(), is_time, "{text:?}");
    }
    assert!(good > 200);
}

#[test]
fn the_check_of_a_user_is_its_schema() {
    let document = document();
    let schema = validator(&document, &document["components"]["schemas"]["Task"]["properties"]["user_id"]);
    for text in corpus() {
        assert_eq!(text.parse::<UserId>().is_ok(), schema.is_valid(&json!(text)), "{text:?}");
    }
}

/// Every schema in a value, at whatever depth, with the path to it.
fn walk<'a>(value: &'a Value, path: &str, see: &mut impl FnMut(&str, &'a Value)) {
    see(path, value);
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| walk(member, &format!("{path}/{name}"), see));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| walk(item, &format!("{path}/{place}"), see));
        }
        _ => {}
    }
}

#[test]
fn every_pattern_can_be_written_raw_into_a_literal_and_means_the_same_everywhere() {
    let document = document();
    let mut count = 0;
    walk(&document, "", &mut |path, value| {
        let Some(pattern) = value.get("pattern").and_then(Value::as_str) else { return };
        count += 1;
        // What a format is for is read into a type that no pattern holds for (pydantic).
        assert!(value.get("format").is_none(), "{path}: {pattern} stands beside a format");
        assert!(pattern.starts_with('^') || pattern.contains("uuid"), "{path}: {pattern} looks for a part");
        // A slash ends a literal of JavaScript, and so does a line separator, which some generators write for its escape;
        // a back quote and an apostrophe end others.
        let bare = pattern.replace("[/]", "");
        for raw in
            ["/", "`", "'", "\n", "\r", "\u{2028}", "\u{2029}", r"\u2028", r"\u2029", r"\x0A", r"\x0D", r"\n", r"\r"]
        {
            assert!(!bare.contains(raw), "{path}: {pattern} has {raw:?}");
        }
        // `\d` and `\w` are more than ASCII to some, `\p` and lookaround are not everywhere.
        for local in [r"\d", r"\w", r"\b", r"\p", r"\P", "(?"] {
            assert!(!pattern.contains(local), "{path}: {pattern} has {local}");
        }
    });
    assert!(count > 50, "{count} patterns");
}

#[test]
fn no_name_of_a_schema_is_one_that_a_generator_makes() {
    let document = document();
    let schemas: BTreeSet<&str> =
        document["components"]["schemas"].as_object().expect("schemas").keys().map(String::as_str).collect();
    let mut made = BTreeSet::new();
    for name in &schemas {
        // Go's constructors, and what stands for a null or a default.
        made.extend(["New", "Nullable", "Default", "Inline", "Model"].map(|word| format!("{word}{name}")));
    }
    for operation in operations(&document) {
        let (first, rest) = operation["operationId"].as_str().expect("operationId").split_at(1);
        let name = first.to_uppercase() + rest;
        let words = [
            "", "Body", "Data", "Error", "Errors", "Header", "Headers", "Mutation", "Params", "Path", "Query",
            "Request",
        ];
        made.extend(words.map(|word| format!("{name}{word}")));
        made.extend(["Response", "Responses", "Result", "Variables"].map(|word| format!("{name}{word}")));
    }
    let taken: Vec<&&str> = schemas.iter().filter(|name| made.contains(**name)).collect();
    assert_eq!(taken, Vec::<&&str>::new());
    for name in &schemas {
        let unclear = ["Default", "Inline", "New"].iter().any(|word| name.starts_with(word));
        let unclear =
            unclear || ["Request", "Response", "Body", "Params", "Api"].iter().any(|word| name.ends_with(word));
        assert!(!unclear, "{name}");
    }
}

#[test]
fn no_number_is_more_than_a_double_holds() {
    walk(&document(), "", &mut |path, value| {
        if value.get("type").is_some_and(|kind| *kind == json!("integer") || *kind == json!(["integer", "null"])) {
            assert_ne!(value["format"], json!("int64"), "{path}");
        }
    });
}

#[test]
fn what_may_grow_is_open() {
    let document = document();
    let code = &document["components"]["schemas"]["Problem"]["properties"]["code"];
    assert_eq!(code["examples"].as_array().map(Vec::len), Some(tasks_api::ProblemCode::ALL.len()));
    let schema = validator(&document, code);
    for code in ["token-missing", "quota-used", ""] {
        assert!(schema.is_valid(&json!(code)), "{code:?}");
    }
    assert!(!schema.is_valid(&json!(404)));
}

#[test]
fn every_description_of_an_operation_says_by_itself_what_it_does() {
    let document = document();
    for operation in operations(&document) {
        let text = |member: &str| operation[member].as_str().unwrap_or_else(|| panic!("no {member}: {operation}"));
        let (verb, _) = text("summary").split_once(' ').expect("a verb and its object");
        assert!(
            text("description").starts_with(&format!("{verb}s ")),
            "{}: {}",
            text("operationId"),
            text("description")
        );
    }
}

#[test]
fn no_link_has_a_body() {
    for (name, link) in document()["components"]["links"].as_object().expect("links") {
        assert!(link.get("requestBody").is_none(), "{name}: openapi-generator refuses the document");
    }
}

#[test]
fn headers_have_examples_that_agree_with_the_bodies_beside_them() {
    let document = document();
    let mut agreeing = 0;
    for operation in operations(&document) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let place = format!("{} {status}", operation["operationId"]);
            let bodies: Vec<(&String, &Value)> = response["content"]
                .as_object()
                .into_iter()
                .flat_map(|content| content.values().filter_map(|media| media["examples"].as_object()))
                .flatten()
                .map(|(name, example)| (name, &example["value"]))
                .collect();
            for (name, header) in response["headers"].as_object().expect("headers") {
                let schema = validator(&document, &header["schema"]);
                let one = header.get("example").or(header["schema"]["enum"].get(0));
                let of = |example: &str| one.unwrap_or(&header["examples"][example]["value"]);
                if header["required"] == json!(true) {
                    let named = bodies.iter().all(|(example, _)| !of(example).is_null());
                    assert!(named && (one.is_some() || !bodies.is_empty()), "{place}: {name} has no example");
                }
                let all =
                    header["examples"].as_object().into_iter().flat_map(|all| all.values().map(|one| &one["value"]));
                for example in one.into_iter().chain(all) {
                    assert!(schema.is_valid(example), "{place}: {name}: {example}");
                }
                for (example, body) in &bodies {
                    let text = |at: &str| body.pointer(at).and_then(Value::as_str);
                    let expected = match name.as_str() {
                        "ETag" => text("/data/etag").or(text("/current/etag")).map(str::to_owned),
                        "X-Request-Id" => text("/request_id").map(str::to_owned),
                        "Location" => text("/data/user_id")
                            .zip(text("/data/id"))
                            .map(|(user, id)| format!("/api/{user}/tasks/{id}")),
                        _ => None,
                    };
                    if let Some(expected) = expected {
                        agreeing += 1;
                        assert_eq!(of(example), &json!(expected), "{place} {example}: {name}");
                    }
                }
            }
        }
    }
    assert!(agreeing > 100, "{agreeing} headers follow from a body");
}
