//! Parameter Object (§4.8.12) and Header Object (§4.8.21).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::object::{Object, drop_default, object, text};
use crate::schema::{is_scalar, schema};

/// The words of header names that are not merely capitalised.
const HEADER_WORDS: [&str; 29] = [
    "API",
    "CH",
    "CSP",
    "CSRF",
    "DNS",
    "DNT",
    "DPoP",
    "DPR",
    "ECT",
    "ETag",
    "GPC",
    "HTTP",
    "IM",
    "IP",
    "MD5",
    "MIME",
    "NEL",
    "OData",
    "RateLimit",
    "RTT",
    "SOAPAction",
    "SourceMap",
    "TE",
    "TTL",
    "UA",
    "WebSocket",
    "WWW",
    "XSRF",
    "XSS",
];

/// Parameter Object (§4.8.12). The members come in the order of the specification, the schema and its example last.
pub(crate) fn parameter(parameter: &mut Object, scalars: &BTreeSet<String>) {
    let location = text(parameter, "in").to_owned();
    if location == "header" {
        let name = header_name(text(parameter, "name"));
        parameter.insert("name".into(), name.into());
    }
    if location == "path" {
        path_required(parameter);
    }
    for last in ["schema", "example"] {
        if let Some(value) = parameter.shift_remove(last) {
            parameter.insert(last.into(), value);
        }
    }
    field(parameter, &location, scalars);
}

/// What Parameter Objects and Header Objects (§4.8.21) have in common.
pub(crate) fn field(field: &mut Object, location: &str, scalars: &BTreeSet<String>) {
    for name in ["required", "deprecated", "allowEmptyValue", "allowReserved"] {
        drop_default(field, name, false);
    }
    if let Some(value) = field.get_mut("schema") {
        schema(value);
    }
    field_example(field);
    serialization(field, location, scalars);
}

/// `{"in": "path", "required": false}` → `{"in": "path", "required": true}`.
///
/// A path parameter is required (§4.8.12.2): without it the path is another. poem-openapi writes `false` for one
/// with a default.
fn path_required(parameter: &mut Object) {
    parameter.insert("required".into(), true.into());
}

/// `{"schema": {"example": value}}` → `{"schema": {}, "example": value}`.
///
/// The example of a parameter or header itself (§4.8.12.2) overrides that of its schema and is the one that a form
/// for trying the operation starts from.
fn field_example(field: &mut Object) {
    if field.contains_key("example") || field.contains_key("examples") {
        return;
    }
    let Some(schema) = object(field, "schema") else {
        return;
    };
    if let Some([value]) = schema.get_mut("examples").and_then(Value::as_array_mut).map(Vec::as_mut_slice) {
        let value = value.take();
        schema.shift_remove("examples");
        field.insert("example".into(), value);
    }
}

/// `{"in": "query", "style": "form", "explode": true}` → `{"in": "query"}`.
///
/// Members that repeat their default go: `form` in query and cookie, `simple` in path and header, and `explode` true
/// for `form` only (§4.8.12.2). So does `explode` for a value that is neither array nor object, where it has no
/// effect.
fn serialization(field: &mut Object, location: &str, scalars: &BTreeSet<String>) {
    let default_style = match location {
        "query" | "cookie" => "form",
        _ => "simple",
    };
    let style = match text(field, "style") {
        "" => default_style,
        style => style,
    };
    let explode = style == "form";
    let is_default = style == default_style;
    if is_default {
        field.shift_remove("style");
    }
    if field.get("schema").is_some_and(|schema| is_scalar(schema, scalars)) {
        field.shift_remove("explode");
    }
    drop_default(field, "explode", explode);
}

/// `WWW-AUTHENTICATE` → `WWW-Authenticate`.
///
/// Header names are case-insensitive (RFC 9110 §5.1). poem-openapi writes them in capitals, a few in lower case; a
/// name in mixed case is somebody's choice and stays.
pub(crate) fn header_name(name: &str) -> String {
    let mixed = name.contains(|c: char| c.is_ascii_uppercase()) && name.contains(|c: char| c.is_ascii_lowercase());
    if mixed {
        return name.to_owned();
    }
    name.split('-').map(header_word).collect::<Vec<_>>().join("-")
}

fn header_word(word: &str) -> String {
    if let Some(usual) = HEADER_WORDS.iter().find(|usual| usual.eq_ignore_ascii_case(word)) {
        return (*usual).to_owned();
    }
    let mut word = word.to_ascii_lowercase();
    if let Some(initial) = word.get_mut(..1) {
        initial.make_ascii_uppercase();
    }
    word
}
