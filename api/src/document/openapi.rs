//! The document: what poem-openapi derives from the annotated types, brought to OpenAPI 3.1 and given its examples.

use std::sync::{Arc, LazyLock};

use poem_openapi::{ContactObject, LicenseObject, OpenApiService};
use serde_json::{Map, Value, json};

use crate::document::examples::{Place, answered, examples, headers_of, problems};
use crate::document::links;
use crate::http::code::ProblemCode;
use crate::http::error::Error;
use crate::http::public_url::PublicUrl;
use crate::router::operations;
use crate::schemas::bulk::SelectedTask;
use crate::schemas::changes::{Changes, ChangesRequest, Position};
use crate::schemas::condition::IfMatch;
use crate::schemas::idempotency::{Done, IdempotencyKey};
use crate::schemas::page::{PageRequest, TaskPage};
use crate::schemas::task::{Task, TaskDraft, TaskId, TaskPatch, TaskUpdate};
use crate::security::owner::Owner;
use crate::service::{Export, TaskService};

/// The document as JSON, as it stands in `openapi.json`.
pub static JSON: LazyLock<String> = LazyLock::new(|| json(&document()));

/// The document as YAML.
pub static YAML: LazyLock<String> = LazyLock::new(|| yaml(&document()));

/// A document as JSON.
pub(crate) fn json(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// A document as YAML.
pub(crate) fn yaml(document: &Value) -> String {
    serde_saphyr::to_string(document).unwrap_or_default()
}

/// The document of a server that the world finds there: it is named, and what answers hold of its paths is as they have it.
pub(crate) fn at(public_url: &PublicUrl) -> Value {
    // It is JSON that we wrote ourselves.
    let mut document = serde_json::from_str(&JSON).unwrap_or_default();
    if *public_url != PublicUrl::default() {
        prefix(&mut document, &public_url.prefix);
        if let Some(server) = document.pointer_mut("/servers/0/url") {
            *server = public_url.to_string().into();
        }
    }
    document
}

/// Puts a prefix before the paths of the server that stand in values, as those of problems in examples, and in links of
/// Markdown. The keys of `paths` stay: they are below the server's URL.
fn prefix(value: &mut Value, prefix: &str) {
    match value {
        Value::String(text) if text.starts_with("/problems/") || text.starts_with("/api/") => {
            text.insert_str(0, prefix);
        }
        Value::String(text) if text.contains("](/") => *text = text.replace("](/", &format!("]({prefix}/")),
        Value::Array(items) => items.iter_mut().for_each(|item| self::prefix(item, prefix)),
        Value::Object(members) => members.values_mut().for_each(|member| self::prefix(member, prefix)),
        _ => {}
    }
}

/// The service of poem-openapi, for its routes or for its document.
pub(crate) fn service<T>(api: T) -> OpenApiService<T, ()> {
    OpenApiService::new(api, "Tasks API", env!("CARGO_PKG_VERSION"))
        .summary("A multi-user task API")
        .description(include_str!("../introduction.md"))
        .contact(ContactObject::new().name("The maintainers of tasks-api"))
        .license(LicenseObject::new("MIT").identifier("MIT"))
        .server("/")
}

/// The whole document.
fn document() -> Value {
    let mut document = poem_openapi_31::document(&service(operations(Arc::<Nobody>::default(), false)));
    order_tags(&mut document);
    plain_numbers(&mut document);
    let operations = document
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|paths| paths.values_mut())
        .filter_map(Value::as_object_mut)
        .flat_map(|item| item.values_mut())
        .filter_map(Value::as_object_mut);
    for operation in operations {
        // Said outright, so that "no token" is a statement and not an omission.
        operation.entry("security").or_insert_with(|| json!([]));
        let id = operation.get("operationId").and_then(Value::as_str).unwrap_or_default().to_owned();
        let has_body = operation.contains_key("requestBody");
        for (place, name, value) in examples(&id) {
            let at = match place {
                Place::Request => operation.get_mut("requestBody"),
                Place::Status(status) => response(operation, &status.to_string()),
            };
            let headers = headers_of(&value);
            add_example(at, name, &value, headers);
        }
        let statuses: Vec<String> = operation
            .get("responses")
            .and_then(Value::as_object)
            .map(|responses| responses.keys().cloned().collect())
            .unwrap_or_default();
        for status in statuses {
            for (name, error) in problems(&id, &status, has_body) {
                let (body, headers) = answered(error);
                add_example(response(operation, &status), name, &body, headers);
            }
            if let Some(headers) = response(operation, &status).and_then(|response| response.get_mut("headers")) {
                headers.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(simplify_examples);
            }
            let links = links::of(&id, &status).iter();
            let links: Map<_, _> = links
                .map(|(name, component)| {
                    ((*name).to_owned(), json!({ "$ref": format!("#/components/links/{component}") }))
                })
                .collect();
            if let Some(response) = response(operation, &status).and_then(Value::as_object_mut)
                && !links.is_empty()
            {
                response.insert("links".to_owned(), links.into());
            }
        }
    }
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("links".to_owned(), links::components().into());
    }
    if let Some(code) = document.pointer_mut("/components/schemas/Problem/properties/code") {
        code["examples"] = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
    }
    document
}

/// Lists the tags in the order in which the operations first use them; poem-openapi sorts them by name.
fn order_tags(document: &mut Value) {
    let used: Vec<Value> = document
        .get("paths")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|paths| paths.values().filter_map(Value::as_object))
        .flat_map(|item| item.values().filter_map(|operation| operation.get("tags")?.as_array()))
        .flatten()
        .cloned()
        .collect();
    if let Some(tags) = document.get_mut("tags").and_then(Value::as_array_mut) {
        tags.sort_by_key(|tag| used.iter().position(|name| Some(name) == tag.get("name")));
    }
}

