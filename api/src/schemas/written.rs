//! Tasks as JSON. What is written is what [`serde::Serialize`] of a task writes, a third of the instructions: names, ids, times and
//! tags need no look at each of their bytes for what must be escaped, and they are most of a page.

use std::io::Write as _;

use serde::Serialize;
use uuid::Uuid;

use crate::http::header::ETag;
use crate::http::json::Written;
use crate::schemas::task::{Task, TaskEnvelope};
use crate::schemas::time::Timestamp;

/// About how long the text of tasks is.
pub(crate) fn length_of(tasks: &[Task]) -> usize {
    256 + 512 * tasks.len()
}

/// Writes `{"data":[…]`.
pub(crate) fn write_list(tasks: &[Task], text: &mut Vec<u8>) -> serde_json::Result<()> {
    text.extend_from_slice(b"{\"data\":[");
    for (place, task) in tasks.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        write_task(task, text)?;
    }
    text.push(b']');
    Ok(())
}

impl Written for TaskEnvelope {
    fn write(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        text.extend_from_slice(b"{\"data\":");
        write_task(&self.data, text)?;
        text.push(b'}');
        Ok(())
    }
}

fn write_task(task: &Task, text: &mut Vec<u8>) -> serde_json::Result<()> {
    // Named one by one: a new member is missed here by the compiler.
    let Task {
        id,
        user_id,
        title,
        description,
        due_date,
        due_time,
        priority,
        tags,
        is_completed,
        completed_at,
        created_at,
        updated_at,
        version,
        etag,
    } = task;
    text.extend_from_slice(b"{\"id\":\"");
    text.extend_from_slice(id.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    text.extend_from_slice(b"\",\"user_id\":");
    serde_json::to_writer(&mut *text, user_id)?;
    text.extend_from_slice(b",\"title\":");
    serde_json::to_writer(&mut *text, title)?;
    write_or_null(b",\"description\":", description.0.as_ref(), text)?;
    write_or_null(b",\"due_date\":", due_date.0.as_ref(), text)?;
    write_or_null(b",\"due_time\":", due_time.0.as_ref(), text)?;
    write_or_null(b",\"priority\":", priority.0.as_ref(), text)?;
    text.extend_from_slice(b",\"tags\":");
    if tags.is_empty() {
        text.extend_from_slice(b"[]");
    } else {
        serde_json::to_writer(&mut *text, tags)?;
    }
    text.extend_from_slice(if *is_completed { b",\"is_completed\":true" } else { b",\"is_completed\":false" });
    text.extend_from_slice(b",\"completed_at\":");
    match completed_at.0 {
        Some(time) => write_time(time, text),
        None => text.extend_from_slice(b"null"),
    }
    text.extend_from_slice(b",\"created_at\":");
    write_time(*created_at, text);
    text.extend_from_slice(b",\"updated_at\":");
    write_time(*updated_at, text);
    text.extend_from_slice(b",\"version\":");
    serde_json::to_writer(&mut *text, version)?;
    write_tag(*etag, text);
    text.push(b'}');
    Ok(())
}

fn write_or_null<T: Serialize>(name: &[u8], value: Option<&T>, text: &mut Vec<u8>) -> serde_json::Result<()> {
    text.extend_from_slice(name);
    match value {
        Some(value) => serde_json::to_writer(&mut *text, value),
        None => text.write_all(b"null").map_err(serde_json::Error::io),
    }
}

fn write_time(time: Timestamp, text: &mut Vec<u8>) {
    text.push(b'"');
    text.extend_from_slice(&time.text());
    text.push(b'"');
}

/// The quotes of a tag are part of it.
fn write_tag(etag: ETag, text: &mut Vec<u8>) {
    let tag = etag.text();
    text.extend_from_slice(b",\"etag\":\"\\\"");
    text.extend_from_slice(tag.inside());
    text.extend_from_slice(b"\\\"\"");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::newtype::Nullable;
    use crate::schemas::bulk::TaskList;
    use crate::schemas::details::{Description, Priority, Tag};
    use crate::schemas::page::{Limit, PageMeta, TaskPage};
    use crate::schemas::task::{TaskDraft, TaskId};
    use crate::schemas::user::UserId;

    fn written(value: &impl Written) -> String {
        let mut text = Vec::new();
        value.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn tasks_are_written_as_serde_writes_them() {
        let user = UserId::from_stored("a\"b\\c\u{1F600}".to_owned());
        let now: Timestamp = "2026-01-31T09:30:00.003456Z".parse().unwrap();
        let draft = TaskDraft::titled("x \u{7F}\u{E9}\"\\/".replace('\u{7F}', "y").parse().unwrap());
        let plain = Task::new(TaskId(Uuid::from_u128(7)), user, &draft, now);
        let full = Task {
            description: Nullable(Some(Description::from_stored("\t\r\n\u{1}\"".to_owned()))),
            due_date: Nullable(Some("0001-02-03".parse().unwrap())),
            due_time: Nullable(Some("00:59".parse().unwrap())),
            priority: Nullable(Some(Priority::Medium)),
            tags: ["a\"", "b"].map(|tag| Tag::from_stored(tag.to_owned())).to_vec(),
            is_completed: true,
            completed_at: Nullable(Some("9999-12-31T23:59:59.999999Z".parse().unwrap())),
            updated_at: "1969-12-31T23:59:59.000001Z".parse().unwrap(),
            version: 9_000_000_000_000_000,
            etag: ETag { version: 9_000_000_000_000_000, mark: u64::MAX },
            ..plain.clone()
        };
        for data in [vec![], vec![plain.clone()], vec![full.clone(), plain.clone(), full.clone()]] {
            let list = TaskList { data: data.clone() };
            assert_eq!(written(&list), serde_json::to_string(&list).unwrap());
            let meta = PageMeta { limit: Limit::default(), next_cursor: Nullable(None), total: Nullable(Some(7)) };
            let page = TaskPage { data, meta };
            assert_eq!(written(&page), serde_json::to_string(&page).unwrap());
        }
        for data in [plain, full] {
            let one = TaskEnvelope { data };
            assert_eq!(written(&one), serde_json::to_string(&one).unwrap());
        }
    }
}
