//! The verbs of the contract, in domain words: what the server does behind each operation.

use std::future::Future;

use futures_util::stream::BoxStream;

use crate::http::error::Error;
use crate::schemas::bulk::SelectedTask;
use crate::schemas::changes::{Changes, ChangesRequest, Position};
use crate::schemas::condition::IfMatch;
use crate::schemas::export::ExportLine;
use crate::schemas::idempotency::{Done, IdempotencyKey};
use crate::schemas::page::{PageRequest, TaskPage};
use crate::schemas::task::{Task, TaskDraft, TaskId, TaskPatch, TaskUpdate};
use crate::security::owner::Owner;

/// The lines of an export.
pub type Export = BoxStream<'static, Result<Vec<ExportLine>, Error>>;

/// What the server must be able to do with one owner's tasks.
///
/// Every verb takes the [`Owner`] first and sees no other user's tasks: a task of somebody else is
/// [`Error::TaskNotFound`], as if it did not exist.
///
/// # Errors
/// Every verb answers [`Error::Unavailable`] while the database is away and [`Error::Internal`] for a bug; those on
/// one task answer [`Error::TaskNotFound`] when the owner has no such task, and those that write it
/// [`Error::VersionMismatch`] when it has none of the versions that the condition allows; but a write that the task
/// shows already succeeds all the same (RFC 9110 §13.1.1).
pub trait TaskService: Send + Sync + 'static {
    /// A page of the owner's tasks, and the position that it is of, or an earlier one.
    fn list(
        &self,
        owner: &Owner,
        page: PageRequest,
    ) -> impl Future<Output = Result<(TaskPage, Position), Error>> + Send;

    /// How far the owner's changes go.
    fn position(&self, owner: &Owner) -> impl Future<Output = Result<Position, Error>> + Send;

    /// What changed of the owner's tasks since they last looked; waits for some while there is none, as long as is asked for, or less.
    ///
    /// # Errors
    /// [`Error::ChangesExpired`] when what they have read cannot be gone on with, [`Error::TooManyWaiting`] when too many wait.
    fn changes(&self, owner: &Owner, request: ChangesRequest) -> impl Future<Output = Result<Changes, Error>> + Send;

    /// Creates a task with version 1; with a key that the owner used in the last 24 hours, or an id by which this very draft was
    /// created, answers the task that was created then, as it was then. The key goes before the id.
    ///
    /// # Errors
    /// [`Error::KeyReused`] when the key was used with another `new`, [`Error::KeyInUse`] when a request with it still
    /// runs, [`Error::IdsAhead`] and [`Error::IdTaken`] for the id.
    fn create(
        &self,
        owner: &Owner,
        new: TaskDraft,
        key: Option<IdempotencyKey>,
    ) -> impl Future<Output = Result<Done<Task>, Error>> + Send;

    /// Creates tasks, all or none, in this order; otherwise as [`create`](Self::create). Those that were created before keep their
    /// places among the new ones.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), with [`Error::IdsTaken`] for ids.
    fn create_all(
        &self,
        owner: &Owner,
        new: Vec<TaskDraft>,
        key: Option<IdempotencyKey>,
    ) -> impl Future<Output = Result<Done<Vec<Task>>, Error>> + Send;

    /// The task with this id.
    fn get(&self, owner: &Owner, id: TaskId) -> impl Future<Output = Result<Task, Error>> + Send;

    /// Replaces every writable member. A write that changes nothing keeps version and times.
    fn update(
        &self,
        owner: &Owner,
        id: TaskId,
        update: TaskUpdate,
        condition: Option<IfMatch>,
    ) -> impl Future<Output = Result<Task, Error>> + Send;

    /// Changes the members that were sent. A write that changes nothing keeps version and times.
    fn patch(
        &self,
        owner: &Owner,
        id: TaskId,
        patch: TaskPatch,
        condition: Option<IfMatch>,
    ) -> impl Future<Output = Result<Task, Error>> + Send;

    /// Completes the task (`true`) or opens it again (`false`); never a toggle.
    fn complete(
        &self,
        owner: &Owner,
        id: TaskId,
        is_completed: bool,
        condition: Option<IfMatch>,
    ) -> impl Future<Output = Result<Task, Error>> + Send;

    /// Deletes the task.
    fn delete(
        &self,
        owner: &Owner,
        id: TaskId,
        condition: Option<IfMatch>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Completes tasks, all or none, and answers them in this order. Those that are completed keep version and times,
    /// whatever version is asked for. With a key that the owner used in the last 24 hours, writes nothing and answers the
    /// tasks as they are now, without those that were deleted since.
    ///
    /// # Errors
    /// [`Error::TasksNotFound`] when the owner has not all of them; else [`Error::VersionMismatches`] when some have
    /// not the version that is asked for. Of a key those of [`create`](Self::create).
    fn complete_all(
        &self,
        owner: &Owner,
        tasks: Vec<SelectedTask>,
        key: Option<IdempotencyKey>,
    ) -> impl Future<Output = Result<Done<Vec<Task>>, Error>> + Send;

    /// Changes tasks, each by its patch, all or none, and answers them in this order. Otherwise as
    /// [`complete_all`](Self::complete_all): a task that shows its patch already is left as it is, whatever version is asked for.
    ///
    /// # Errors
    /// Those of [`complete_all`](Self::complete_all), and [`Error::Invalid`] where a time of a day would stand without a day.
    fn patch_all(
        &self,
        owner: &Owner,
        tasks: Vec<(SelectedTask, TaskPatch)>,
        key: Option<IdempotencyKey>,
    ) -> impl Future<Output = Result<Done<Vec<Task>>, Error>> + Send;

    /// Deletes those of the tasks that there are, all or none; with a key that the owner used in the last 24 hours, nothing more.
    ///
    /// # Errors
    /// [`Error::VersionMismatches`] when some have not the version that is asked for. Of a key those of [`create`](Self::create).
    fn delete_all(
        &self,
        owner: &Owner,
        tasks: Vec<SelectedTask>,
        key: Option<IdempotencyKey>,
    ) -> impl Future<Output = Result<Done<()>, Error>> + Send;

    /// All that is held of the owner, as of one time, some lines at a time; [`ExportLine::End`] is the last. A stream that fails, or ends
    /// without that line, is no export.
    ///
    /// # Errors
    /// [`Error::TooManyExports`] while another of the owner runs, or too many of all.
    fn export(&self, owner: &Owner) -> impl Future<Output = Result<Export, Error>> + Send;

    /// Erases all that is held of the owner, at once. That there is nothing is no error.
    fn erase(&self, owner: &Owner) -> impl Future<Output = Result<(), Error>> + Send;

    /// Whether the service can work: answers from the last known outcome, and asks the database only when there is
    /// none or the last one was a failure.
    fn ready(&self) -> impl Future<Output = Result<(), Error>> + Send;
}