fn response<'a>(operation: &'a mut Map<String, Value>, status: &str) -> Option<&'a mut Value> {
    operation.get_mut("responses")?.get_mut(status)
}

/// Adds a named example to each media type of a request body or response, and to the headers that follow from it.
fn add_example(at: Option<&mut Value>, name: &str, body: &Value, headers: Vec<(String, String)>) {
    let Some(at) = at.and_then(Value::as_object_mut) else { return };
    for media_type in members(at, "content").values_mut().filter_map(Value::as_object_mut) {
        members(media_type, "examples").insert(name.to_owned(), json!({ "value": body }));
    }
    for (header, value) in headers {
        let known = at.get_mut("headers").and_then(Value::as_object_mut).into_iter().flatten();
        for (_, known) in known.filter(|(name, _)| name.eq_ignore_ascii_case(&header)) {
            let Some(known) = known.as_object_mut() else { continue };
            let is_number = known.get("schema").and_then(|schema| schema.get("type")) == Some(&json!("integer"));
            let value =
                if is_number { value.parse::<i64>().map_or_else(|_| json!(value), Value::from) } else { json!(value) };
            // One for each example of the body, in the place of one for all.
            known.shift_remove("example");
            members(known, "examples").insert(name.to_owned(), json!({ "value": value }));
        }
    }
}

/// Where the examples of a header are one, it is the example; one of a header with one value says nothing.
fn simplify_examples(header: &mut Value) {
    let Some(header) = header.as_object_mut() else { return };
    let values = header.get("examples").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let mut values = values.filter_map(|example| example.get("value"));
    let Some(first) = values.next().cloned() else { return };
    if values.all(|value| *value == first) {
        header.shift_remove("examples");
        if header.get("schema").is_none_or(|schema| schema.get("enum").is_none()) {
            header.insert("example".to_owned(), first);
        }
    }
}

/// The object of this name in another, empty where there is none.
fn members<'a>(of: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let member = of.entry(name).or_insert_with(|| json!({}));
    if !member.is_object() {
        *member = json!({});
    }
    member.as_object_mut().unwrap_or_else(|| unreachable!("it is an object now"))
}

/// Leaves `format: int64` out where the schema's own bounds are numbers that a double holds exactly (RFC 8259 §6): generators
/// in JavaScript make a `bigint` of it, which they send as text.
fn plain_numbers(value: &mut Value) {
    /// 2^53.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Array(items) => items.iter_mut().for_each(plain_numbers),
        Value::Object(members) => {
            let bound = |name| members.get(name).and_then(Value::as_f64).is_some_and(|bound| bound.abs() <= EXACT);
            if members.get("format") == Some(&json!("int64")) && bound("minimum") && bound("maximum") {
                members.shift_remove("format");
            }
            members.values_mut().for_each(plain_numbers);
        }
        _ => {}
    }
}

/// Nobody serves: the document is made from the types alone.
#[derive(Default)]
pub(crate) struct Nobody;

#[rustfmt::skip]
impl TaskService for Nobody {
    async fn list(&self, _: &Owner, _: PageRequest) -> Result<(TaskPage, Position), Error> { nobody() }
    async fn position(&self, _: &Owner) -> Result<Position, Error> { nobody() }
    async fn changes(&self, _: &Owner, _: ChangesRequest) -> Result<Changes, Error> { nobody() }
    async fn create(&self, _: &Owner, _: TaskDraft, _: Option<IdempotencyKey>) -> Result<Done<Task>, Error> { nobody() }
    async fn create_all(&self, _: &Owner, _: Vec<TaskDraft>, _: Option<IdempotencyKey>) -> Result<Done<Vec<Task>>, Error> { nobody() }
    async fn get(&self, _: &Owner, _: TaskId) -> Result<Task, Error> { nobody() }
    async fn update(&self, _: &Owner, _: TaskId, _: TaskUpdate, _: Option<IfMatch>) -> Result<Task, Error> { nobody() }
    async fn patch(&self, _: &Owner, _: TaskId, _: TaskPatch, _: Option<IfMatch>) -> Result<Task, Error> { nobody() }
    async fn complete(&self, _: &Owner, _: TaskId, _: bool, _: Option<IfMatch>) -> Result<Task, Error> { nobody() }
    async fn delete(&self, _: &Owner, _: TaskId, _: Option<IfMatch>) -> Result<(), Error> { nobody() }
    async fn complete_all(&self, _: &Owner, _: Vec<SelectedTask>, _: Option<IdempotencyKey>) -> Result<Done<Vec<Task>>, Error> { nobody() }
    async fn patch_all(&self, _: &Owner, _: Vec<(SelectedTask, TaskPatch)>, _: Option<IdempotencyKey>) -> Result<Done<Vec<Task>>, Error> { nobody() }
    async fn delete_all(&self, _: &Owner, _: Vec<SelectedTask>, _: Option<IdempotencyKey>) -> Result<Done<()>, Error> { nobody() }
    async fn export(&self, _: &Owner) -> Result<Export, Error> { nobody() }
    async fn erase(&self, _: &Owner) -> Result<(), Error> { nobody() }
    async fn ready(&self) -> Result<(), Error> { nobody() }
}

fn nobody<T>() -> Result<T, Error> {
    Err(Error::internal("the document serves no requests"))
}
