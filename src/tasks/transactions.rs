//! Writes that take several statements, each in one transaction: creations under a key or under ids of the client's own, and writes
//! of several tasks at once.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::DateTime;
use futures_util::FutureExt;
use tasks_api::{Done, DueTime, Error, IdempotencyKey, Owner, SelectedTask, Task, TaskId, Timestamp, UserId};
use uuid::Uuid;

use crate::storage::failure::Failure;
use crate::storage::statement::Value;
use crate::storage::transaction::Transaction;
use crate::tasks::model::{idempotency_keys, task};
use crate::tasks::repository::{Change, DraftHash, Repository, name, rows, time, user};
use crate::tasks::statements::Statements;

/// New tasks, all or none.
#[derive(Debug)]
pub struct Creation {
    /// The tasks, as they are when they are new.
    pub tasks: Vec<Task>,
    /// Of each whose id is its client's: what it was created by.
    pub drafts: Vec<Option<DraftHash>>,
    /// The key, where there is one.
    pub once: Option<Once>,
    /// Ids that were deleted since are not free.
    pub since: Timestamp,
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

impl Repository {
    /// Stores new tasks of the owner, unless tasks were stored under the key before: then answers what the new ones would be, had
    /// they been stored then. So it does for each that was stored under its client's id before, by the same draft.
    ///
    /// # Errors
    /// [`Error::IdsTaken`] where such an id stands for another task, or for one that is deleted. [`Error::KeyReused`] and
    /// [`Error::KeyInUse`] for the key.
    pub async fn create(&self, owner: &Owner, creation: Creation, now: Timestamp) -> Result<Done<Vec<Task>>, Error> {
        // What the work holds must outlive every connection.
        let own = Arc::new((owner.clone(), creation, Arc::clone(&self.statements)));
        let done = self.database.transaction(name(owner), move |db| {
            let own = Arc::clone(&own);
            async move {
                let (owner, creation, statements) = &*own;
                let Creation { tasks, drafts, once, .. } = creation;
                if let Some(once) = once {
                    let ids: Vec<_> = tasks.iter().map(|task| task.id.0).collect();
                    if let Some(known) = claim(db, statements, owner, once, &ids, now).await? {
                        return Ok(Done { data: replay(tasks, &known)?, is_replay: true });
                    }
                } else {
                    db.run(&statements.add_user, &[user(owner), time(now)]).await?;
                }
                let own = creation.own_ids();
                let mut known = stored(db, statements, owner, &own).await?;
                let new = tasks.iter().zip(drafts.iter().copied());
                let mut new: Vec<_> = new.filter(|(task, _)| !known.contains_key(&task.id.0)).collect();
                let mut added = 0;
                if !new.is_empty() {
                    // In the order of their ids: two transactions with the same ones do not wait for each other.
                    new.sort_by_key(|(task, _)| task.id);
                    let wanted = new.len();
                    added = db
                        .run(&statements.insert_all, &[user(owner), Value::Json(&rows(new)), time(now)])
                        .await?
                        .affected();
                    if usize::try_from(added).is_ok_and(|added| added < wanted) {
                        // Somebody has stored some meanwhile.
                        known = stored(db, statements, owner, &own).await?;
                    }
                }
                let data = settle(db, statements, owner, creation, &known).await?;
                if let Some(once) = once
                    && data.iter().any(|task| task.created_at != now)
                {
                    let times = data.iter().flat_map(|task| task.created_at.to_utc().timestamp_micros().to_be_bytes());
                    let times: Vec<u8> = times.collect();
                    let [whose, which, word] = key(owner, once);
                    db.run(&statements.date_key, &[whose, which, word, Value::Bytes(&times)]).await?;
                }
                Ok(Done { data, is_replay: added == 0 })
            }
            .boxed()
        });
        done.await.map_err(|stopped: Stopped| stopped.into())
    }

    /// Changes tasks of the owner, all or none, and answers them in no order. When they were changed under this key before, answers
    /// those of them that are there.
    ///
    /// # Errors
    /// [`Error::TasksNotFound`] when there are not all of them, [`Error::Invalid`] where a time of a day would stand without a day,
    /// [`Error::VersionMismatches`] when they are not as the selection wants them and not as the changes want them either.
    pub async fn change_all(
        &self,
        owner: &Owner,
        changes: Vec<(SelectedTask, Change)>,
        once: Option<Once>,
        now: Timestamp,
    ) -> Result<Done<Vec<Task>>, Error> {
        let own = Arc::new((owner.clone(), changes, once, Arc::clone(&self.statements)));
        let done = self.database.transaction(name(owner), move |db| {
            let own = Arc::clone(&own);
            async move {
                let (owner, changes, once, statements) = &*own;
                let ids: Vec<_> = changes.iter().map(|(task, _)| task.id.0).collect();
                if let Some(once) = once
                    && claim(db, statements, owner, once, &ids, now).await?.is_some()
                {
                    let rows = db.run(&statements.get_all, &[user(owner), Value::Uuids(&ids)]).await?;
                    let data = rows.all(|row| task(owner.id(), &mut row.columns()))?;
                    return Ok(Done { data, is_replay: true });
                }
                let mut tasks = lock(db, statements, owner, &ids).await?;
                let wanted = judge(changes, &tasks)?;
                if !wanted.is_empty() {
                    let rows = rows(wanted.iter().map(|task| (task, None)));
                    let values = [user(owner), Value::Json(&rows), time(now)];
                    for task in db
                        .run(&statements.change_all, &values)
                        .await?
                        .all(|row| task(owner.id(), &mut row.columns()))?
                    {
                        tasks.insert(task.id.0, task);
                    }
                }
                Ok(Done { data: tasks.into_values().collect(), is_replay: false })
            }
            .boxed()
        });
        done.await.map_err(|stopped: Stopped| stopped.into())
    }

