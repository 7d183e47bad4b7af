//! What a task may say beside its title: a description, when it is due, how much it matters, and its tags.
//!
//! Dates and times are those of the user's own life, without a zone: the server never knows what "today" is.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate, NaiveTime, Timelike};
use poem_openapi::Enum;
use poem_openapi::registry::MetaSchema;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::http::newtype::{Invalid, Nullable, openapi_type, read_from_text};
use crate::http::problem::Fault;
use crate::schemas::text::{self, Lines};

/// What there is to say about a task: 1 to 4,000 characters (Unicode code points), with line breaks and tabs, without other
/// control characters, U+2028, U+2029 and U+FEFF, and not white space alone. Stored exactly as sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Description(String);

impl Description {
    /// The most characters a description can have, in Unicode code points.
    pub const MAX_CHARS: usize = 4_000;

    fn schema() -> MetaSchema {
        let example = Some(json!("Oat milk, if they have it.\nBread without seeds."));
        MetaSchema { example, ..text::schema(Lines::Many, Self::MAX_CHARS) }
    }
}

impl FromStr for Description {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text::check(text, Lines::Many, Self::MAX_CHARS, "must have at most 4000 characters")?;
        Ok(Self(text.to_owned()))
    }
}

/// A word by which tasks are found: 1 to 50 characters (Unicode code points), by the rule of titles. Stored exactly as sent,
/// so that `Home` and `home` are two.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Tag(String);

impl Tag {
    /// The most characters a tag can have, in Unicode code points.
    pub const MAX_CHARS: usize = 50;

    fn schema() -> MetaSchema {
        text::schema(Lines::One, Self::MAX_CHARS)
    }
}

impl FromStr for Tag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text::check(text, Lines::One, Self::MAX_CHARS, "must have at most 50 characters")?;
        Ok(Self(text.to_owned()))
    }
}

/// Texts that were checked before they were stored.
macro_rules! stored {
    ($($type:ident),*) => {$(
        impl $type {
            /// One that was checked before it was stored.
            #[must_use]
            pub fn from_stored(text: String) -> Self {
                Self(text)
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    )*};
}

stored!(Description, Tag);

/// The most tags of a task.
pub(crate) const MAX_TAGS: usize = 20;

/// The tags of a task: at most [`MAX_TAGS`], none twice.
pub(crate) fn tags<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Tag>, D::Error> {
    from.deserialize_seq(Distinct { max: MAX_TAGS, name: "tag", of: PhantomData })
}

/// Priorities, none twice.
pub(crate) fn priorities<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Priority>, D::Error> {
    let wanted =
        from.deserialize_seq(Distinct { max: Priority::ALL.len(), name: "priority", of: PhantomData::<Wanted> });
    Ok(wanted?.into_iter().map(|Wanted(priority)| priority).collect())
}

/// A priority where null is none of them.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Wanted(Priority);

impl FromStr for Wanted {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self)
    }
}

read_from_text!(Wanted);

/// The same, in a body that may leave them out.
pub(crate) fn some_tags<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Tag>>, D::Error> {
    tags(from).map(Some)
}

/// A list in which nothing stands twice.
struct Distinct<T> {
    max: usize,
    name: &'static str,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de> + Clone + Eq + Hash> Visitor<'de> for Distinct<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
        let Self { max, name, .. } = self;
        let (mut places, mut entries) = (HashMap::new(), Vec::new());
        while let Some(entry) = from.next_element::<T>()? {
            let place = entries.len();
            if place == max {
                return Err(de::Error::custom(format_args!("must have at most {max} entries")));
            }
            if let Some(first) = places.insert(entry.clone(), place) {
                return Err(de::Error::custom(format_args!(
                    "must have each {name} once: entry {place} repeats entry {first}"
                )));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// The day on which a task is due: a date of the years 1 to 9999, `2026-02-28` (RFC 3339 §5.6, `full-date`), without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueDate(NaiveDate);

impl DueDate {
    fn schema() -> MetaSchema {
        // Every day of the calendar and no other. Without the format `date`: generators make an instant of that, which is another
        // day in another zone, and some send it as one.
        let year = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)";
        let by_four = "(0[48]|[2468][048]|[13579][26])";
        let days =
            "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])";
        let leap = format!("([0-9]{{2}}{by_four}|{by_four}00)-02-29");
        // Without an example: Swagger UI would send it with every list, as lists are filtered by it.
        MetaSchema { pattern: Some(format!("^({year}-({days})|{leap})$")), ..MetaSchema::new("string") }
    }
}

impl FromStr for DueDate {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parse = || {
            let [year, month, day] = numbers(text, [4, 2, 2], '-')?;
            let year = i32::try_from(year).ok().filter(|year| *year > 0)?;
            NaiveDate::from_ymd_opt(year, month, day).map(Self)
        };
        parse().ok_or(Invalid("must be a date of the calendar as YYYY-MM-DD, such as 2026-02-28, without a time"))
    }
}

impl fmt::Display for DueDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), self.0.month(), self.0.day())
    }
}

