//! Tasks, and what creates and changes them.
//!
//! Rules live in the newtypes ([`Title`], [`TaskId`], [`OwnId`]): each carries the schema that the document shows and
//! the check that a request meets, side by side.

use std::convert::Infallible;
use std::fmt::{self, Write};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use poem_openapi::Object;
use poem_openapi::registry::MetaSchema;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value, json};
use uuid::{Uuid, Variant};

use crate::http::body::RequestObject;
use crate::http::diagnosis::Together;
use crate::http::header::{ETag, Location};
use crate::http::json::{JSON, MERGE_PATCH};
use crate::http::newtype::{Invalid, Nullable, openapi_type, read_from_text};
use crate::http::problem::{Current, Fault};
use crate::schemas::details::{Description, Due, DueDate, DueTime, Priority, Tag, lone_time, or_none, some_tags, tags};
use crate::schemas::mark::etag;
use crate::schemas::text::{self, Lines};
use crate::schemas::time::Timestamp;
use crate::schemas::user::UserId;

/// A task of one user.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct Task {
    /// The task's id: a UUID of version 7, which begins with the time at which it was made; ids of the server's own sort in the order of
    /// creation.
    pub id: TaskId,
    /// The user who owns the task, as their token names them.
    pub user_id: UserId,
    /// What is to be done, exactly as it was sent: 1 to 200 characters.
    pub title: StoredTitle,
    /// What else there is to say about it, or null.
    pub description: Nullable<Description>,
    /// The day on which it is due (`YYYY-MM-DD`), in the user's own life and without a zone, or null.
    pub due_date: Nullable<DueDate>,
    /// The time of that day (`HH:MM`), or null; always null without a day.
    pub due_time: Nullable<DueTime>,
    /// How much it matters, or null.
    pub priority: Nullable<Priority>,
    /// The words by which it is found, in the order in which they were sent; none twice.
    #[oai(validator(max_items = 20))]
    pub tags: Vec<Tag>,
    /// Whether the task is done.
    pub is_completed: bool,
    /// When the task was first completed; null exactly while `is_completed` is false.
    pub completed_at: Nullable<Timestamp>,
    /// When the task was created.
    pub created_at: Timestamp,
    /// When the task last changed.
    pub updated_at: Timestamp,
    /// Counts the changes of the task, from 1.
    #[oai(validator(minimum(value = "1"), maximum(value = "9000000000000000")))]
    pub version: i64,
    /// The header `ETag` of the task, with its quotes: `If-Match` takes it as it is.
    pub etag: ETag,
}

