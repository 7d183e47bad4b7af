//! The queries: the only file that has any. Each takes the [`Owner`] first and carries them in its `WHERE`, so that no
//! query can reach another user's tasks; each is one constant statement, without a transaction around it, but
//! for creations under a key and for writes of several tasks.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use serde::Serialize;
use tasks_api::{
    Description, Done, Due, DueDate, DueTime, Error, IdempotencyKey, Owner, PageRequest, Priority, SelectedTask,
    StoredTitle, Tag, Task, TaskId, Timestamp, Title,
};
use uuid::Uuid;

use crate::storage::database::Database;
use crate::storage::failure::Failure;
use crate::storage::statement::Value;
use crate::storage::transaction::Transaction;
use crate::tasks::model::{idempotency_keys, tasks};
use crate::tasks::statements::Statements;

/// The tasks in the database.
///
/// # Errors
/// Every query answers [`Error::Unavailable`] while the database is away, full or busy, and [`Error::Internal`] for a
/// bug.
#[derive(Debug, Clone)]
pub struct Repository {
    database: Database,
    statements: Arc<Statements>,
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

    /// Whether the task is as the change wants it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the change wants a time of a day that there is not.
    pub fn is_shown_by(&self, task: &Task) -> Result<bool, Error> {
        let due = self.due(task.due());
        if due.is_none() && self.due_time.flatten().is_some() {
            return Err(Error::Invalid(vec![DueTime::without_date("")]));
        }
        Ok(self.title.as_ref().is_none_or(|title| title.as_str() == task.title.as_str())
            && self.is_completed.is_none_or(|is_completed| is_completed == task.is_completed)
            && self.description.as_ref().is_none_or(|description| *description == task.description.0)
            && due == task.due()
            && self.priority.is_none_or(|priority| priority == task.priority.0)
            && self.tags.as_ref().is_none_or(|tags| *tags == task.tags))
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

    /// The owner's tasks that the page asks for, newest first, and one more when there is a next page.
    pub async fn list(&self, owner: &Owner, page: PageRequest) -> Result<Vec<Task>, Error> {
        let Statements { list, list_open, list_completed, .. } = &*self.statements;
        let before = page.before.map_or(Uuid::max(), |TaskId(id)| id);
        let limit = i64::from(u16::from(page.limit.get())) + 1;
        let values = [user(owner), Value::Uuid(before), Value::Int(limit)];
        let reply = match page.is_completed {
            None => self.database.read(list, &values).await?,
            Some(false) => self.database.read(list_open, &values).await?,
            // The only page that reads more than it answers: what is open lies between.
            Some(true) => self.database.run_slowly(name(owner), list_completed, &values).await?,
        };
        Ok(reply.all(|row| Ok(tasks::Model::read(row)?.into()))?)
    }

    /// How many tasks the owner has; with `is_completed`, only completed or only open ones.
    pub async fn count(&self, owner: &Owner, is_completed: Option<bool>) -> Result<i64, Error> {
        let Statements { count, count_where, .. } = &*self.statements;
        let reply = match is_completed {
            None => self.database.run_slowly(name(owner), count, &[user(owner)]).await?,
            Some(is_completed) => {
                self.database.run_slowly(name(owner), count_where, &[user(owner), is_completed.into()]).await?
            }
        };
        Ok(reply.one(|row| row.columns().int())?.unwrap_or_default())
    }

    /// Stores new tasks of the owner, with version 1, in one statement.
    ///
    /// The user's row is added only when the database misses it, so that all but a user's first tasks are one
    /// statement. The ids must be new: where one is there already, an earlier try of this call stored them all.
    pub async fn insert(&self, owner: &Owner, tasks: &[Task], now: Timestamp) -> Result<(), Error> {
        let statements = &*self.statements;
        let rows = rows(tasks);
        let insert = async || match tasks {
            [task] if is_plain(task) => {
                let values = [user(owner), Value::Uuid(task.id.0), task.title.as_str().into(), time(now)];
                self.database.write(name(owner), &statements.insert, &values, true).await
            }
            _ => {
                let values = [user(owner), Value::Json(&rows), time(now)];
                self.database.write(name(owner), &statements.insert_all, &values, true).await
            }
        };
        let mut result = insert().await?;
        if result.as_ref().is_err_and(Failure::is_orphan) {
            let values = [user(owner), time(now)];
            self.database.write(name(owner), &statements.add_user, &values, true).await??;
            result = insert().await?;
        }
        match result {
            Err(failure) if !failure.is_duplicate() => Err(failure.into()),
            _ => Ok(()),
        }
    }

    /// Stores new tasks of the owner, in one transaction, unless tasks were stored under this key before: then answers
    /// what the new ones would be, had they been stored then.
    pub async fn insert_once(
        &self,
        owner: &Owner,
        once: Once,
        tasks: Vec<Task>,
        now: Timestamp,
    ) -> Result<Done<Vec<Task>>, Error> {
        // What the work holds must outlive every connection.
        let own = Arc::new((owner.clone(), once, tasks, Arc::clone(&self.statements)));
        let done = self.database.transaction(name(owner), move |db| {
            let own = Arc::clone(&own);
            async move {
                let (owner, once, tasks, statements) = &*own;
                let ids: Vec<_> = tasks.iter().map(|task| task.id.0).collect();
                if let Some(known) = claim(db, statements, owner, once, &ids, now).await? {
                    return Ok(Done { data: replay(tasks, &known)?, is_replay: true });
                }
                let values = [user(owner), Value::Json(&rows(tasks)), time(now)];
                db.run(&statements.insert_all, &values).await?;
                Ok(Done { data: tasks.clone(), is_replay: false })
            }
            .boxed()
        });
        done.await.map_err(|stopped: Stopped| stopped.into())
    }

    /// Completes tasks of the owner, all or none, in one transaction, and answers them in no order. When they were
    /// completed under this key before, answers those of them that are there.
    ///
    /// # Errors
    /// [`Error::TasksNotFound`] or [`Error::VersionMismatches`] when they are not as the selection wants them.
    pub async fn complete_all(
        &self,
        owner: &Owner,
        selection: Vec<SelectedTask>,
        once: Option<Once>,
        now: Timestamp,
    ) -> Result<Done<Vec<Task>>, Error> {
        let own = Arc::new((owner.clone(), selection, once, Arc::clone(&self.statements)));
        let done = self.database.transaction(name(owner), move |db| {
            let own = Arc::clone(&own);
            async move {
                let (owner, selection, once, statements) = &*own;
                if let Some(once) = once {
                    let ids = ids(selection);
                    if claim(db, statements, owner, once, &ids, now).await?.is_some() {
                        let rows = db.run(&statements.get_all, &[user(owner), Value::Uuids(&ids)]).await?;
                        let data = rows.all(|row| Ok(tasks::Model::read(row)?.into()))?;
                        return Ok(Done { data, is_replay: true });
                    }
                }
                let mut rows = lock(db, statements, owner, selection, |row| row.is_completed).await?;
                let ids: Vec<_> = rows.iter().filter(|row| !row.is_completed).map(|row| row.id).collect();
                if !ids.is_empty() {
                    let values = [user(owner), Value::Uuids(&ids), Value::Null, true.into(), time(now)];
                    rows.retain(|row| row.is_completed);
                    rows.extend(db.run(&statements.change_all, &values).await?.all(tasks::Model::read)?);
                }
                Ok(Done { data: rows.into_iter().map(Into::into).collect(), is_replay: false })
            }
            .boxed()
        });
        done.await.map_err(|stopped: Stopped| Error::from(stopped))
    }

    /// Deletes tasks of the owner, all or none, in one transaction, unless that was done under this key before.
    ///
    /// # Errors
    /// [`Error::TasksNotFound`] or [`Error::VersionMismatches`] when they are not as the selection wants them.
    pub async fn delete_all(
        &self,
        owner: &Owner,
        selection: Vec<SelectedTask>,
        once: Option<Once>,
        now: Timestamp,
    ) -> Result<Done<()>, Error> {
        let own = Arc::new((owner.clone(), selection, once, Arc::clone(&self.statements)));
        let done = self.database.transaction(name(owner), move |db| {
            let own = Arc::clone(&own);
            async move {
                let (owner, selection, once, statements) = &*own;
                let ids = ids(selection);
                if let Some(once) = once
                    && claim(db, statements, owner, once, &ids, now).await?.is_some()
                {
                    return Ok(Done { data: (), is_replay: true });
                }
                lock(db, statements, owner, selection, |_| false).await?;
                db.run(&statements.delete_all, &[user(owner), Value::Uuids(&ids)]).await?;
                Ok(Done { data: (), is_replay: false })
            }
            .boxed()
        });
        done.await.map_err(|stopped: Stopped| stopped.into())
    }

    /// Forgets the keys of all users that are older than `expiry`; how many there were.
    pub async fn purge(&self, expiry: Timestamp) -> Result<u64, Error> {
        Ok(self.database.run_slowly("", &self.statements.purge, &[time(expiry)]).await?.affected())
    }

    /// The owner's task with this id.
    pub async fn find(&self, owner: &Owner, TaskId(id): TaskId) -> Result<Option<Task>, Error> {
        let reply = self.database.read(&self.statements.get, &[user(owner), Value::Uuid(id)]).await?;
        Ok(reply.one(|row| Ok(tasks::Model::read(row)?.into()))?)
    }

    /// Changes a task and answers it as it is then; `None` when nothing was written: the owner has no such task, it
    /// shows the change already, or, where a version is named, it has another.
    pub async fn change(
        &self,
        owner: &Owner,
        TaskId(id): TaskId,
        change: &Change,
        version: Option<i64>,
        now: Timestamp,
    ) -> Result<Option<Task>, Error> {
        let title = change.title.as_ref().map(Title::as_str);
        let Statements { change: always, change_if, change_more, .. } = &*self.statements;
        let mut values = vec![user(owner), Value::Uuid(id), title.into(), change.is_completed.into(), time(now)];
        if change.is_plain() {
            values.extend(version.map(Value::Int));
            let statement = if version.is_some() { change_if } else { always };
            let reply = self.database.write(name(owner), statement, &values, false).await??;
            return Ok(reply.one(|row| Ok(tasks::Model::read(row)?.into()))?);
        }
        let day = change.due_date.flatten().map(|date| date.to_string());
        let hour = change.due_time.flatten().map(|time| time.to_string());
        let tags: Option<Vec<_>> = change.tags.as_ref().map(|tags| tags.iter().map(Tag::as_str).collect());
        values.extend([
            version.into(),
            change.description.is_some().into(),
            change.description.iter().flatten().next().map(Description::as_str).into(),
            change.due_date.is_some().into(),
            day.as_deref().into(),
            change.due_time.is_some().into(),
            hour.as_deref().into(),
            change.priority.is_some().into(),
            change.priority.flatten().map(Priority::as_str).into(),
            tags.as_deref().map_or(Value::Null, Value::Texts),
        ]);
        let statement = change_more;
        let reply = self.database.write(name(owner), statement, &values, false).await??;
        Ok(reply.one(|row| Ok(tasks::Model::read(row)?.into()))?)
    }

    /// Deletes a task; `None` when the owner has no such task, or, where a version is named, it has another.
    pub async fn delete(&self, owner: &Owner, TaskId(id): TaskId, version: Option<i64>) -> Result<Option<()>, Error> {
        let Statements { delete, delete_if, .. } = &*self.statements;
        let mut values = vec![user(owner), Value::Uuid(id)];
        values.extend(version.map(Value::Int));
        let statement = if version.is_some() { delete_if } else { delete };
        let reply = self.database.write(name(owner), statement, &values, false).await??;
        Ok((reply.affected() > 0).then_some(()))
    }
}

/// A request that may be sent again.
#[derive(Debug, Clone)]
pub struct Once {
    /// Which operation the key is for.
    pub operation: &'static str,
    /// The client's name for the request.
    pub key: IdempotencyKey,
    /// SHA-256 of what is asked for.
    pub fingerprint: Vec<u8>,
    /// Keys from before this time are forgotten.
    pub expiry: Timestamp,
}

/// Why a transaction was taken back.
enum Stopped {
    /// The database failed.
    Failed(Failure),
    /// What the database holds does not allow it.
    Refused(Error),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Failed(failure) => failure.into(),
            Stopped::Refused(error) => error,
        }
    }
}

