//! What tools are called with: types that carry the rules of the contract, read as bodies are. But for the members of a patch, null is as
//! if the argument were left out: programs that make a model fill in every argument have it say so.

use std::fmt;

use poem_openapi::Object;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::document::tools::{MAX_DESCRIBED, MAX_PAGE, PAGE};
use crate::http::body::RequestObject;
use crate::http::diagnosis::Together;
use crate::http::error::Error;
use crate::http::newtype::{Invalid, Nullable};
use crate::http::problem::Fault;
use crate::schemas::bulk::version;
use crate::schemas::condition::IfMatch;
use crate::schemas::cursor::Cursor;
use crate::schemas::details::{Description, DueDate, DueTime, Priority, Tag, lone_time, priorities, some_tags, tags};
use crate::schemas::filter::{Filter, SearchText, Sort};
use crate::schemas::idempotency::IdempotencyKey;
use crate::schemas::mark::TaskTag;
use crate::schemas::page::{Limit, PageRequest};
use crate::schemas::task::{
    OwnId, READ_ONLY, TaskDraft, TaskId, TaskPatch, Title, present, removes_day, some_nullable,
};

/// Those of `list_tasks`.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTasks {
    #[serde(default)]
    is_completed: Option<bool>,
    #[serde(default)]
    q: Option<SearchText>,
    #[serde(default)]
    due_from: Option<DueDate>,
    #[serde(default)]
    due_to: Option<DueDate>,
    #[serde(default, deserialize_with = "or_none::<_, Priorities, _>")]
    priority: Option<Vec<Priority>>,
    #[serde(default, deserialize_with = "or_none::<_, Tags, _>")]
    tag: Option<Vec<Tag>>,
    #[serde(default)]
    sort: Option<Sort>,
    #[serde(default, deserialize_with = "or_none::<_, PageSize, _>")]
    limit: Option<u8>,
    #[serde(default)]
    cursor: Option<Cursor>,
    #[serde(default)]
    pub(super) include_description: Option<bool>,
    #[serde(default)]
    include_total: Option<bool>,
}

impl ListTasks {
    /// The page that is asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`] when no day is in the span, or the cursor is another list's.
    pub(super) fn request(self) -> Result<PageRequest, Error> {
        let filter = Filter {
            is_completed: self.is_completed,
            priorities: self.priority.unwrap_or_default(),
            tags: self.tag.unwrap_or_default(),
            due_from: self.due_from,
            due_to: self.due_to,
            text: self.q,
        };
        let (filter, sort) = (filter.checked()?, self.sort.unwrap_or_default());
        let another_list = |invalid: Invalid| Error::invalid(Fault::body("/cursor", invalid.to_string()));
        let after = self.cursor.map(|cursor| cursor.after(&filter, sort)).transpose().map_err(another_list)?;
        let most = if self.include_description.unwrap_or_default() { MAX_DESCRIBED } else { MAX_PAGE };
        let limit = Limit::of(self.limit.unwrap_or(PAGE).min(most));
        Ok(PageRequest { limit, filter, sort, after, include_total: self.include_total.unwrap_or_default() })
    }
}

/// Those of `add_task`: a draft, and a key.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddTask {
    title: Title,
    #[serde(default)]
    description: Option<Nullable<Description>>,
    #[serde(default)]
    due_date: Option<Nullable<DueDate>>,
    #[serde(default)]
    due_time: Option<Nullable<DueTime>>,
    #[serde(default)]
    priority: Option<Nullable<Priority>>,
    #[serde(default, deserialize_with = "or_none::<_, Tags, _>")]
    tags: Option<Vec<Tag>>,
    #[serde(default)]
    is_completed: Option<bool>,
    #[serde(default)]
    idempotency_key: Option<IdempotencyKey>,
    #[serde(default)]
    id: Option<OwnId>,
}

impl AddTask {
    /// The draft, and its key.
    pub(super) fn parts(self) -> (TaskDraft, Option<IdempotencyKey>) {
        let Self { title, description, due_date, due_time, priority, tags, is_completed, idempotency_key, id } = self;
        (TaskDraft { id, title, description, due_date, due_time, priority, tags, is_completed }, idempotency_key)
    }
}

/// Those of `complete_task`.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CompleteTask {
    pub(super) id: TaskId,
    #[serde(default)]
    pub(super) is_completed: Option<bool>,
    #[serde(default, deserialize_with = "or_none::<_, Version, _>")]
    pub(super) version: Option<i64>,
}

