//! What each operation does: the rules between the contract and the storage.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use tasks_api::{
    Cursor, Done, Error, IdempotencyKey, IfMatch, Nullable, Owner, PageMeta, PageRequest, SelectedTask, Task,
    TaskDraft, TaskId, TaskPage, TaskPatch, TaskService, TaskUpdate, Timestamp,
};
use uuid::{ContextV7, Uuid};

use crate::tasks::repository::{Change, Once, Repository};

/// The tasks of all users, behind the contract.
pub struct Tasks {
    repository: Repository,
    clock: Clock,
}

impl Tasks {
    /// Serves what the repository stores.
    #[must_use]
    pub fn new(repository: Repository, clock: Clock) -> Self {
        Self { repository, clock }
    }

    /// Creates tasks, in this order, by an operation of this name.
    async fn insert(
        &self,
        owner: &Owner,
        operation: &'static str,
        new: Vec<TaskDraft>,
        key: Option<IdempotencyKey>,
    ) -> Result<Done<Vec<Task>>, Error> {
        let now = self.clock.now();
        let task = |draft| Task::new(self.clock.id(now), owner.id().clone(), draft, now);
        let tasks: Vec<_> = new.iter().map(task).collect();
        let Some(key) = key else {
            self.repository.insert(owner, &tasks, now).await?;
            return Ok(Done { data: tasks, is_replay: false });
        };
        let once = once(operation, key, fingerprinted(&new).as_bytes(), now);
        self.repository.insert_once(owner, once, tasks, now).await
    }

    /// Every write to a task that exists is a change of some members.
    async fn change(
        &self,
        owner: &Owner,
        id: TaskId,
        change: Change,
        condition: Option<IfMatch>,
    ) -> Result<Task, Error> {
        if change == Change::default() {
            return self.repository.find(owner, id).await?.ok_or(Error::TaskNotFound);
        }
        let write = |version| self.repository.change(owner, id, &change, version, self.clock.now());
        // A repeat of a write whose answer was lost succeeds, whatever version it names (RFC 9110 §13.1.1).
        self.write(owner, id, condition, write, |task| Ok(change.is_shown_by(&task)?.then_some(task))).await
    }

    /// Does a write that names the version which it is for, or none. The write checks the version in its own
    /// statement; what is read here only tells why nothing was written, whether that is `done` already, and which of
    /// several versions to name.
    async fn write<T, F: Future<Output = Result<Option<T>, Error>>>(
        &self,
        owner: &Owner,
        id: TaskId,
        condition: Option<IfMatch>,
        write: impl Fn(Option<i64>) -> F,
        done: impl Fn(Task) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let versions = match &condition {
            None | Some(IfMatch::Any) => None,
            Some(IfMatch::Versions { strong, .. }) => Some(strong),
        };
        let mut named = versions.map(|versions| versions.first().copied().unwrap_or_default());
        // Versions only rise: who comes here again was overtaken by a write of somebody else.
        for _ in 0..ROUNDS {
            if let Some(written) = write(named).await? {
                return Ok(written);
            }
            let task = self.repository.find(owner, id).await?.ok_or(Error::TaskNotFound)?;
            let version = task.version;
            if let Some(done) = done(task)? {
                return Ok(done);
            }
            match &condition {
                Some(condition) if !condition.allows(version) => return Err(condition.mismatch(version)),
                _ => named = versions.is_some().then_some(version),
            }
        }
        let cause = "a task changed each time before it was written, or what is read is not what is written";
        Err(Error::Unavailable(cause.into()))
    }
}

/// How often a write begins again. Two that undo each other meet half of the time.
const ROUNDS: usize = 20;

/// The one clock: times and ids are made here, and never by the database.
pub struct Clock {
    time: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ids: Mutex<ContextV7>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::of(Utc::now)
    }

    /// The clock that shows this time.
    pub fn of(time: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self { time: Box::new(time), ids: Mutex::default() }
    }

    /// The time, in whole microseconds.
    fn now(&self) -> Timestamp {
        (self.time)().into()
    }

    /// A new id: the order of a clock's ids is that in which they were made, also when its time was set back meanwhile.
    fn id(&self, now: Timestamp) -> TaskId {
        let now = now.to_utc();
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        TaskId(Uuid::new_v7(uuid::Timestamp::from_unix(&self.ids, seconds, now.timestamp_subsec_nanos())))
    }
}

/// A request for what these bytes say, under a key.
fn once(operation: &'static str, key: IdempotencyKey, asked: &[u8], now: Timestamp) -> Once {
    let fingerprint = digest(&SHA256, asked).as_ref().to_vec();
    Once { operation, key, fingerprint, expiry: (now.to_utc() - KEPT).into() }
}

/// What a creation asks for. Titles alone are joined by line breaks, which none has in it: so did 0.1.0, where a task had nothing
/// more, and its keys are taken as they are. All else begins with a line break, as no title is empty.
fn fingerprinted(new: &[TaskDraft]) -> String {
    let titles = || new.iter().map(|draft| draft.title.as_str());
    if new.iter().all(|draft| *draft == TaskDraft::titled(draft.title.clone())) {
        titles().collect::<Vec<_>>().join("\n")
    } else {
        format!("\n{}", serde_json::to_string(new).unwrap_or_default())
    }
}

