//! What each operation does: the rules between the contract and the storage.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, Stream, StreamExt};
use tasks_api::{
    Changes, ChangesMeta, ChangesRequest, ChangesToken, Cursor, Done, DueTime, Error, Expected, ExportLine, Fault,
    IdempotencyKey, IfMatch, Nullable, OwnId, Owner, PageMeta, PageRequest, Position, SelectedTask, Task, TaskDraft,
    TaskId, TaskPage, TaskPatch, TaskService, TaskTag, TaskUpdate, Timestamp,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};
use uuid::{ContextV7, Uuid};

use crate::tasks::changes::Changed;
use crate::tasks::export::{Exports, Turn};
use crate::tasks::repository::{Change, DraftHash, Repository};
use crate::tasks::transactions::{Creation, Once};
use crate::tasks::waiting::Waiting;

/// The tasks of all users, behind the contract.
pub struct Tasks {
    repository: Repository,
    clock: Clock,
    waiting: Waiting,
    exports: Exports,
    /// For how long the ids of tasks that were deleted are not free.
    keep: TimeDelta,
    /// For how long a request waits for changes at most.
    patience: Duration,
    /// For how long an export runs at most.
    export_limit: Duration,
}

impl Tasks {
    /// Serves what the repository stores; ids of tasks that were deleted are free again after so many days, no request waits for changes
    /// for longer than `patience`, and an export ends after `export_limit`.
    #[must_use]
    pub fn new(
        repository: Repository,
        clock: Clock,
        keep_days: u16,
        patience: Duration,
        export_limit: Duration,
    ) -> Self {
        let keep = TimeDelta::days(keep_days.into());
        let (waiting, exports) = Default::default();
        Self { repository, clock, waiting, exports, keep, patience, export_limit }
    }

    /// Looks every so often what other processes have changed, for all who wait at once, and only while somebody does. It never ends.
    pub async fn look(&self, pause: Duration) {
        loop {
            self.waiting.begun().await;
            sleep(pause).await;
            let ids = self.waiting.ids();
            // While the database is away, nobody is woken.
            if let Ok(known) = self.repository.positions(&ids).await {
                self.waiting.learn(ids, known);
            }
        }
    }

    /// Answers all who wait for changes, and lets nobody wait any more.
    pub fn end_waiting(&self) {
        self.waiting.close();
    }

    /// What changed since then, if anything, and how far the owner's changes go.
    async fn changed(&self, owner: &Owner, asked: ChangesRequest) -> Result<(Changes, Position), Error> {
        let ChangesRequest { since, limit, .. } = asked;
        let most = usize::from(limit.get());
        let (position, forgotten) = self.repository.position(owner).await?;
        since.check(&position, forgotten)?;
        // Who begins has seen nothing of what is gone by now.
        let until = if since == ChangesToken::START { position.number } else { since.until };
        // Without a user there are no tasks; and of one who comes meanwhile nothing is known by which a token could be theirs.
        let is_read = since == position.token() || position == Position::absent(owner.id());
        let mut rows = if is_read { vec![] } else { self.repository.changes(owner, since, until, most + 1).await? };
        let more = rows.len() > most;
        rows.truncate(most);
        let next = match rows.last() {
            // Who knows nothing yet goes on from the beginning, in whatever life.
            None if since == ChangesToken::START && position.number == 0 => since,
            None => position.token(),
            Some(last) if more => position.behind(last.number, last.id.0, until),
            // All up to where the changes went before they were read; what was changed meanwhile may be among them too.
            Some(last) => position.behind(last.number.max(position.number), Uuid::max(), 0),
        };
        let mut changes = Changes { data: vec![], deleted: vec![], meta: ChangesMeta { next, more } };
        for Changed { id, task, .. } in rows {
            match task {
                Some(task) => changes.data.push(task),
                None => changes.deleted.push(id),
            }
        }
        Ok((changes, position))
    }

