//! Derives an OpenAPI 3.1.0 document from the OpenAPI 3.0.0 document that poem-openapi writes.
//!
//! In OpenAPI 3.1 a schema is a JSON Schema of draft 2020-12, so that one document serves readers and validators.
//! The version number alone does not make it one: `nullable` and boolean exclusive bounds mean nothing there, and
//! a few type names that poem-openapi writes are no types of JSON Schema at all. Each function below rewrites one
//! such shape and names both sides of it.
//!
//! The walk follows the structure of the document and never searches by name. What stands inside `default`,
//! `enum`, `example` or under a property's name is data, and data stays as it is. A second pass changes nothing.

#![allow(clippy::doc_markdown, reason = "OpenAPI is the name of a standard, not of an item")]

use std::collections::BTreeSet;
use std::mem;

use serde_json::{Map, Number, Value};

type Object = Map<String, Value>;

/// The operations that a Path Item Object can hold.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Where poem-openapi's references point.
const SCHEMAS: &str = "#/components/schemas/";

/// What describes a schema without constraining the value.
const ANNOTATIONS: [&str; 9] =
    ["title", "description", "externalDocs", "default", "deprecated", "readOnly", "writeOnly", "example", "examples"];

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

/// The OpenAPI 3.1.0 form of `document`, an OpenAPI 3.0.0 document of poem-openapi.
pub(crate) fn to_3_1(mut document: Value) -> Value {
    if let Some(root) = document.as_object_mut() {
        openapi(root);
    }
    document
}

// The walk: one function for each object of the specification that holds something to rewrite.

/// OpenAPI Object (§4.8.1). Empty `servers` and `tags` say what their absence says.
fn openapi(root: &mut Object) {
    root.insert("openapi".into(), "3.1.0".into());
    drop_empty(root, "servers");
    drop_empty(root, "tags");
    if let Some(license) = object(root, "info").and_then(|info| object(info, "license")) {
        license_url(license);
    }
    if let Some(components) = object(root, "components") {
        for value in members(components, "schemas") {
            schema(value);
        }
        if let Some(schemas) = object(components, "schemas") {
            rename_keys(schemas, component_name);
        }
        for scheme in objects(components, "securitySchemes") {
            security_scheme(scheme);
        }
    }
    let scalars = scalars(root);
    for map in ["webhooks", "paths"] {
        for item in objects(root, map) {
            path_item(item, &scalars);
        }
    }
}

