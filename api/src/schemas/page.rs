//! Pages of tasks, and what asks for them.

use std::str::FromStr;

use poem_openapi::Object;
use poem_openapi::registry::MetaSchema;
use serde::Serialize;

use crate::http::json::Written;
use crate::http::newtype::{Invalid, Nullable, openapi_type};
use crate::schemas::cursor::{After, Cursor};
use crate::schemas::filter::{Filter, Sort};
use crate::schemas::task::Task;
use crate::schemas::written::{length_of, write_list};

/// A page of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct TaskPage {
    /// The tasks of this page, in the order that was asked for; empty when there are none.
    #[oai(validator(max_items = 100))]
    pub data: Vec<Task>,
    /// Where the page stands in the list.
    pub meta: PageMeta,
}

impl Written for TaskPage {
    fn length(&self) -> usize {
        length_of(&self.data)
    }

    fn write(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        write_list(&self.data, text)?;
        text.extend_from_slice(b",\"meta\":");
        serde_json::to_writer(&mut *text, &self.meta)?;
        text.push(b'}');
        Ok(())
    }
}

/// Where a page stands in its list.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct PageMeta {
    /// The page size that was asked for.
    pub limit: Limit,
    /// Send it as `cursor` to get the next page; null on the last page.
    pub next_cursor: Nullable<Cursor>,
    /// How many tasks the filter matches over all pages; null unless `include_total=true` was sent.
    #[oai(validator(minimum(value = "0"), maximum(value = "9000000000000000")))]
    pub total: Nullable<i64>,
}

/// What a caller asks of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many tasks.
    pub limit: Limit,
    /// Which tasks.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// Only what comes behind this task.
    pub after: Option<After>,
    /// Whether to count what the filter matches.
    pub include_total: bool,
}

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

    /// A page of so many, which its caller has seen to be one.
    pub(crate) const fn of(number: u8) -> Self {
        Self(number)
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
