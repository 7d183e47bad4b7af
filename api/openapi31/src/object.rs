//! What the rules are made of: JSON objects, read and changed by name.

use std::mem;

use serde_json::{Map, Value};

pub(crate) type Object = Map<String, Value>;

pub(crate) fn is_type(schema: &Object, name: &str) -> bool {
    text(schema, "type") == name
}

pub(crate) fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()
}

/// The text of a member, empty where there is none.
pub(crate) fn text<'a>(object: &'a Object, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn object<'a>(parent: &'a mut Object, name: &str) -> Option<&'a mut Object> {
    parent.get_mut(name)?.as_object_mut()
}

/// The values of a member that is a map.
pub(crate) fn members<'a>(parent: &'a mut Object, name: &str) -> impl Iterator<Item = &'a mut Value> {
    object(parent, name).into_iter().flat_map(Object::values_mut)
}

/// The objects among the values of a member that is a map.
pub(crate) fn objects<'a>(parent: &'a mut Object, name: &str) -> impl Iterator<Item = &'a mut Object> {
    members(parent, name).filter_map(Value::as_object_mut)
}

/// The values of a member that is a list.
pub(crate) fn elements<'a>(parent: &'a mut Object, name: &str) -> impl Iterator<Item = &'a mut Value> {
    parent.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

pub(crate) fn drop_default(object: &mut Object, name: &str, default: bool) {
    if object.get(name) == Some(&Value::Bool(default)) {
        object.shift_remove(name);
    }
}

pub(crate) fn drop_empty(object: &mut Object, name: &str) {
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
pub(crate) fn replace(object: &mut Object, old: &str, new: &str, value: impl Fn(Value) -> Value) {
    if !object.contains_key(old) {
        return;
    }
    *object = mem::take(object)
        .into_iter()
        .map(|(name, member)| if name == old { (new.to_owned(), value(member)) } else { (name, member) })
        .collect();
}

/// Gives the members of a map new names in their places, unless the new name is taken.
pub(crate) fn rename_keys(map: &mut Object, rename: impl Fn(&str) -> String) {
    let old_names: Vec<String> = map.keys().cloned().collect();
    for old in old_names {
        let new = rename(&old);
        if !map.contains_key(&new) {
            replace(map, &old, &new, |member| member);
        }
    }
}
