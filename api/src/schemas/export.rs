//! What an export consists of.

use serde::Serialize;

use crate::schemas::task::{Task, TaskId};
use crate::schemas::time::Timestamp;
use crate::schemas::user::UserId;

/// A line of an export: an object whose one member names what it is. Only the last is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportLine {
    /// The user; none of whom nothing is held.
    User {
        /// Who.
        id: UserId,
        /// Since when something is held.
        created_at: Timestamp,
    },
    /// A task, as every operation shows it.
    Task(Box<Task>),
    /// That a task was deleted.
    Deletion {
        /// The task's id.
        id: TaskId,
        /// When.
        deleted_at: Timestamp,
    },
    /// What is remembered of a request with an `Idempotency-Key`.
    IdempotencyKey {
        /// The request's operation.
        operation: String,
        /// The key.
        key: String,
        /// When it came.
        created_at: Timestamp,
        /// Which tasks it was about.
        task_ids: Vec<TaskId>,
    },
    /// The last line.
    #[serde(untagged)]
    End {
        /// True.
        end: bool,
        /// How many tasks there were.
        tasks: u64,
    },
}

impl ExportLine {
    /// The last line, behind so many tasks.
    #[must_use]
    pub fn end(tasks: u64) -> Self {
        Self::End { end: true, tasks }
    }

    /// Lines as text: JSON each, with a line break behind.
    #[must_use]
    pub fn text(lines: &[Self]) -> Vec<u8> {
        let mut text = Vec::with_capacity(512 * lines.len());
        for line in lines {
            // Texts, numbers and named members cannot fail to be written.
            let _ = serde_json::to_writer(&mut text, line);
            text.push(b'\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_is_an_object_that_names_what_it_is() {
        let at = || "2026-02-28T10:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap().into();
        let id = TaskId("01890a5d-ac96-7b7c-8f00-5c0c1f0e8a11".parse().unwrap());
        let lines = [
            ExportLine::User { id: "a b".parse().unwrap(), created_at: at() },
            ExportLine::Deletion { id, deleted_at: at() },
            ExportLine::IdempotencyKey {
                operation: "createTask".to_owned(),
                key: "k".to_owned(),
                created_at: at(),
                task_ids: vec![id],
            },
            ExportLine::end(3),
        ];
        let text = String::from_utf8(ExportLine::text(&lines)).unwrap();
        assert!(text.ends_with('\n'));
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (id, at) = (id.0.to_string(), "2026-02-28T10:00:00.000000Z");
        assert_eq!(
            lines,
            [
                json!({ "user": { "id": "a b", "created_at": at } }),
                json!({ "deletion": { "id": id, "deleted_at": at } }),
                json!({ "idempotency_key": { "operation": "createTask", "key": "k", "created_at": at, "task_ids": [id] } }),
                json!({ "end": true, "tasks": 3 }),
            ]
        );
    }
}
