//! The queries: this file, `changes.rs`, `export.rs` and `transactions.rs` have all. Each that an operation runs takes the [`Owner`] first and carries
//! them in its `WHERE`, so that no query can reach another user's tasks; those that look after the tables take none. Here, each is one
//! constant statement, without a transaction around it.

use std::cell::Cell;
use std::sync::Arc;

use serde::Serialize;
use tasks_api::{
    Description, Due, DueDate, DueTime, Error, Expected, Filter, Key, Owner, PageRequest, Position, Priority, Sort,
    StoredTitle, Tag, Task, TaskId, Timestamp, Title,
};
use uuid::Uuid;

use crate::storage::database::Database;
use crate::storage::statement::Value;
use crate::tasks::fold::{fold, folded};
use crate::tasks::model::{listed, task};
use crate::tasks::statements::Statements;

/// The tasks in the database.
///
/// # Errors
/// Every query answers [`Error::Unavailable`] while the database is away, full or busy, and [`Error::Internal`] for a
/// bug.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) database: Database,
    pub(super) statements: Arc<Statements>,
}

/// What a write changes of a task; `None` keeps the member as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The new title.
    pub title: Option<Title>,
    /// Whether the task shall be completed.
    pub is_completed: Option<bool>,
    /// The new description, or none.
    pub description: Option<Option<Description>>,
    /// The new day, or none, and no time then.
    pub due_date: Option<Option<DueDate>>,
    /// The new time of the day, or none.
    pub due_time: Option<Option<DueTime>>,
    /// The new priority, or none.
    pub priority: Option<Option<Priority>>,
    /// The new tags.
    pub tags: Option<Vec<Tag>>,
}

impl Change {
    /// When a task will be due, that is so now.
    fn due(&self, now: Option<Due>) -> Option<Due> {
        let date = self.due_date.unwrap_or(now.map(|due| due.date));
        Due::of(date, self.due_time.unwrap_or(now.and_then(|due| due.time)))
    }

    /// The task as the change wants it, with the version and the times that it has; `None` where a time of the day would stand without
    /// a day.
    #[must_use]
    pub fn apply(&self, task: &Task) -> Option<Task> {
        let due = self.due(task.due());
        if due.is_none() && self.due_time.flatten().is_some() {
            return None;
        }
        Some(Task {
            title: self.title.clone().map_or_else(|| task.title.clone(), Into::into),
            is_completed: self.is_completed.unwrap_or(task.is_completed),
            description: self.description.clone().map_or_else(|| task.description.clone(), Into::into),
            due_date: due.map(|due| due.date).into(),
            due_time: due.and_then(|due| due.time).into(),
            priority: self.priority.map_or(task.priority, Into::into),
            tags: self.tags.as_ref().unwrap_or(&task.tags).clone(),
            ..task.clone()
        })
    }

    /// Whether it is about title and completion alone.
    fn is_plain(&self) -> bool {
        self.description.is_none()
            && self.due_date.is_none()
            && self.due_time.is_none()
            && self.priority.is_none()
            && self.tags.is_none()
    }
}