impl Task {
    /// A task as it is when it is created, with version 1.
    #[must_use]
    pub fn new(id: TaskId, user_id: UserId, draft: &TaskDraft, now: Timestamp) -> Self {
        let is_completed = draft.is_completed.unwrap_or_default();
        Self {
            id,
            etag: etag(&user_id, 1, now),
            user_id,
            title: draft.title.clone().into(),
            description: or_none(draft.description.as_ref()).into(),
            due_date: or_none(draft.due_date.as_ref()).into(),
            due_time: or_none(draft.due_time.as_ref()).into(),
            priority: or_none(draft.priority.as_ref()).into(),
            tags: draft.tags.clone().unwrap_or_default(),
            is_completed,
            completed_at: is_completed.then_some(now).into(),
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    /// The same, had it been created with this id at this time.
    #[must_use]
    pub fn created(self, id: TaskId, now: Timestamp) -> Self {
        let completed_at = self.is_completed.then_some(now).into();
        Self { id, completed_at, created_at: now, updated_at: now, etag: etag(&self.user_id, 1, now), ..self }
    }

    /// When it is due.
    #[must_use]
    pub fn due(&self) -> Option<Due> {
        Due::of(self.due_date.0, self.due_time.0)
    }
}

/// The members of [`Task`] that the server alone sets: a body that sends one is refused by its name.
pub(crate) const READ_ONLY: [&str; 7] =
    ["id", "user_id", "completed_at", "created_at", "updated_at", "version", "etag"];

/// A task to create.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[oai(skip_serializing_if_is_none)]
pub struct TaskDraft {
    /// The client's own id for the task: a UUID of version 7 (RFC 9562 §5.7), made at most 24 hours ahead of the server's clock. The
    /// same draft of the same id is the same creation, however often it is sent. Left out, the server makes one.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub id: Option<OwnId>,
    /// What is to be done: 1 to 200 characters, none a control character, U+2028, U+2029 or U+FEFF, and not white space alone.
    pub title: Title,
    /// What else there is to say about it: 1 to 4,000 characters, also line breaks and tabs, by the rule of titles otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Nullable<Description>>,
    /// The day on which it is due (`YYYY-MM-DD`), in the user's own life and without a zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_date: Option<Nullable<DueDate>>,
    /// The time of that day (`HH:MM`); only with a `due_date`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_time: Option<Nullable<DueTime>>,
    /// How much it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Nullable<Priority>>,
    /// The words by which it is found: at most 20, each once, of 1 to 50 characters by the rule of titles.
    #[oai(validator(max_items = 20))]
    #[serde(default, deserialize_with = "some_tags", skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<Tag>>,
    /// Whether it is done already, as when it was made and completed without a connection. Left out, it means false.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub is_completed: Option<bool>,
}

impl TaskDraft {
    /// One that has a title and nothing more.
    #[must_use]
    pub fn titled(title: Title) -> Self {
        Self {
            id: None,
            title,
            description: None,
            due_date: None,
            due_time: None,
            priority: None,
            tags: None,
            is_completed: None,
        }
    }

    /// The same, where what means nothing is left out: a null as well as an empty list.
    #[must_use]
    pub fn normal(self) -> Self {
        Self {
            description: or_none(self.description.as_ref()).map(|some| Nullable(Some(some))),
            due_date: or_none(self.due_date.as_ref()).map(|some| Nullable(Some(some))),
            due_time: or_none(self.due_time.as_ref()).map(|some| Nullable(Some(some))),
            priority: or_none(self.priority.as_ref()).map(|some| Nullable(Some(some))),
            tags: self.tags.filter(|tags| !tags.is_empty()),
            is_completed: self.is_completed.filter(|is_completed| *is_completed),
            ..self
        }
    }

    /// What is wrong with it as a whole, where it stands in a body.
    pub(crate) fn check(&self, at: &str) -> Option<Fault> {
        let is_alone = or_none(self.due_time.as_ref()).is_some() && or_none(self.due_date.as_ref()).is_none();
        is_alone.then(|| DueTime::without_date(at))
    }
}

/// Every writable member of a task; replaces them all.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskUpdate {
    /// What is to be done: 1 to 200 characters, none a control character, U+2028, U+2029 or U+FEFF, and not white space alone.
    pub title: Title,
    /// What else there is to say about it: 1 to 4,000 characters, also line breaks and tabs, by the rule of titles otherwise; or null.
    #[serde(deserialize_with = "nullable")]
    pub description: Nullable<Description>,
    /// The day on which it is due (`YYYY-MM-DD`), in the user's own life and without a zone, or null.
    #[serde(deserialize_with = "nullable")]
    pub due_date: Nullable<DueDate>,
    /// The time of that day (`HH:MM`), or null; only with a `due_date`.
    #[serde(deserialize_with = "nullable")]
    pub due_time: Nullable<DueTime>,
    /// How much it matters, or null.
    #[serde(deserialize_with = "nullable")]
    pub priority: Nullable<Priority>,
    /// The words by which it is found: at most 20, each once, of 1 to 50 characters by the rule of titles.
    #[oai(validator(max_items = 20))]
    #[serde(deserialize_with = "tags")]
    pub tags: Vec<Tag>,
    /// Whether the task is done.
    pub is_completed: bool,
}

/// The members of a task to change (RFC 7396); the others stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[oai(skip_serializing_if_is_none)]
pub struct TaskPatch {
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

/// Whether to complete the task or to open it again; nothing sent, and `null`, complete it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct TaskCompletion {
    /// True completes the task, false opens it again. Left out, it means true.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub is_completed: Option<bool>,
}

impl Together for TaskDraft {
    fn together(right: &Map<String, Value>, sent: &[&str], at: &str) -> Option<Fault> {
        lone_time(right, sent, at, false)
    }
}

/// A date that is missing is named as such.
impl Together for TaskUpdate {
    fn together(right: &Map<String, Value>, sent: &[&str], at: &str) -> Option<Fault> {
        lone_time(right, sent, at, true)
    }
}

impl Together for TaskPatch {
    fn together(right: &Map<String, Value>, sent: &[&str], at: &str) -> Option<Fault> {
        lone_time(right, sent, at, true)
    }
}

impl Together for TaskCompletion {}

impl RequestObject for TaskDraft {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;

    fn check(&self) -> Vec<Fault> {
        self.check("").into_iter().collect()
    }
}

impl RequestObject for TaskUpdate {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;
    const MISSING: &'static str =
        "is required: a replacement sets every writable member; change some of them with PATCH";

    fn check(&self) -> Vec<Fault> {
        let is_alone = self.due_time.0.is_some() && self.due_date.0.is_none();
        is_alone.then(|| DueTime::without_date("")).into_iter().collect()
    }
}

impl RequestObject for TaskPatch {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;
    const MEDIA_TYPES: &'static [&'static str] = &[JSON, MERGE_PATCH];

    fn check(&self) -> Vec<Fault> {
        let removed = removes_day(self.due_date, self.due_time);
        removed.then(|| DueTime::without_date("")).into_iter().collect()
    }
}