/// Takes the key for a request about these tasks; what is known of it, when this request was done under it before.
///
/// It goes in before anything else is done: of two requests with the same one, the second waits until the first has ended
/// and then finds what it did. The user goes in before it, as a missing parent would end the transaction.
async fn claim(
    db: &Transaction<'_>,
    statements: &Statements,
    owner: &Owner,
    once: &Once,
    ids: &[Uuid],
    now: Timestamp,
) -> Result<Option<idempotency_keys::Model>, Stopped> {
    db.run(&statements.add_user, &[user(owner), time(now)]).await?;
    db.run(&statements.expire, &[user(owner), time(once.expiry)]).await?;
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.into_bytes()).collect();
    let key = [user(owner), once.operation.into(), once.key.as_str().into()];
    let [whose, which, word] = key;
    let values = [whose, which, word, Value::Bytes(&once.fingerprint), Value::Bytes(&bytes), time(now)];
    let is_new = match db.run(&statements.add_key, &values).await {
        // Another request with the key has not ended yet.
        Err(failure) if failure.is_lock_timeout() => return Err(Error::KeyInUse.into()),
        added => added?.affected() > 0,
    };
    if is_new {
        return Ok(None);
    }
    match db.run(&statements.find_key, &key).await?.one(idempotency_keys::Model::read)? {
        Some(known) if known.fingerprint == once.fingerprint => Ok(Some(known)),
        Some(_) => Err(Error::KeyReused.into()),
        // It was purged between two statements.
        None => Err(Error::KeyInUse.into()),
    }
}

