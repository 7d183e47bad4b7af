//! Places in lists: opaque to clients, and each bound to the list that it was made for.

use std::fmt;
use std::str::FromStr;

use poem_openapi::registry::MetaSchema;
use serde::{Serialize, Serializer};
use siphasher::sip::SipHasher13;
use uuid::Uuid;

use crate::http::newtype::{Invalid, openapi_type, read_from_text};
use crate::schemas::details::{Due, Priority};
use crate::schemas::filter::{Filter, Sort};
use crate::schemas::task::{StoredTitle, Task, TaskId, Title};
use crate::schemas::time::Timestamp;

/// A task behind which a page begins, as a list sorts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// Its id.
    pub id: TaskId,
    /// What it is sorted by before its id.
    pub key: Key,
}

/// What a task is sorted by before its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Nothing: the id alone has the order.
    Id,
    /// When it is due.
    Due(Option<Due>),
    /// How much it matters.
    Priority(Option<Priority>),
    /// Its title, to be folded.
    Title(StoredTitle),
    /// When it last changed.
    Changed(Timestamp),
}

impl Key {
    /// That of a task, in this order.
    fn of(task: &Task, sort: Sort) -> Self {
        match sort {
            Sort::Newest | Sort::Oldest => Self::Id,
            Sort::Due => Self::Due(task.due()),
            Sort::Priority => Self::Priority(task.priority.0),
            Sort::Title => Self::Title(task.title.clone()),
            Sort::Changed => Self::Changed(task.updated_at),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Id => String::new(),
            Self::Due(due) => due.as_ref().map(ToString::to_string).unwrap_or_default(),
            Self::Priority(priority) => priority.map(Priority::as_str).unwrap_or_default().to_owned(),
            Self::Title(title) => title.as_str().to_owned(),
            Self::Changed(time) => time.to_string(),
        }
    }

    fn read(text: &str, sort: Sort) -> Option<Self> {
        let or_none = !text.is_empty();
        Some(match sort {
            Sort::Newest | Sort::Oldest => Self::Id,
            Sort::Due => Self::Due(or_none.then(|| text.parse()).transpose().ok()?),
            Sort::Priority => Self::Priority(or_none.then(|| text.parse()).transpose().ok()?),
            Sort::Title => Self::Title(Some(text).filter(|text| !text.contains('\0'))?.parse().ok()?),
            Sort::Changed => Self::Changed(text.parse().ok()?),
        })
    }
}

/// A place in a list. Where completion is all that a list is filtered by, and it has the newest first: a letter for that (`a`ll,
/// `c`ompleted, `o`pen) and the id of the last task. Else `s`, a hash over filter and order, the id, and what the task is sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    id: TaskId,
    list: List,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum List {
    Newest(Option<bool>),
    Other { hash: u64, key: String },
}

impl Cursor {
    /// The longest key, in bytes: a title of four bytes a character.
    const MAX_KEY: usize = 4 * Title::MAX_CHARS;

    fn schema() -> MetaSchema {
        // A letter for which list, then hexadecimal digits: hash, id, key.
        let most = 2 * (8 + 16 + Self::MAX_KEY);
        let pattern = format!("^([aco][0-9a-f]{{32}}|s([0-9a-f]{{2}}){{24,{}}})$", 24 + Self::MAX_KEY);
        MetaSchema { pattern: Some(pattern), max_length: Some(1 + most), ..MetaSchema::new("string") }
    }

    /// The place behind this task, in the list of this filter and order.
    #[must_use]
    pub fn behind(task: &Task, filter: &Filter, sort: Sort) -> Self {
        let list = if is_simple(filter, sort) {
            List::Newest(filter.is_completed)
        } else {
            List::Other { hash: hash(filter, sort), key: Key::of(task, sort).text() }
        };
        Self { id: task.id, list }
    }

    /// What it stands for in the list of this filter and order.
    ///
    /// # Errors
    /// When it was made for another list, or by somebody else.
    pub(crate) fn after(&self, filter: &Filter, sort: Sort) -> Result<After, Invalid> {
        let key = match (&self.list, is_simple(filter, sort)) {
            (List::Newest(is_completed), true) if *is_completed == filter.is_completed => Some(Key::Id),
            (List::Other { hash: of, key }, false) if *of == hash(filter, sort) => Key::read(key, sort),
            _ => None,
        };
        let key = key.ok_or(Invalid(
            "was made for another list; send is_completed, priority, tag, due_from, due_to, q and sort as with the page before, or \
             start again without a cursor",
        ))?;
        Ok(After { id: self.id, key })
    }
}