#[expect(clippy::missing_errors_doc, reason = "the same for all, said at the type")]
impl Repository {
    /// Queries of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let statements = Arc::new(Statements::new(database.place()));
        Self { database, statements }
    }

    /// Whether the database can be used; see [`Database::ready`].
    pub async fn ready(&self) -> Result<(), Error> {
        self.database.ready().await
    }

    /// The owner's tasks that the page asks for, and one more when there is a next page; and how far their changes go by then.
    pub async fn list(&self, owner: &Owner, page: &PageRequest) -> Result<(Vec<Task>, Position), Error> {
        let limit = usize::from(page.limit.get()) + 1;
        let Statements { list, list_open, .. } = &*self.statements;
        let statement = match (page.sort, page.filter.is_plain(), page.filter.is_completed) {
            (Sort::Newest, true, None) => list,
            (Sort::Newest, true, Some(false)) => list_open,
            // These read more than they answer.
            _ => return self.search(owner, page, limit).await,
        };
        let before = page.after.as_ref().map_or(Uuid::max(), |after| after.id.0);
        let position = self.position_before(owner).await?;
        let reply = self.database.read(statement, &[user(owner), Value::Uuid(before), count(limit)]).await?;
        let told = Cell::new(position);
        let tasks = reply.some(|row| listed(owner, &mut row.columns(), &told))?;
        Ok((tasks, told.get().unwrap_or_else(|| Position::absent(owner.id()))))
    }

    /// How far the owner's changes go, where lists do not tell it.
    async fn position_before(&self, owner: &Owner) -> Result<Option<Position>, Error> {
        Ok(if self.statements.lists_tell { None } else { Some(self.position(owner).await?.0) })
    }

    /// The same in any order and by any filter. Where it is about texts, and comes upon a task that is not folded, it folds all that
    /// are not, and begins again; what others change meanwhile is folded here, while it is little.
    async fn search(&self, owner: &Owner, page: &PageRequest, limit: usize) -> Result<(Vec<Task>, Position), Error> {
        let wanted = Wanted::of(&page.filter);
        let after = page.after.as_ref().map(|after| (sorted(&after.key), after.id.0));
        let is_about_texts = wanted.text.is_some() || page.sort == Sort::Title;
        let position = self.position_before(owner).await?;
        for round in 0..ROUNDS {
            let spare = if round == 0 { 0 } else { SPARE };
            let mut values = wanted.values(owner);
            let (key, id) =
                after.as_ref().map_or((Value::Null, Value::Null), |(key, id)| (key.value(), Value::Uuid(*id)));
            values.extend([key, id, count(limit + spare)]);
            let reply = self.database.run_slowly(name(owner), self.statements.search(page.sort), &values).await?;
            let told = Cell::new(position);
            let mut rows = reply.some(|row| {
                let mut columns = row.columns();
                let Some(task) = listed(owner, &mut columns, &told)? else { return Ok(None) };
                Ok(Some((task, columns.bool()?)))
            })?;
            let unfolded = rows.iter().filter(|(_, is_folded)| !is_folded).count();
            if is_about_texts && unfolded > spare {
                self.fold(owner).await?;
                continue;
            }
            if is_about_texts && unfolded > 0 {
                rows = wanted.settle(rows, page.sort, after);
            }
            let tasks = rows.into_iter().take(limit).map(|(task, _)| task).collect();
            return Ok((tasks, told.get().unwrap_or_else(|| Position::absent(owner.id()))));
        }
        Err(Error::Unavailable("more tasks change at a time than a search can fold".into()))
    }

    /// How many tasks the owner has that the filter matches.
    pub async fn count(&self, owner: &Owner, filter: &Filter) -> Result<i64, Error> {
        let wanted = Wanted::of(filter);
        let mut values = wanted.values(owner);
        values.push(count(SPARE + 1));
        for _ in 0..ROUNDS {
            let reply = self.database.run_slowly(name(owner), &self.statements.count, &values).await?;
            // The number of those that are sure, and the texts of those that are not folded, which count nothing.
            let rows = reply.all(|row| {
                let mut columns = row.columns();
                Ok((columns.int()?, columns.optional_text()?, columns.optional_text()?))
            })?;
            if rows.len() <= SPARE + 1 {
                let is_wanted = |(_, title, description): &&(i64, Option<String>, Option<String>)| {
                    title.as_ref().is_some_and(|title| wanted.is_in(title, description.as_deref()))
                };
                let more = i64::try_from(rows.iter().filter(is_wanted).count()).unwrap_or_default();
                return Ok(rows.iter().map(|(sure, ..)| sure).sum::<i64>() + more);
            }
            self.fold(owner).await?;
        }
        Err(Error::Unavailable("more tasks change at a time than a search can fold".into()))
    }

    /// Folds the owner's tasks that are not folded yet, some at a time. Their version stays, and so only a task is folded that nobody
    /// has changed since it was read.
    async fn fold(&self, owner: &Owner) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Row {
            id: uuid::fmt::Simple,
            version: i64,
            folded: String,
        }

        let Statements { unfolded, fold, .. } = &*self.statements;
        let mut last = Uuid::nil();
        loop {
            let values = [user(owner), Value::Uuid(last), count(BATCH)];
            let reply = self.database.run_slowly(name(owner), unfolded, &values).await?;
            let rows = reply.all(|row| {
                let mut columns = row.columns();
                let (id, version, title) = (columns.uuid()?, columns.int()?, columns.text()?);
                Ok((id, Row { id: id.simple(), version, folded: folded(&title, columns.optional_text()?.as_deref()) }))
            })?;
            let Some((id, _)) = rows.last() else { return Ok(()) };
            last = *id;
            let (is_last, mut length) = (rows.len() < BATCH, 0);
            // What a text becomes may be ten times as long.
            let parts = rows.chunk_by(|(_, row), _| {
                length += row.folded.len();
                let fits = length < PIECE;
                length *= usize::from(fits);
                fits
            });
            for part in parts {
                let part: Vec<_> = part.iter().map(|(_, row)| row).collect();
                let part = serde_json::to_string(&part).unwrap_or_default();
                self.database.run_slowly(name(owner), fold, &[user(owner), Value::Json(&part)]).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Stores new tasks of the owner, with version 1, in one statement; whether they are stored. Where they are not, the database
    /// misses the user's row, as with a user's first tasks, or an earlier try of this call has stored them all: a
    /// `Creation` settles either. The ids must be the server's own.
    pub async fn insert(&self, owner: &Owner, tasks: &[Task], now: Timestamp) -> Result<bool, Error> {
        let statements = &*self.statements;
        let (list, values);
        let (statement, values): (_, &[Value<'_>]) = match tasks {
            [task] if is_plain(task) => {
                values = [user(owner), Value::Uuid(task.id.0), task.title.as_str().into(), time(now)];
                (&statements.insert, &values)
            }
            _ => {
                list = rows(tasks.iter().map(|task| (task, None)));
                (&statements.insert_all, &[user(owner), Value::Json(&list), time(now)])
            }
        };
        match self.database.write(name(owner), statement, values, true).await? {
            Err(failure) if failure.is_duplicate() => Ok(true),
            Err(failure) if failure.is_orphan() => Ok(false),
            done => Ok(done?.affected() > 0),
        }
    }

    /// Forgets the keys of all users that are older than `expiry`; how many there were.
    pub async fn purge(&self, expiry: Timestamp) -> Result<u64, Error> {
        Ok(self.database.run_slowly("", &self.statements.purge, &[time(expiry)]).await?.affected())
    }

    /// The owner's task with this id.
    pub async fn find(&self, owner: &Owner, TaskId(id): TaskId) -> Result<Option<Task>, Error> {
        let reply = self.database.read(&self.statements.get, &[user(owner), Value::Uuid(id)]).await?;
        Ok(reply.one(|row| task(owner.id(), &mut row.columns()))?)
    }

    /// Changes a task and answers it as it is then; `None` when nothing was written: the owner has no such task, it
    /// shows the change already, or it is not the `expected` one.
    pub async fn change(
        &self,
        owner: &Owner,
        TaskId(id): TaskId,
        change: &Change,
        expected: Option<Expected>,
        now: Timestamp,
    ) -> Result<Option<Task>, Error> {
        let title = change.title.as_ref().map(Title::as_str);
        let Statements { change: always, change_if, change_more, .. } = &*self.statements;
        let mut values = vec![user(owner), Value::Uuid(id), title.into(), change.is_completed.into(), time(now)];
        if change.is_plain() {
            values.extend(expected.iter().flat_map(|expected| [Value::Int(expected.version), changed_at(expected)]));
            let statement = if expected.is_some() { change_if } else { always };
            let reply = self.database.write(name(owner), statement, &values, false).await??;
            return Ok(reply.one(|row| task(owner.id(), &mut row.columns()))?);
        }
        let day = change.due_date.flatten().map(|date| date.to_string());
        let hour = change.due_time.flatten().map(|time| time.to_string());
        let tags: Option<Vec<_>> = change.tags.as_ref().map(|tags| tags.iter().map(Tag::as_str).collect());
        values.extend([
            expected.map(|expected| expected.version).into(),
            change.description.is_some().into(),
            change.description.iter().flatten().next().map(Description::as_str).into(),
            change.due_date.is_some().into(),
            day.as_deref().into(),
            change.due_time.is_some().into(),
            hour.as_deref().into(),
            change.priority.is_some().into(),
            change.priority.flatten().map(Priority::as_str).into(),
            tags.as_deref().map_or(Value::Null, Value::Texts),
            expected.as_ref().map_or(Value::Null, changed_at),
        ]);
        let statement = change_more;
        let reply = self.database.write(name(owner), statement, &values, false).await??;
        Ok(reply.one(|row| task(owner.id(), &mut row.columns()))?)
    }

    /// Deletes a task; `None` when the owner has no such task, or it is not the `expected` one.
    pub async fn delete(
        &self,
        owner: &Owner,
        TaskId(id): TaskId,
        expected: Option<Expected>,
    ) -> Result<Option<()>, Error> {
        let Statements { delete, delete_if, .. } = &*self.statements;
        let mut values = vec![user(owner), Value::Uuid(id)];
        values.extend(expected.iter().flat_map(|expected| [Value::Int(expected.version), changed_at(expected)]));
        let statement = if expected.is_some() { delete_if } else { delete };
        let reply = self.database.write(name(owner), statement, &values, false).await??;
        Ok((reply.affected() > 0).then_some(()))
    }
}

/// How often a search begins again that came upon tasks which were not folded.
const ROUNDS: usize = 5;

/// How many tasks that are not folded a search puts up with, once it has folded all that there were: others write meanwhile.
const SPARE: usize = 50;

/// How many tasks are read at a time to be folded: with the longest texts they are some 7 MiB.
const BATCH: usize = 400;

/// About how many bytes of what is folded are written at a time.
const PIECE: usize = 1 << 20;

/// A filter as values.
struct Wanted<'a> {
    is_completed: Option<bool>,
    priorities: Vec<&'a str>,
    tags: Vec<&'a str>,
    due_from: Option<String>,
    due_to: Option<String>,
    text: Option<String>,
}

impl<'a> Wanted<'a> {
    fn of(filter: &'a Filter) -> Self {
        Self {
            is_completed: filter.is_completed,
            priorities: filter.priorities.iter().map(|priority| priority.as_str()).collect(),
            tags: filter.tags.iter().map(Tag::as_str).collect(),
            due_from: filter.due_from.map(|date| date.to_string()),
            due_to: filter.due_to.map(|date| date.to_string()),
            text: filter.text.as_ref().map(|text| fold(text.as_str())),
        }
    }

    fn values(&'a self, owner: &'a Owner) -> Vec<Value<'a>> {
        let any_of = |texts: &'a [&'a str]| if texts.is_empty() { Value::Null } else { Value::Texts(texts) };
        vec![
            user(owner),
            self.is_completed.into(),
            any_of(&self.priorities),
            any_of(&self.tags),
            self.due_from.as_deref().into(),
            self.due_to.as_deref().into(),
            self.text.as_deref().into(),
        ]
    }

    /// Whether the text is in a title or a description.
    fn is_in(&self, title: &str, description: Option<&str>) -> bool {
        self.text.as_ref().is_none_or(|text| folded(title, description).contains(text))
    }

    /// Of rows of which some are not folded, those that belong to the list, in its order. By title, those that are not folded stand
    /// first in the rows, wherever they belong.
    fn settle(&self, mut rows: Vec<(Task, bool)>, sort: Sort, after: Option<(Sorted, Uuid)>) -> Vec<(Task, bool)> {
        rows.retain(|(task, is_folded)| {
            *is_folded || self.is_in(task.title.as_str(), task.description.0.as_ref().map(Description::as_str))
        });
        if sort == Sort::Title {
            let key = |task: &Task| (fold(task.title.as_str()), task.id.0);
            if let Some((Sorted::Text(text), id)) = after {
                let after = (text, id);
                rows.retain(|(task, is_folded)| *is_folded || key(task) > after);
            }
            rows.sort_by_cached_key(|(task, _)| key(task));
        }
        rows
    }
}