/// Holds the selected tasks until the transaction ends, unless one is missing, or has another version than the selection
/// wants and is not `done` either.
///
/// They are locked in the order of their ids: two transactions that want the same ones do not wait for each other.
async fn lock(
    db: &Transaction<'_>,
    statements: &Statements,
    owner: &Owner,
    selection: &[SelectedTask],
    is_done: impl Fn(&tasks::Model) -> bool,
) -> Result<Vec<tasks::Model>, Stopped> {
    let rows =
        db.run(&statements.lock, &[user(owner), Value::Uuids(&ids(selection))]).await?.all(tasks::Model::read)?;
    let rows: HashMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
    let (mut missing, mut mismatches) = (Vec::new(), Vec::new());
    for (place, selected) in selection.iter().enumerate() {
        match rows.get(&selected.id.0) {
            None => missing.push(place),
            Some(row) if selected.version.is_some_and(|version| version != row.version) && !is_done(row) => {
                mismatches.push((place, row.version));
            }
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        return Err(Error::TasksNotFound(missing).into());
    }
    if !mismatches.is_empty() {
        return Err(Error::VersionMismatches(mismatches).into());
    }
    Ok(rows.into_values().collect())
}

/// The new tasks, as they were stored under a key that is known.
fn replay(tasks: &[Task], known: &idempotency_keys::Model) -> Result<Vec<Task>, Error> {
    let (ids, rest) = known.task_ids.as_chunks();
    if ids.len() != tasks.len() || !rest.is_empty() {
        return Err(Error::internal("a key knows another number of tasks than its request has"));
    }
    let again = tasks
        .iter()
        .zip(ids)
        .map(|(task, id)| task.clone().created(TaskId(Uuid::from_bytes(*id)), known.created_at.into()));
    Ok(again.collect())
}

/// The owner as a value.
fn user(owner: &Owner) -> Value<'_> {
    Value::Text(name(owner))
}

