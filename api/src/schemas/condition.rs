//! Conditions: on which version of a task a request depends (RFC 9110 §13).
//!
//! A task's entity tag is strong: its version and a mark, in quotes. The mark is the time of its last change, veiled by a hash of
//! its owner's id: it tells the task from the same version of another past, as after a restore, and from that of another user
//! whose task has the same id. `If-Match` also takes the version alone, which a client can make from `version`.

use poem_openapi::registry::MetaSchema;

use crate::http::error::Error;
use crate::http::field::RequestField;
use crate::http::header::ETag;
use crate::http::newtype::Invalid;
use crate::http::problem::{Fault, Location};
use crate::schemas::mark::TaskTag;
use crate::schemas::task::Task;

/// What a write depends on: `If-Match` (RFC 9110 §13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: there is such a task.
    Any,
    /// The task has one of some tags. Those that are no task's match nothing and are left out.
    Tags {
        /// Those that allow the write.
        strong: Vec<TaskTag>,
        /// Weak ones, which match nothing (§8.8.3.2): they tell who sends what a proxy made of a tag.
        weak: Vec<TaskTag>,
    },
}

/// What a reader has already: `If-None-Match` (RFC 9110 §13.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfNoneMatch {
    /// `*`: whatever there is.
    Any,
    /// An answer with one of these tags, weak or strong.
    Tags(Vec<Vec<u8>>),
}

impl IfMatch {
    /// The refusal of a write that has none, by a server that insists on it.
    pub(crate) fn missing() -> Error {
        let detail = "is required by this server; send the ETag of what the change is based on, or * to overwrite it";
        Error::ConditionRequired(vec![Fault::parameter(Location::Header, "If-Match", detail)])
    }

    /// Whether this task may be written.
    #[must_use]
    pub fn allows(&self, task: &Task) -> bool {
        match self {
            Self::Any => true,
            Self::Tags { strong, .. } => strong.iter().any(|tag| tag.names(task.etag)),
        }
    }

    /// The refusal of a write to this task.
    #[must_use]
    pub fn mismatch(&self, task: &Task) -> Error {
        let is_weakened = matches!(self, Self::Tags { weak, .. } if weak.iter().any(|tag| tag.names(task.etag)));
        Error::VersionMismatch { current: task.into(), is_weakened }
    }
}

impl IfNoneMatch {
    /// Whether the reader has the answer of this tag, which is given with its quotes.
    pub(crate) fn has(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| Some(tag.as_slice()) == opaque(etag.as_bytes())),
        }
    }
}

impl RequestField for IfMatch {
    fn schema() -> MetaSchema {
        schema()
    }

    fn parse(value: &[u8]) -> Result<Self, Invalid> {
        let Some(tags) = tags(value)? else { return Ok(Self::Any) };
        let (weak, strong): (Vec<_>, Vec<_>) = tags.into_iter().partition(|tag| tag.is_weak);
        let ours = |tags: Vec<Tag<'_>>| tags.iter().filter_map(|tag| task_tag(tag.opaque)).collect();
        Ok(Self::Tags { strong: ours(strong), weak: ours(weak) })
    }
}

impl RequestField for IfNoneMatch {
    fn schema() -> MetaSchema {
        schema()
    }

    fn parse(value: &[u8]) -> Result<Self, Invalid> {
        let Some(tags) = tags(value)? else { return Ok(Self::Any) };
        Ok(Self::Tags(tags.into_iter().map(|tag| tag.opaque.to_vec()).collect()))
    }
}

/// An entity tag (RFC 9110 §8.8.3).
struct Tag<'a> {
    is_weak: bool,
    opaque: &'a [u8],
}

/// The tags of a list, `None` for `*`. Empty places of a list are passed over (RFC 9110 §5.6.1.2).
fn tags(value: &[u8]) -> Result<Option<Vec<Tag<'_>>>, Invalid> {
    const WRONG: Invalid = Invalid("must be tags in quotes, as the header ETag has them, such as \"7\", or * alone");
    let mut rest = value.trim_ascii();
    if rest == b"*" {
        return Ok(None);
    }
    let mut tags = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after.trim_ascii_start();
            continue;
        }
        let (is_weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let inside = quoted.strip_prefix(b"\"").ok_or(WRONG)?;
        let end = inside.iter().position(|byte| *byte == b'"').ok_or(WRONG)?;
        let (opaque, after) = inside.split_at(end);
        if opaque.iter().any(|byte| matches!(byte, 0..=b' ' | 0x7f)) {
            return Err(WRONG);
        }
        tags.push(Tag { is_weak, opaque });
        rest = after.strip_prefix(b"\"").unwrap_or(after).trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b",") {
            return Err(WRONG);
        }
    }
    if tags.is_empty() { Err(WRONG) } else { Ok(Some(tags)) }
}

/// What a tag of ours says, in the one way in which we write it.
fn task_tag(opaque: &[u8]) -> Option<TaskTag> {
    let text = str::from_utf8(opaque).ok()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') {
        return Some(TaskTag { version: text.parse().ok()?, mark: None });
    }
    let ETag { version, mark } = format!("\"{text}\"").parse().ok()?;
    Some(TaskTag { version, mark: Some(mark) })
}

/// What stands between the quotes.
fn opaque(etag: &[u8]) -> Option<&[u8]> {
    etag.strip_prefix(b"W/").unwrap_or(etag).strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// What [`tags`] reads.
const TAGS: &str = concat!(
    r"^[ \t]*(\*|[ \t,]*",
    r#"(W[/])?"[^\x00-\x20\x22\x7F]*""#,
    r#"([ \t]*,[ \t]*((W[/])?"[^\x00-\x20\x22\x7F]*")?)*"#,
    r")[ \t]*$",
);

/// Without an example: Swagger UI would send it with every request.
fn schema() -> MetaSchema {
    MetaSchema { pattern: Some(TAGS.to_owned()), ..MetaSchema::new("string") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::field::assert_check_is_schema;

    #[test]
    fn the_check_of_a_condition_is_its_schema() {
        let pieces = ["\"", "W/", "w/", "*", ",", " ", "\t", "7", "é"];
        assert_check_is_schema::<IfMatch>(&pieces, 5);
        assert_check_is_schema::<IfNoneMatch>(&pieces, 5);
    }
}
