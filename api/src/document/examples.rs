//! The examples of the document, as values of the types that serve the requests: an example cannot break the contract.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::http::body::{MAX_BYTES, RequestObject};
use crate::http::error::{Error, TokenFault};
use crate::http::json::JSON;
use crate::http::newtype::Nullable;
use crate::http::problem::{Fault, Location};
use crate::http::public_url::PublicUrl;
use crate::schemas::bulk::{self, SelectedTask, TaskChange, TaskChanges, TaskDrafts, TaskList, TaskSelection};
use crate::schemas::changes::{Changes, ChangesMeta, Position};
use crate::schemas::condition::IfMatch;
use crate::schemas::cursor::Cursor;
use crate::schemas::details::Priority;
use crate::schemas::export::ExportLine;
use crate::schemas::filter::{Filter, Sort};
use crate::schemas::health::{Health, HealthStatus};
use crate::schemas::mark::etag;
use crate::schemas::page::{Limit, PageMeta, TaskPage};
use crate::schemas::task::{Task, TaskCompletion, TaskDraft, TaskEnvelope, TaskId, TaskPatch, TaskUpdate};
use crate::schemas::time::Timestamp;
use crate::schemas::user::UserId;

/// Where in an operation an example belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The request's body.
    Request,
    /// The answer with this status.
    Status(u16),
}

/// The examples of one operation's request and success.
pub(crate) fn examples(operation_id: &str) -> Vec<(Place, &'static str, Value)> {
    use Place::{Request, Status};
    let create = || TaskDraft::titled(title("Buy milk and bread"));
    match operation_id {
        "listTasks" => vec![
            (Status(200), "firstPage", value(page(vec![open(), completed()], true))),
            (Status(200), "empty", value(page(vec![], false))),
        ],
        "listChanges" => vec![
            (Status(200), "changed", value(changes(vec![renamed()], vec![completed().id], false))),
            (Status(200), "first", value(changes(vec![second(), open()], vec![], true))),
            (Status(200), "nothing", value(changes(vec![], vec![], false))),
        ],
        "createTask" => vec![
            (Request, "task", value(create())),
            (Request, "everything", value(described_draft())),
            (
                Request,
                "ownId",
                value(TaskDraft { id: Some(title("019c13be-7ac0-7a43-9f5b-2d6c8e1f4a70")), ..create() }),
            ),
            (Status(201), "created", one(open())),
        ],
        "getTask" => vec![(Status(200), "open", one(open())), (Status(200), "completed", one(completed()))],
        "updateTask" => vec![(Request, "everything", value(replacement())), (Status(200), "updated", one(replaced()))],
        "patchTask" => vec![
            (
                Request,
                "rename",
                value(TaskPatch { title: Some(title("Buy oat milk and bread")), ..TaskPatch::default() }),
            ),
            (Request, "complete", value(TaskPatch { is_completed: Some(true), ..TaskPatch::default() })),
            (Request, "withoutDate", value(TaskPatch { due_date: Some(Nullable(None)), ..TaskPatch::default() })),
            (Status(200), "renamed", one(renamed())),
        ],
        "completeTask" => vec![
            (Request, "complete", value(TaskCompletion::default())),
            (Request, "reopen", value(TaskCompletion { is_completed: Some(false) })),
            (Status(200), "completed", one(completed())),
        ],
        "bulkCreateTasks" => vec![
            (
                Request,
                "tasks",
                value(TaskDrafts { tasks: vec![create(), TaskDraft::titled(title("Call the plumber"))] }),
            ),
            (Status(201), "created", value(TaskList { data: vec![open(), second()] })),
        ],
        "bulkCompleteTasks" => vec![
            (Request, "tasks", value(TaskSelection { tasks: vec![any(&open()), any(&completed())] })),
            (Request, "versions", value(TaskSelection { tasks: vec![of_its_version(&open()), any(&completed())] })),
            (Status(200), "completed", value(TaskList { data: vec![completed_now(), completed()] })),
        ],
        "bulkPatchTasks" => vec![
            (Request, "tags", value(TaskChanges { tasks: vec![tags(&open()), tags(&second())] })),
            (
                Request,
                "versions",
                value(TaskChanges { tasks: vec![TaskChange { version: Some(1), ..tags(&open()) }, tags(&second())] }),
            ),
            (Status(200), "changed", value(TaskList { data: vec![shopping(open()), shopping(second())] })),
        ],
        "bulkDeleteTasks" => vec![
            (Request, "tasks", value(TaskSelection { tasks: vec![any(&open()), any(&completed())] })),
            (Request, "versions", value(TaskSelection { tasks: vec![of_its_version(&open()), any(&completed())] })),
        ],
        "exportUser" => vec![(Status(200), "twoTasks", value(String::from_utf8_lossy(&ExportLine::text(&export()))))],
        "getLiveness" | "getReadiness" => {
            vec![(Status(200), "ok", value(Health { status: HealthStatus::Ok }))]
        }
        _ => vec![],
    }
}