    /// Creates tasks, in this order, by an operation of this name; `at`: where in its body a draft stands.
    async fn insert(
        &self,
        owner: &Owner,
        operation: &'static str,
        new: Vec<TaskDraft>,
        key: Option<IdempotencyKey>,
        at: impl Fn(usize) -> String,
    ) -> Result<Done<Vec<Task>>, Error> {
        let now = self.clock.now();
        let new: Vec<_> = new.into_iter().map(TaskDraft::normal).collect();
        let latest = now.to_utc().timestamp_millis().saturating_add(AHEAD.num_milliseconds());
        let is_ahead = |id: OwnId| i64::try_from(id.made_at()).is_ok_and(|made_at| made_at > latest);
        let detail = "is of a time that is more than 24 hours ahead of the server's clock";
        let ahead = new.iter().enumerate().filter(|(_, draft)| draft.id.is_some_and(is_ahead));
        let ahead: Vec<_> = ahead.map(|(place, _)| Fault::body(format!("{}/id", at(place)), detail)).collect();
        if !ahead.is_empty() {
            return Err(Error::IdsAhead(ahead));
        }
        let id = |draft: &TaskDraft| draft.id.map_or_else(|| self.clock.id(now), OwnId::get);
        let tasks: Vec<_> = new.iter().map(|draft| Task::new(id(draft), owner.id().clone(), draft, now)).collect();
        let is_repeatable = key.is_some() || new.iter().any(|draft| draft.id.is_some());
        if !is_repeatable && self.repository.insert(owner, &tasks, now).await? {
            self.waiting.wake(owner.id());
            return Ok(Done { data: tasks, is_replay: false });
        }
        let once = key.map(|key| once(operation, key, fingerprinted(&new).as_bytes(), now));
        let drafts = new.iter().map(|draft| draft.id.map(|_| draft_hash(draft))).collect();
        let since = (now.to_utc() - self.keep).into();
        // A user's first tasks come here too, with the user's row in the same transaction: else whoever erases the user again and again
        // could always come between.
        let mut done = self.repository.create(owner, Creation { tasks, drafts, once, since }, now).await?;
        done.is_replay &= is_repeatable;
        self.waiting.wake(owner.id());
        Ok(done)
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
        let write = |expected| self.repository.change(owner, id, &change, expected, self.clock.now());
        // A repeat of a write whose answer was lost succeeds, whatever version it names (RFC 9110 §13.1.1).
        let done = |task: Task| {
            let wanted = change.apply(&task).ok_or_else(|| Error::invalid(DueTime::without_date("")))?;
            Ok((wanted == task).then_some(task))
        };
        self.write(owner, id, condition, write, done).await
    }

    /// Changes several tasks, and answers them in this order.
    async fn change_all(
        &self,
        owner: &Owner,
        changes: Vec<(SelectedTask, Change)>,
        once: Option<Once>,
        now: Timestamp,
    ) -> Result<Done<Vec<Task>>, Error> {
        let places: HashMap<_, _> = changes.iter().enumerate().map(|(place, (task, _))| (task.id, place)).collect();
        let mut done = self.repository.change_all(owner, changes, once, now).await?;
        self.waiting.wake(owner.id());
        done.data.sort_by_key(|task| places.get(&task.id).copied());
        Ok(done)
    }

