//! A tool is called: arguments in, a call of the service, and what a model is told of it.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::document::tools::{MEMBERS, Tool};
use crate::http::body::parse;
use crate::http::code::ProblemCode;
use crate::http::error::Error;
use crate::http::newtype::Nullable;
use crate::http::problem::{Current, Fault};
use crate::http::public_url::PublicUrl;
use crate::mcp::arguments::{AddTask, CompleteTask, DeleteTask, ListTasks, UpdateTask, condition};
use crate::schemas::cursor::Cursor;
use crate::schemas::details::{Description, DueDate, DueTime, Priority, Tag};
use crate::schemas::idempotency::Done;
use crate::schemas::page::TaskPage;
use crate::schemas::task::{StoredTitle, Task, TaskId};
use crate::schemas::time::Timestamp;
use crate::security::owner::Owner;
use crate::service::TaskService;

/// What a call came to, as JSON.
pub(super) enum Outcome {
    /// It was done.
    Done(String),
    /// It was refused, for a reason that a model can do something about.
    Refused(ProblemCode, String),
}

/// Calls a tool. `needs_version`: whether a write must say on which version it depends.
///
/// # Errors
/// What is no matter of the call, and HTTP's to tell: the limits of the user, and the server's own failures.
pub(super) async fn call<S: TaskService>(
    tool: Tool,
    arguments: &[u8],
    owner: &Owner,
    service: &S,
    needs_version: bool,
) -> Result<Outcome, Error> {
    let result = match tool {
        Tool::ListTasks => list(arguments, owner, service).await,
        Tool::AddTask => add(arguments, owner, service).await,
        Tool::CompleteTask => complete(arguments, owner, service, needs_version).await,
        Tool::UpdateTask => update(arguments, owner, service, needs_version).await,
        Tool::DeleteTask => delete(arguments, owner, service, needs_version).await,
    };
    match result {
        Ok(result) => Ok(Outcome::Done(result)),
        Err(error) if is_of_the_call(&error) => {
            Ok(Outcome::Refused(error.code(), Value::from(refusal(tool, &error)).to_string()))
        }
        Err(error) => Err(error),
    }
}

async fn list<S: TaskService>(arguments: &[u8], owner: &Owner, service: &S) -> Result<String, Error> {
    let arguments: ListTasks = parse(arguments)?;
    let has_description = arguments.include_description.unwrap_or_default();
    let (TaskPage { data, meta }, _) = service.list(owner, arguments.request()?).await?;
    written(&Page {
        tasks: data.iter().map(|task| View::in_list(task, has_description)).collect(),
        next_cursor: &meta.next_cursor,
        total: meta.total,
    })
}

async fn add<S: TaskService>(arguments: &[u8], owner: &Owner, service: &S) -> Result<String, Error> {
    let (draft, key) = parse::<AddTask>(arguments)?.parts();
    let Done { data, is_replay } = service.create(owner, draft, key).await?;
    written(&Added { task: View::of(&data, true), is_replay })
}

async fn complete<S: TaskService>(
    arguments: &[u8],
    owner: &Owner,
    service: &S,
    needs_version: bool,
) -> Result<String, Error> {
    let CompleteTask { id, is_completed, version } = parse(arguments)?;
    let condition = condition(version, needs_version)?;
    let task = service.complete(owner, id, is_completed.unwrap_or(true), condition).await?;
    written(&View::of(&task, true))
}

async fn update<S: TaskService>(
    arguments: &[u8],
    owner: &Owner,
    service: &S,
    needs_version: bool,
) -> Result<String, Error> {
    let (id, version, patch) = parse::<UpdateTask>(arguments)?.parts();
    let task = service.patch(owner, id, patch, condition(version, needs_version)?).await?;
    written(&View::of(&task, true))
}

async fn delete<S: TaskService>(
    arguments: &[u8],
    owner: &Owner,
    service: &S,
    needs_version: bool,
) -> Result<String, Error> {
    let DeleteTask { id, version } = parse(arguments)?;
    let deleted = match service.delete(owner, id, condition(version, needs_version)?).await {
        Ok(()) => true,
        // What was asked for is so.
        Err(Error::TaskNotFound) => false,
        Err(error) => return Err(error),
    };
    written(&Deleted { id, deleted })
}

/// A page of tasks.
#[derive(Serialize)]
struct Page<'a> {
    tasks: Vec<View<'a>>,
    next_cursor: &'a Nullable<Cursor>,
    total: Nullable<i64>,
}

/// A task that was created, now or before.
#[derive(Serialize)]
struct Added<'a> {
    #[serde(flatten)]
    task: View<'a>,
    is_replay: bool,
}

/// A task that is not there any more.
#[derive(Serialize)]
struct Deleted {
    id: TaskId,
    deleted: bool,
}

