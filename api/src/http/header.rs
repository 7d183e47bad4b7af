//! The values of the headers that answers carry, each with its schema.

use std::fmt;
use std::str::FromStr;

use poem::http::HeaderValue;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::ToHeader;
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::http::newtype::{Invalid, openapi_type, schema_type};

/// `ETag`: a strong entity tag (RFC 9110 §8.8.3), with its quotes: a version, and a mark that tells it from the same version of
/// another past, or of another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ETag {
    /// The version.
    pub version: i64,
    /// The mark.
    pub mark: u64,
}

impl ETag {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some(r#"^"[1-9][0-9]*-[0-9a-f]{16}"$"#.to_owned()),
            example: Some(json!("\"1-4f6c1d0e9b27a835\"")),
            ..MetaSchema::new("string")
        }
    }
}

/// The text of a tag: two quotes, at most 19 digits, a hyphen, 16 digits; at the end of its bytes.
#[derive(Clone, Copy)]
pub(crate) struct TagText {
    bytes: [u8; Self::LONGEST],
    start: usize,
}

impl TagText {
    const LONGEST: usize = 38;

    /// All of it.
    fn as_str(&self) -> &str {
        str::from_utf8(self.bytes.get(self.start..).unwrap_or_default()).unwrap_or_default()
    }

    /// What stands between the quotes.
    pub(crate) fn inside(&self) -> &[u8] {
        self.bytes.get(self.start + 1..Self::LONGEST - 1).unwrap_or_default()
    }
}

impl ETag {
    /// The text. Written digit by digit: a page has a hundred of them, and formatting would cost more than most members.
    pub(crate) fn text(self) -> TagText {
        let (mut bytes, mut start) = ([b'"'; TagText::LONGEST], TagText::LONGEST - 1);
        let mut put = |byte: u8| {
            start -= 1;
            if let Some(place) = bytes.get_mut(start) {
                *place = byte;
            }
        };
        let (mut mark, mut version) = (self.mark, self.version.unsigned_abs());
        for _ in 0..16 {
            let digit = (mark & 15) as u8;
            put(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
            mark >>= 4;
        }
        put(b'-');
        loop {
            put(b'0' + (version % 10) as u8);
            version /= 10;
            if version == 0 {
                break;
            }
        }
        put(b'"');
        TagText { bytes, start }
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl FromStr for ETag {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let tag = inside.and_then(|inside| inside.split_once('-')).and_then(|(version, mark)| {
            Some(Self { version: version.parse().ok()?, mark: u64::from_str_radix(mark, 16).ok()? })
        });
        tag.filter(|tag| tag.to_string() == text).ok_or(Invalid("must be a tag as the header ETag has it"))
    }
}

impl Serialize for ETag {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.text().as_str())
    }
}

impl ToHeader for ETag {
    fn to_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(self.text().as_str()).ok()
    }
}

/// `ETag` of a page: a hash over what makes any page of the user another one. It is weak, so that the page may be compressed (RFC 9110
/// §8.8.1).
pub(crate) struct PageTag(u64);

impl PageTag {
    /// The tag of this hash.
    pub(crate) fn new(hash: u64) -> Self {
        Self(hash)
    }

    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some(r#"^W[/]"[0-9a-f]{16}"$"#.to_owned()),
            example: Some(json!("W/\"4f6c1d0e9b27a835\"")),
            ..MetaSchema::new("string")
        }
    }
}

impl fmt::Display for PageTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "W/\"{:016x}\"", self.0)
    }
}

impl ToHeader for PageTag {
    fn to_header(&self) -> Option<HeaderValue> {
        self.to_string().try_into().ok()
    }
}

/// `Location`: the canonical path of what was created.
pub(crate) struct Location(pub(crate) String);

impl Location {
    fn schema() -> MetaSchema {
        MetaSchema {
            example: Some(json!("/api/alice/tasks/019c13be-7ac0-7a43-9f5b-2d6c8e1f4a70")),
            ..MetaSchema::new_with_format("string", "uri-reference")
        }
    }
}