    /// Does a write that names the task as it expects it, or does not. The write checks that in its own statement; what is read here
    /// only tells why nothing was written, whether that is `done` already, and which of several tags to name.
    async fn write<T, F: Future<Output = Result<Option<T>, Error>>>(
        &self,
        owner: &Owner,
        id: TaskId,
        condition: Option<IfMatch>,
        write: impl Fn(Option<Expected>) -> F,
        done: impl Fn(Task) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let tags = match &condition {
            None | Some(IfMatch::Any) => None,
            Some(IfMatch::Tags { strong, .. }) => Some(strong),
        };
        let nothing = Expected { version: 0, updated_at: None };
        let first = |tags: &Vec<TaskTag>| tags.iter().find_map(|tag| tag.expected(owner.id())).unwrap_or(nothing);
        let mut named = tags.map(first);
        // Versions only rise: who comes here again was overtaken by a write of somebody else.
        for _ in 0..ROUNDS {
            if let Some(written) = write(named).await? {
                self.waiting.wake(owner.id());
                return Ok(written);
            }
            let task = self.repository.find(owner, id).await?.ok_or(Error::TaskNotFound)?;
            let refusal = condition.as_ref().filter(|condition| !condition.allows(&task));
            let refusal = refusal.map(|condition| condition.mismatch(&task));
            let now = Expected { version: task.version, updated_at: Some(task.updated_at) };
            if let Some(done) = done(task)? {
                return Ok(done);
            }
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
            named = tags.map(|_| now);
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

/// What a task is created by, where its client made the id.
fn draft_hash(draft: &TaskDraft) -> DraftHash {
    let hash = digest(&SHA256, serde_json::to_string(draft).unwrap_or_default().as_bytes());
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

/// These lines and what comes there; where that ends without the last line, it fails. The turn is held until all is taken.
fn whole(
    first: Vec<ExportLine>,
    lines: mpsc::Receiver<Result<Vec<ExportLine>, Error>>,
    turn: Arc<Turn>,
) -> impl Stream<Item = Result<Vec<ExportLine>, Error>> {
    stream::unfold((Some(Ok(first)), false, lines, turn), async |(first, is_over, mut lines, turn)| {
        if is_over {
            return None;
        }
        let next = match first {
            Some(first) => first,
            None => lines.recv().await.unwrap_or(Err(Error::TimedOut)),
        };
        let is_over = match &next {
            Ok(next) => matches!(next.last(), Some(ExportLine::End { .. })),
            Err(_) => true,
        };
        Some((next, (None, is_over, lines, turn)))
    })
}

/// How far ahead the time in the id of a new task may be: clocks of devices are wrong by hours.
const AHEAD: TimeDelta = TimeDelta::hours(24);

/// A request about these tasks, under a key. A version is never 0, and so that is for none.
fn once_about(operation: &'static str, key: IdempotencyKey, tasks: &[SelectedTask], now: Timestamp) -> Once {
    let asked = |task: &SelectedTask| {
        let id = task.id.0.into_bytes();
        id.into_iter().chain(task.version.unwrap_or_default().to_be_bytes())
    };
    once(operation, key, &tasks.iter().flat_map(asked).collect::<Vec<_>>(), now)
}

impl From<TaskPatch> for Change {
    fn from(patch: TaskPatch) -> Self {
        Self {
            title: patch.title,
            is_completed: patch.is_completed,
            description: patch.description.map(|description| description.0),
            due_date: patch.due_date.map(|date| date.0),
            due_time: patch.due_time.map(|time| time.0),
            priority: patch.priority.map(|priority| priority.0),
            tags: patch.tags,
        }
    }
}

/// For how long a key is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// An idempotency key that is older than this is forgotten.
#[must_use]
pub fn expiry() -> Timestamp {
    (Utc::now() - KEPT).into()
}

/// A deletion that is older than so many days is forgotten.
#[must_use]
pub fn forgotten(keep_days: u16) -> Timestamp {
    (Utc::now() - TimeDelta::days(keep_days.into())).into()
}

impl TaskService for Tasks {
    async fn list(&self, owner: &Owner, page: PageRequest) -> Result<(TaskPage, Position), Error> {
        let limit = usize::from(page.limit.get());
        let (mut data, position) = self.repository.list(owner, &page).await?;
        // The repository looks one task ahead: only where there is one more is there a next page.
        let has_more = data.len() > limit;
        data.truncate(limit);
        let last = data.last().filter(|_| has_more);
        let next_cursor = last.map(|task| Cursor::behind(task, &page.filter, page.sort));
        let total = if page.include_total { Some(self.repository.count(owner, &page.filter).await?) } else { None };
        let meta = PageMeta { limit: page.limit, next_cursor: Nullable(next_cursor), total: Nullable(total) };
        Ok((TaskPage { data, meta }, position))
    }

    async fn position(&self, owner: &Owner) -> Result<Position, Error> {
        Ok(self.repository.position(owner).await?.0)
    }

    async fn changes(&self, owner: &Owner, request: ChangesRequest) -> Result<Changes, Error> {
        let until = Instant::now() + Duration::from_secs(request.wait.seconds().into()).min(self.patience);
        let mut place = None;
        loop {
            let (changes, position) = self.changed(owner, request).await?;
            if request.wait.seconds() == 0 || !changes.is_empty() {
                return Ok(changes);
            }
            let Some(place) = &mut place else {
                place = self.waiting.join(owner.id())?;
                if place.is_some() {
                    // What was changed before there was the place wakes nobody, and is looked for once more.
                    continue;
                }
                return Ok(changes);
            };
            place.knows(position);
            if !place.news(until).await {
                return Ok(changes);
            }
        }
    }

    async fn create(&self, owner: &Owner, new: TaskDraft, key: Option<IdempotencyKey>) -> Result<Done<Task>, Error> {
        let created = self.insert(owner, "createTask", vec![new], key, |_| String::new()).await;
        let Done { data, is_replay } = created.map_err(|error| match error {
            Error::IdsTaken(mut taken) => Error::IdTaken(taken.pop().and_then(|(_, current)| current)),
            error => error,
        })?;
        let task = data.into_iter().next().ok_or_else(|| Error::internal("a creation of nothing"))?;
        Ok(Done { data: task, is_replay })
    }

    async fn create_all(
        &self,
        owner: &Owner,
        new: Vec<TaskDraft>,
        key: Option<IdempotencyKey>,
    ) -> Result<Done<Vec<Task>>, Error> {
        self.insert(owner, "bulkCreateTasks", new, key, |place| format!("/tasks/{place}")).await
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
        self.change(owner, id, patch.into(), condition).await
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
        let once = key.map(|key| once_about("bulkCompleteTasks", key, &tasks, now));
        let complete = |task| (task, Change { is_completed: Some(true), ..Change::default() });
        self.change_all(owner, tasks.into_iter().map(complete).collect(), once, now).await
    }

    async fn patch_all(
        &self,
        owner: &Owner,
        tasks: Vec<(SelectedTask, TaskPatch)>,
        key: Option<IdempotencyKey>,
    ) -> Result<Done<Vec<Task>>, Error> {
        let now = self.clock.now();
        let once = key.map(|key| {
            let asked = serde_json::to_string(&tasks).unwrap_or_default();
            once("bulkPatchTasks", key, asked.as_bytes(), now)
        });
        let changes = tasks.into_iter().map(|(task, patch)| (task, patch.into()));
        self.change_all(owner, changes.collect(), once, now).await
    }

    async fn delete_all(
        &self,
        owner: &Owner,
        tasks: Vec<SelectedTask>,
        key: Option<IdempotencyKey>,
    ) -> Result<Done<()>, Error> {
        let now = self.clock.now();
        let once = key.map(|key| once_about("bulkDeleteTasks", key, &tasks, now));
        let done = self.repository.delete_all(owner, tasks, once, now).await?;
        self.waiting.wake(owner.id());
        Ok(done)
    }

    async fn export(&self, owner: &Owner) -> Result<tasks_api::Export, Error> {
        // Held by whoever reads the database, and by the answer, which holds what is not read: as long as there is either.
        let turn = Arc::new(self.exports.begin(owner.id())?);
        let held = Arc::clone(&turn);
        let until = Instant::now() + self.export_limit;
        let (repository, owner) = (self.repository.clone(), owner.clone());
        let (to, mut lines) = mpsc::channel(1);
        // Beside the request, so that it comes to its end also where nobody reads.
        tokio::spawn(async move {
            let (over, mut turn) = (Arc::downgrade(&turn), Some(turn));
            let sent = async {
                let mut export = repository.export(owner.id()).await?;
                while let Some(lines) = export.lines().await? {
                    if export.is_read() {
                        turn.take();
                    }
                    if to.send(Ok(lines)).await.is_err() {
                        return Ok(None);
                    }
                }
                Ok(Some(export.tasks()))
            };
            match timeout_at(until, sent).await.unwrap_or(Err(Error::TimedOut)) {
                // Nobody is named, as where a user is erased.
                Ok(Some(tasks)) => info!(tasks, "all that is held of a user was exported"),
                Ok(None) => info!("an export was not read to its end"),
                Err(cause) => {
                    warn!(%cause, "an export was cut off");
                    let _ = to.try_send(Err(cause));
                }
            }
            // Whoever does not take the rest has no place for longer, either.
            let _ = timeout_at(until, to.closed()).await;
            if let Some(turn) = over.upgrade() {
                turn.end();
            }
        });
        // What fails before the first lines is answered as what it is.
        let first = lines.recv().await.unwrap_or(Err(Error::TimedOut))?;
        Ok(whole(first, lines, held).boxed())
    }

    async fn erase(&self, owner: &Owner) -> Result<(), Error> {
        let tasks = self.repository.erase(owner.id()).await?;
        if let Some(tasks) = tasks {
            // Nobody is named: who it was is erased.
            info!(tasks, "all that was held of a user was erased");
        }
        self.waiting.wake(owner.id());
        Ok(())
    }

    fn ready(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.repository.ready()
    }
}