    /// Deletes those tasks of the owner that there are, all or none, unless that was done under this key before.
    ///
    /// # Errors
    /// [`Error::VersionMismatches`] when they are not as the selection wants them.
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
                let ids: Vec<_> = selection.iter().map(|task| task.id.0).collect();
                if let Some(once) = once
                    && claim(db, statements, owner, once, &ids, now).await?.is_some()
                {
                    return Ok(Done { data: (), is_replay: true });
                }
                let tasks = lock(db, statements, owner, &ids).await?;
                let mut mismatches = Vec::new();
                for (place, selected) in selection.iter().enumerate() {
                    if let Some(task) = tasks.get(&selected.id.0).filter(|task| !is_of(selected, task)) {
                        mismatches.push((place, task.into()));
                    }
                }
                if !mismatches.is_empty() {
                    return Err(Error::VersionMismatches(mismatches).into());
                }
                if !tasks.is_empty() {
                    db.run(&statements.delete_all, &[user(owner), Value::Uuids(&ids)]).await?;
                }
                Ok(Done { data: (), is_replay: false })
            }
            .boxed()
        });
        done.await.map_err(|stopped: Stopped| stopped.into())
    }
}

impl Repository {
    /// Erases all that is held of a user; how many tasks, or `None` where nothing is. With the user's row goes what refers to it, and by
    /// a trigger their deletions. Their tasks are taken first, as whoever writes one takes it before the user's row. It takes an id, as
    /// operators have no token of the user: operations give an owner's.
    ///
    /// # Errors
    /// Those of every query.
    pub async fn erase(&self, id: &UserId) -> Result<Option<i64>, Error> {
        let own = Arc::new((id.clone(), Arc::clone(&self.statements)));
        let done = self.database.transaction(id.as_str(), move |db| {
            let own = Arc::clone(&own);
            async move {
                let (id, statements) = &*own;
                let user = [Value::Text(id.as_str())];
                let tasks = db.run(&statements.lock_own, &user).await?.one(|row| row.columns().int())?;
                let erased = db.run(&statements.erase, &user).await?.affected();
                Ok((erased > 0).then_some(tasks.unwrap_or_default()))
            }
            .boxed()
        });
        done.await.map_err(|stopped: Stopped| stopped.into())
    }
}

/// Why a transaction was taken back.
pub(super) enum Stopped {
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
    let [whose, which, word] = key(owner, once);
    let values = [whose, which, word, Value::Bytes(&once.fingerprint), Value::Bytes(&bytes), time(now), Value::Null];
    let is_new = match db.run(&statements.add_key, &values).await {
        // Another request with the key has not ended yet.
        Err(failure) if failure.is_lock_timeout() => return Err(Error::KeyInUse.into()),
        added => added?.affected() > 0,
    };
    if is_new {
        return Ok(None);
    }
    match db.run(&statements.find_key, &key(owner, once)).await?.one(idempotency_keys::Model::read)? {
        Some(known) if known.fingerprint == once.fingerprint => Ok(Some(known)),
        Some(_) => Err(Error::KeyReused.into()),
        // It was purged between two statements.
        None => Err(Error::KeyInUse.into()),
    }
}

/// What a key is found by.
fn key<'a>(owner: &'a Owner, once: &'a Once) -> [Value<'a>; 3] {
    [user(owner), once.operation.into(), once.key.as_str().into()]
}

/// The tasks that stand under the ids of clients, each with the hash of what it was created by.
type Stored = HashMap<Uuid, (Task, Option<Vec<u8>>)>;

/// Holds those of the ids that there are, until the transaction ends.
async fn stored(db: &Transaction<'_>, statements: &Statements, owner: &Owner, own: &[Uuid]) -> Result<Stored, Stopped> {
    if own.is_empty() {
        return Ok(Stored::new());
    }
    let reply = db.run(&statements.drafts, &[user(owner), Value::Uuids(own)]).await?;
    let stored = reply.all(|row| {
        let mut columns = row.columns();
        let task = task(owner.id(), &mut columns)?;
        Ok((task.id.0, (task, columns.optional_bytes()?)))
    })?;
    Ok(stored.into_iter().collect())
}