/// Path Item Object (§4.8.9). poem-openapi routes CONNECT too, for which OpenAPI has no field.
fn path_item(item: &mut Object, scalars: &BTreeSet<String>) {
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

/// Parameter Object (§4.8.12). The members come in the order of the specification, the schema and its example last.
fn parameter(parameter: &mut Object, scalars: &BTreeSet<String>) {
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

/// What Parameter Objects and Header Objects (§4.8.21) have in common.
fn field(field: &mut Object, location: &str, scalars: &BTreeSet<String>) {
    for name in ["required", "deprecated", "allowEmptyValue", "allowReserved"] {
        drop_default(field, name, false);
    }
    if let Some(value) = field.get_mut("schema") {
        schema(value);
    }
    field_example(field);
    serialization(field, location, scalars);
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

/// Schema Object (§4.8.24). The order matters in three places: a reference is folded while both copies of its
/// siblings are still alike, poem-openapi's own type names go before the rules for the real type, and `nullable`
/// comes last, for it moves the rest.
fn schema(value: &mut Value) {
    if never(value) {
        return;
    }
    let Some(schema) = value.as_object_mut() else {
        return;
    };
    folded_reference(schema);
    reference_name(schema);
    subschemas(schema);

    character(schema);
    base64_body(schema);
    non_zero_integer(schema);
    union_type(schema);

    exclusive_bound(schema, "minimum", "exclusiveMinimum");
    exclusive_bound(schema, "maximum", "exclusiveMaximum");
    integer_bounds(schema);
    array_length(schema);
    binary(schema);
    base64(schema);
    example(schema);
    nullable(schema);
}

/// The schemas inside a schema, wherever poem-openapi can put one.
fn subschemas(parent: &mut Object) {
    for name in ["items", "additionalProperties", "not"] {
        if let Some(value) = parent.get_mut(name) {
            schema(value);
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        elements(parent, name).for_each(schema);
    }
    members(parent, "properties").for_each(schema);
}

/// Security Scheme Object (§4.8.27).
fn security_scheme(scheme: &mut Object) {
    bearer_format(scheme);
    if let Some(flows) = object(scheme, "flows") {
        for (name, flow) in flows {
            if let Some(flow) = flow.as_object_mut() {
                oauth_flow(name, flow);
            }
        }
    }
}

// The rules for schemas.

/// `{"type": "never"}` → `false`.
///
/// poem-openapi's schema type cannot say `additionalProperties: false`, so a service writes this marker instead. The
/// boolean schema `false` admits no value (JSON Schema core §4.3.2).
fn never(value: &mut Value) -> bool {
    let never = value.get("type").is_some_and(|name| name == "never");
    if never {
        *value = Value::Bool(false);
    }
    never
}

/// `{"allOf": [{"$ref": R}, other], …other}` → `{"$ref": R, …other}`.
///
/// In 3.0 a Reference Object has no siblings, so poem-openapi states them twice: in the `allOf` and next to it. In
/// JSON Schema `$ref` is a keyword like any other (core §8.2.3.1) and stands next to them. An annotation may
/// differ, then the outer one is the later word; a constraint that differs is a second constraint and is kept.
fn folded_reference(schema: &mut Object) {
    let Some([target, others @ ..]) = schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) else {
        return;
    };
    let Some(reference) = reference(target) else {
        return;
    };
    let stated = |other: &Value| {
        other.as_object().is_some_and(|other| {
            other.iter().all(|(name, value)| {
                schema.get(name).is_some_and(|outer| outer == value || ANNOTATIONS.contains(&name.as_str()))
            })
        })
    };
    if others.len() > 1 || schema.contains_key("$ref") || !others.iter().all(stated) {
        return;
    }
    let mut folded = Object::new();
    folded.insert("$ref".into(), reference.into());
    schema.shift_remove("allOf");
    folded.append(schema);
    *schema = folded;
}

/// `"$ref": "#/components/schemas/Page_integer(uint64)"` → `"#/components/schemas/Page_integer_uint64"`, in
/// references and in the mapping of a discriminator.
///
/// The keys of the Components Object match `^[a-zA-Z0-9._-]+$` (§4.8.7), and a reference follows its key.
fn reference_name(schema: &mut Object) {
    let renamed = |value: &mut Value| {
        if let Some(name) = value.as_str().and_then(|uri| uri.strip_prefix(SCHEMAS)) {
            *value = format!("{SCHEMAS}{}", component_name(name)).into();
        }
    };
    schema.get_mut("$ref").into_iter().for_each(renamed);
    if let Some(discriminator) = object(schema, "discriminator") {
        members(discriminator, "mapping").for_each(renamed);
    }
}

/// `{"type": "char"}` → `{"type": "string", "minLength": 1, "maxLength": 1}`.
///
/// JSON Schema has no characters (validation §6.1.1); it counts the length in code points (§6.3.1), as `char` does.
fn character(schema: &mut Object) {
    if is_type(schema, "char") {
        schema.insert("type".into(), "string".into());
        schema.entry("minLength").or_insert_with(|| 1.into());
        schema.entry("maxLength").or_insert_with(|| 1.into());
    }
}

/// `{"type": "bytes", "format": "string"}` → `{"type": "string", "contentEncoding": "base64"}`.
///
/// The schema of poem-openapi's `Base64` body. JSON Schema has no type for bytes (validation §6.1.1).
fn base64_body(schema: &mut Object) {
    if is_type(schema, "bytes") {
        schema.insert("type".into(), "string".into());
        replace(schema, "format", "contentEncoding", |_| "base64".into());
    }
}

/// `{"type": "non_zero_integer"}` → `{"type": "integer", "not": {"const": 0}}`.
///
/// The schema of `NonZero<T>`; the unsigned ones carry an exclusive minimum of 0, which says it already. JSON Schema
/// knows `integer` only (validation §6.1.1).
fn non_zero_integer(schema: &mut Object) {
    if !is_type(schema, "non_zero_integer") {
        return;
    }
    schema.insert("type".into(), "integer".into());
    if !text(schema, "format").starts_with("uint") {
        let zero = Object::from_iter([("const".into(), 0.into())]);
        schema.entry("not").or_insert(zero.into());
    }
}

/// `{"type": "object", "anyOf": […]}` → `{"anyOf": […]}`, likewise for `oneOf`.
///
/// poem-openapi calls every `Union` an object, one of strings and numbers too, and such a schema admits nothing:
/// keywords are a conjunction (JSON Schema core §7.6). The alternatives say their types themselves. With a
/// discriminator they are objects, and the type is right.
fn union_type(schema: &mut Object) {
    let speaks_for_itself = |alternative: &Value| {
        alternative.as_object().is_some_and(|alternative| {
            alternative.is_empty()
                || ["type", "$ref", "allOf", "anyOf", "oneOf"].iter().any(|name| alternative.contains_key(*name))
        })
    };
    let mut alternatives =
        ["anyOf", "oneOf"].iter().filter_map(|name| schema.get(*name)?.as_array()).flatten().peekable();
    if is_type(schema, "object")
        && !schema.contains_key("discriminator")
        && !schema.contains_key("properties")
        && !schema.contains_key("additionalProperties")
        && alternatives.peek().is_some()
        && alternatives.all(speaks_for_itself)
    {
        schema.shift_remove("type");
    }
}

/// `{"minimum": 0.0, "exclusiveMinimum": true}` → `{"exclusiveMinimum": 0.0}`; `false` says nothing and goes.
///
/// An exclusive bound is a number of its own (JSON Schema validation §6.2.3, §6.2.5).
fn exclusive_bound(schema: &mut Object, bound: &str, exclusive: &str) {
    let Some(&Value::Bool(is_exclusive)) = schema.get(exclusive) else {
        return;
    };
    match schema.get(bound).cloned() {
        Some(limit) if is_exclusive => {
            schema.insert(exclusive.into(), limit);
            schema.shift_remove(bound);
        }
        _ => {
            schema.shift_remove(exclusive);
        }
    }
}

/// `{"type": "integer", "minimum": 1.0}` → `{"type": "integer", "minimum": 1}`.
///
/// poem-openapi keeps every bound as a float. The two are equal (JSON Schema core §4.2.2), but a generator of code
/// takes the first for a fraction.
fn integer_bounds(schema: &mut Object) {
    if !is_type(schema, "integer") {
        return;
    }
    for name in ["multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"] {
        if let Some(Value::Number(bound)) = schema.get_mut(name)
            && bound.is_f64()
            && let Some(float) = bound.as_f64()
            && float.fract() == 0.0
            && let Ok(integer) = format!("{float:.0}").parse::<Number>()
        {
            *bound = integer;
        }
    }
}

/// `{"type": "array", "minLength": 2, "maxLength": 2}` → `{"type": "array", "minItems": 2, "maxItems": 2}`.
///
/// poem-openapi's schema of `[T; N]`. The length keywords constrain strings only (JSON Schema validation §6.3), the
/// items keywords constrain arrays (§6.4).
fn array_length(schema: &mut Object) {
    if !is_type(schema, "array") {
        return;
    }
    for (length, items) in [("minLength", "minItems"), ("maxLength", "maxItems")] {
        if schema.contains_key(items) {
            schema.shift_remove(length);
        } else {
            replace(schema, length, items, |count| count);
        }
    }
}

/// `{"type": "string", "format": "binary"}` as the schema of a body → `{}`.
///
/// Bytes are no JSON string. The key of the media type says what they are (§4.8.14.3).
fn binary_body(value: &mut Value) {
    if let Some(schema) = value.as_object_mut()
        && is_binary(schema)
    {
        schema.shift_remove("type");
        schema.shift_remove("format");
    }
}

/// `{"type": "string", "format": "binary"}` → `{"type": "string", "contentMediaType": "application/octet-stream"}`.
///
/// The part of a multipart body, say. 3.1 describes encoded content by the keywords of JSON Schema (validation §8.4)
/// and no longer by a format.
fn binary(schema: &mut Object) {
    if is_binary(schema) {
        replace(schema, "format", "contentMediaType", |_| "application/octet-stream".into());
    }
}

/// `{"type": "string", "format": "byte"}` → `{"type": "string", "contentEncoding": "base64"}`.
///
/// 3.0 calls it `byte`, poem-openapi's `Base64` writes `bytes`; JSON Schema has a keyword for it (validation §8.3).
fn base64(schema: &mut Object) {
    if is_type(schema, "string") && ["byte", "bytes", "base64"].contains(&text(schema, "format")) {
        replace(schema, "format", "contentEncoding", |_| "base64".into());
    }
}

/// `"example": value` → `"examples": [value]`.
///
/// JSON Schema has a list of examples (validation §9.5); the Schema Object's own `example` is deprecated (§4.8.24).
fn example(schema: &mut Object) {
    if !schema.contains_key("examples") {
        replace(schema, "example", "examples", |value| vec![value].into());
    }
}

/// `nullable` → the type `null`. `false` says nothing and goes.
///
/// * `{"type": T, "nullable": true}` → `{"type": [T, "null"]}`, and `null` joins an `enum`
/// * `{"$ref": R, "nullable": true}` → `{"anyOf": [{"$ref": R}, {"type": "null"}]}`, likewise for `allOf`, `anyOf`
///   and `oneOf`: null has to pass by the other keywords. The annotations stay outside.
///
/// 3.1 has no `nullable`: null is a type (JSON Schema validation §6.1.1). A schema without a type admits it anyway.
fn nullable(schema: &mut Object) {
    if schema.shift_remove("nullable") != Some(Value::Bool(true)) {
        return;
    }
    if ["$ref", "allOf", "anyOf", "oneOf"].iter().any(|name| schema.contains_key(*name)) {
        let (annotations, schema_alone): (Object, Object) =
            mem::take(schema).into_iter().partition(|(name, _)| ANNOTATIONS.contains(&name.as_str()));
        let null = Object::from_iter([("type".into(), "null".into())]);
        *schema = annotations;
        schema.insert("anyOf".into(), vec![Value::from(schema_alone), null.into()].into());
        return;
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut)
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    if let Some(name @ Value::String(_)) = schema.get_mut("type") {
        *name = vec![name.take(), "null".into()].into();
    }
}

// The rules for everything else.

/// `{"identifier": …, "url": …}` → `{"identifier": …}`.
///
/// A License Object names an SPDX identifier or a URL, not both (§4.8.4). 3.0 has no `identifier`.
fn license_url(license: &mut Object) {
    if license.contains_key("identifier") {
        license.shift_remove("url");
    }
}

/// `Page_integer(uint64)` → `Page_integer_uint64`.
///
/// The keys of the Components Object match `^[a-zA-Z0-9._-]+$` (§4.8.7). poem-openapi puts the name of an argument
/// into the name of a generic type, and the unsigned integers have parentheses in theirs. Any other character, which
/// only a name given by hand can have, becomes its code point.
fn component_name(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c.to_string(),
            '(' => "_".to_owned(),
            ')' => String::new(),
            _ => format!("_{:x}", u32::from(c)),
        })
        .collect()
}

/// `"bearerFormat"` of a scheme that is not `bearer` → none.
///
/// It applies to `http` with `bearer` only (§4.8.27.1); poem-openapi writes it for `basic` too.
fn bearer_format(scheme: &mut Object) {
    if !text(scheme, "scheme").eq_ignore_ascii_case("bearer") {
        scheme.shift_remove("bearerFormat");
    }
}

/// A flow without `scopes` → `"scopes": {}`; a URL that the flow does not use → none.
///
/// `scopes` is required and may be empty (§4.8.29.1), where poem-openapi writes no empty map. The authorization URL
/// belongs to `implicit` and `authorizationCode`, the token URL to all but `implicit`.
fn oauth_flow(name: &str, flow: &mut Object) {
    if !matches!(name, "implicit" | "authorizationCode") {
        flow.shift_remove("authorizationUrl");
    }
    if name == "implicit" {
        flow.shift_remove("tokenUrl");
    }
    flow.entry("scopes").or_insert_with(|| Object::new().into());
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

/// `WWW-AUTHENTICATE` → `WWW-Authenticate`.
///
/// Header names are case-insensitive (RFC 9110 §5.1). poem-openapi writes them in capitals, a few in lower case; a
/// name in mixed case is somebody's choice and stays.
fn header_name(name: &str) -> String {
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

// What the rules are made of.

/// The references to the components whose values are neither arrays nor objects.
fn scalars(root: &Object) -> BTreeSet<String> {
    let none = BTreeSet::new();
    root.get("components")
        .and_then(|components| components.get("schemas")?.as_object())
        .into_iter()
        .flatten()
        .filter(|(_, schema)| is_scalar(schema, &none))
        .map(|(name, _)| format!("{SCHEMAS}{name}"))
        .collect()
}

/// Whether the schema admits neither arrays nor objects.
fn is_scalar(schema: &Value, scalars: &BTreeSet<String>) -> bool {
    let scalar = |name: &Value| {
        name.as_str().is_some_and(|name| matches!(name, "string" | "number" | "integer" | "boolean" | "null"))
    };
    match schema.get("type") {
        Some(Value::Array(names)) => names.iter().all(scalar),
        Some(name) => scalar(name),
        None => reference(schema).is_some_and(|target| scalars.contains(target)),
    }
}

fn is_type(schema: &Object, name: &str) -> bool {
    text(schema, "type") == name
}

fn is_binary(schema: &Object) -> bool {
    is_type(schema, "string") && text(schema, "format") == "binary"
}

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()
}

/// The text of a member, empty where there is none.
fn text<'a>(object: &'a Object, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn object<'a>(parent: &'a mut Object, name: &str) -> Option<&'a mut Object> {
    parent.get_mut(name)?.as_object_mut()
}

