//! The operations on many tasks at once. Each is: tell the owner, call the service once, wrap what it answers.

use std::sync::Arc;

use poem_openapi::param::Path;
use poem_openapi::{ApiResponse, OpenApi};

use crate::http::body::Body;
use crate::http::error::Error;
use crate::http::field::Field;
use crate::http::header::{ByToken, Private, Replayed, RequestId};
use crate::http::json::Json;
use crate::http::refusal::{Refusal, Status, Statuses};
use crate::router::statuses::{
    BAD_REQUEST, BODY_TIMED_OUT, BULK_TOO_LARGE, FORBIDDEN, INTERNAL, KEY_IN_USE, KEY_IN_USE_OR_ID_TAKEN, KEY_REUSED,
    MEDIA_TYPE, RATE_LIMITED, SOME_CONDITION, SOME_NOT_FOUND, SOME_VERSION, UNAUTHORIZED, UNAVAILABLE, statuses,
};
use crate::router::tag::Tag;
use crate::router::tasks::me;
use crate::schemas::bulk::{
    SelectedTask, TaskChange, TaskChanges, TaskDrafts, TaskList, TaskSelection, version_required,
};
use crate::schemas::idempotency::{Done, IdempotencyKey};
use crate::schemas::user::UserId;
use crate::security::owner::Caller;
use crate::service::TaskService;

/// The operations on many tasks, over whatever serves them.
pub(crate) struct BulkRouter<S> {
    pub(crate) service: Arc<S>,
    /// Whether a task without a version is refused where it is written.
    pub(crate) requires_condition: bool,
}

#[OpenApi(response_header(
    name = "X-Request-Id",
    ty = "RequestId",
    description = "The id of the request: the one that was sent in `X-Request-Id`, else a new one. The server's log has it too."
))]
impl<S: TaskService> BulkRouter<S> {
    /// Create tasks
    ///
    /// Creates 1 to 100 tasks, all or none, in one statement of the database (with `Idempotency-Key` or ids, in one transaction), in
    /// the order of the request: a list, newest first, has the last of them on top, where their ids are the server's.
    ///
    /// Drafts may bring their own `id`. Those that were sent before are answered as the first time, in their places, beside those that
    /// are new; one whose id stands for anything else, or for a task that was deleted, refuses them all.
    #[oai(
        path = "/api/:user_id/tasks/bulk-create",
        method = "post",
        operation_id = "bulkCreateTasks",
        tag = "Tag::Tasks"
    )]
    async fn bulk_create_tasks(
        &self,
        caller: Caller,
        /// Whose tasks: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The client's own name for this creation: 1 to 255 visible ASCII characters, best a random UUID. Sent again
        /// within 24 hours, also after tasks were changed or deleted, it is answered as the first time and creates
        /// nothing.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Field<IdempotencyKey>,
        body: Body<TaskDrafts>,
    ) -> Result<CreatedListAnswer, Refusal<OnBulkCreate>> {
        let owner = caller.owner_of(&user_id)?;
        let Done { data, is_replay } = self.service.create_all(&owner, body.0.tasks, idempotency_key.0).await?;
        Ok(CreatedListAnswer::Created(Json(TaskList { data }), is_replay.then_some(Replayed), Private, ByToken))
    }

    /// Complete tasks
    ///
    /// Completes 1 to 100 tasks, all or none, in one transaction of the database. A task that is not there refuses them all, and
    /// so does one that has another `version` than the request names; but a task that is completed already keeps its version and
    /// times, whatever version is named, so that a repeat succeeds.
    ///
    /// With an `Idempotency-Key` that was used before, nothing is written: the answer has the tasks of the request as they
    /// are now, without those that were deleted since.
    #[oai(
        path = "/api/:user_id/tasks/bulk-complete",
        method = "post",
        operation_id = "bulkCompleteTasks",
        tag = "Tag::Tasks"
    )]
    async fn bulk_complete_tasks(
        &self,
        caller: Caller,
        /// Whose tasks: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The client's own name for this request: 1 to 255 visible ASCII characters, best a random UUID. Sent again
        /// within 24 hours, also after tasks were changed or deleted, it succeeds again and writes nothing.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Field<IdempotencyKey>,
        body: Body<TaskSelection>,
    ) -> Result<CompletedAnswer, Refusal<OnSelection>> {
        let tasks = body.0.tasks;
        self.insist(tasks.iter())?;
        let owner = caller.owner_of(&user_id)?;
        let Done { data, is_replay } = self.service.complete_all(&owner, tasks, idempotency_key.0).await?;
        Ok(CompletedAnswer::Tasks(Json(TaskList { data }), is_replay.then_some(Replayed), Private, ByToken))
    }

    /// Change tasks
    ///
    /// Changes 1 to 100 tasks, each by the members that are named for it, as PATCH changes one; all or none, in one transaction of the
    /// database. A task that is not there refuses them all, and so does one that has another `version` than the request names; but a
    /// task that shows its change already keeps its version and times, whatever version is named, so that a repeat succeeds.
    ///
    /// With an `Idempotency-Key` that was used before, nothing is written: the answer has the tasks of the request as they
    /// are now, without those that were deleted since.
    #[oai(
        path = "/api/:user_id/tasks/bulk-patch",
        method = "post",
        operation_id = "bulkPatchTasks",
        tag = "Tag::Tasks"
    )]
    async fn bulk_patch_tasks(
        &self,
        caller: Caller,
        /// Whose tasks: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The client's own name for this request: 1 to 255 visible ASCII characters, best a random UUID. Sent again
        /// within 24 hours, also after tasks were changed or deleted, it succeeds again and writes nothing.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Field<IdempotencyKey>,
        body: Body<TaskChanges>,
    ) -> Result<ChangedAnswer, Refusal<OnSelection>> {
        let tasks: Vec<_> = body.0.tasks.into_iter().map(TaskChange::parts).collect();
        self.insist(tasks.iter().map(|(task, _)| task))?;
        let owner = caller.owner_of(&user_id)?;
        let Done { data, is_replay } = self.service.patch_all(&owner, tasks, idempotency_key.0).await?;
        Ok(ChangedAnswer::Tasks(Json(TaskList { data }), is_replay.then_some(Replayed), Private, ByToken))
    }

    /// Delete tasks
    ///
    /// Deletes 1 to 100 tasks for good, all or none, in one transaction of the database. A task that is not there is taken for deleted,
    /// so that a repeat succeeds; one that has another `version` than the request names refuses them all.
    #[oai(
        path = "/api/:user_id/tasks/bulk-delete",
        method = "post",
        operation_id = "bulkDeleteTasks",
        tag = "Tag::Tasks"
    )]
    async fn bulk_delete_tasks(
        &self,
        caller: Caller,
        /// Whose tasks: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The client's own name for this request: 1 to 255 visible ASCII characters, best a random UUID. Sent again
        /// within 24 hours, it is answered as the first time and deletes nothing.
        #[oai(name = "Idempotency-Key")]
        idempotency_key: Field<IdempotencyKey>,
        body: Body<TaskSelection>,
    ) -> Result<DeletedListAnswer, Refusal<OnDeletion>> {
        let tasks = body.0.tasks;
        self.insist(tasks.iter())?;
        let owner = caller.owner_of(&user_id)?;
        let Done { data: (), is_replay } = self.service.delete_all(&owner, tasks, idempotency_key.0).await?;
        Ok(DeletedListAnswer::Deleted(is_replay.then_some(Replayed), Private, ByToken))
    }
}