/// The headers of an answer's example that follow from its body.
pub(crate) fn headers_of(body: &Value) -> Vec<(String, String)> {
    let etag = body.pointer("/data/etag").and_then(Value::as_str);
    etag.into_iter().map(|etag| ("etag".to_owned(), etag.to_owned())).collect()
}

/// A problem as an operation answers it: its body and its headers.
pub(crate) fn answered(error: Error) -> (Value, Vec<(String, String)>) {
    const REQUEST_ID: &str = "019c13be-7bd1-7e24-8a1f-3c6d9b025a1f";
    let body = value(error.problem(REQUEST_ID, &PublicUrl::default()));
    let response = error.into_response(REQUEST_ID, &PublicUrl::default());
    let headers =
        response.headers().iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    (body, headers.chain([("x-request-id".to_owned(), REQUEST_ID.to_owned())]).collect())
}

/// The examples of an operation's refusal with this status.
pub(crate) fn problems(operation_id: &str, status: &str, has_body: bool) -> Vec<(&'static str, Error)> {
    let is_bulk = operation_id.starts_with("bulk");
    match status {
        "400" if has_body => vec![
            (
                "invalidMember",
                Error::invalid(match operation_id {
                    "completeTask" => Fault::body("/is_completed", "must be a boolean, not null"),
                    "bulkCreateTasks" => {
                        Fault::body("/tasks/1/title", "must contain a character that is not white space")
                    }
                    _ if is_bulk => Fault::body("/tasks/1/id", "repeats /tasks/0/id; name each task once"),
                    _ => Fault::body("/title", "must contain a character that is not white space"),
                }),
            ),
            (
                "malformedJson",
                Error::MalformedJson(
                    "cannot be read as JSON: EOF while parsing a string at line 1 column 14".to_owned(),
                ),
            ),
        ],
        "400" => vec![(
            "unknownParameter",
            Error::invalid(Fault::parameter(
                Location::Query,
                "is_complete",
                match operation_id {
                    "listTasks" => {
                        "is unknown here; the parameters are limit, cursor, is_completed, priority, tag, due_from, due_to, q, sort, \
                         include_total"
                    }
                    "listChanges" => "is unknown here; the parameters are since, limit, wait",
                    "eraseUser" => "is unknown here; the parameters are confirm",
                    _ => "is unknown here; the operation takes no query",
                },
            )),
        )],
        "401" => {
            vec![("noToken", TokenFault::Missing.into()), ("expired", TokenFault::Expired.into())]
        }
        "403" => vec![("otherUser", Error::Forbidden)],
        "404" if is_bulk => vec![("noSuchTask", Error::TasksNotFound(vec![1]))],
        "404" => vec![("noSuchTask", Error::TaskNotFound)],
        "408" => vec![("stopped", Error::BodyTimedOut)],
        "409" => {
            let mut problems = vec![("stillRunning", Error::KeyInUse)];
            match operation_id {
                "createTask" => problems.push(("idTaken", Error::IdTaken(Some((&renamed()).into())))),
                "bulkCreateTasks" => {
                    problems.push(("idsTaken", Error::IdsTaken(vec![(0, Some((&renamed()).into())), (1, None)])));
                }
                _ => {}
            }
            problems
        }
        "410" => vec![("expired", Error::ChangesExpired(4))],
        "422" => vec![("otherRequest", Error::KeyReused)],
        "412" if is_bulk => vec![("changedMeanwhile", Error::VersionMismatches(vec![(0, (&renamed()).into())]))],
        "412" => vec![
            ("changedMeanwhile", Error::VersionMismatch { current: (&renamed()).into(), is_weakened: false }),
            ("weakTag", Error::VersionMismatch { current: (&renamed()).into(), is_weakened: true }),
        ],
        "413" if is_bulk => vec![("tooLarge", Error::BodyTooLarge(bulk::MAX_BYTES))],
        "413" => vec![("tooLarge", Error::BodyTooLarge(MAX_BYTES))],
        "415" => {
            let known: &[_] = if operation_id == "patchTask" { TaskPatch::MEDIA_TYPES } else { &[JSON] };
            vec![
                (
                    "notJson",
                    Error::UnsupportedMediaType {
                        known,
                        is_patch: matches!(operation_id, "patchTask" | "completeTask"),
                    },
                ),
                ("compressed", Error::UnsupportedEncoding),
            ]
        }
        "428" if is_bulk => vec![("noCondition", bulk::version_required(std::iter::once(0)))],
        "428" => vec![("noCondition", IfMatch::missing())],
        "429" if operation_id == "listChanges" => {
            vec![("tooMany", Error::RateLimited(3)), ("tooManyWaiting", Error::TooManyWaiting)]
        }
        "429" if operation_id == "exportUser" => {
            vec![("tooMany", Error::RateLimited(3)), ("tooManyExports", Error::TooManyExports)]
        }
        "429" => vec![("tooMany", Error::RateLimited(3))],
        "500" => vec![("bug", Error::internal("an example"))],
        "503" => vec![
            ("databaseAway", Error::Unavailable("an example".into())),
            ("timedOut", Error::TimedOut),
            ("tooManyBodies", Error::Overloaded),
        ],
        _ => vec![],
    }
}

