//! The links of the document (OpenAPI 3.1 §4.8.20): what a client may do next with what an answer holds. Readers see them
//! in the document, and tools that walk through an API follow them. None has a `requestBody`: swagger-parser, which
//! openapi-generator reads with, takes only texts for it and refuses the whole document otherwise.

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
    ];
    const TASKS: &[(&str, &str)] = &[("getTask", "GetFirstTask"), ("completeTask", "CompleteFirstTask")];
    match (operation_id, status) {
        ("createTask", "201") | ("getTask" | "updateTask" | "patchTask" | "completeTask", "200") => TASK,
        ("bulkCreateTasks", "201") | ("bulkCompleteTasks" | "bulkPatchTasks", "200") => TASKS,
        ("listTasks", "200") => &[("nextPage", "NextPage")],
        ("listChanges", "200") => &[("nextChanges", "NextChanges")],
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
        ("GetFirstTask", on_task("getTask", "Read the first of the tasks.", FIRST, json!({}))),
        ("CompleteFirstTask", on_task("completeTask", "Complete the first of the tasks.", FIRST, json!({}))),
        (
            "NextPage",
            json!({
                "operationId": "listTasks",
                "parameters": {
                    "path.user_id": USER,
                    "query.cursor": "$response.body#/meta/next_cursor",
                    "query.is_completed": "$request.query.is_completed",
                    "query.priority": "$request.query.priority",
                    "query.tag": "$request.query.tag",
                    "query.due_from": "$request.query.due_from",
                    "query.due_to": "$request.query.due_to",
                    "query.q": "$request.query.q",
                    "query.sort": "$request.query.sort",
                },
                "description": "The next page, unless `next_cursor` is null.",
            }),
        ),
        (
            "NextChanges",
            json!({
                "operationId": "listChanges",
                "parameters": { "path.user_id": USER, "query.since": "$response.body#/meta/next" },
                "description": "What comes next.",
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
