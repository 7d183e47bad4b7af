//! The operations over HTTP, a file a noun.
//!
//! In come requests that passed the guard, in types of `schemas`; out go calls of the service, and its answers with their
//! statuses and headers. What an operation does is not known here.

mod bulk;
mod changes;
mod health;
mod statuses;
mod tag;
mod tasks;
mod users;

use std::sync::Arc;

use crate::router::bulk::BulkRouter;
use crate::router::changes::ChangesRouter;
use crate::router::health::HealthRouter;
use crate::router::tasks::TaskRouter;
use crate::router::users::UserRouter;
use crate::service::TaskService;

/// All operations.
pub(crate) type Operations<S> = (TaskRouter<S>, BulkRouter<S>, ChangesRouter<S>, UserRouter<S>, HealthRouter<S>);

/// All operations over this service. `requires_condition`: whether a write must say on which version it depends.
pub(crate) fn operations<S: TaskService>(service: Arc<S>, requires_condition: bool) -> Operations<S> {
    (
        TaskRouter { service: Arc::clone(&service), requires_condition },
        BulkRouter { service: Arc::clone(&service), requires_condition },
        ChangesRouter { service: Arc::clone(&service) },
        UserRouter { service: Arc::clone(&service) },
        HealthRouter { service },
    )
}