fn value<T: Serialize>(example: T) -> Value {
    serde_json::to_value(example).unwrap_or_default()
}

fn export() -> [ExportLine; 4] {
    let user = ExportLine::User { id: open().user_id, created_at: open().created_at };
    [user, ExportLine::Task(open().into()), ExportLine::Task(completed().into()), ExportLine::end(2)]
}

fn one(data: Task) -> Value {
    value(TaskEnvelope { data })
}

fn page(data: Vec<Task>, counted: bool) -> TaskPage {
    let next = data.last().filter(|_| counted).map(|task| Cursor::behind(task, &Filter::default(), Sort::default()));
    TaskPage {
        data,
        meta: PageMeta {
            limit: Limit::default(),
            next_cursor: Nullable(next),
            total: Nullable(counted.then_some(120)),
        },
    }
}

fn changes(data: Vec<Task>, deleted: Vec<TaskId>, more: bool) -> Changes {
    let user = UserId::from_stored("alice".to_owned());
    let position = Position::new(&user, Uuid::from_u128(0x5f0e_9d34_7c1b_4a2d_8e66_1b7f_30c9_d2a4), 127);
    let next = match data.last() {
        Some(last) if more => position.behind(2, last.id.0, 127),
        _ => position.token(),
    };
    Changes { data, deleted, meta: ChangesMeta { next, more } }
}

fn title<T: FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| unreachable!("an example"))
}

fn at(millis: i64) -> Timestamp {
    DateTime::<Utc>::from_timestamp_millis(millis).unwrap_or_default().into()
}