/// Whether completion is all that the list is filtered by, and it has the newest first.
fn is_simple(filter: &Filter, sort: Sort) -> bool {
    sort == Sort::Newest && filter.is_plain()
}

/// Stays the same from one version of the program to the next: two of them may serve the pages of one list.
fn hash(filter: &Filter, sort: Sort) -> u64 {
    SipHasher13::new().hash(&serde_json::to_vec(&(filter, sort)).unwrap_or_default())
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.0.simple();
        match &self.list {
            List::Newest(None) => write!(f, "a{id}"),
            List::Newest(Some(true)) => write!(f, "c{id}"),
            List::Newest(Some(false)) => write!(f, "o{id}"),
            List::Other { hash, key } => {
                write!(f, "s{hash:016x}{id}")?;
                key.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl FromStr for Cursor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parse = || {
            let (letter, rest) = text.split_at_checked(1)?;
            let id = |text: &str| Some(TaskId(Uuid::try_parse(text).ok()?));
            let newest = |is_completed| Some(Self { id: id(rest)?, list: List::Newest(is_completed) });
            let cursor = match letter {
                "a" => newest(None),
                "c" => newest(Some(true)),
                "o" => newest(Some(false)),
                "s" => {
                    let (hash, rest) = rest.split_at_checked(16)?;
                    let (last, key) = rest.split_at_checked(32)?;
                    let byte = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok();
                    let key: Option<Vec<u8>> = key.as_bytes().chunks(2).map(byte).collect();
                    let key = String::from_utf8(key.filter(|key| key.len() <= Self::MAX_KEY)?).ok()?;
                    let hash = u64::from_str_radix(hash, 16).ok()?;
                    Some(Self { id: id(last)?, list: List::Other { hash, key } })
                }
                _ => None,
            };
            // One spelling for each place: what we would not have written is refused.
            cursor.filter(|cursor| cursor.to_string() == text)
        };
        parse().ok_or(Invalid("must be the `next_cursor` of an earlier page, unchanged"))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

read_from_text!(Cursor);

openapi_type!(Cursor);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_bound_to_its_list_and_bounded() {
        let draft = crate::schemas::task::TaskDraft::titled("\u{1F600}".repeat(200).parse().unwrap());
        let user = crate::schemas::user::UserId::from_stored("alice".to_owned());
        let now: Timestamp = "2026-01-31T09:30:00.123456Z".parse().unwrap();
        let task = Task::new(TaskId(Uuid::from_u128(7)), user, &draft, now);
        let schema = serde_json::json!({ "type": "string", "pattern": Cursor::schema().pattern, "maxLength": Cursor::schema().max_length });
        let schema = jsonschema::validator_for(&schema).unwrap();
        let open = Filter { is_completed: Some(false), ..Filter::default() };
        let tagged = Filter { tags: vec!["x".parse().unwrap()], ..Filter::default() };
        let lists: Vec<_> = [Filter::default(), open, tagged]
            .into_iter()
            .flat_map(|filter| Sort::ALL.map(|(sort, _)| (filter.clone(), sort)))
            .collect();
        for (filter, sort) in &lists {
            let text = Cursor::behind(&task, filter, *sort).to_string();
            assert!(schema.is_valid(&serde_json::json!(text)), "{text}");
            let cursor: Cursor = text.parse().unwrap();
            for (other, order) in &lists {
                let after = cursor.after(other, *order);
                assert_eq!(after.is_ok(), (other, order) == (filter, sort), "{filter:?} {sort} {other:?} {order}");
            }
            let after = cursor.after(filter, *sort).unwrap();
            assert_eq!(after, After { id: task.id, key: Key::of(&task, *sort) });
        }
        // Clients keep cursors while they read, and two versions of the program may serve them.
        let by_title = Cursor::behind(&task, &Filter::default(), Sort::Due).to_string();
        assert_eq!(by_title, "s57c8c3fc2604671e00000000000000000000000000000007");
        // One that somebody made up.
        let made_up = by_title.clone() + "7878";
        assert!(made_up.parse::<Cursor>().unwrap().after(&Filter::default(), Sort::Due).is_err());
        for wrong in [by_title.to_uppercase(), by_title + "4", "s".to_owned(), "x00".to_owned()] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }
}
