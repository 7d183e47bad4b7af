//! Points in time.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, SubsecRound, Timelike, Utc};
use poem_openapi::registry::MetaSchema;
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::http::newtype::{Invalid, openapi_type};

/// A point in time, in UTC with exactly six digits of a second: `2026-01-31T09:30:00.123456Z` (RFC 3339 §5.6).
///
/// Always whole microseconds, which both databases keep: what a write answers is what a read answers later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    fn schema() -> MetaSchema {
        MetaSchema {
            // No pattern beside the format: pydantic, and what is built on it, has no text any more that one could hold to it.
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
    pub(crate) fn text(self) -> [u8; 27] {
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let mut put = |place: usize, number: u32| {
            // Two digits at a time.
            if let Some([tens, ones]) = text.get_mut(place..).and_then(<[u8]>::first_chunk_mut) {
                *tens += (number / 10 % 10) as u8;
                *ones += (number % 10) as u8;
            }
        };
        let (date, second, micros) =
            (self.0.date_naive(), self.0.num_seconds_from_midnight(), self.0.nanosecond() / 1_000);
        let year = date.year().unsigned_abs();
        put(0, year / 100);
        put(2, year % 100);
        put(5, date.month());
        put(8, date.day());
        put(11, second / 3600);
        put(14, second / 60 % 60);
        put(17, second % 60);
        put(20, micros / 10_000);
        put(22, micros / 100 % 100);
        put(24, micros % 100);
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

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
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