/// Whether a patch sets a time of the day and takes the day away.
pub(crate) fn removes_day(due_date: Option<Nullable<DueDate>>, due_time: Option<Nullable<DueTime>>) -> bool {
    due_time.is_some_and(|time| time.0.is_some()) && due_date == Some(Nullable(None))
}

impl RequestObject for TaskCompletion {
    const READ_ONLY: &'static [&'static str] = &READ_ONLY;

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

/// A member that may be left out but, when it is sent, is not null: null would be a third meaning.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A member that must be sent, and may be null: serde would take a missing one for null.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Nullable<T>, D::Error> {
    Option::deserialize(from).map(Nullable)
}

/// A member that may be left out, and where null is another thing.
pub(crate) fn some_nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Nullable<T>>, D::Error> {
    nullable(from).map(Some)
}

/// One task, in the envelope that all answers share.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct TaskEnvelope {
    /// The task.
    pub data: Task,
}

/// A new title of a task: 1 to 200 characters (Unicode code points), none of them a control character (General
/// Category Cc), U+2028, U+2029 or U+FEFF, and not only white space. Stored exactly as sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Title(String);

impl Title {
    /// The most characters a title can have, in Unicode code points.
    pub const MAX_CHARS: usize = 200;

    fn schema() -> MetaSchema {
        MetaSchema { example: Some(json!("Buy milk and bread")), ..text::schema(Lines::One, Self::MAX_CHARS) }
    }

    /// The title's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: &str) -> Result<(), Invalid> {
        text::check(text, Lines::One, Self::MAX_CHARS, "must have at most 200 characters")
    }
}

impl FromStr for Title {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::check(text).map(|()| Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Title {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::check(&text).map_err(de::Error::custom)?;
        Ok(Self(text))
    }
}

openapi_type!(Title);

/// The title of a task as it is stored: a [`Title`], or one of version 0.1.0, which took U+2028, U+2029 and U+FEFF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StoredTitle(String);

impl StoredTitle {
    fn schema() -> MetaSchema {
        MetaSchema { example: Title::schema().example, ..text::loose_schema(Lines::One, Title::MAX_CHARS) }
    }

    /// A title that was checked before it was stored.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The title's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Title> for StoredTitle {
    fn from(title: Title) -> Self {
        Self(title.0)
    }
}

impl FromStr for StoredTitle {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

openapi_type!(StoredTitle);

/// The id of a task: a UUID in its 36-character form (RFC 9562 §4), of any version, in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TaskId(pub Uuid);

impl TaskId {
    fn schema() -> MetaSchema {
        MetaSchema {
            example: Some(json!("019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70")),
            ..MetaSchema::new_with_format("string", "uuid")
        }
    }
}

impl FromStr for TaskId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // The parser also takes braces, `urn:uuid:` and 32 digits without hyphens: those differ in length.
        let id = if text.len() == 36 { Uuid::try_parse(text).ok() } else { None };
        id.map(Self)
            .ok_or(Invalid("must be a UUID in its 36-character form, such as 019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70"))
    }
}

/// The id of a new task that its client made: a [`TaskId`] of version 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OwnId(TaskId);

impl OwnId {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some(
                "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-7[0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}$".to_owned(),
            ),
            example: Some(json!("019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70")),
            ..MetaSchema::new("string")
        }
    }

    /// The id.
    #[must_use]
    pub fn get(self) -> TaskId {
        self.0
    }

    /// The time at which it says that it was made, in milliseconds of Unix time (RFC 9562 §5.7).
    #[must_use]
    pub fn made_at(self) -> u64 {
        let (millis, _) = self.0.0.as_u64_pair();
        millis >> 16
    }
}

impl FromStr for OwnId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let id = text.parse::<TaskId>().ok();
        let own = id.filter(|id| id.0.get_version_num() == 7 && id.0.get_variant() == Variant::RFC4122);
        own.map(Self).ok_or(Invalid(
            "must be a UUID of version 7 in its 36-character form, such as 019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70",
        ))
    }
}

read_from_text!(OwnId);

openapi_type!(OwnId);

read_from_text!(TaskId);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

openapi_type!(TaskId);

impl From<&Task> for ETag {
    fn from(task: &Task) -> Self {
        task.etag
    }
}

impl From<&Task> for Current {
    fn from(task: &Task) -> Self {
        Self::new(task.etag, task)
    }
}

/// The canonical path of a task, also when it was created through `me`.
impl From<&Task> for Location {
    fn from(task: &Task) -> Self {
        /// What stays as it is in a path segment (RFC 3986 §2.3).
        const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        // A URL cannot name these two: dots are resolved before a request is sent (RFC 3986 §5.2.4).
        let user = if matches!(task.user_id.as_str(), "." | "..") { "me" } else { task.user_id.as_str() };
        let user = utf8_percent_encode(user, SEGMENT);
        let mut path = String::with_capacity(96);
        // Writing to a String cannot fail.
        let _ = write!(path, "/api/{user}/tasks/{}", task.id);
        Self(path)
    }
}
