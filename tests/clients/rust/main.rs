//! What the client that openapi-generator writes in Rust does on the live server.

use openapi::apis::configuration::Configuration;
use openapi::apis::tasks_api::{
    complete_task, create_task, delete_task, get_task, list_tasks, patch_task, update_task,
};
use openapi::apis::{Error, ResponseContent};
use openapi::models::{TaskDraft, TaskPatch, TaskUpdate};

/// The status and `code` of a refusal. The variant of the entity is the first whose shape fits, not that of the status.
fn refusal<T, E>(answer: Result<T, Error<E>>) -> (u16, String) {
    let Err(Error::ResponseError(ResponseContent { status, content, .. })) = answer else { panic!("wanted a problem") };
    let problem: serde_json::Value = serde_json::from_str(&content).expect("a problem");
    (status.as_u16(), problem["code"].as_str().expect("a code").to_owned())
}

/// Every writable member of a task.
fn whole(title: &str) -> TaskUpdate {
    TaskUpdate {
        title: title.into(),
        description: None,
        due_date: Some("2028-02-29".into()),
        due_time: Some("18:30".into()),
        priority: None,
        tags: vec!["shopping".into()],
        is_completed: false,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Configuration {
        base_path: std::env::var("TASKS_URL")?,
        bearer_access_token: Some(std::env::var("TASKS_TOKEN")?),
        ..Configuration::default()
    };
    // For the second the server answers as one of a later version may.
    let (me, later) = ("me", "later");

    // Create with a key, and again, as if the first answer were lost.
    let create = async |title: &str, key: &str| create_task(&server, me, TaskDraft::new(title.into()), Some(key)).await;
    let task = *create("Buy milk", "rust").await?.data;
    assert_eq!((task.title.as_str(), task.is_completed, task.version), ("Buy milk", false, 1));
    assert_eq!(*create("Buy milk", "rust").await?.data, task);
    assert_eq!(refusal(create("Buy jam", "rust").await), (422, "idempotency-key-reused".into()));

    // Page by page, newest first.
    let (one, two) = (*create("One", "one").await?.data, *create("Two", "two").await?.data);
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let page = list_tasks(&server, me, Some(2), cursor.as_deref(), Some(false), None, None, None, None, None, None, None, None).await?;
        listed.extend(page.data);
        cursor = page.meta.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(listed, [two.clone(), one.clone(), task.clone()]);
    let id = task.id.to_string();

    // Two who change the same version: the second is told.
    let update = async |user: &str, title: &str| {
        update_task(&server, user, &id, whole(title), Some("\"1\"")).await
    };
    assert_eq!(update(me, "Buy oat milk").await?.data.version, 2);
    assert_eq!(refusal(update(me, "Buy soy milk").await), (412, "version-mismatch".into()));

    // A patch leaves what it does not name.
    let patch = TaskPatch { title: Some("Buy two oat milks".into()), ..TaskPatch::new() };
    let patched = patch_task(&server, me, &id, patch, None).await?.data;
    assert_eq!((patched.title.as_str(), patched.is_completed, patched.version), ("Buy two oat milks", false, 3));

    // Complete without a body.
    let done = complete_task(&server, me, &id, None, None).await?.data;
    assert!(done.is_completed && done.completed_at.is_some());

    // Read only what is news: the client takes 304 for an answer of another type.
    assert!(matches!(get_task(&server, me, &id, Some(&done.etag)).await, Err(Error::Serde(_))));

    // A server of a later version: the task is read as ever, and of the problem status and code.
    assert_eq!(get_task(&server, later, &id, None).await?.data.version, done.version);
    assert_eq!(refusal(update(later, "Milk").await), (412, "task-archived".into()));

    // Delete; a second time there is nothing to delete.
    for gone in [&task, &one, &two] {
        delete_task(&server, me, &gone.id.to_string(), None).await?;
    }
    assert_eq!(refusal(delete_task(&server, me, &id, None).await), (404, "task-not-found".into()));
    println!("openapi-generator, rust: the whole story");
    Ok(())
}