/// What a page begins behind, in the words of the statements.
enum Sorted {
    Text(String),
    Time(Timestamp),
}

impl Sorted {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(text),
            Self::Time(at) => time(*at),
        }
    }
}

/// What a task is sorted by, as the statements sort it.
fn sorted(key: &Key) -> Sorted {
    match key {
        Key::Id => Sorted::Text(String::new()),
        Key::Due(due) => Sorted::Text(due.map_or_else(|| "~".to_owned(), |due| due.to_string())),
        Key::Priority(priority) => Sorted::Text(priority.map_or(4, |priority| priority as u8 + 1).to_string()),
        Key::Title(title) => Sorted::Text(fold(title.as_str())),
        Key::Changed(at) => Sorted::Time(*at),
    }
}

/// The owner as a value.
pub(super) fn user(owner: &Owner) -> Value<'_> {
    Value::Text(name(owner))
}

pub(super) fn name(owner: &Owner) -> &str {
    owner.id().as_str()
}

pub(super) fn time(time: Timestamp) -> Value<'static> {
    Value::Time(time.to_utc())
}

/// A number of rows.
pub(super) fn count(rows: usize) -> Value<'static> {
    Value::Int(i64::try_from(rows).unwrap_or(i64::MAX))
}

/// When a task must have changed last, or any time.
fn changed_at(expected: &Expected) -> Value<'static> {
    expected.updated_at.map_or(Value::Null, time)
}

