//! The marks of tasks: what tells a task from the same version of another past, as after a restore, and from a task of another
//! user that has the same id.
//!
//! A mark is the time of the task's last change, veiled by a hash of its owner's id. So it takes nothing more to be made than the
//! task itself, and a write that names one is held to that time in its own statement.

use chrono::{DateTime, Datelike};
use siphasher::sip::SipHasher13;

use crate::http::header::ETag;
use crate::schemas::time::Timestamp;
use crate::schemas::user::UserId;

/// What a tag says of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskTag {
    /// The version that it has.
    pub version: i64,
    /// Its mark; `None` where the version alone is named.
    pub mark: Option<u64>,
}

impl TaskTag {
    /// Whether it names this task.
    #[must_use]
    pub fn names(self, etag: ETag) -> bool {
        self.version == etag.version && self.mark.is_none_or(|mark| mark == etag.mark)
    }

    /// Which task of this user that is; `None` where its mark is of no time, so that there is no such task.
    #[must_use]
    pub fn expected(self, user: &UserId) -> Option<Expected> {
        let updated_at = match self.mark {
            None => None,
            Some(mark) => Some(unveil(mark, user)?),
        };
        Some(Expected { version: self.version, updated_at })
    }
}

/// What a write depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The version that the task must have.
    pub version: i64,
    /// When it must have changed last; `None` where any time will do.
    pub updated_at: Option<Timestamp>,
}

/// A tag of this user's task.
#[must_use]
pub fn etag(user: &UserId, version: i64, changed_at: Timestamp) -> ETag {
    ETag { version, mark: veil(user) ^ changed_at.to_utc().timestamp_micros().cast_unsigned() }
}

fn unveil(mark: u64, user: &UserId) -> Option<Timestamp> {
    let micros = (mark ^ veil(user)).cast_signed();
    // What answers can write.
    let time = DateTime::from_timestamp_micros(micros).filter(|time| (1..=9999).contains(&time.year()));
    time.map(Into::into)
}

/// Stays the same from one version of the program to the next, as clients keep tags.
fn veil(user: &UserId) -> u64 {
    SipHasher13::new().hash(user.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_when_and_whose_and_stays() {
        let [alice, bob] = ["alice", "bob"].map(|id| UserId::from_stored(id.to_owned()));
        let time: Timestamp = "2026-01-31T09:30:00.123456Z".parse().unwrap();
        let tag = etag(&alice, 7, time);
        // Clients keep tags: another text here is a refused write to each of them.
        assert_eq!(tag.to_string(), "\"7-11a9559fc5a02e01\"");
        let named = TaskTag { version: 7, mark: Some(tag.mark) };
        assert_eq!(named.expected(&alice), Some(Expected { version: 7, updated_at: Some(time) }));
        assert_ne!(named.expected(&bob), named.expected(&alice));
        assert_ne!(etag(&bob, 7, time), tag);
        assert!(named.names(tag) && !named.names(etag(&bob, 7, time)));
        let bare = TaskTag { version: 7, mark: None };
        assert!(bare.names(tag) && bare.expected(&bob) == Some(Expected { version: 7, updated_at: None }));
        // A time that no answer could write.
        assert_eq!(TaskTag { mark: Some(tag.mark ^ (1 << 62)), ..named }.expected(&alice), None);
    }
}