/// The values of a member that is a map.
fn members<'a>(parent: &'a mut Object, name: &str) -> impl Iterator<Item = &'a mut Value> {
    object(parent, name).into_iter().flat_map(Object::values_mut)
}

/// The objects among the values of a member that is a map.
fn objects<'a>(parent: &'a mut Object, name: &str) -> impl Iterator<Item = &'a mut Object> {
    members(parent, name).filter_map(Value::as_object_mut)
}

/// The values of a member that is a list.
fn elements<'a>(parent: &'a mut Object, name: &str) -> impl Iterator<Item = &'a mut Value> {
    parent.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

fn drop_default(object: &mut Object, name: &str, default: bool) {
    if object.get(name) == Some(&Value::Bool(default)) {
        object.shift_remove(name);
    }
}

fn drop_empty(object: &mut Object, name: &str) {
    let empty = match object.get(name) {
        Some(Value::Array(values)) => values.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        _ => false,
    };
    if empty {
        object.shift_remove(name);
    }
}

/// Puts a member in the place of another.
fn replace(object: &mut Object, old: &str, new: &str, value: impl Fn(Value) -> Value) {
    if !object.contains_key(old) {
        return;
    }
    *object = mem::take(object)
        .into_iter()
        .map(|(name, member)| if name == old { (new.to_owned(), value(member)) } else { (name, member) })
        .collect();
}

