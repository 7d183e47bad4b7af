//! A request for each operation of the document.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Call, Client, whole};
use crate::contract::Operation;

/// A valid body for each operation, about this task; a new operation without its line here fails every test over all
/// operations.
pub(crate) fn body(operation: &str, task: &str) -> Option<Value> {
    match operation {
        "getLiveness" | "getReadiness" | "listTasks" | "listChanges" | "getTask" | "deleteTask" | "exportUser"
        | "eraseUser" => None,
        "createTask" | "patchTask" => Some(json!({ "title": "changed" })),
        "updateTask" => Some(whole("changed", true)),
        "completeTask" => Some(json!({})),
        "bulkCreateTasks" => Some(json!({ "tasks": [{ "title": "changed" }] })),
        "bulkPatchTasks" => Some(json!({ "tasks": [{ "id": task, "title": "changed" }] })),
        "bulkCompleteTasks" | "bulkDeleteTasks" => Some(json!({ "tasks": [{ "id": task }] })),
        other => panic!("{other} has no request in this table"),
    }
}

/// A valid request for an operation, about this task of this user, with a body when it takes one.
pub(crate) fn request(client: &Client, operation: &Operation, user: &str, task: &str) -> Call {
    let call = bare(client, operation, user, task);
    match body(&operation.id, task) {
        Some(body) => call.json(&body),
        None => call,
    }
}

/// A request for an operation, about this task of this user, without a body.
pub(crate) fn bare(client: &Client, operation: &Operation, user: &str, task: &str) -> Call {
    with_query(client, operation, user, task, "")
}

/// As [`bare`], with this at the end of its path.
pub(crate) fn with_query(client: &Client, operation: &Operation, user: &str, task: &str, query: &str) -> Call {
    let path = operation.path.replace("{user_id}", user).replace("{id}", task);
    // What is required.
    let query = if operation.id == "eraseUser" && query.is_empty() { "?confirm=all-tasks" } else { query };
    client.to(operation.method.parse::<Method>().unwrap(), &format!("{path}{query}"))
}
