//! The operations on a user's tasks. Each is: tell the owner, call the service once, wrap what it answers.

use std::sync::Arc;

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, OpenApi};

use crate::http::body::Body;
use crate::http::error::Error;
use crate::http::field::Field;
use crate::http::header::{
    ByToken, ETag, Location as TaskLocation, PageTag, Private, PrivateAsIs, Replayed, RequestId,
};
use crate::http::json::Json;
use crate::http::newtype::Invalid;
use crate::http::problem::{Fault, Location};
use crate::http::refusal::{Refusal, Status, Statuses};
use crate::router::statuses::{
    BAD_REQUEST, BODY_TIMED_OUT, CONDITION, FORBIDDEN, INTERNAL, KEY_IN_USE_OR_ID_TAKEN, KEY_REUSED, MEDIA_TYPE,
    NOT_FOUND, PATCH_MEDIA_TYPE, RATE_LIMITED, TOO_LARGE, UNAUTHORIZED, UNAVAILABLE, VERSION, statuses,
};
use crate::router::tag::Tag;
use crate::schemas::condition::{IfMatch, IfNoneMatch};
use crate::schemas::cursor::Cursor;
use crate::schemas::details::{DueDate, Priority, Tag as TaskTag};
use crate::schemas::filter::{All, Filter, SearchText, Sort};
use crate::schemas::idempotency::{Done, IdempotencyKey};
use crate::schemas::page::{Flag, Limit, PageRequest, TaskPage};
use crate::schemas::task::{Task, TaskCompletion, TaskDraft, TaskEnvelope, TaskId, TaskPatch, TaskUpdate};
use crate::schemas::user::UserId;
use crate::security::owner::Caller;
use crate::service::TaskService;

/// The operations on tasks, over whatever serves them.
pub(crate) struct TaskRouter<S> {
    pub(crate) service: Arc<S>,
    /// Whether a write without `If-Match` is refused.
    pub(crate) requires_condition: bool,
}

