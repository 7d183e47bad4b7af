//! Problems: what a client is told when something went wrong, `application/problem+json` (RFC 9457).
//!
//! In come an [`Error`](crate::http::error::Error)'s words, out goes JSON. Problems are written and never read.

use std::borrow::Cow;
use std::fmt;

use poem_openapi::registry::MetaSchemaRef;
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use poem_openapi::{Enum, Object};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::http::code::ProblemCode;
use crate::http::header::ETag;
use crate::http::json::Written;
use crate::http::newtype::Nullable;

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
#[oai(skip_serializing_if_is_none)]
pub struct Fault {
    /// Where in the body: a JSON pointer (RFC 6901), empty for the whole of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Where outside the body, together with `name`.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    #[oai(rename = "in")]
    pub location: Option<Location>,
    /// The name of the parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What to change.
    pub detail: String,
    /// The version that the task has; only where the request was about another. Look at the task before you write again.
    #[oai(validator(minimum(value = "1"), maximum(value = "9000000000000000")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<i64>,
    /// The task as it is, or null where it was deleted; only where the request was about another version of it, or took its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Nullable<Current>>,
}

/// A place outside the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename = "ParameterLocation", rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum Location {
    /// The query.
    Query,
    /// The path.
    Path,
    /// The headers.
    Header,
}

impl Fault {
    /// A fault in the body.
    pub fn body(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            location: None,
            name: None,
            detail: detail.into(),
            current_version: None,
            current: None,
        }
    }

    /// A fault in a parameter.
    pub fn parameter(location: Location, name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            location: Some(location),
            name: Some(name.into()),
            detail: detail.into(),
            current_version: None,
            current: None,
        }
    }

    /// The same, with the task that it is about.
    pub(super) fn about(self, current: Option<Current>) -> Self {
        Self { current: Some(current.into()), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pointer.as_deref(), self.location, &self.name) {
            (Some(""), ..) => write!(f, "The body {}.", self.detail),
            (Some(pointer), ..) => write!(f, "{pointer} {}.", self.detail),
            (None, Some(place), Some(name)) => {
                let place = match place {
                    Location::Query => "query parameter",
                    Location::Path => "path parameter",
                    Location::Header => "header",
                };
                write!(f, "The {place} {name} {}.", self.detail)
            }
            _ => write!(f, "{}.", self.detail),
        }
    }
}

/// What went wrong, for a person and for a program (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct Problem {
    /// The address of a page on this server that explains the problem.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub type_: String,
    /// The problem in a few words, always the same for a `code`.
    pub title: String,
    /// The HTTP status.
    #[oai(validator(minimum(value = "400"), maximum(value = "599")))]
    pub status: u16,
    /// What went wrong this time and what to do.
    pub detail: String,
    /// The kind of problem, of which the examples are those of today: what a program decides by. More may come; where it does not know
    /// one, `status` tells enough.
    pub code: ProblemCode,
    /// The id of the request, also in the server's log.
    pub request_id: String,
    /// Each part of the request that was refused; only where parts of it can be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub errors: Option<Vec<Fault>>,
    /// The version that the task has; only where the request was about another. Look at the task before you write again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "1"), maximum(value = "9000000000000000")))]
    pub current_version: Option<i64>,
    /// The task as it is, or null where it was deleted; only where the request was about another version of it, or took its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[oai(skip_serializing_if_is_none)]
    pub current: Option<Nullable<Current>>,
}

impl Written for Problem {}

/// The media type of problems.
pub(super) struct ProblemJson;

impl ProblemJson {
    pub(super) const MEDIA_TYPE: &'static str = "application/problem+json";
}

/// A task as it is now, and its tag. Tasks are nouns above this room, so that it comes as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// Its tag.
    pub(crate) etag: ETag,
    json: Value,
}

impl Current {
    /// Of this task.
    pub(crate) fn new(etag: ETag, task: &impl Serialize) -> Self {
        Self { etag, json: serde_json::to_value(task).unwrap_or_default() }
    }

    /// A member of it.
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        self.json.get(name)
    }
}

impl Serialize for Current {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(to)
    }
}

/// The component of this name, which the operations register.
impl Type for Current {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "Task".into()
    }
    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Reference("Task".to_owned())
    }
    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }
    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for Current {
    fn to_json(&self) -> Option<Value> {
        Some(self.json.clone())
    }
}

/// Problems are written and never read.
impl ParseFromJSON for Current {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Err(ParseError::expected_type(value.unwrap_or_default()))
    }
}