impl ToHeader for Location {
    fn to_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

macro_rules! constant_headers {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl $name {
            fn schema() -> MetaSchema {
                MetaSchema { enum_items: vec![json!($value)], ..MetaSchema::new("string") }
            }
        }

        impl ToHeader for $name {
            fn to_header(&self) -> Option<HeaderValue> {
                Some(HeaderValue::from_static($value))
            }
        }

        schema_type!($name);
    )*};
}

constant_headers! {
    /// `Cache-Control` of one user's data: only for them, and to be asked for again.
    Private = "private, no-cache";
    /// `Cache-Control` of one task: as [`Private`], and no proxy may compress it, which would weaken its tag.
    PrivateAsIs = "private, no-cache, no-transform";
    /// `Content-Disposition` of an export: browsers save it under this name (RFC 6266).
    AsFile = "attachment; filename=\"tasks.jsonl\"";
    /// `Idempotency-Replayed` of an answer that an earlier request got first.
    Replayed = "true";
    /// `Cache-Control` of what is only true now.
    NoStore = "no-store";
    /// `Accept-Encoding` of an answer: bodies are read as they are (RFC 9110 §12.5.3).
    Uncompressed = "identity";
}

/// `Vary` of one user's data: with `me`, two users share a URL.
pub(crate) struct ByToken;

impl ByToken {
    fn schema() -> MetaSchema {
        // A server that answers pages of other origins adds that it does, and one that compresses the answer too.
        MetaSchema {
            pattern: Some("^Authorization(, Accept-Encoding)?(, Origin)?$".to_owned()),
            example: Some(json!("Authorization")),
            ..MetaSchema::new("string")
        }
    }
}

impl ToHeader for ByToken {
    fn to_header(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static("Authorization"))
    }
}

/// `X-Request-Id`: what names a request in an answer and in the log.
pub(crate) struct RequestId;

impl RequestId {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^[!-~]{1,128}$".to_owned()),
            example: Some(json!("019c13be-7bd1-7e24-8a1f-3c6d9b025a1f")),
            ..MetaSchema::new("string")
        }
    }
}

/// `Retry-After`: seconds (RFC 9110 §10.2.3).
pub(crate) struct RetryAfter;

impl RetryAfter {
    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(1.0), example: Some(json!(2)), ..MetaSchema::new("integer") }
    }
}

/// `RateLimit`: what is left, and in how many seconds there is more (draft-ietf-httpapi-ratelimit-headers).
pub(crate) struct RateLimit;

/// `RateLimit-Policy`: how many requests, in how many seconds (the same draft).
pub(crate) struct RateLimitPolicy;

impl RateLimit {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some(r#"^"[a-z]+";r=[0-9]+;t=[0-9]+$"#.to_owned()),
            example: Some(json!("\"user\";r=0;t=3")),
            ..MetaSchema::new("string")
        }
    }
}

impl RateLimitPolicy {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some(r#"^"[a-z]+";q=[0-9]+;w=[0-9]+$"#.to_owned()),
            example: Some(json!("\"user\";q=600;w=60")),
            ..MetaSchema::new("string")
        }
    }
}

/// `Accept` and `Accept-Patch` of an answer: the media types that are read (RFC 9110 §12.5.1, RFC 5789 §3.1).
pub(crate) struct MediaTypes;

impl MediaTypes {
    fn schema() -> MetaSchema {
        MetaSchema { example: Some(json!("application/json")), ..MetaSchema::new("string") }
    }
}

/// `WWW-Authenticate`: a challenge (RFC 6750 §3).
pub(crate) struct Challenge;

impl Challenge {
    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^Bearer ".to_owned()),
            example: Some(json!("Bearer realm=\"tasks-api\"")),
            ..MetaSchema::new("string")
        }
    }
}

openapi_type!(ETag);
schema_type!(PageTag);
schema_type!(Location);
schema_type!(ByToken);
schema_type!(RequestId);
schema_type!(RetryAfter);
schema_type!(RateLimit);
schema_type!(RateLimitPolicy);
schema_type!(MediaTypes);
schema_type!(Challenge);