#[OpenApi(response_header(
    name = "X-Request-Id",
    ty = "RequestId",
    description = "The id of the request: the one that was sent in `X-Request-Id`, else a new one. The server's log has it too."
))]
impl<S: TaskService> TaskRouter<S> {
    /// List tasks
    ///
    /// Lists the user's tasks that all filters match, in the order of `sort`, a page at a time: send `meta.next_cursor` as `cursor` for
    /// the next page, with everything else as before, until it is null. A task that is there all the time and does not move in the
    /// order meanwhile is listed once.
    #[oai(path = "/api/:user_id/tasks", method = "get", operation_id = "listTasks", tag = "Tag::Tasks")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn list_tasks(
        &self,
        request: &Request,
        caller: Caller,
        /// Whose tasks: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// How many tasks a page has at most.
        #[oai(default)]
        limit: Query<Limit>,
        /// The `next_cursor` of the page before. It belongs to the filters and the order that it was made with.
        cursor: Query<Option<Cursor>>,
        /// Only completed (`true`) or only open (`false`) tasks.
        is_completed: Query<Option<Flag>>,
        /// Only tasks of this priority; repeat the parameter for those of one of several.
        priority: Query<All<Priority>>,
        /// Only tasks with this tag, to the letter; repeat the parameter for those that have all of several.
        tag: Query<All<TaskTag>>,
        /// Only tasks that are due on this day (`YYYY-MM-DD`) or later.
        due_from: Query<Option<DueDate>>,
        /// Only tasks that are due on this day (`YYYY-MM-DD`) or before.
        due_to: Query<Option<DueDate>>,
        /// Only tasks with this text, as one, in their title or description, in capital or small letters (by NFKC_Casefold).
        q: Query<Option<SearchText>>,
        /// The order: newest first (`-created_at`) or oldest first, by the time in the id; by `due_date` and time; by `priority`, high
        /// first; by `title`, by the bytes of its folded form; or what changed last first (`-updated_at`). What has no date or
        /// priority comes last.
        #[oai(default)]
        sort: Query<Sort>,
        /// Also count all tasks that the filters match, as `meta.total`.
        #[oai(default)]
        include_total: Query<Flag>,
        /// Answers 304 without a body when the answer still has one of these tags, weak or strong.
        #[oai(name = "If-None-Match")]
        if_none_match: Field<IfNoneMatch>,
    ) -> Result<PageAnswer, Refusal<OnList>> {
        let filter = Filter {
            is_completed: is_completed.0.map(|flag| flag.0),
            priorities: priority.0.0,
            tags: tag.0.0,
            due_from: *due_from,
            due_to: *due_to,
            text: q.0,
        };
        let filter = filter.checked()?;
        let after = cursor.0.map(|cursor| cursor.after(&filter, *sort)).transpose().map_err(another_list)?;
        let page = PageRequest { limit: *limit, filter, sort: *sort, after, include_total: include_total.0.0 };
        let owner = caller.owner_of(&user_id)?;
        if let Some(known) = if_none_match.0 {
            let etag = self.service.position(&owner).await?.tag(request.uri().query());
            if known.has(&etag.to_string()) {
                return Ok(PageAnswer::NotModified(etag, Private, ByToken));
            }
        }
        let (page, position) = self.service.list(&owner, page).await?;
        Ok(PageAnswer::Page(Json(page), position.tag(request.uri().query()), Private, ByToken))
    }

    /// Create a task
    ///
    /// Creates a task of the user, with version 1. It is open, unless the draft says that it is done already. What the draft leaves out
    /// is empty.
    ///
    /// A draft may bring its own `id`. Sent again, it is the creation that was, and answered as the first time, also after the task was
    /// changed; an id that stands for anything else, or for a task that was deleted, is 409.
    #[oai(path = "/api/:user_id/tasks", method = "post", operation_id = "createTask", tag = "Tag::Tasks")]
    async fn create_task(
        &self,
        caller: Caller,
        /// Whose task: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The client's own name for this creation: 1 to 255 visible ASCII characters, best a random UUID. Sent again
        /// within 24 hours, also after the task was changed or deleted, it is answered as the first time and creates
        /// nothing.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Field<IdempotencyKey>,
        body: Body<TaskDraft>,
    ) -> Result<CreatedAnswer, Refusal<OnCreate>> {
        let owner = caller.owner_of(&user_id)?;
        let Done { data: task, is_replay } = self.service.create(&owner, body.0, idempotency_key.0).await?;
        let (etag, location) = (ETag::from(&task), TaskLocation::from(&task));
        let replayed = is_replay.then_some(Replayed);
        Ok(CreatedAnswer::Created(Json(TaskEnvelope { data: task }), etag, location, replayed, PrivateAsIs, ByToken))
    }

    /// Get a task
    ///
    /// Gets one task of the user, as it is now. Another user's is just as absent as one that never was.
    #[oai(path = "/api/:user_id/tasks/:id", method = "get", operation_id = "getTask", tag = "Tag::Tasks")]
    async fn get_task(
        &self,
        caller: Caller,
        /// Whose task: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The task's id.
        id: Path<TaskId>,
        /// Answers 304 without a body when the answer still has one of these tags, weak or strong.
        #[oai(name = "If-None-Match")]
        if_none_match: Field<IfNoneMatch>,
    ) -> Result<FoundAnswer, Refusal<OnTask>> {
        let owner = caller.owner_of(&user_id)?;
        let task = self.service.get(&owner, *id).await?;
        let etag = ETag::from(&task);
        if if_none_match.0.is_some_and(|known| known.has(&etag.to_string())) {
            return Ok(FoundAnswer::NotModified(etag, PrivateAsIs, ByToken));
        }
        Ok(FoundAnswer::Task(Json(TaskEnvelope { data: task }), etag, PrivateAsIs, ByToken))
    }

    /// Replace a task
    ///
    /// Replaces a task: sets every writable member, and all are required, so that nothing is wiped unseen; to change some of them, use
    /// PATCH. Never creates a task. A write that changes nothing keeps the task's version and times.
    #[oai(path = "/api/:user_id/tasks/:id", method = "put", operation_id = "updateTask", tag = "Tag::Tasks")]
    async fn update_task(
        &self,
        caller: Caller,
        /// Whose task: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The task's id.
        id: Path<TaskId>,
        /// The write happens only when the task has one of these tags, as `ETag` tells them, or one of these versions (`"7"`), or
        /// with `*` whenever there is such a task; else it is 412. A weak tag (`W/"7"`) matches nothing. What the task
        /// shows already succeeds.
        #[oai(name = "If-Match")]
        if_match: Field<IfMatch>,
        body: Body<TaskUpdate>,
    ) -> Result<TaskAnswer, Refusal<OnTaskWrite>> {
        let condition = self.condition(if_match)?;
        let owner = caller.owner_of(&user_id)?;
        Ok(self.service.update(&owner, *id, body.0, condition).await?.into())
    }

    /// Change a task
    ///
    /// Changes a task by a JSON merge patch (RFC 7396): sets the members that are sent and leaves the others as they are. `null`
    /// removes a description, a day, a time or a priority, and is refused elsewhere; with the day goes the time. A write that
    /// changes nothing keeps the task's version and times.
    #[oai(path = "/api/:user_id/tasks/:id", method = "patch", operation_id = "patchTask", tag = "Tag::Tasks")]
    async fn patch_task(
        &self,
        caller: Caller,
        /// Whose task: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The task's id.
        id: Path<TaskId>,
        /// The write happens only when the task has one of these tags, as `ETag` tells them, or one of these versions (`"7"`), or
        /// with `*` whenever there is such a task; else it is 412. A weak tag (`W/"7"`) matches nothing. What the task
        /// shows already succeeds.
        #[oai(name = "If-Match")]
        if_match: Field<IfMatch>,
        body: Body<TaskPatch>,
    ) -> Result<TaskAnswer, Refusal<OnTaskPatch>> {
        let condition = self.condition(if_match)?;
        let owner = caller.owner_of(&user_id)?;
        Ok(self.service.patch(&owner, *id, body.0, condition).await?.into())
    }

    /// Complete a task
    ///
    /// Completes a task, or opens it again: without a body, with `null` or with `{}` it becomes completed, and
    /// `{"is_completed": false}` opens it. Never a toggle: a repeat changes nothing and keeps the task's version and times.
    #[oai(
        path = "/api/:user_id/tasks/:id/complete",
        method = "patch",
        operation_id = "completeTask",
        tag = "Tag::Tasks"
    )]
    async fn complete_task(
        &self,
        caller: Caller,
        /// Whose task: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The task's id.
        id: Path<TaskId>,
        /// The write happens only when the task has one of these tags, as `ETag` tells them, or one of these versions (`"7"`), or
        /// with `*` whenever there is such a task; else it is 412. A weak tag (`W/"7"`) matches nothing. What the task
        /// shows already succeeds.
        #[oai(name = "If-Match")]
        if_match: Field<IfMatch>,
        body: Body<TaskCompletion>,
    ) -> Result<TaskAnswer, Refusal<OnTaskPatch>> {
        let condition = self.condition(if_match)?;
        let owner = caller.owner_of(&user_id)?;
        let is_completed = body.0.is_completed.unwrap_or(true);
        Ok(self.service.complete(&owner, *id, is_completed, condition).await?.into())
    }

    /// Delete a task
    ///
    /// Deletes a task for good. A second time it is no longer found.
    #[oai(path = "/api/:user_id/tasks/:id", method = "delete", operation_id = "deleteTask", tag = "Tag::Tasks")]
    async fn delete_task(
        &self,
        caller: Caller,
        /// Whose task: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The task's id.
        id: Path<TaskId>,
        /// The write happens only when the task has one of these tags, as `ETag` tells them, or one of these versions (`"7"`), or
        /// with `*` whenever there is such a task; else it is 412. A weak tag (`W/"7"`) matches nothing. What the task
        /// shows already succeeds.
        #[oai(name = "If-Match")]
        if_match: Field<IfMatch>,
    ) -> Result<DeletedAnswer, Refusal<OnDelete>> {
        let condition = self.condition(if_match)?;
        let owner = caller.owner_of(&user_id)?;
        self.service.delete(&owner, *id, condition).await?;
        Ok(DeletedAnswer::Deleted(Private, ByToken))
    }
}

