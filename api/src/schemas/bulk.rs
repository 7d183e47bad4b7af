//! Many tasks in one request: 1 to 100, and all or none of them.

use std::collections::HashMap;
use std::fmt;

use poem_openapi::Object;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::http::body::{List, RequestObject, entries};
use crate::http::diagnosis::Together;
use crate::http::error::Error;
use crate::http::json::Written;
use crate::http::newtype::Nullable;
use crate::http::problem::Fault;
use crate::schemas::details::{Description, DueDate, DueTime, Priority, Tag, lone_time, some_tags};
use crate::schemas::task::{READ_ONLY, Task, TaskDraft, TaskId, TaskPatch, Title, present, removes_day, some_nullable};
use crate::schemas::written::{length_of, write_list};

/// The most tasks that one request names.
const MAX_TASKS: usize = 100;

/// The longest body of such a request, in bytes: a hundred of the longest descriptions fit, written as they are in UTF-8.
pub(crate) const MAX_BYTES: usize = 2 * 1024 * 1024;

/// The largest version that a request names: below 2^53, up to which every JSON reader is exact (RFC 8259 §6).
const MAX_VERSION: i64 = 9_000_000_000_000_000;

/// New tasks.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskDrafts {
    /// 1 to 100 tasks, in the order in which they are created.
    #[oai(validator(min_items = 1, max_items = 100))]
    #[serde(deserialize_with = "entries::<_, _, MAX_TASKS>")]
    pub tasks: Vec<TaskDraft>,
}

/// Tasks that a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskSelection {
    /// 1 to 100 tasks, each named once.
    #[oai(validator(min_items = 1, max_items = 100, unique_items))]
    #[serde(deserialize_with = "entries::<_, _, MAX_TASKS>")]
    pub tasks: Vec<SelectedTask>,
}

/// A task that a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[oai(skip_serializing_if_is_none)]
pub struct SelectedTask {
    /// The task's id.
    pub id: TaskId,
    /// The version that it must have; left out, any will do.
    #[oai(validator(minimum(value = "1"), maximum(value = "9000000000000000")))]
    #[serde(default, deserialize_with = "version", skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

/// Changes of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskChanges {
    /// 1 to 100 tasks, each named once, with what is to change of it.
    #[oai(validator(min_items = 1, max_items = 100))]
    #[serde(deserialize_with = "entries::<_, _, MAX_TASKS>")]
    pub tasks: Vec<TaskChange>,
}

/// A task, and the members of it to change as [`TaskPatch`] has them; the others stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct TaskChange {
    /// The task's id.
    pub id: TaskId,
    /// The version that it must have; left out, any will do.
    #[oai(validator(minimum(value = "1"), maximum(value = "9000000000000000")))]
    #[serde(default, deserialize_with = "version", skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// What is to be done: 1 to 200 characters, none a control character, U+2028, U+2029 or U+FEFF, and not white space alone.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub title: Option<Title>,
    /// What else there is to say about it: 1 to 4,000 characters, also line breaks and tabs, by the rule of titles otherwise; null
    /// removes it.
    #[serde(default, deserialize_with = "some_nullable", skip_serializing_if = "Option::is_none")]
    pub description: Option<Nullable<Description>>,
    /// The day on which it is due (`YYYY-MM-DD`), in the user's own life and without a zone; null removes it, and the time of the day with it.
    #[serde(default, deserialize_with = "some_nullable", skip_serializing_if = "Option::is_none")]
    pub due_date: Option<Nullable<DueDate>>,
    /// The time of that day (`HH:MM`), only for a task with a `due_date`; null removes it.
    #[serde(default, deserialize_with = "some_nullable", skip_serializing_if = "Option::is_none")]
    pub due_time: Option<Nullable<DueTime>>,
    /// How much it matters; null removes it.
    #[serde(default, deserialize_with = "some_nullable", skip_serializing_if = "Option::is_none")]
    pub priority: Option<Nullable<Priority>>,
    /// The words by which it is found, in place of those that it has: at most 20, each once, of 1 to 50 characters by the rule of
    /// titles.
    #[oai(validator(max_items = 20))]
    #[serde(default, deserialize_with = "some_tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// Whether the task is done.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub is_completed: Option<bool>,
}