/// When the examples begin: 2026-01-31T09:30:00Z, in milliseconds of Unix time.
const START: i64 = 1_769_851_800_000;

fn open() -> Task {
    Task {
        id: TaskId(Uuid::from_u128(0x019c_13be_7ac0_7a43_9f5b_2d6c_8e1f_4a70)),
        user_id: UserId::from_stored("alice".to_owned()),
        title: title("Buy milk and bread"),
        description: Nullable(None),
        due_date: Nullable(None),
        due_time: Nullable(None),
        priority: Nullable(None),
        tags: vec![],
        is_completed: false,
        completed_at: Nullable(None),
        created_at: at(START + 123),
        updated_at: at(START + 123),
        version: 1,
        etag: etag(&UserId::from_stored("alice".to_owned()), 1, at(START + 123)),
    }
}

/// The task with the tag that it has.
fn tagged(task: Task) -> Task {
    Task { etag: etag(&task.user_id, task.version, task.updated_at), ..task }
}

fn renamed() -> Task {
    tagged(Task { title: title("Buy oat milk and bread"), updated_at: at(START + 60_456), version: 2, ..open() })
}

/// A draft with every member.
fn described_draft() -> TaskDraft {
    TaskDraft {
        description: Some(Nullable(Some(title("Oat milk, if they have it.\nBread without seeds.")))),
        due_date: Some(Nullable(Some(title("2026-02-28")))),
        due_time: Some(Nullable(Some(title("18:30")))),
        priority: Some(Nullable(Some(Priority::High))),
        tags: Some(vec![title("shopping"), title("home")]),
        is_completed: Some(false),
        ..TaskDraft::titled(title("Buy milk and bread"))
    }
}

fn replacement() -> TaskUpdate {
    let Task { description, due_date, due_time, priority, tags, is_completed, .. } = replaced();
    TaskUpdate { title: title("Buy oat milk and bread"), description, due_date, due_time, priority, tags, is_completed }
}

fn replaced() -> Task {
    tagged(Task {
        description: Nullable(Some(title("Bread without seeds."))),
        due_date: Nullable(Some(title("2026-02-28"))),
        priority: Nullable(Some(Priority::High)),
        tags: vec![title("shopping")],
        ..renamed()
    })
}

/// Created with [`open`].
fn second() -> Task {
    let id = TaskId(Uuid::from_u128(0x019c_13be_7ac0_7a43_9f5c_8be1_07d2_65f8));
    tagged(Task { id, title: title("Call the plumber"), ..open() })
}

fn completed_now() -> Task {
    let now = at(START + 180_012);
    tagged(Task { is_completed: true, completed_at: Nullable(Some(now)), updated_at: now, version: 2, ..open() })
}

/// A change of a task's tags.
fn tags(task: &Task) -> TaskChange {
    let TaskPatch { title: name, description, due_date, due_time, priority, is_completed, .. } = TaskPatch::default();
    let tags = Some(vec![title("shopping")]);
    TaskChange {
        id: task.id,
        version: None,
        title: name,
        description,
        due_date,
        due_time,
        priority,
        tags,
        is_completed,
    }
}

/// The task after that change.
fn shopping(task: Task) -> Task {
    tagged(Task { tags: vec![title("shopping")], updated_at: at(START + 60_456), version: 2, ..task })
}

/// A task of any version.
fn any(task: &Task) -> SelectedTask {
    SelectedTask { id: task.id, version: None }
}

/// A task of its version.
fn of_its_version(task: &Task) -> SelectedTask {
    SelectedTask { id: task.id, version: Some(task.version) }
}

fn completed() -> Task {
    tagged(Task {
        id: TaskId(Uuid::from_u128(0x019c_13be_2c20_7d15_8c02_71f4_0a9e_63b5)),
        created_at: at(START - 20_000),
        is_completed: true,
        completed_at: Nullable(Some(at(START + 120_789))),
        updated_at: at(START + 120_789),
        version: 2,
        ..open()
    })
}
