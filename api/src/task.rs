//! The nouns of the contract: tasks, what creates and changes them, and pages of them.
//!
//! Rules live in the newtypes ([`Title`], [`TaskId`], [`UserId`], [`Limit`], [`Cursor`], [`Timestamp`]): each carries
//! the schema that the document shows and the check that a request meets, side by side.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, SubsecRound, Timelike, Utc};
use poem_openapi::Object;
use poem_openapi::registry::MetaSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::json;
use uuid::Uuid;

use crate::newtype::{Invalid, Nullable, openapi_type};

/// A task of one user.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct Task {
    /// The task's id: a UUID of version 7, so ids sort in the order of creation.
    pub id: TaskId,
    /// The user who owns the task: the `sub` of their token.
    pub user_id: UserId,
    /// What is to be done, exactly as it was sent: 1 to 200 characters.
    pub title: Title,
    /// Whether the task is done.
    pub is_completed: bool,
    /// When the task was first completed; null exactly while `is_completed` is false.
    pub completed_at: Nullable<Timestamp>,
    /// When the task was created.
    pub created_at: Timestamp,
    /// When the task last changed.
    pub updated_at: Timestamp,
    /// Counts the changes of the task, from 1. The `ETag` header is this number in double quotes.
    #[oai(validator(minimum(value = "1")))]
    pub version: i64,
}

impl Task {
    /// A task as it is when it is created: open, and with version 1.
    #[must_use]
    pub fn new(id: TaskId, user_id: UserId, title: Title, now: Timestamp) -> Self {
        let completed_at = Nullable(None);
        Self { id, user_id, title, is_completed: false, completed_at, created_at: now, updated_at: now, version: 1 }
    }
}

/// The members of [`Task`] that the server alone sets: a body that sends one is refused by its name.
pub(crate) const READ_ONLY: [&str; 6] = ["id", "user_id", "completed_at", "created_at", "updated_at", "version"];

/// A new task.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTask {
    /// What is to be done: 1 to 200 characters, none a control character, and not white space alone.
    pub title: Title,
}

/// Every writable member of a task; replaces them all.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskUpdate {
    /// What is to be done: 1 to 200 characters, none a control character, and not white space alone.
    pub title: Title,
    /// Whether the task is done.
    pub is_completed: bool,
}

/// The members of a task to change (RFC 7396); the others stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[oai(skip_serializing_if_is_none)]
pub struct TaskPatch {
    /// What is to be done: 1 to 200 characters, none a control character, and not white space alone.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub title: Option<Title>,
    /// Whether the task is done.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub is_completed: Option<bool>,
}

/// Whether to complete the task or to open it again. Nothing sent means completed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Object, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct TaskCompletion {
    /// True completes the task, false opens it again. Left out, it means true.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub is_completed: Option<bool>,
}

/// A member that may be left out but, when it is sent, is not null: null would be a third meaning.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// One task, in the envelope that all answers share.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct TaskEnvelope {
    /// The task.
    pub data: Task,
}

/// A page of tasks, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct TaskPage {
    /// The tasks of this page, newest first; empty when there are none.
    #[oai(validator(max_items = 100))]
    pub data: Vec<Task>,
    /// Where the page stands in the list.
    pub meta: PageMeta,
}

/// Where a page stands in its list.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct PageMeta {
    /// The page size that was asked for.
    pub limit: Limit,
    /// Send it as `cursor` to get the next page; null on the last page.
    pub next_cursor: Nullable<Cursor>,
    /// How many tasks the filter matches over all pages; null unless `include_total=true` was sent.
    #[oai(validator(minimum(value = "0")))]
    pub total: Nullable<i64>,
}

/// What a caller asks of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many tasks.
    pub limit: Limit,
    /// Only tasks older than this id.
    pub before: Option<TaskId>,
    /// Only completed (`true`) or only open (`false`) tasks.
    pub is_completed: Option<bool>,
    /// Whether to count what the filter matches.
    pub include_total: bool,
}

/// The title of a task: 1 to 200 characters (Unicode code points), none of them a control character (General
/// Category Cc), and not only white space. Stored exactly as sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Title(String);

impl Title {
    /// The most characters a title can have, in Unicode code points.
    pub const MAX_CHARS: usize = 200;

    fn schema() -> MetaSchema {
        MetaSchema {
            min_length: Some(1),
            max_length: Some(Self::MAX_CHARS),
            // White space is `\s` of ECMA-262 §22.2.2.9, written out: `\s` differs between the regular expression
            // engines of our readers, as do `\p` and lookahead.
            pattern: Some(
                concat!(
                    r"^[^\u0000-\u001F\u007F-\u009F]*",
                    r"[^\u0000-\u0020\u007F-\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000\uFEFF]",
                    r"[^\u0000-\u001F\u007F-\u009F]*$",
                )
                .to_owned(),
            ),
            example: Some(json!("Buy milk and bread")),
            ..MetaSchema::new("string")
        }
    }

