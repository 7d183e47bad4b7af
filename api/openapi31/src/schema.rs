//! Schema Object (§4.8.24), and the names of schemas in the Components Object (§4.8.7).

use std::collections::BTreeSet;
use std::mem;

use serde_json::{Number, Value};

use crate::object::{Object, elements, is_type, members, object, reference, replace, text};

/// Where poem-openapi's references point.
const SCHEMAS: &str = "#/components/schemas/";

/// What describes a schema without constraining the value.
const ANNOTATIONS: [&str; 9] =
    ["title", "description", "externalDocs", "default", "deprecated", "readOnly", "writeOnly", "example", "examples"];

/// Schema Object (§4.8.24). The order matters in three places: a reference is folded while both copies of its
/// siblings are still alike, poem-openapi's own type names go before the rules for the real type, and `nullable`
/// comes last, for it moves the rest.
pub(crate) fn schema(value: &mut Value) {
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

/// `Page_integer(uint64)` → `Page_integer_uint64`.
///
/// The keys of the Components Object match `^[a-zA-Z0-9._-]+$` (§4.8.7). poem-openapi puts the name of an argument
/// into the name of a generic type, and the unsigned integers have parentheses in theirs. Any other character, which
/// only a name given by hand can have, becomes its code point.
pub(crate) fn component_name(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => c.to_string(),
            '(' => "_".to_owned(),
            ')' => String::new(),
            _ => format!("_{:x}", u32::from(c)),
        })
        .collect()
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
pub(crate) fn binary_body(value: &mut Value) {
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

/// The references to the components whose values are neither arrays nor objects.
pub(crate) fn scalars(root: &Object) -> BTreeSet<String> {
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
pub(crate) fn is_scalar(schema: &Value, scalars: &BTreeSet<String>) -> bool {
    let scalar = |name: &Value| {
        name.as_str().is_some_and(|name| matches!(name, "string" | "number" | "integer" | "boolean" | "null"))
    };
    match schema.get("type") {
        Some(Value::Array(names)) => names.iter().all(scalar),
        Some(name) => scalar(name),
        None => reference(schema).is_some_and(|target| scalars.contains(target)),
    }
}

fn is_binary(schema: &Object) -> bool {
    is_type(schema, "string") && text(schema, "format") == "binary"
}
