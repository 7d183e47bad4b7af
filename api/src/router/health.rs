//! The probes.

use std::sync::Arc;

use poem_openapi::{ApiResponse, OpenApi};

use crate::http::header::{NoStore, RequestId};
use crate::http::json::Json;
use crate::http::refusal::{Refusal, Status, Statuses};
use crate::router::statuses::{BAD_REQUEST, INTERNAL, UNAVAILABLE, statuses};
use crate::router::tag::Tag;
use crate::schemas::health::{Health, HealthStatus};
use crate::service::TaskService;

/// The probes, over what can be asked.
pub(crate) struct HealthRouter<S> {
    pub(crate) service: Arc<S>,
}

#[OpenApi(response_header(
    name = "X-Request-Id",
    ty = "RequestId",
    description = "The id of the request: the one that was sent in `X-Request-Id`, else a new one. The server's log has it too."
))]
impl<S: TaskService> HealthRouter<S> {
    /// Tell whether the server is alive
    ///
    /// Tells whether the server is alive. Asks nothing of the database.
    #[oai(path = "/livez", method = "get", operation_id = "getLiveness", tag = "Tag::Health")]
    #[expect(clippy::unused_async, reason = "poem-openapi awaits every operation")]
    async fn liveness(&self) -> Result<HealthAnswer, Refusal<OnLive>> {
        Ok(HealthAnswer::ok())
    }

    /// Tell whether the server can serve tasks
    ///
    /// Tells whether the server can serve tasks. Answers from the outcome of the last call of the database; asks it only when there was none or it failed.
    #[oai(path = "/readyz", method = "get", operation_id = "getReadiness", tag = "Tag::Health")]
    async fn readiness(&self) -> Result<HealthAnswer, Refusal<OnReady>> {
        self.service.ready().await?;
        Ok(HealthAnswer::ok())
    }
}

#[derive(ApiResponse)]
enum HealthAnswer {
    /// All is well.
    #[oai(status = 200)]
    Ok(
        Json<Health>,
        /// The answer is only true now.
        #[oai(header = "Cache-Control")]
        NoStore,
    ),
}

impl HealthAnswer {
    fn ok() -> Self {
        Self::Ok(Json(Health { status: HealthStatus::Ok }), NoStore)
    }
}

statuses! {
    /// What the liveness probe can refuse with.
    OnLive = [BAD_REQUEST, INTERNAL];
    /// What the readiness probe can refuse with.
    OnReady = [BAD_REQUEST, INTERNAL, UNAVAILABLE];
}