/// The time of that day: hours and minutes, `00:00` to `23:59`, without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueTime(NaiveTime);

impl DueTime {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^([01][0-9]|2[0-3]):[0-5][0-9]$".to_owned()),
            example: Some(json!("18:30")),
            ..MetaSchema::new("string")
        }
    }

    /// The fault of a time without a date, in the body or the part of it that stands there.
    #[must_use]
    pub fn without_date(at: &str) -> Fault {
        Fault::body(format!("{at}/due_time"), "needs a due_date: send one too, or leave the time out")
    }
}

impl FromStr for DueTime {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parse = || {
            let [hour, minute] = numbers(text, [2, 2], ':')?;
            NaiveTime::from_hms_opt(hour, minute, 0).map(Self)
        };
        parse()
            .ok_or(Invalid("must be a time of the day as HH:MM, from 00:00 to 23:59, such as 18:30, without seconds"))
    }
}

impl fmt::Display for DueTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

/// The fault of a time without a date among members that are right by themselves; `is_patch`: whether a date that is not sent may be
/// there already.
pub(crate) fn lone_time(right: &Map<String, Value>, sent: &[&str], at: &str, is_patch: bool) -> Option<Fault> {
    let is_removed = right.get("due_date").is_some_and(Value::is_null);
    let is_alone = is_removed || !is_patch && !sent.contains(&"due_date");
    let has_time = right.get("due_time").is_some_and(Value::is_string);
    (has_time && is_alone).then(|| DueTime::without_date(at))
}

/// Numbers of so many digits each, with this between them.
fn numbers<const N: usize>(text: &str, digits: [usize; N], between: char) -> Option<[u32; N]> {
    let mut parts = text.split(between);
    let mut found = [0; N];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part =
            parts.next().filter(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

/// How much a task matters.
// A component of its own, as a text that may be null and has an enum loses its null in swagger-typescript-api.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enum, Serialize)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// Before those of low priority.
    Medium,
    /// Before those without a priority.
    Low,
}

impl Priority {
    /// All of them, those that matter most first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

impl FromStr for Priority {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|priority| priority.as_str() == text);
        found.ok_or(Invalid("must be high, medium or low"))
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Word)
    }
}

/// A priority in a body, where null is none.
struct Word;

impl Visitor<'_> for Word {
    type Value = Priority;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"high\", \"medium\" or \"low\", or null")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Priority, E> {
        text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

/// Read from a text, by the type's own rule.
macro_rules! deserialized {
    ($($type:ident),*) => {$(
        read_from_text!($type);
        openapi_type!($type);
    )*};
}

deserialized!(Description, Tag, DueDate, DueTime);

/// Written as a text.
macro_rules! serialized {
    ($($type:ident),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}

serialized!(DueDate, DueTime);

/// When a task is due, as it is stored: `2026-02-28` or `2026-02-28T18:30`. There is no time without a date, and the order of the
/// texts is that of the times, with a day before its hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The day.
    pub date: DueDate,
    /// The time of the day.
    pub time: Option<DueTime>,
}

impl Due {
    /// What two members of a task say together.
    #[must_use]
    pub fn of(date: Option<DueDate>, time: Option<DueTime>) -> Option<Self> {
        date.map(|date| Self { date, time })
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            None => self.date.fmt(f),
            Some(time) => write!(f, "{}T{time}", self.date),
        }
    }
}

impl FromStr for Due {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.split_once('T') {
            None => Ok(Self { date: text.parse()?, time: None }),
            Some((date, time)) => Ok(Self { date: date.parse()?, time: Some(time.parse()?) }),
        }
    }
}

/// A member that a body may leave out; `null` is none, too.
pub(crate) fn or_none<T: Clone>(member: Option<&Nullable<T>>) -> Option<T> {
    member.and_then(|member| member.0.clone())
}
