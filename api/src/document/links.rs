//! The links of the document (OpenAPI 3.1 §4.8.20): what a client may do next with what an answer holds. Readers see them
//! in the document, and tools that walk through an API follow them.

use serde_json::{Map, Value, json};

/// The links of an operation's answer with this status, by name: each names its component.
pub(crate) fn of(operation_id: &str, status: &str) -> &'static [(&'static str, &'static str)] {
    const TASK: &[(&str, &str)] = &[
        ("getTask", "GetTask"),
        ("getTaskIfChanged", "GetTaskIfChanged"),
        ("updateTask", "UpdateTask"),
        ("patchTask", "PatchTask"),
        ("completeTask", "CompleteTask"),
        ("deleteTask", "DeleteTask"),
        ("bulkCompleteTasks", "BulkCompleteTasks"),
        ("bulkDeleteTasks", "BulkDeleteTasks"),
    ];
    const TASKS: &[(&str, &str)] = &[
        ("getTask", "GetFirstTask"),
        ("completeTask", "CompleteFirstTask"),
        ("bulkCompleteTasks", "BulkCompleteFirstTask"),
        ("bulkDeleteTasks", "BulkDeleteFirstTask"),
    ];
    match (operation_id, status) {
        ("createTask", "201") | ("getTask" | "updateTask" | "patchTask" | "completeTask", "200") => TASK,
        ("bulkCreateTasks", "201") | ("bulkCompleteTasks", "200") => TASKS,
        ("listTasks", "200") => &[("nextPage", "NextPage")],
        _ => &[],
    }
}

/// The links, by the names of their components.
pub(crate) fn components() -> Map<String, Value> {
    const ONE: &str = "$response.body#/data";
    const FIRST: &str = "$response.body#/data/0";
    let etag = |name: &str| json!({ name: "$response.header.ETag" });
    let links = [
        ("GetTask", on_task("getTask", "Read the task again.", ONE, json!({}))),
        ("GetTaskIfChanged", on_task("getTask", "Read the task if it has changed.", ONE, etag("header.If-None-Match"))),
        ("UpdateTask", on_task("updateTask", "Replace the task, unless it has changed.", ONE, etag("header.If-Match"))),
        ("PatchTask", on_task("patchTask", "Change the task, unless it has changed.", ONE, etag("header.If-Match"))),
        (
            "CompleteTask",
            on_task("completeTask", "Complete the task, unless it has changed.", ONE, etag("header.If-Match")),
        ),
        ("DeleteTask", on_task("deleteTask", "Delete the task, unless it has changed.", ONE, etag("header.If-Match"))),
        ("BulkCompleteTasks", in_bulk("bulkCompleteTasks", "Complete the task, unless it has changed.", ONE)),
        ("BulkDeleteTasks", in_bulk("bulkDeleteTasks", "Delete the task, unless it has changed.", ONE)),
        ("GetFirstTask", on_task("getTask", "Read the first of the tasks.", FIRST, json!({}))),
        ("CompleteFirstTask", on_task("completeTask", "Complete the first of the tasks.", FIRST, json!({}))),
        (
            "BulkCompleteFirstTask",
            in_bulk("bulkCompleteTasks", "Complete the first of the tasks, unless it has changed.", FIRST),
        ),
        (
            "BulkDeleteFirstTask",
            in_bulk("bulkDeleteTasks", "Delete the first of the tasks, unless it has changed.", FIRST),
        ),
        (
            "NextPage",
            json!({
                "operationId": "listTasks",
                "parameters": {
                    "path.user_id": USER,
                    "query.cursor": "$response.body#/meta/next_cursor",
                    "query.is_completed": "$request.query.is_completed",
                },
                "description": "The next page, unless `next_cursor` is null.",
            }),
        ),
    ];
    links.into_iter().map(|(name, link)| (name.to_owned(), link)).collect()
}

/// Whose tasks: those of the request before.
const USER: &str = "$request.path.user_id";

/// An operation on one task of an answer.
fn on_task(operation_id: &str, description: &str, task: &str, headers: Value) -> Value {
    let mut parameters = json!({ "path.user_id": USER, "path.id": format!("{task}/id") });
    if let (Some(parameters), Value::Object(headers)) = (parameters.as_object_mut(), headers) {
        parameters.extend(headers);
    }
    json!({ "operationId": operation_id, "parameters": parameters, "description": description })
}

/// An operation on many tasks, with one of an answer.
fn in_bulk(operation_id: &str, description: &str, task: &str) -> Value {
    json!({
        "operationId": operation_id,
        "parameters": { "path.user_id": USER },
        "requestBody": { "tasks": [{ "id": format!("{task}/id"), "version": format!("{task}/version") }] },
        "description": description,
    })
}