impl<S> TaskRouter<S> {
    /// What a write depends on; a server may insist on it.
    fn condition(&self, if_match: Field<IfMatch>) -> Result<Option<IfMatch>, Error> {
        if if_match.0.is_none() && self.requires_condition { Err(IfMatch::missing()) } else { Ok(if_match.0) }
    }
}

/// The user whom "Try it out" starts from: whoever the token says.
pub(super) fn me() -> UserId {
    UserId::from_stored("me".to_owned())
}

/// The refusal of a cursor that belongs to another list.
fn another_list(invalid: Invalid) -> Error {
    Error::invalid(Fault::parameter(Location::Query, "cursor", invalid.to_string()))
}

#[derive(ApiResponse)]
enum PageAnswer {
    /// A page of tasks.
    #[oai(status = 200)]
    Page(
        Json<TaskPage>,
        /// Changes whenever a task of the user does: a weak entity tag, as the answer may be compressed.
        #[oai(header = "ETag")]
        PageTag,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        Private,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
    /// The reader has the answer already.
    #[oai(status = 304)]
    NotModified(
        /// Changes whenever a task of the user does: a weak entity tag, as the answer may be compressed.
        #[oai(header = "ETag")]
        PageTag,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        Private,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

#[derive(ApiResponse)]
enum FoundAnswer {
    /// The task.
    #[oai(status = 200)]
    Task(
        Json<TaskEnvelope>,
        /// What the task is now, as a strong entity tag: its member `etag`.
        #[oai(header = "ETag")]
        ETag,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        PrivateAsIs,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
    /// The reader has the answer already.
    #[oai(status = 304)]
    NotModified(
        /// What the task is now, as a strong entity tag: its member `etag`.
        #[oai(header = "ETag")]
        ETag,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        PrivateAsIs,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

#[derive(ApiResponse)]
enum TaskAnswer {
    /// The task.
    #[oai(status = 200)]
    Task(
        Json<TaskEnvelope>,
        /// What the task is now, as a strong entity tag: its member `etag`.
        #[oai(header = "ETag")]
        ETag,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        PrivateAsIs,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

impl From<Task> for TaskAnswer {
    fn from(task: Task) -> Self {
        let etag = ETag::from(&task);
        Self::Task(Json(TaskEnvelope { data: task }), etag, PrivateAsIs, ByToken)
    }
}

#[derive(ApiResponse)]
enum CreatedAnswer {
    /// The task was created.
    #[oai(status = 201)]
    Created(
        Json<TaskEnvelope>,
        /// The task as it was created, as a strong entity tag: its member `etag`.
        #[oai(header = "ETag")]
        ETag,
        /// The canonical path of the task.
        #[oai(header = "Location")]
        TaskLocation,
        /// The task was created by an earlier request with the same `Idempotency-Key` or `id`; it may have changed since.
        #[oai(header = "Idempotency-Replayed")]
        Option<Replayed>,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        PrivateAsIs,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

#[derive(ApiResponse)]
enum DeletedAnswer {
    /// Deleted; there is nothing more to say.
    #[oai(status = 204)]
    Deleted(
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        Private,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

statuses! {
    /// What a list can refuse with.
    OnList = [BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, RATE_LIMITED, INTERNAL, UNAVAILABLE];
    /// What a creation can refuse with.
    OnCreate = [
        BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, KEY_IN_USE_OR_ID_TAKEN, BODY_TIMED_OUT, TOO_LARGE, MEDIA_TYPE, KEY_REUSED, RATE_LIMITED, INTERNAL, UNAVAILABLE
    ];
    /// What a look at a task can refuse with.
    OnTask = [BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, RATE_LIMITED, INTERNAL, UNAVAILABLE];
    /// What a replacement of a task can refuse with.
    OnTaskWrite = [
        BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, VERSION, BODY_TIMED_OUT, TOO_LARGE, MEDIA_TYPE, CONDITION, RATE_LIMITED, INTERNAL, UNAVAILABLE
    ];
    /// What a change of a task can refuse with.
    OnTaskPatch = [
        BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, BODY_TIMED_OUT, VERSION, TOO_LARGE, PATCH_MEDIA_TYPE, CONDITION,
        RATE_LIMITED, INTERNAL, UNAVAILABLE
    ];
    /// What a deletion can refuse with.
    OnDelete = [BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, VERSION, CONDITION, RATE_LIMITED, INTERNAL, UNAVAILABLE];
}