/// Those of `update_task`: a patch, of which task and of which version.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateTask {
    id: TaskId,
    #[serde(default, deserialize_with = "present")]
    title: Option<Title>,
    #[serde(default, deserialize_with = "some_nullable")]
    description: Option<Nullable<Description>>,
    #[serde(default, deserialize_with = "some_nullable")]
    due_date: Option<Nullable<DueDate>>,
    #[serde(default, deserialize_with = "some_nullable")]
    due_time: Option<Nullable<DueTime>>,
    #[serde(default, deserialize_with = "some_nullable")]
    priority: Option<Nullable<Priority>>,
    #[serde(default, deserialize_with = "some_tags")]
    tags: Option<Vec<Tag>>,
    #[serde(default, deserialize_with = "present")]
    is_completed: Option<bool>,
    #[serde(default, deserialize_with = "or_none::<_, Version, _>")]
    version: Option<i64>,
}

impl UpdateTask {
    /// Which task, of which version, and the patch.
    pub(super) fn parts(self) -> (TaskId, Option<i64>, TaskPatch) {
        let Self { id, title, description, due_date, due_time, priority, tags, is_completed, version } = self;
        (id, version, TaskPatch { title, description, due_date, due_time, priority, tags, is_completed })
    }
}

/// Those of `delete_task`.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteTask {
    pub(super) id: TaskId,
    #[serde(default, deserialize_with = "or_none::<_, Version, _>")]
    pub(super) version: Option<i64>,
}

/// What a write depends on, by the version that its call names.
///
/// # Errors
/// [`Error::ConditionRequired`] where it names none, and this server takes no write without it.
pub(super) fn condition(version: Option<i64>, is_required: bool) -> Result<Option<IfMatch>, Error> {
    match version {
        Some(version) => Ok(Some(IfMatch::Tags { strong: vec![TaskTag { version, mark: None }], weak: vec![] })),
        None if is_required => {
            let detail = "is required by this server; send the version that the change is based on";
            Err(Error::ConditionRequired(vec![Fault::body("/version", detail)]))
        }
        None => Ok(None),
    }
}

impl Together for ListTasks {}
impl Together for CompleteTask {}
impl Together for DeleteTask {}

impl Together for UpdateTask {
    fn together(right: &Map<String, Value>, sent: &[&str], at: &str) -> Option<Fault> {
        lone_time(right, sent, at, true)
    }
}

impl Together for AddTask {
    fn together(right: &Map<String, Value>, sent: &[&str], at: &str) -> Option<Fault> {
        lone_time(right, sent, at, false)
    }
}

impl RequestObject for ListTasks {
    const READ_ONLY: &'static [&'static str] = &[];
}

impl RequestObject for AddTask {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;

    fn check(&self) -> Vec<Fault> {
        let is_some = |date: Option<Nullable<DueDate>>| date.is_some_and(|date| date.0.is_some());
        let is_alone = self.due_time.is_some_and(|time| time.0.is_some()) && !is_some(self.due_date);
        is_alone.then(|| DueTime::without_date("")).into_iter().collect()
    }
}

impl RequestObject for CompleteTask {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;
}

impl RequestObject for UpdateTask {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;

    fn check(&self) -> Vec<Fault> {
        let removed = removes_day(self.due_date, self.due_time);
        removed.then(|| DueTime::without_date("")).into_iter().collect()
    }
}

impl RequestObject for DeleteTask {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;
}

/// What a `T` holds, or nothing for null.
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de> + Into<U>, U>(from: D) -> Result<Option<U>, D::Error> {
    Option::<T>::deserialize(from).map(|some| some.map(Into::into))
}

/// Arguments whose rule is a function.
macro_rules! arguments {
    ($($(#[$doc:meta])* $name:ident($type:ty) = $read:expr;)+) => {$(
        $(#[$doc])*
        struct $name($type);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $read(from).map(Self)
            }
        }

        impl From<$name> for $type {
            fn from(argument: $name) -> Self {
                argument.0
            }
        }
    )+};
}

arguments! {
    /// Tags, none twice.
    Tags(Vec<Tag>) = tags;
    /// Priorities, none twice.
    Priorities(Vec<Priority>) = priorities;
    /// A version.
    Version(i64) = |from| version(from).map(Option::unwrap_or_default);
    /// How many tasks a page has at most.
    PageSize(u8) = |from: D| from.deserialize_any(WholeNumber);
}

struct WholeNumber;

impl Visitor<'_> for WholeNumber {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {MAX_PAGE}")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u8, E> {
        let number = number.try_into().ok().filter(|number| (1..=MAX_PAGE).contains(number));
        number.ok_or_else(|| E::custom(format_args!("must be a whole number from 1 to {MAX_PAGE}")))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u8, E> {
        self.visit_u64(number.try_into().unwrap_or_default())
    }

    /// To JSON Schema, 1.0 is an integer.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u8, E> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of one byte")]
        let whole = if number.fract() == 0.0 && (0.0..256.0).contains(&number) { number as u64 } else { 0 };
        self.visit_u64(whole)
    }
}
