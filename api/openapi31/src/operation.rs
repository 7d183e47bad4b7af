//! Path Item Object (§4.8.9), Operation Object (§4.8.10), and the bodies and responses in it.

use std::collections::BTreeSet;

use crate::field::{field, header_name, parameter};
use crate::object::{Object, drop_default, drop_empty, elements, object, objects, rename_keys};
use crate::schema::{binary_body, schema};

/// The operations that a Path Item Object can hold.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Path Item Object (§4.8.9). poem-openapi routes CONNECT too, for which OpenAPI has no field.
pub(crate) fn path_item(item: &mut Object, scalars: &BTreeSet<String>) {
    item.shift_remove("connect");
    for method in METHODS {
        if let Some(operation_object) = object(item, method) {
            operation(operation_object, scalars);
        }
    }
}

/// Operation Object (§4.8.10). 3.0 demands `responses`, and poem-openapi writes an empty map for an operation that
/// declares none; 3.1 wants at least one response in it, or no member.
fn operation(operation: &mut Object, scalars: &BTreeSet<String>) {
    drop_default(operation, "deprecated", false);
    drop_empty(operation, "responses");
    for value in elements(operation, "parameters") {
        if let Some(object) = value.as_object_mut() {
            parameter(object, scalars);
        }
    }
    if let Some(body) = object(operation, "requestBody") {
        drop_default(body, "required", false);
        content(body);
    }
    for response_object in objects(operation, "responses") {
        response(response_object, scalars);
    }
}

/// Response Object (§4.8.17).
fn response(response: &mut Object, scalars: &BTreeSet<String>) {
    for header in objects(response, "headers") {
        field(header, "header", scalars);
    }
    if let Some(headers) = object(response, "headers") {
        rename_keys(headers, header_name);
    }
    drop_empty(response, "headers");
    content(response);
    drop_empty(response, "content");
}

/// The `content` of a request body or response: Media Type Objects (§4.8.14) by media type.
fn content(parent: &mut Object) {
    for media_type in objects(parent, "content") {
        if let Some(value) = media_type.get_mut("schema") {
            binary_body(value);
            schema(value);
        }
    }
    if let Some(content) = object(parent, "content") {
        rename_keys(content, media_type_name);
    }
}

/// `application/json; charset=utf-8` → `application/json`.
///
/// The key is a media type or range that is matched against the message's (§4.8.14); a client sends
/// `application/json`, for which JSON registers no charset (RFC 8259 §11).
fn media_type_name(name: &str) -> String {
    name.split(';')
        .filter(|part| !part.trim_start().to_ascii_lowercase().starts_with("charset="))
        .collect::<Vec<_>>()
        .join(";")
}
