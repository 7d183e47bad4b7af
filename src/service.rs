//! What each operation does: the rules between the contract and the storage.

use std::future::Future;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::TimeDelta;
use tasks_api::{
    Created, Cursor, Error, IdempotencyKey, IfMatch, NewTask, Nullable, Owner, PageMeta, PageRequest, Task, TaskId,
    TaskPage, TaskPatch, TaskService, TaskUpdate, Timestamp,
};
use uuid::Uuid;

use crate::repository::{Change, Once, Repository};

/// The tasks of all users, behind the contract.
pub struct Tasks {
    repository: Repository,
}

impl Tasks {
    /// Serves what the repository stores.
    #[must_use]
    pub fn new(repository: Repository) -> Self {
        Self { repository }
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
        self.write(owner, id, condition, |version| self.repository.change(owner, id, &change, version, now())).await
    }

    /// Does a write that names the version which it is for, or none. The write checks the version in its own
    /// statement; what is read here only tells which of several versions to name, or why the write did not happen.
    async fn write<T, F: Future<Output = Result<Option<T>, Error>>>(
        &self,
        owner: &Owner,
        id: TaskId,
        condition: Option<IfMatch>,
        write: impl Fn(Option<i64>) -> F,
    ) -> Result<T, Error> {
        let versions = match condition {
            None | Some(IfMatch::Any) => return write(None).await?.ok_or(Error::TaskNotFound),
            Some(IfMatch::Versions(versions)) => versions,
        };
        // Versions only rise: a version that was read and is gone when it is written does not come back.
        let mut named = versions.first().copied().unwrap_or_default();
        loop {
            if let Some(done) = write(Some(named)).await? {
                return Ok(done);
            }
            let current = self.repository.find(owner, id).await?.ok_or(Error::TaskNotFound)?.version;
            if !versions.contains(&current) {
                return Err(Error::VersionMismatch(current));
            }
            named = current;
        }
    }
}

/// The one clock: times are made here, in whole microseconds, and never by the database.
fn now() -> Timestamp {
    chrono::Utc::now().into()
}

/// For how long a key is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// An idempotency key that is older than this is forgotten.
#[must_use]
pub fn expiry() -> Timestamp {
    (chrono::Utc::now() - KEPT).into()
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

    async fn create(&self, owner: &Owner, new: NewTask, key: Option<IdempotencyKey>) -> Result<Created, Error> {
        // Version 7 of one process never goes back: the order of ids is the order of creation.
        let (id, now) = (TaskId(Uuid::now_v7()), now());
        let Some(key) = key else {
            let task = self.repository.insert(owner, id, &new.title, now).await?;
            return Ok(Created { task, is_replay: false });
        };
        let fingerprint = digest(&SHA256, new.title.as_str().as_bytes()).as_ref().to_vec();
        let once = Once { operation: "createTask", key, fingerprint };
        self.repository.insert_once(owner, &once, id, &new.title, now, expiry()).await
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
        let change = Change { title: Some(update.title), is_completed: Some(update.is_completed) };
        self.change(owner, id, change, condition).await
    }

    async fn patch(
        &self,
        owner: &Owner,
        id: TaskId,
        patch: TaskPatch,
        condition: Option<IfMatch>,
    ) -> Result<Task, Error> {
        let change = Change { title: patch.title, is_completed: patch.is_completed };
        self.change(owner, id, change, condition).await
    }

    async fn complete(
        &self,
        owner: &Owner,
        id: TaskId,
        is_completed: bool,
        condition: Option<IfMatch>,
    ) -> Result<Task, Error> {
        self.change(owner, id, Change { title: None, is_completed: Some(is_completed) }, condition).await
    }

    async fn delete(&self, owner: &Owner, id: TaskId, condition: Option<IfMatch>) -> Result<(), Error> {
        self.write(owner, id, condition, |version| self.repository.delete(owner, id, version)).await
    }

    fn ready(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.repository.ready()
    }
}