impl TaskChange {
    /// Which task, and its patch.
    pub(crate) fn parts(self) -> (SelectedTask, TaskPatch) {
        let Self { id, version, title, description, due_date, due_time, priority, tags, is_completed } = self;
        let patch = TaskPatch { title, description, due_date, due_time, priority, tags, is_completed };
        (SelectedTask { id, version }, patch)
    }
}

/// Several tasks, in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub(crate) struct TaskList {
    /// The tasks, in the order of the request; none where a completion is repeated and all of them were deleted since.
    #[oai(validator(max_items = 100))]
    pub data: Vec<Task>,
}

impl Written for TaskList {
    fn length(&self) -> usize {
        length_of(&self.data)
    }

    fn write(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        write_list(&self.data, text)?;
        text.push(b'}');
        Ok(())
    }
}

impl Together for TaskChange {
    fn together(right: &Map<String, Value>, sent: &[&str], at: &str) -> Option<Fault> {
        lone_time(right, sent, at, true)
    }
}

impl Together for SelectedTask {}
impl Together for TaskDrafts {}
impl Together for TaskSelection {}
impl Together for TaskChanges {}

impl RequestObject for TaskDrafts {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;
    const MAX_BYTES: usize = MAX_BYTES;
    const LIST: Option<List> = Some(List::of::<TaskDraft>("tasks", MAX_TASKS));

    fn check(&self) -> Vec<Fault> {
        let drafts = self.tasks.iter().enumerate();
        let checked = drafts.clone().filter_map(|(place, draft)| draft.check(&format!("/tasks/{place}")));
        let ids = drafts.filter_map(|(place, draft)| Some((place, draft.id?.get())));
        checked.chain(repeated(ids)).collect()
    }
}

impl RequestObject for TaskSelection {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;
    const MAX_BYTES: usize = MAX_BYTES;
    const LIST: Option<List> = Some(List::of::<SelectedTask>("tasks", MAX_TASKS));

    fn check(&self) -> Vec<Fault> {
        repeated(self.tasks.iter().map(|task| task.id).enumerate())
    }
}

impl RequestObject for TaskChanges {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;
    const MAX_BYTES: usize = MAX_BYTES;
    const LIST: Option<List> = Some(List::of::<TaskChange>("tasks", MAX_TASKS));

    fn check(&self) -> Vec<Fault> {
        let tasks = self.tasks.iter().enumerate();
        let alone = tasks
            .clone()
            .filter(|(_, task)| removes_day(task.due_date, task.due_time))
            .map(|(place, _)| DueTime::without_date(&format!("/tasks/{place}")));
        alone.chain(repeated(tasks.map(|(place, task)| (place, task.id)))).collect()
    }
}

/// The faults of ids, each at its place, that stand there for a second time.
fn repeated(ids: impl Iterator<Item = (usize, TaskId)>) -> Vec<Fault> {
    let mut first = HashMap::new();
    let again = |(place, id)| {
        let first = *first.entry(id).or_insert(place);
        let detail = || format!("repeats /tasks/{first}/id; name each task once");
        (first != place).then(|| Fault::body(format!("/tasks/{place}/id"), detail()))
    };
    ids.filter_map(again).collect()
}

/// The refusal of a write for the tasks that name no version, by a server that insists on it.
pub(crate) fn version_required(places: impl Iterator<Item = usize>) -> Error {
    let detail = "is required by this server; send the version that the change is based on";
    Error::ConditionRequired(places.map(|place| Fault::body(format!("/tasks/{place}/version"), detail)).collect())
}

/// A version, or none where it is left out.
pub(crate) fn version<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    from.deserialize_any(Version).map(Some)
}

struct Version;

impl Version {
    fn check<E: de::Error>(number: Option<i64>) -> Result<i64, E> {
        let number = number.filter(|number| (1..=MAX_VERSION).contains(number));
        number.ok_or_else(|| E::custom(format_args!("must be a whole number from 1 to {MAX_VERSION}")))
    }
}

impl Visitor<'_> for Version {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {MAX_VERSION}")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
        Self::check(Some(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<i64, E> {
        Self::check(number.try_into().ok())
    }

    /// To JSON Schema, 1.0 is an integer.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<i64, E> {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        let whole = (number.fract() == 0.0 && number.abs() < 9.1e15).then_some(number as i64);
        Self::check(whole)
    }
}
