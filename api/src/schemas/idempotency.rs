//! Requests that are safe to send again: the header `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header).

use std::str::FromStr;

use poem_openapi::registry::MetaSchema;
use serde::Serialize;

use crate::http::field::RequestField;
use crate::http::newtype::{Invalid, openapi_type, read_from_text};

/// The name that a client gives to a creation, or to a write in bulk: 1 to 255 visible ASCII characters. A key in quotes, as the draft writes
/// it, and one without are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RequestField for IdempotencyKey {
    /// Without an example: Swagger UI would send it with every request, as if all were one.
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some(r#"^("[!-~]{1,255}"|[!#-~][!-~]{0,254}|"([!-~]{0,253}[!#-~])?)$"#.to_owned()),
            ..MetaSchema::new("string")
        }
    }

    fn parse(value: &[u8]) -> Result<Self, Invalid> {
        const WRONG: Invalid = Invalid("must be one key of 1 to 255 visible ASCII characters, such as a UUID");
        let bare = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
        let is_key = (1..=255).contains(&bare.len()) && bare.iter().all(u8::is_ascii_graphic);
        let text = str::from_utf8(bare).ok().filter(|_| is_key).ok_or(WRONG)?;
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for IdempotencyKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text.as_bytes())
    }
}

read_from_text!(IdempotencyKey);

openapi_type!(IdempotencyKey);

/// What a request did, this one or an earlier one with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done<T> {
    /// What it answers.
    pub data: T,
    /// Whether an earlier request did it.
    pub is_replay: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::field::assert_check_is_schema;

    #[test]
    fn the_check_of_a_key_is_its_schema() {
        let (most, much) = ("k".repeat(253), "k".repeat(254));
        assert_check_is_schema::<IdempotencyKey>(&["\"", "k", " ", ",", &most, &much], 4);
    }
}
