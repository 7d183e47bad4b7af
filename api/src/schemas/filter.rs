//! Which tasks a list has, and in which order.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult, Type};
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::http::error::Error;
use crate::http::newtype::{Invalid, openapi_type, read_from_text};
use crate::http::problem::{Fault, Location};
use crate::schemas::details::{DueDate, MAX_TAGS, Priority, Tag};
use crate::schemas::text::{self, Lines};

/// What the tasks of a list have in common; what is empty takes any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// Only completed (`true`) or only open (`false`) ones.
    pub is_completed: Option<bool>,
    /// Those that have one of these priorities.
    pub priorities: Vec<Priority>,
    /// Those that have all of these tags.
    pub tags: Vec<Tag>,
    /// Those that are due on this day or later.
    pub due_from: Option<DueDate>,
    /// Those that are due on this day or before.
    pub due_to: Option<DueDate>,
    /// Those whose title or description has this text in it.
    pub text: Option<SearchText>,
}

impl Filter {
    /// The same in whatever order its values came.
    ///
    /// # Errors
    /// [`Error::Invalid`] when no day is both.
    pub(crate) fn checked(mut self) -> Result<Self, Error> {
        if self.due_from.zip(self.due_to).is_some_and(|(from, to)| from > to) {
            let detail = "lies after due_to, so that no task could be listed";
            return Err(Error::invalid(Fault::parameter(Location::Query, "due_from", detail)));
        }
        self.priorities.sort();
        self.tags.sort();
        Ok(self)
    }

    /// Whether it is about nothing but completion.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self { is_completed: self.is_completed, ..Self::default() }
    }
}

/// The order of a list. Where two tasks stand equal, the older one comes first, but with the newest first and the last changed first
/// the newer one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// By the time in the id, newest first.
    #[default]
    Newest,
    /// By the time in the id, oldest first.
    Oldest,
    /// By day and time, a day before its hours, and what is never due last.
    Due,
    /// High, medium, low, none.
    Priority,
    /// By the folded title, by its bytes.
    Title,
    /// What changed last first.
    Changed,
}

impl Sort {
    /// All of them, each with its word.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Newest, "-created_at"),
        (Self::Oldest, "created_at"),
        (Self::Due, "due_date"),
        (Self::Priority, "priority"),
        (Self::Title, "title"),
        (Self::Changed, "-updated_at"),
    ];

    fn schema() -> MetaSchema {
        MetaSchema { enum_items: Self::ALL.map(|(_, word)| json!(word)).to_vec(), ..MetaSchema::new("string") }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(sort, _)| *sort == self).map_or("", |(_, word)| word)
    }
}

impl FromStr for Sort {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.iter().find(|(_, word)| *word == text).map(|(sort, _)| *sort);
        found.ok_or(Invalid("must be one of -created_at, created_at, due_date, priority, title and -updated_at"))
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Sort {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

read_from_text!(Sort);

openapi_type!(Sort);

/// What is looked for in titles and descriptions: 1 to 100 characters (Unicode code points), none a control character beside tabs
/// and line breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SearchText(String);

impl SearchText {
    /// The most characters that are looked for, in Unicode code points.
    pub const MAX_CHARS: usize = 100;

    fn schema() -> MetaSchema {
        text::loose_schema(Lines::Many, Self::MAX_CHARS)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SearchText {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text::check_loosely(text, Lines::Many, Self::MAX_CHARS, "must have 1 to 100 characters")?;
        Ok(Self(text.to_owned()))
    }
}

read_from_text!(SearchText);

openapi_type!(SearchText);

/// What a query may name several times, each time by another value.
pub(crate) trait Several: FromStr<Err = Invalid> + Type + PartialEq {
    /// How often at most.
    const MAX: usize;
}

impl Several for Priority {
    const MAX: usize = Self::ALL.len();
}

impl Several for Tag {
    const MAX: usize = MAX_TAGS;
}

/// The values of a parameter that may be repeated.
#[derive(Debug, Clone)]
pub(crate) struct All<T>(pub(crate) Vec<T>);

impl<T: Several> Type for All<T> {
    const IS_REQUIRED: bool = false;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        T::name()
    }
    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            items: Some(Box::new(T::schema_ref())),
            max_items: Some(T::MAX),
            ..MetaSchema::new("array")
        }))
    }
    fn register(registry: &mut Registry) {
        T::register(registry);
    }
    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }
    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Several> ParseFromParameter for All<T> {
    fn parse_from_parameter(text: &str) -> ParseResult<Self> {
        Self::parse_from_parameters([text])
    }

    fn parse_from_parameters<I: IntoIterator<Item = A>, A: AsRef<str>>(texts: I) -> ParseResult<Self> {
        let mut values = Vec::new();
        for text in texts {
            let text = text.as_ref();
            let value = text.parse().map_err(|invalid: Invalid| {
                let more = if text.contains(',') { "; repeat the parameter for several" } else { "" };
                ParseError::custom(format_args!("{invalid}{more}"))
            })?;
            if values.contains(&value) {
                return Err(ParseError::custom("names a value twice; name each once"));
            }
            if values.len() == T::MAX {
                return Err(ParseError::custom(format_args!("must be sent at most {} times", T::MAX)));
            }
            values.push(value);
        }
        Ok(Self(values))
    }
}