/// What a model sees of a task: [`MEMBERS`].
#[derive(Serialize)]
struct View<'a> {
    id: TaskId,
    title: &'a StoredTitle,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a Nullable<Description>>,
    /// In lists, which mostly leave it out: what nobody knows of would be written over.
    #[serde(skip_serializing_if = "Option::is_none")]
    has_description: Option<bool>,
    due_date: Nullable<DueDate>,
    due_time: Nullable<DueTime>,
    priority: Nullable<Priority>,
    tags: &'a [Tag],
    is_completed: bool,
    completed_at: Nullable<Timestamp>,
    version: i64,
}

impl<'a> View<'a> {
    fn in_list(task: &'a Task, has_description: bool) -> Self {
        Self { has_description: Some(task.description.0.is_some()), ..Self::of(task, has_description) }
    }

    fn of(task: &'a Task, has_description: bool) -> Self {
        Self {
            id: task.id,
            title: &task.title,
            description: has_description.then_some(&task.description),
            has_description: None,
            due_date: task.due_date,
            due_time: task.due_time,
            priority: task.priority,
            tags: &task.tags,
            is_completed: task.is_completed,
            completed_at: task.completed_at,
            version: task.version,
        }
    }
}

fn written(result: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(result).map_err(Error::internal)
}

/// Whether an error is about what was called with what, and not about the server or the user's share of it.
fn is_of_the_call(error: &Error) -> bool {
    use ProblemCode as Code;
    matches!(
        error.code(),
        Code::MalformedJson
            | Code::InvalidRequest
            | Code::IdInFuture
            | Code::IdTaken
            | Code::KeyInUse
            | Code::KeyReused
            | Code::TaskNotFound
            | Code::VersionMismatch
            | Code::ConditionRequired
    )
}

/// What a model is told of a refusal: the problem, in the words of tools.
fn refusal(tool: Tool, error: &Error) -> Map<String, Value> {
    let problem = error.problem("", &PublicUrl::default());
    let faults: Vec<Fault> = problem.errors.into_iter().flatten().map(|fault| in_arguments(tool, fault)).collect();
    let detail = match (error, faults.as_slice()) {
        (Error::MalformedJson(place), _) => format!("The arguments {place}."),
        (Error::TaskNotFound, _) => {
            "The user has no task with this id: it never was, or was deleted. Find the id with list_tasks.".to_owned()
        }
        (Error::VersionMismatch { current, .. }, _) => format!(
            "The task has changed: its version is {} now, as current shows it. Look at it, and call again with that version.",
            current.etag.version
        ),
        (Error::IdTaken(Some(_)), _) => {
            "The user has another task of this id, which current shows. Leave the id out to add one more.".to_owned()
        }
        (Error::IdTaken(None), _) => {
            "The user had a task of this id, which was deleted: only if they want it again, add it without the id."
                .to_owned()
        }
        (Error::KeyReused, _) => {
            "The idempotency_key was used for another task in the last day: send a new one for each task.".to_owned()
        }
        (Error::KeyInUse, _) => {
            "A call with this idempotency_key has not ended yet: send it again in some seconds.".to_owned()
        }
        (_, [fault]) => fault.to_string(),
        (Error::Invalid(_), faults) => format!("{} of the arguments must be changed; see errors.", faults.len()),
        _ => problem.detail,
    };
    let mut told = Map::new();
    told.insert("code".to_owned(), error.code().as_str().into());
    told.insert("detail".to_owned(), detail.into());
    if !faults.is_empty() && !matches!(error, Error::MalformedJson(_)) {
        let errors = faults.iter().map(|fault| json!({ "pointer": fault.pointer, "detail": fault.detail }));
        told.insert("errors".to_owned(), errors.collect());
    }
    if let Error::VersionMismatch { current, .. } | Error::IdTaken(Some(current)) = error {
        told.insert("current".to_owned(), shown(current));
    }
    told
}

/// A fault where the arguments are, with what a model can do about it: what is a parameter elsewhere is a member of them.
fn in_arguments(tool: Tool, fault: Fault) -> Fault {
    let Fault { pointer, name, detail, .. } = fault;
    let pointer = pointer.or(name.map(|name| format!("/{name}"))).unwrap_or_default();
    let detail = match (tool, pointer.as_str()) {
        // An example would be taken for an id.
        (Tool::AddTask, "/id") if detail.starts_with("must be") => {
            "must be a UUID of version 7: leave it out".to_owned()
        }
        (_, "/id") if detail.starts_with("must be") => "must be the id of a task, as list_tasks returns it".to_owned(),
        (Tool::UpdateTask, "/description" | "/due_date" | "/due_time" | "/priority") if detail.starts_with("must") => {
            format!("{detail}; or null, to remove it")
        }
        (Tool::ListTasks, "/cursor") => format!("{detail}; leave it out for the first page"),
        _ => detail.replace("the members are ", "the arguments are "),
    };
    Fault::body(pointer, detail)
}

/// A task as it is now.
fn shown(current: &Current) -> Value {
    let members = MEMBERS.into_iter().filter_map(|name| Some((name.to_owned(), current.member(name)?.clone())));
    members.collect::<Map<_, _>>().into()
}