impl<S> BulkRouter<S> {
    /// Sees to it that each task comes with the version on which its write depends, where the server insists on that.
    fn insist<'a>(&self, tasks: impl Iterator<Item = &'a SelectedTask>) -> Result<(), Error> {
        let bare = tasks.enumerate().filter(|(_, task)| task.version.is_none()).map(|(place, _)| place);
        let mut bare = bare.peekable();
        if self.requires_condition && bare.peek().is_some() { Err(version_required(bare)) } else { Ok(()) }
    }
}

#[derive(ApiResponse)]
enum CompletedAnswer {
    /// The tasks, in the order of the request.
    #[oai(status = 200)]
    Tasks(
        Json<TaskList>,
        /// The tasks were completed by an earlier request with the same `Idempotency-Key`; they are answered as they are
        /// now, without those that were deleted since.
        #[oai(header = "Idempotency-Replayed")]
        Option<Replayed>,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        Private,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

#[derive(ApiResponse)]
enum ChangedAnswer {
    /// The tasks, in the order of the request.
    #[oai(status = 200)]
    Tasks(
        Json<TaskList>,
        /// The tasks were changed by an earlier request with the same `Idempotency-Key`; they are answered as they are
        /// now, without those that were deleted since.
        #[oai(header = "Idempotency-Replayed")]
        Option<Replayed>,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        Private,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

#[derive(ApiResponse)]
enum CreatedListAnswer {
    /// The tasks were created; they come in the order of the request.
    #[oai(status = 201)]
    Created(
        Json<TaskList>,
        /// The tasks were created by earlier requests with the same `Idempotency-Key` or ids; they may have changed since.
        #[oai(header = "Idempotency-Replayed")]
        Option<Replayed>,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        Private,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

#[derive(ApiResponse)]
enum DeletedListAnswer {
    /// Deleted; there is nothing more to say.
    #[oai(status = 204)]
    Deleted(
        /// The tasks were deleted by an earlier request with the same `Idempotency-Key`.
        #[oai(header = "Idempotency-Replayed")]
        Option<Replayed>,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        Private,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

statuses! {
    /// What a creation of several tasks can refuse with.
    OnBulkCreate = [
        BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, KEY_IN_USE_OR_ID_TAKEN, BODY_TIMED_OUT, BULK_TOO_LARGE, MEDIA_TYPE, KEY_REUSED,
        RATE_LIMITED, INTERNAL, UNAVAILABLE
    ];
    /// What a write of several tasks can refuse with.
    OnSelection = [
        BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, SOME_NOT_FOUND, BODY_TIMED_OUT, KEY_IN_USE, SOME_VERSION, BULK_TOO_LARGE,
        MEDIA_TYPE, KEY_REUSED, SOME_CONDITION, RATE_LIMITED, INTERNAL, UNAVAILABLE
    ];
    /// What a deletion of several tasks can refuse with.
    OnDeletion = [
        BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, BODY_TIMED_OUT, KEY_IN_USE, SOME_VERSION, BULK_TOO_LARGE, MEDIA_TYPE, KEY_REUSED,
        SOME_CONDITION, RATE_LIMITED, INTERNAL, UNAVAILABLE
    ];
}