    /// The title's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A title that was checked before it was stored.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    fn check(text: &str) -> Result<(), Invalid> {
        let is_white = |c| matches!(c, '\u{FEFF}') || (char::is_whitespace(c) && c != '\u{85}');
        if text.chars().nth(Self::MAX_CHARS).is_some() {
            return Err(Invalid("must have at most 200 characters"));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid("must not contain control characters, such as tabs and line breaks"));
        }
        if text.chars().all(is_white) {
            return Err(Invalid("must contain a character that is not white space"));
        }
        Ok(())
    }
}

impl From<Title> for String {
    fn from(title: Title) -> Self {
        title.0
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

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

openapi_type!(TaskId);

/// The id of a user: the `sub` of their token (RFC 7519 §4.1.2), an opaque text of 1 to 255 characters without
/// control characters. In a path, `me` means the caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    /// The most characters a user's id can have, in Unicode code points.
    pub const MAX_CHARS: usize = 255;

    fn schema() -> MetaSchema {
        MetaSchema {
            min_length: Some(1),
            max_length: Some(Self::MAX_CHARS),
            pattern: Some(r"^[^\u0000-\u001F\u007F-\u009F]+$".to_owned()),
            example: Some(json!("alice")),
            ..MetaSchema::new("string")
        }
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id that was checked before it was stored.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for UserId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.chars().nth(Self::MAX_CHARS).is_some() {
            Err(Invalid("must have 1 to 255 characters"))
        } else if text.chars().any(char::is_control) {
            Err(Invalid("must not contain control characters"))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

openapi_type!(UserId);

/// How many tasks a page has at most: 1 to 100, 50 when not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Limit(u8);

impl Limit {
    /// The largest page.
    pub const MAX: u8 = 100;

    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(1.0), maximum: Some(f64::from(Self::MAX)), ..MetaSchema::new("integer") }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl FromStr for Limit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        match text.parse() {
            Ok(n @ 1..=Self::MAX) if canonical => Ok(Self(n)),
            _ => Err(Invalid("must be a whole number from 1 to 100")),
        }
    }
}

openapi_type!(Limit);

/// `true` or `false` in a query.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Flag(pub(crate) bool);

impl Flag {
    fn schema() -> MetaSchema {
        MetaSchema::new("boolean")
    }
}

impl FromStr for Flag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| Invalid("must be true or false"))
    }
}

openapi_type!(Flag);

/// A place in a list under one filter, opaque to clients: the id of the last task that was seen, behind a letter for
/// the filter (`a`ll, `c`ompleted, `o`pen).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last task that was seen.
    pub after: TaskId,
    /// The filter of the list that the cursor was made for.
    pub is_completed: Option<bool>,
}

impl Cursor {
    fn schema() -> MetaSchema {
        MetaSchema { min_length: Some(1), max_length: Some(64), ..MetaSchema::new("string") }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = match self.is_completed {
            None => 'a',
            Some(true) => 'c',
            Some(false) => 'o',
        };
        write!(f, "{filter}{}", self.after.0.simple())
    }
}

impl FromStr for Cursor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parse = || {
            let (filter, id) = text.split_at_checked(1)?;
            let is_completed = match filter {
                "a" => None,
                "c" => Some(true),
                "o" => Some(false),
                _ => return None,
            };
            let cursor = Self { after: TaskId(Uuid::try_parse(id).ok()?), is_completed };
            // One spelling for each place: what we would not have written is refused.
            (cursor.to_string() == text).then_some(cursor)
        };
        parse().ok_or(Invalid("must be the `next_cursor` of an earlier page, unchanged"))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

openapi_type!(Cursor);

/// A point in time, in UTC with exactly six digits of a second: `2026-01-31T09:30:00.123456Z` (RFC 3339 §5.6).
///
/// Always whole microseconds, which both databases keep: what a write answers is what a read answers later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$".to_owned()),
            example: Some(json!("2026-01-31T09:30:00.123456Z")),
            ..MetaSchema::new_with_format("string", "date-time")
        }
    }

    /// The time as the database takes it.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        self.0
    }

    /// The 27 characters of the text form.
    fn text(self) -> [u8; 27] {
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let mut put = |end: usize, width: usize, mut number: u32| {
            for digit in text.iter_mut().take(end).rev().take(width) {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        };
        put(4, 4, self.0.year().unsigned_abs());
        put(7, 2, self.0.month());
        put(10, 2, self.0.day());
        put(13, 2, self.0.hour());
        put(16, 2, self.0.minute());
        put(19, 2, self.0.second());
        put(26, 6, self.0.nanosecond() / 1_000);
        text
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.trunc_subsecs(6))
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        DateTime::parse_from_rfc3339(text)
            .map(|time| time.to_utc().into())
            .map_err(|_| Invalid("must be a date and time as RFC 3339 writes it"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // Written digit by digit: a page has 150 of them, and chrono's formatting would cost more than all the rest.
        let text = self.text();
        to.serialize_str(str::from_utf8(&text).unwrap_or_default())
    }
}

openapi_type!(Timestamp);