/// Gives the members of a map new names in their places, unless the new name is taken.
fn rename_keys(map: &mut Object, rename: impl Fn(&str) -> String) {
    let old_names: Vec<String> = map.keys().cloned().collect();
    for old in old_names {
        let new = rename(&old);
        if !map.contains_key(&new) {
            replace(map, &old, &new, |member| member);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]
    #![allow(
        clippy::needless_pass_by_value,
        reason = "the arguments are literals, and a borrow of each only adds a sign"
    )]
    #![allow(clippy::unused_async, reason = "poem-openapi wants operations to be async")]

    use poem_openapi::param::{Path, Query};
    use poem_openapi::payload::{Binary, Json};
    use poem_openapi::{ApiResponse, Enum, NewType, Object, OpenApi, OpenApiService, Union};
    use serde_json::{Value, json};

    use super::to_3_1;

    /// Upgrades a document, and makes sure that the result is a fixed point, down to the order of the members.
    fn document(document: Value) -> Value {
        let upgraded = to_3_1(document);
        assert_eq!(to_3_1(upgraded.clone()).to_string(), upgraded.to_string());
        upgraded
    }

    fn component(schema: Value) -> Value {
        document(json!({"components": {"schemas": {"S": schema}}}))["components"]["schemas"]["S"].take()
    }

    fn operation(operation: Value) -> Value {
        document(json!({"paths": {"/": {"post": operation}}}))["paths"]["/"]["post"].take()
    }

    fn parameter(parameter: Value) -> Value {
        operation(json!({"parameters": [parameter]}))["parameters"][0].take()
    }

    fn response(response: Value) -> Value {
        operation(json!({"responses": {"200": response}}))["responses"]["200"].take()
    }

    fn header(header: Value) -> Value {
        response(json!({"headers": {"Age": header}}))["headers"]["Age"].take()
    }

    fn body_schema(media_type: &str, schema: Value) -> Value {
        response(json!({"content": {media_type: {"schema": schema}}}))["content"][media_type]["schema"].take()
    }

    fn security_scheme(scheme: Value) -> Value {
        document(json!({"components": {"securitySchemes": {"S": scheme}}}))["components"]["securitySchemes"]["S"].take()
    }

    #[test]
    fn root() {
        assert_eq!(
            document(json!({"openapi": "3.0.0", "servers": [], "tags": [], "paths": {}})),
            json!({"openapi": "3.1.0", "paths": {}})
        );
        let full = json!({"openapi": "3.1.0", "servers": [{"url": "/"}], "tags": [{"name": "t"}]});
        assert_eq!(document(full.clone()), full);
    }

    #[test]
    fn unexpected_shapes_stay() {
        for value in [json!(null), json!([1]), json!("text")] {
            assert_eq!(document(value.clone()), value);
        }
        let askew = json!({
            "openapi": "3.1.0", "info": [], "paths": {"/": {"get": 1, "put": {"parameters": {}, "responses": [1]}}},
            "components": {"schemas": {"A": 1, "B": {"properties": [], "items": 2, "allOf": [3], "$ref": 4}}},
        });
        assert_eq!(document(askew.clone()), askew);
    }

    #[test]
    fn license() {
        assert_eq!(
            document(json!({"info": {"license": {"name": "MIT", "identifier": "MIT", "url": "https://mit.example"}}}))
                ["info"]["license"],
            json!({"name": "MIT", "identifier": "MIT"})
        );
        assert_eq!(
            document(json!({"info": {"license": {"name": "MIT", "url": "https://mit.example"}}}))["info"]["license"],
            json!({"name": "MIT", "url": "https://mit.example"})
        );
    }

    #[test]
    fn nullable_type() {
        assert_eq!(
            component(json!({"type": "string", "format": "uuid", "nullable": true})),
            json!({"type": ["string", "null"], "format": "uuid"})
        );
        assert_eq!(component(json!({"type": "string", "nullable": false})), json!({"type": "string"}));
        assert_eq!(component(json!({"nullable": true})), json!({}));
    }

    #[test]
    fn nullable_enum() {
        assert_eq!(
            component(json!({"type": "string", "enum": ["a", "b"], "nullable": true})),
            json!({"type": ["string", "null"], "enum": ["a", "b", null]})
        );
        assert_eq!(component(json!({"enum": ["a", null], "nullable": true})), json!({"enum": ["a", null]}));
    }

    #[test]
    fn nullable_composition() {
        assert_eq!(
            component(json!({
                "title": "t", "description": "d", "default": null, "readOnly": true, "nullable": true,
                "oneOf": [{"type": "string"}, {"type": "integer"}], "example": 1,
            })),
            json!({
                "title": "t", "description": "d", "default": null, "readOnly": true, "examples": [1],
                "anyOf": [{"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"type": "null"}],
            })
        );
    }

    #[test]
    fn nullable_reference() {
        let siblings = json!({"description": "d", "nullable": true});
        assert_eq!(
            component(json!({
                "description": "d", "nullable": true, "allOf": [{"$ref": "#/components/schemas/T"}, siblings],
            })),
            json!({"description": "d", "anyOf": [{"$ref": "#/components/schemas/T"}, {"type": "null"}]})
        );
        assert_eq!(
            component(json!({"$ref": "#/components/schemas/T", "nullable": true})),
            json!({"anyOf": [{"$ref": "#/components/schemas/T"}, {"type": "null"}]})
        );
    }

    #[test]
    fn reference_with_siblings() {
        let siblings = json!({"description": "d", "default": "a", "deprecated": true});
        assert_eq!(
            component(json!({
                "description": "d", "default": "a", "deprecated": true,
                "allOf": [{"$ref": "#/components/schemas/T"}, siblings],
            })),
            json!({"$ref": "#/components/schemas/T", "description": "d", "default": "a", "deprecated": true})
        );
        assert_eq!(
            component(json!({"allOf": [{"$ref": "#/components/schemas/T"}], "title": "t"})),
            json!({"$ref": "#/components/schemas/T", "title": "t"})
        );
    }

    #[test]
    fn reference_merged_twice() {
        assert_eq!(
            component(json!({
                "title": "t", "description": "of the field",
                "allOf": [{"$ref": "#/components/schemas/T"}, {"title": "t", "description": "of the type"}],
            })),
            json!({"$ref": "#/components/schemas/T", "title": "t", "description": "of the field"})
        );
    }

    #[test]
    fn real_conjunction() {
        let schemas = [
            json!({"allOf": [{"$ref": "#/components/schemas/T"}, {"minLength": 1}], "minLength": 2}),
            json!({"allOf": [{"$ref": "#/components/schemas/T"}, {"type": "object"}]}),
            json!({"allOf": [{"type": "object"}, {"$ref": "#/components/schemas/T"}]}),
        ];
        for schema in schemas {
            assert_eq!(component(schema.clone()), schema);
        }
    }

    #[test]
    fn exclusive_bounds() {
        assert_eq!(
            component(json!({
                "type": "number", "maximum": 1.5, "exclusiveMaximum": true, "minimum": 0.5, "exclusiveMinimum": false,
            })),
            json!({"type": "number", "exclusiveMaximum": 1.5, "minimum": 0.5})
        );
        assert_eq!(component(json!({"type": "number", "exclusiveMinimum": true})), json!({"type": "number"}));
    }

    #[test]
    fn integer_bounds() {
        let bounded = component(json!({
            "type": "integer", "minimum": -1.0, "maximum": 4_294_967_295.0, "multipleOf": 1.5, "nullable": true,
        }));
        // Compared as text, for 1.0 and 1 must differ.
        assert_eq!(
            bounded.to_string(),
            r#"{"type":["integer","null"],"minimum":-1,"maximum":4294967295,"multipleOf":1.5}"#
        );
        let exclusive = component(json!({"type": "integer", "minimum": 0.0, "exclusiveMinimum": true}));
        assert_eq!(exclusive.to_string(), r#"{"type":"integer","exclusiveMinimum":0}"#);
        let number = component(json!({"type": "number", "minimum": 1.0}));
        assert_eq!(number.to_string(), r#"{"type":"number","minimum":1.0}"#);
    }

    #[test]
    fn schema_example() {
        assert_eq!(
            component(json!({"type": "array", "items": {"type": "string", "example": "a"}, "example": ["a"]})),
            json!({"type": "array", "items": {"type": "string", "examples": ["a"]}, "examples": [["a"]]})
        );
    }

    #[test]
    fn parameter_example() {
        assert_eq!(
            parameter(json!({"name": "p", "in": "query", "schema": {"type": "string", "example": "a"}})),
            json!({"name": "p", "in": "query", "schema": {"type": "string"}, "example": "a"})
        );
        let siblings = json!({"example": "a"});
        assert_eq!(
            parameter(json!({
                "name": "p", "in": "query",
                "schema": {"example": "a", "allOf": [{"$ref": "#/components/schemas/T"}, siblings]},
            })),
            json!({"name": "p", "in": "query", "schema": {"$ref": "#/components/schemas/T"}, "example": "a"})
        );
        assert_eq!(
            parameter(json!({"name": "p", "in": "query", "schema": {"example": "a"}, "example": "b"})),
            json!({"name": "p", "in": "query", "schema": {"examples": ["a"]}, "example": "b"})
        );
    }

    #[test]
    fn header_example() {
        assert_eq!(
            header(json!({"schema": {"type": "integer", "example": 1}})),
            json!({"schema": {"type": "integer"}, "example": 1})
        );
    }

    #[test]
    fn media_type_names() {
        assert_eq!(
            response(json!({"content": {
                "application/json; charset=utf-8": {"schema": {}},
                "text/plain;charset=UTF-8; format=flowed": {"schema": {}},
                "multipart/form-data; boundary=x": {"schema": {}},
            }})),
            json!({"content": {
                "application/json": {"schema": {}},
                "text/plain; format=flowed": {"schema": {}},
                "multipart/form-data; boundary=x": {"schema": {}},
            }})
        );
        let both = json!({"content": {
            "text/plain; charset=utf-8": {"schema": {"type": "string"}},
            "text/plain": {"schema": {"type": "integer"}},
        }});
        assert_eq!(response(both.clone()), both);
    }

    #[test]
    fn header_names() {
        let cases = [
            ("WWW-AUTHENTICATE", "WWW-Authenticate"),
            ("X-REQUEST-ID", "X-Request-Id"),
            ("ETAG", "ETag"),
            ("etag", "ETag"),
            ("last-modified", "Last-Modified"),
            ("LOCATION", "Location"),
            ("RETRY-AFTER", "Retry-After"),
            ("CONTENT-TYPE", "Content-Type"),
            ("CONTENT-MD5", "Content-MD5"),
            ("TE", "TE"),
            ("DNT", "DNT"),
            ("X-XSS-PROTECTION", "X-XSS-Protection"),
            ("SEC-WEBSOCKET-ACCEPT", "Sec-WebSocket-Accept"),
            ("RATELIMIT-POLICY", "RateLimit-Policy"),
            ("X-GitHub-Event", "X-GitHub-Event"),
        ];
        for (old, new) in cases {
            assert_eq!(response(json!({"headers": {old: {"schema": {}}}})), json!({"headers": {new: {"schema": {}}}}));
            assert_eq!(parameter(json!({"name": old, "in": "header"}))["name"], new);
            assert_eq!(parameter(json!({"name": old, "in": "query"}))["name"], old);
        }
    }

    #[test]
    fn binary_body() {
        assert_eq!(
            body_schema("image/png", json!({"type": "string", "format": "binary", "description": "d"})),
            json!({"description": "d"})
        );
    }

    #[test]
    fn binary_part() {
        assert_eq!(
            body_schema(
                "multipart/form-data",
                json!({"type": "object", "properties": {"f": {"type": "string", "format": "binary"}}})
            ),
            json!({
                "type": "object",
                "properties": {"f": {"type": "string", "contentMediaType": "application/octet-stream"}},
            })
        );
    }

    #[test]
    fn base64() {
        for format in ["byte", "bytes", "base64"] {
            assert_eq!(
                component(json!({"type": "string", "format": format})),
                json!({"type": "string", "contentEncoding": "base64"})
            );
        }
        assert_eq!(
            body_schema("text/plain", json!({"type": "bytes", "format": "string"})),
            json!({"type": "string", "contentEncoding": "base64"})
        );
    }

    #[test]
    fn type_never() {
        assert_eq!(
            component(json!({"type": "object", "additionalProperties": {"type": "never"}})),
            json!({"type": "object", "additionalProperties": false})
        );
        assert_eq!(component(json!({"type": "never"})), json!(false));
    }

    #[test]
    fn type_char() {
        assert_eq!(
            component(json!({"type": "char", "nullable": true})),
            json!({"type": ["string", "null"], "minLength": 1, "maxLength": 1})
        );
    }

    #[test]
    fn type_non_zero_integer() {
        assert_eq!(
            component(json!({"type": "non_zero_integer", "format": "int32"})),
            json!({"type": "integer", "format": "int32", "not": {"const": 0}})
        );
        assert_eq!(
            component(json!({
                "type": "non_zero_integer", "format": "uint32", "minimum": 0.0, "exclusiveMinimum": true,
            })),
            json!({"type": "integer", "format": "uint32", "exclusiveMinimum": 0})
        );
    }

    #[test]
    fn fixed_array() {
        assert_eq!(
            component(json!({"type": "array", "items": {"type": "string"}, "maxLength": 2, "minLength": 2})),
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 2, "minItems": 2})
        );
        assert_eq!(
            component(json!({"type": "array", "items": {}, "maxLength": 2, "maxItems": 1})),
            json!({"type": "array", "items": {}, "maxItems": 1})
        );
    }

    #[test]
    fn untagged_union() {
        assert_eq!(
            component(json!({
                "type": "object", "description": "d",
                "anyOf": [{"type": "integer"}, {"$ref": "#/components/schemas/T"}],
            })),
            json!({"description": "d", "anyOf": [{"type": "integer"}, {"$ref": "#/components/schemas/T"}]})
        );
        let objects = [
            json!({
                "type": "object", "oneOf": [{"$ref": "#/components/schemas/T"}],
                "discriminator": {"propertyName": "p"},
            }),
            json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({"type": "object", "properties": {}, "anyOf": [{"$ref": "#/components/schemas/T"}]}),
        ];
        for schema in objects {
            assert_eq!(component(schema.clone()), schema);
        }
    }

    #[test]
    fn component_names() {
        assert_eq!(
            document(json!({"components": {"schemas": {
                "Page_integer(uint64)": {"type": "object"},
                "Größe": {"type": "object"},
                "T": {
                    "oneOf": [{"$ref": "#/components/schemas/Page_integer(uint64)"}],
                    "discriminator": {
                        "propertyName": "p", "mapping": {"a(b)": "#/components/schemas/Page_integer(uint64)"},
                    },
                },
            }}}))["components"]["schemas"],
            json!({
                "Page_integer_uint64": {"type": "object"},
                "Gr_f6_dfe": {"type": "object"},
                "T": {
                    "oneOf": [{"$ref": "#/components/schemas/Page_integer_uint64"}],
                    "discriminator": {
                        "propertyName": "p", "mapping": {"a(b)": "#/components/schemas/Page_integer_uint64"},
                    },
                },
            })
        );
    }

    #[test]
    fn parameter_defaults() {
        assert_eq!(
            parameter(json!({
                "name": "p", "in": "query", "schema": {"type": "array"}, "required": false, "deprecated": false,
                "explode": true, "style": "form",
            })),
            json!({"name": "p", "in": "query", "schema": {"type": "array"}})
        );
        assert_eq!(
            parameter(json!({
                "name": "p", "in": "cookie", "schema": {}, "required": true, "deprecated": true, "explode": false,
            })),
            json!({"name": "p", "in": "cookie", "schema": {}, "required": true, "deprecated": true, "explode": false})
        );
        assert_eq!(
            parameter(json!({"name": "p", "in": "query", "schema": {}, "explode": true, "style": "deepObject"})),
            json!({"name": "p", "in": "query", "schema": {}, "explode": true, "style": "deepObject"})
        );
        assert_eq!(
            parameter(json!({"name": "P", "in": "header", "schema": {"type": "array"}, "explode": true})),
            json!({"name": "P", "in": "header", "schema": {"type": "array"}, "explode": true})
        );
        assert_eq!(
            parameter(json!({"name": "P", "in": "header", "schema": {"type": "string"}, "explode": true})),
            json!({"name": "P", "in": "header", "schema": {"type": "string"}})
        );
    }

    #[test]
    fn explode_of_a_referenced_scalar() {
        let mut upgraded = document(json!({
            "paths": {"/{a}/{b}": {"get": {"parameters": [
                {"name": "a", "in": "path", "schema": {"$ref": "#/components/schemas/A"}, "explode": true},
                {"name": "b", "in": "path", "schema": {"$ref": "#/components/schemas/B"}, "explode": true},
            ]}}},
            "components": {"schemas": {"A": {"type": "string", "nullable": true}, "B": {"type": "object"}}},
        }));
        assert_eq!(
            upgraded["paths"]["/{a}/{b}"]["get"]["parameters"].take(),
            json!([
                {"name": "a", "in": "path", "required": true, "schema": {"$ref": "#/components/schemas/A"}},
                {
                    "name": "b", "in": "path", "required": true, "schema": {"$ref": "#/components/schemas/B"},
                    "explode": true,
                },
            ])
        );
    }

    #[test]
    fn path_parameter() {
        assert_eq!(
            parameter(json!({"name": "p", "in": "path", "schema": {}, "required": false})),
            json!({"name": "p", "in": "path", "schema": {}, "required": true})
        );
    }

    #[test]
    fn header_defaults() {
        assert_eq!(
            header(json!({"required": false, "deprecated": false, "schema": {"type": "string"}})),
            json!({"schema": {"type": "string"}})
        );
        assert_eq!(
            header(json!({"required": true, "deprecated": true, "schema": {}})),
            json!({"required": true, "deprecated": true, "schema": {}})
        );
    }

    #[test]
    fn operation_defaults() {
        assert_eq!(
            operation(json!({
                "deprecated": false, "responses": {},
                "requestBody": {"content": {"text/plain": {"schema": {"type": "char"}}}, "required": false},
            })),
            json!({"requestBody": {"content": {
                "text/plain": {"schema": {"type": "string", "minLength": 1, "maxLength": 1}},
            }}})
        );
    }

    #[test]
    fn empty_response() {
        assert_eq!(response(json!({"description": "", "headers": {}, "content": {}})), json!({"description": ""}));
    }

    #[test]
    fn connect() {
        assert_eq!(document(json!({"paths": {"/": {"connect": {}, "get": {}}}}))["paths"], json!({"/": {"get": {}}}));
    }

    #[test]
    fn webhooks() {
        assert_eq!(
            document(json!({"webhooks": {"w": {"post": {"deprecated": false, "responses": {"200": {
                "content": {"text/plain": {"schema": {"type": "string", "nullable": true}}},
            }}}}}}))["webhooks"],
            json!({"w": {"post": {"responses": {"200": {
                "content": {"text/plain": {"schema": {"type": ["string", "null"]}}},
            }}}}})
        );
    }

    #[test]
    fn http_scheme() {
        assert_eq!(
            security_scheme(json!({"type": "http", "scheme": "basic", "bearerFormat": "JWT"})),
            json!({"type": "http", "scheme": "basic"})
        );
        let bearer = json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"});
        assert_eq!(security_scheme(bearer.clone()), bearer);
    }

    #[test]
    fn oauth2_scheme() {
        let urls = json!({"authorizationUrl": "/a", "tokenUrl": "/t"});
        assert_eq!(
            security_scheme(json!({"type": "oauth2", "flows": {
                "implicit": urls, "password": urls, "clientCredentials": urls, "authorizationCode": urls,
            }})),
            json!({"type": "oauth2", "flows": {
                "implicit": {"authorizationUrl": "/a", "scopes": {}},
                "password": {"tokenUrl": "/t", "scopes": {}},
                "clientCredentials": {"tokenUrl": "/t", "scopes": {}},
                "authorizationCode": {"authorizationUrl": "/a", "tokenUrl": "/t", "scopes": {}},
            }})
        );
        let scoped = json!({"type": "oauth2", "flows": {
            "password": {"tokenUrl": "/t", "scopes": {"read": "Reads."}},
        }});
        assert_eq!(security_scheme(scoped.clone()), scoped);
    }

    #[test]
    fn properties_named_like_keywords() {
        let schema = json!({
            "type": "object",
            "required": ["nullable"],
            "properties": {
                "nullable": {"type": "boolean"},
                "example": {"type": "string"},
                "exclusiveMinimum": {"type": "boolean"},
                "allOf": {"type": "array", "items": {}},
                "$ref": {"type": "string"},
                "properties": {"type": "object", "properties": {"type": {"type": "string"}}},
            },
        });
        assert_eq!(component(schema.clone()), schema);
    }

    #[test]
    fn data_like_schemas() {
        let data = json!({
            "type": "never", "nullable": true, "example": 1, "$ref": "#/components/schemas/A(b)",
            "schema": {"type": "char"}, "exclusiveMinimum": false, "format": "binary",
        });
        let schema = json!({"default": data, "enum": [data, data], "examples": [data]});
        assert_eq!(component(schema.clone()), schema);
        assert_eq!(component(json!({"example": data})), json!({"examples": [data]}));
        assert_eq!(parameter(json!({"name": "p", "in": "query", "example": data}))["example"], data);
        let extension = json!({"x-code-samples": [data], "responses": {"200": {"description": "nullable"}}});
        assert_eq!(operation(extension.clone()), extension);
    }

    #[test]
    fn order() {
        let upgraded = to_3_1(json!({
            "openapi": "3.0.0", "info": {"title": "t", "version": "1"}, "servers": [], "tags": [],
            "paths": {"/": {"get": {"operationId": "o", "parameters": [{
                "name": "p", "schema": {"type": "string", "example": "a"}, "in": "query", "description": "d",
                "required": true, "deprecated": false, "explode": true,
            }], "responses": {"200": {"description": "", "headers": {
                "ETAG": {"deprecated": false, "schema": {}}, "X-B": {"schema": {}},
            }}}}}},
            "components": {"schemas": {"S": {
                "type": "number", "format": "double", "description": "d", "nullable": true, "example": 1.5,
                "maximum": 2.0, "exclusiveMaximum": true, "minimum": 0.0,
            }}},
        }));
        assert_eq!(
            upgraded.to_string(),
            concat!(
                r#"{"openapi":"3.1.0","info":{"title":"t","version":"1"},"#,
                r#""paths":{"/":{"get":{"operationId":"o","parameters":[{"name":"p","in":"query","#,
                r#""description":"d","required":true,"schema":{"type":"string"},"example":"a"}],"#,
                r#""responses":{"200":{"description":"","headers":{"ETag":{"schema":{}},"X-B":{"schema":{}}}}}}}},"#,
                r#""components":{"schemas":{"S":{"type":["number","null"],"format":"double","#,
                r#""description":"d","examples":[1.5],"exclusiveMaximum":2.0,"minimum":0.0}}}}"#,
            )
        );
    }

    /// A colour.
    #[derive(Enum)]
    #[oai(rename_all = "lowercase")]
    enum Colour {
        Red,
        Green,
    }

    /// A name.
    #[derive(NewType)]
    struct Name(String);

    #[derive(Union)]
    enum NameOrNumber {
        Name(Name),
        Number(i64),
    }

    #[derive(Object)]
    struct Page<T: poem_openapi::types::Type + poem_openapi::types::ParseFromJSON + poem_openapi::types::ToJSON> {
        items: Vec<T>,
    }

    #[derive(Object)]
    struct Thing {
        /// The colour of the thing.
        #[oai(nullable)]
        colour: Option<Colour>,
        #[oai(validator(minimum(value = "0", exclusive)))]
        size: i32,
        #[oai(nullable)]
        note: Option<String>,
        /// What to call it.
        label: NameOrNumber,
        corners: [f64; 2],
        initial: char,
        count: std::num::NonZero<i8>,
    }

    #[derive(ApiResponse)]
    enum Created {
        /// The thing exists.
        #[oai(status = 201)]
        Thing(Json<Thing>, #[oai(header = "ETag")] String),
    }

    fn example() -> u64 {
        7
    }

    struct Api;

    #[OpenApi]
    impl Api {
        #[oai(path = "/things/:id", method = "post")]
        async fn create(
            &self,
            #[oai(example = "example")] id: Path<u64>,
            colour: Query<Option<Colour>>,
            thing: Json<Thing>,
        ) -> Created {
            let _ = (id, colour);
            Created::Thing(thing, String::new())
        }

        #[oai(path = "/pages", method = "get")]
        async fn pages(&self) -> Json<Page<u64>> {
            Json(Page { items: Vec::new() })
        }

        #[oai(path = "/image", method = "get")]
        async fn image(&self) -> Binary<Vec<u8>> {
            Binary(Vec::new())
        }
    }

    #[test]
    fn service() {
        let spec = OpenApiService::new(Api, "Things", "1").spec();
        assert_eq!(
            document(serde_json::from_str(&spec).unwrap()),
            json!({
                "openapi": "3.1.0",
                "info": {"title": "Things", "version": "1"},
                "paths": {
                    "/things/{id}": {"post": {
                        "parameters": [
                            {
                                "name": "id", "in": "path", "required": true,
                                "schema": {"type": "integer", "format": "uint64"}, "example": 7,
                            },
                            {"name": "colour", "in": "query", "schema": {"$ref": "#/components/schemas/Colour"}},
                        ],
                        "requestBody": {
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                            "required": true,
                        },
                        "responses": {"201": {
                            "description": "The thing exists.",
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                            "headers": {"ETag": {"required": true, "schema": {"type": "string"}}},
                        }},
                    }},
                    "/pages": {"get": {"responses": {"200": {
                        "description": "",
                        "content": {"application/json": {
                            "schema": {"$ref": "#/components/schemas/Page_integer_uint64"},
                        }},
                    }}}},
                    "/image": {"get": {"responses": {"200": {
                        "description": "",
                        "content": {"application/octet-stream": {"schema": {}}},
                    }}}},
                },
                "components": {"schemas": {
                    "Colour": {"type": "string", "description": "A colour.", "enum": ["red", "green"]},
                    "NameOrNumber": {"anyOf": [
                        {"type": "string", "title": "A name."},
                        {"type": "integer", "format": "int64"},
                    ]},
                    "Page_integer_uint64": {
                        "type": "object",
                        "title": "Page_integer(uint64)",
                        "required": ["items"],
                        "properties": {
                            "items": {"type": "array", "items": {"type": "integer", "format": "uint64"}},
                        },
                    },
                    "Thing": {
                        "type": "object",
                        "title": "Thing",
                        "required": ["size", "label", "corners", "initial", "count"],
                        "properties": {
                            "colour": {
                                "description": "The colour of the thing.",
                                "anyOf": [{"$ref": "#/components/schemas/Colour"}, {"type": "null"}],
                            },
                            "size": {"type": "integer", "format": "int32", "exclusiveMinimum": 0},
                            "note": {"type": ["string", "null"]},
                            "label": {"$ref": "#/components/schemas/NameOrNumber", "description": "What to call it."},
                            "corners": {
                                "type": "array", "items": {"type": "number", "format": "double"},
                                "maxItems": 2, "minItems": 2,
                            },
                            "initial": {"type": "string", "minLength": 1, "maxLength": 1},
                            "count": {"type": "integer", "format": "int8", "not": {"const": 0}},
                        },
                    },
                }},
            })
        );
    }
}
