//! What is held of a user, as a whole.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, OpenApi};

use crate::http::header::{AsFile, ByToken, Private, RequestId};
use crate::http::lines::Lines;
use crate::http::refusal::{Refusal, Status, Statuses};
use crate::router::statuses::{
    BAD_REQUEST, FORBIDDEN, INTERNAL, RATE_LIMITED, RATE_LIMITED_OR_EXPORTING, UNAUTHORIZED, UNAVAILABLE, statuses,
};
use crate::router::tag::Tag;
use crate::router::tasks::me;
use crate::schemas::export::ExportLine;
use crate::schemas::user::{Confirmation, UserId};
use crate::security::owner::Caller;
use crate::service::TaskService;

/// The operations on a user, over whatever serves them.
pub(crate) struct UserRouter<S> {
    pub(crate) service: Arc<S>,
}

#[OpenApi(response_header(
    name = "X-Request-Id",
    ty = "RequestId",
    description = "The id of the request: the one that was sent in `X-Request-Id`, else a new one. The server's log has it too."
))]
impl<S: TaskService> UserRouter<S> {
    /// Export a user
    ///
    /// Exports all that is held of the user, as of one time, in JSON Lines: each line is an object with one member. `user` has since when something is
    /// held; `task` a task, in the order of their ids; `deletion` the id of a task that was deleted and when; `idempotency_key` what is
    /// remembered of a request with a key. The last line is `{"end":true,"tasks":n}`, n the number of tasks: without it the export was cut,
    /// and is to be asked for again.
    #[oai(path = "/api/:user_id/export", method = "get", operation_id = "exportUser", tag = "Tag::User")]
    async fn export_user(
        &self,
        caller: Caller,
        /// Whose: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
    ) -> Result<ExportAnswer, Refusal<OnExport>> {
        let owner = caller.owner_of(&user_id)?;
        let lines = self.service.export(&owner).await?;
        let lines = lines.map_ok(|lines| ExportLine::text(&lines)).boxed();
        Ok(ExportAnswer::Lines(Lines(lines), AsFile, Private, ByToken))
    }

    /// Erase a user
    ///
    /// Erases all that is held of the user, at once and for good: tasks, what is known of those that were deleted, and keys of repeats. The
    /// person stays with the sign-in system; their next task begins anew. A second time there is nothing to erase, and that is 204 too.
    #[oai(path = "/api/:user_id", method = "delete", operation_id = "eraseUser", tag = "Tag::User")]
    async fn erase_user(
        &self,
        caller: Caller,
        /// Who: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// `all-tasks`: that this is meant.
        confirm: Query<Confirmation>,
    ) -> Result<ErasedAnswer, Refusal<OnErase>> {
        let Confirmation = confirm.0;
        let owner = caller.owner_of(&user_id)?;
        self.service.erase(&owner).await?;
        Ok(ErasedAnswer::Erased(Private, ByToken))
    }
}

#[derive(ApiResponse)]
enum ExportAnswer {
    /// The lines.
    #[oai(status = 200)]
    Lines(
        Lines,
        /// Browsers save the answer as a file.
        #[oai(header = "Content-Disposition")]
        AsFile,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        Private,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

#[derive(ApiResponse)]
enum ErasedAnswer {
    /// Nothing is held of the user.
    #[oai(status = 204)]
    Erased(
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        Private,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

statuses! {
    /// What an export can refuse with.
    OnExport = [BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, RATE_LIMITED_OR_EXPORTING, INTERNAL, UNAVAILABLE];
    /// What an erasure can refuse with.
    OnErase = [BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, RATE_LIMITED, INTERNAL, UNAVAILABLE];
}