fn name(owner: &Owner) -> &str {
    owner.id().as_str()
}

fn time(time: Timestamp) -> Value<'static> {
    Value::Time(time.to_utc())
}

fn ids(selection: &[SelectedTask]) -> Vec<Uuid> {
    selection.iter().map(|task| task.id.0).collect()
}

/// Whether a new task has a title and nothing more.
fn is_plain(task: &Task) -> bool {
    task.description.0.is_none()
        && task.due().is_none()
        && task.priority.0.is_none()
        && task.tags.is_empty()
        && !task.is_completed
}

/// New tasks as a list of objects in JSON: ids in hexadecimal digits, which both databases read.
fn rows(tasks: &[Task]) -> String {
    #[derive(Serialize)]
    struct Row<'a> {
        id: uuid::fmt::Simple,
        title: &'a StoredTitle,
        is_completed: bool,
        description: &'a Option<Description>,
        due: Option<String>,
        priority: Option<Priority>,
        tags: &'a [Tag],
    }

    fn row(task: &Task) -> Row<'_> {
        let Task { id, title, description, priority, tags, is_completed, .. } = task;
        let due = task.due().map(|due| due.to_string());
        Row {
            id: id.0.simple(),
            title,
            is_completed: *is_completed,
            description: &description.0,
            due,
            priority: priority.0,
            tags,
        }
    }
    serde_json::to_string(&tasks.iter().map(row).collect::<Vec<_>>()).unwrap_or_default()
}