impl Creation {
    fn own_ids(&self) -> Vec<Uuid> {
        let own = self.tasks.iter().zip(&self.drafts).filter(|(_, draft)| draft.is_some());
        own.map(|(task, _)| task.id.0).collect()
    }

    /// The tasks, each with its draft and its place.
    fn each(&self) -> impl Iterator<Item = (usize, &Task, Option<&DraftHash>)> {
        let tasks = self.tasks.iter().zip(&self.drafts).enumerate();
        tasks.map(|(place, (task, draft))| (place, task, draft.as_ref()))
    }
}

/// The tasks of a creation that was just stored, as they were when they were created; those of clients' ids that were there before are
/// known.
///
/// # Errors
/// [`Error::IdsTaken`] where an id of a client stands for another task than its draft, or was deleted. That is looked at after the
/// tasks were stored: whoever deletes one beside this has ended by then, or finds nothing to delete.
async fn settle(
    db: &Transaction<'_>,
    statements: &Statements,
    owner: &Owner,
    creation: &Creation,
    known: &Stored,
) -> Result<Vec<Task>, Stopped> {
    let own = creation.own_ids();
    if own.is_empty() {
        return Ok(creation.tasks.clone());
    }
    let values = [user(owner), Value::Uuids(&own), time(creation.since)];
    let gone = db.run(&statements.deleted, &values).await?.all(|row| row.columns().uuid())?;
    let (mut tasks, mut taken) = (Vec::new(), Vec::new());
    for (place, task, draft) in creation.each() {
        let is_gone = gone.contains(&task.id.0);
        match (draft, known.get(&task.id.0).filter(|_| !is_gone)) {
            (None, _) => tasks.push(task.clone()),
            (Some(_), None) if !is_gone => tasks.push(task.clone()),
            (Some(draft), Some((known, Some(by)))) if by == draft => {
                tasks.push(task.clone().created(task.id, known.created_at));
            }
            (_, other) => taken.push((place, other.map(|(known, _)| known.into()))),
        }
    }
    if taken.is_empty() { Ok(tasks) } else { Err(Error::IdsTaken(taken).into()) }
}

/// The new tasks, as they were stored under a key that is known. Those that were stored even before that, under ids of their client,
/// are as they were then.
fn replay(tasks: &[Task], known: &idempotency_keys::Model) -> Result<Vec<Task>, Error> {
    let (ids, rest) = known.task_ids.as_chunks();
    let times = known.task_times.as_deref().unwrap_or_default().as_chunks().0;
    if ids.len() != tasks.len() || !rest.is_empty() {
        return Err(Error::internal("a key knows another number of tasks than its request has"));
    }
    let again = tasks.iter().zip(ids).enumerate().map(|(place, (task, id))| {
        let first = times.get(place).and_then(|time| DateTime::from_timestamp_micros(i64::from_be_bytes(*time)));
        task.clone().created(TaskId(Uuid::from_bytes(*id)), first.unwrap_or(known.created_at).into())
    });
    Ok(again.collect())
}

/// Holds the tasks until the transaction ends, and reads them. They are locked in the order of their ids: two transactions that want
/// the same ones do not wait for each other.
async fn lock(
    db: &Transaction<'_>,
    statements: &Statements,
    owner: &Owner,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Task>, Stopped> {
    let reply = db.run(&statements.lock, &[user(owner), Value::Uuids(ids)]).await?;
    Ok(reply.all(|row| task(owner.id(), &mut row.columns()))?.into_iter().map(|task| (task.id.0, task)).collect())
}

/// The tasks as the changes want them, of those that are not so already.
fn judge(changes: &[(SelectedTask, Change)], tasks: &HashMap<Uuid, Task>) -> Result<Vec<Task>, Error> {
    let (mut missing, mut faults, mut mismatches, mut wanted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (place, (selected, change)) in changes.iter().enumerate() {
        let Some(task) = tasks.get(&selected.id.0) else {
            missing.push(place);
            continue;
        };
        match change.apply(task) {
            None => faults.push(DueTime::without_date(&format!("/tasks/{place}"))),
            Some(after) if after == *task => {}
            Some(_) if !is_of(selected, task) => mismatches.push((place, task.into())),
            Some(after) => wanted.push(after),
        }
    }
    if !missing.is_empty() {
        Err(Error::TasksNotFound(missing))
    } else if !faults.is_empty() {
        Err(Error::Invalid(faults))
    } else if !mismatches.is_empty() {
        Err(Error::VersionMismatches(mismatches))
    } else {
        Ok(wanted)
    }
}

/// Whether the task has the version that is asked for.
fn is_of(selected: &SelectedTask, task: &Task) -> bool {
    selected.version.is_none_or(|version| version == task.version)
}