/// A request about these tasks, under a key. A version is never 0, and so that is for none.
fn once_about(operation: &'static str, key: IdempotencyKey, tasks: &[SelectedTask], now: Timestamp) -> Once {
    let asked = |task: &SelectedTask| {
        let id = task.id.0.into_bytes();
        id.into_iter().chain(task.version.unwrap_or_default().to_be_bytes())
    };
    once(operation, key, &tasks.iter().flat_map(asked).collect::<Vec<_>>(), now)
}

/// For how long a key is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// An idempotency key that is older than this is forgotten.
#[must_use]
pub fn expiry() -> Timestamp {
    (Utc::now() - KEPT).into()
}

impl TaskService for Tasks {
    async fn list(&self, owner: &Owner, page: PageRequest) -> Result<TaskPage, Error> {
        let limit = usize::from(page.limit.get());
        let mut data = self.repository.list(owner, page).await?;
        // The repository looks one task ahead: only where there is one more is there a next page.
        let has_more = data.len() > limit;
        data.truncate(limit);
        let last = data.last().filter(|_| has_more);
        let next_cursor = last.map(|task| Cursor { after: task.id, is_completed: page.is_completed });
        let total =
            if page.include_total { Some(self.repository.count(owner, page.is_completed).await?) } else { None };
        let meta = PageMeta { limit: page.limit, next_cursor: Nullable(next_cursor), total: Nullable(total) };
        Ok(TaskPage { data, meta })
    }

    async fn create(&self, owner: &Owner, new: TaskDraft, key: Option<IdempotencyKey>) -> Result<Done<Task>, Error> {
        let Done { data, is_replay } = self.insert(owner, "createTask", vec![new], key).await?;
        let task = data.into_iter().next().ok_or_else(|| Error::internal("a creation of nothing"))?;
        Ok(Done { data: task, is_replay })
    }

    async fn create_all(
        &self,
        owner: &Owner,
        new: Vec<TaskDraft>,
        key: Option<IdempotencyKey>,
    ) -> Result<Done<Vec<Task>>, Error> {
        self.insert(owner, "bulkCreateTasks", new, key).await
    }

    async fn get(&self, owner: &Owner, id: TaskId) -> Result<Task, Error> {
        self.repository.find(owner, id).await?.ok_or(Error::TaskNotFound)
    }

    async fn update(
        &self,
        owner: &Owner,
        id: TaskId,
        update: TaskUpdate,
        condition: Option<IfMatch>,
    ) -> Result<Task, Error> {
        let change = Change {
            title: Some(update.title),
            is_completed: Some(update.is_completed),
            description: Some(update.description.0),
            due_date: Some(update.due_date.0),
            due_time: Some(update.due_time.0),
            priority: Some(update.priority.0),
            tags: Some(update.tags),
        };
        self.change(owner, id, change, condition).await
    }

    async fn patch(
        &self,
        owner: &Owner,
        id: TaskId,
        patch: TaskPatch,
        condition: Option<IfMatch>,
    ) -> Result<Task, Error> {
        let change = Change {
            title: patch.title,
            is_completed: patch.is_completed,
            description: patch.description.map(|description| description.0),
            due_date: patch.due_date.map(|date| date.0),
            due_time: patch.due_time.map(|time| time.0),
            priority: patch.priority.map(|priority| priority.0),
            tags: patch.tags,
        };
        self.change(owner, id, change, condition).await
    }

    async fn complete(
        &self,
        owner: &Owner,
        id: TaskId,
        is_completed: bool,
        condition: Option<IfMatch>,
    ) -> Result<Task, Error> {
        self.change(owner, id, Change { is_completed: Some(is_completed), ..Change::default() }, condition).await
    }

    async fn delete(&self, owner: &Owner, id: TaskId, condition: Option<IfMatch>) -> Result<(), Error> {
        self.write(owner, id, condition, |version| self.repository.delete(owner, id, version), |_| Ok(None)).await
    }

    async fn complete_all(
        &self,
        owner: &Owner,
        tasks: Vec<SelectedTask>,
        key: Option<IdempotencyKey>,
    ) -> Result<Done<Vec<Task>>, Error> {
        let now = self.clock.now();
        let places: HashMap<_, _> = tasks.iter().enumerate().map(|(place, task)| (task.id, place)).collect();
        let once = key.map(|key| once_about("bulkCompleteTasks", key, &tasks, now));
        let mut completed = self.repository.complete_all(owner, tasks, once, now).await?;
        completed.data.sort_by_key(|task| places.get(&task.id).copied());
        Ok(completed)
    }

    async fn delete_all(
        &self,
        owner: &Owner,
        tasks: Vec<SelectedTask>,
        key: Option<IdempotencyKey>,
    ) -> Result<Done<()>, Error> {
        let now = self.clock.now();
        let once = key.map(|key| once_about("bulkDeleteTasks", key, &tasks, now));
        self.repository.delete_all(owner, tasks, once, now).await
    }

    fn ready(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.repository.ready()
    }
}
