//! Users: their ids.

use std::str::FromStr;

use poem_openapi::registry::MetaSchema;
use serde::Serialize;
use serde_json::json;

use crate::http::newtype::{Invalid, openapi_type};

/// The id of a user: the `sub` of their token (RFC 7519 §4.1.2) or the claim that is set in its place, an opaque text of 1 to 255 characters without
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
            pattern: Some(r"^[^\x00-\x1F\x7F-\x9F]+$".to_owned()),
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

/// That the erasure of a user is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename = "all-tasks")]
pub(crate) struct Confirmation;

impl Confirmation {
    /// Without an example, and no enum, which forms fill in: nobody is erased by one click.
    fn schema() -> MetaSchema {
        MetaSchema { pattern: Some("^all-tasks$".to_owned()), ..MetaSchema::new("string") }
    }
}

impl FromStr for Confirmation {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "all-tasks" { Ok(Self) } else { Err(Invalid("must be all-tasks: everything is erased for good")) }
    }
}

openapi_type!(Confirmation);
