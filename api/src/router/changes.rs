//! What changed since a client last looked.

use std::sync::Arc;

use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::{ApiResponse, OpenApi};

use crate::http::header::{ByToken, Private, RequestId};
use crate::http::json::Json;
use crate::http::refusal::{Refusal, Status, Statuses};
use crate::router::statuses::{
    BAD_REQUEST, EXPIRED, FORBIDDEN, INTERNAL, RATE_LIMITED_OR_WAITING, UNAUTHORIZED, UNAVAILABLE, statuses,
};
use crate::router::tag::Tag;
use crate::router::tasks::me;
use crate::schemas::changes::{Changes, ChangesRequest, ChangesToken, Wait};
use crate::schemas::page::Limit;
use crate::schemas::user::UserId;
use crate::security::meter::Metered;
use crate::security::owner::Caller;
use crate::service::TaskService;

/// The operation on changes, over whatever serves it.
pub(crate) struct ChangesRouter<S> {
    pub(crate) service: Arc<S>,
}

#[OpenApi(response_header(
    name = "X-Request-Id",
    ty = "RequestId",
    description = "The id of the request: the one that was sent in `X-Request-Id`, else a new one. The server's log has it too."
))]
impl<S: TaskService> ChangesRouter<S> {
    /// List changes
    ///
    /// Lists what changed of the user's tasks, in the order in which it did: each task once, as it is now, and the ids of those that were
    /// deleted. Without `since` it begins with all tasks that there are; with the `next` of the last answer it goes on, and misses
    /// nothing that others do meanwhile. Go on while `more` is true, then ask again with `wait`.
    ///
    /// An id stands in `data` or in `deleted`, once an answer, and an answer with `more` is never empty. Apply answers in their order.
    #[oai(path = "/api/:user_id/tasks/changes", method = "get", operation_id = "listChanges", tag = "Tag::Tasks")]
    async fn list_changes(
        &self,
        request: &Request,
        caller: Caller,
        /// Whose tasks: the token's user, or `me`.
        #[oai(example = "me")]
        user_id: Path<UserId>,
        /// The `next` of an earlier answer; without it, from the beginning.
        since: Query<Option<ChangesToken>>,
        /// How many tasks and deletions an answer has at most.
        #[oai(default)]
        limit: Query<Limit>,
        /// For how many seconds the answer may wait while nothing has changed; then it is empty. A server that answers every request
        /// sooner answers this one sooner too.
        #[oai(default)]
        wait: Query<Wait>,
    ) -> Result<ChangesAnswer, Refusal<OnChanges>> {
        let owner = caller.owner_of(&user_id)?;
        if wait.seconds() > 0
            && let Some(Metered(meter)) = request.data()
        {
            meter.waits();
        }
        let asked = ChangesRequest { since: since.0.unwrap_or(ChangesToken::START), limit: *limit, wait: *wait };
        let changes = self.service.changes(&owner, asked).await?;
        Ok(ChangesAnswer::Changes(Json(changes), Private, ByToken))
    }
}

#[derive(ApiResponse)]
enum ChangesAnswer {
    /// What changed.
    #[oai(status = 200)]
    Changes(
        Json<Changes>,
        /// The answer is one user's, and must be asked for again.
        #[oai(header = "Cache-Control")]
        Private,
        /// The answer depends on the token.
        #[oai(header = "Vary")]
        ByToken,
    ),
}

statuses! {
    /// What a look at changes can refuse with.
    OnChanges = [BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, EXPIRED, RATE_LIMITED_OR_WAITING, INTERNAL, UNAVAILABLE];
}