/// Whether a new task has a title and nothing more.
fn is_plain(task: &Task) -> bool {
    task.description.0.is_none()
        && task.due().is_none()
        && task.priority.0.is_none()
        && task.tags.is_empty()
        && !task.is_completed
}

/// The first bytes of a draft's SHA-256: enough to tell a client's drafts of one id apart.
pub type DraftHash = [u8; 16];

/// Tasks as a list of objects in JSON, some with the hash of their draft: ids and hashes in hexadecimal digits, which both databases
/// read.
pub(super) fn rows<'a>(tasks: impl IntoIterator<Item = (&'a Task, Option<DraftHash>)>) -> String {
    #[derive(Serialize)]
    struct Row<'a> {
        id: uuid::fmt::Simple,
        title: &'a StoredTitle,
        is_completed: bool,
        description: &'a Option<Description>,
        due: Option<String>,
        priority: Option<Priority>,
        /// None where there are none.
        tags: Option<&'a [Tag]>,
        draft: Option<uuid::fmt::Simple>,
    }

    let row = |(task, draft): (&'a Task, Option<DraftHash>)| {
        let Task { id, title, description, priority, tags, is_completed, .. } = task;
        Row {
            id: id.0.simple(),
            title,
            is_completed: *is_completed,
            description: &description.0,
            due: task.due().map(|due| due.to_string()),
            priority: priority.0,
            tags: Some(tags.as_slice()).filter(|tags| !tags.is_empty()),
            draft: draft.map(|draft| Uuid::from_bytes(draft).simple()),
        }
    };
    serde_json::to_string(&tasks.into_iter().map(row).collect::<Vec<_>>()).unwrap_or_default()
}
