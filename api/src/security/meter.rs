//! What is counted of a request once its user is known: a seam for the server's limits, which the contract does not know.

use std::sync::Arc;

use crate::http::error::Error;
use crate::schemas::user::UserId;

/// Counts requests by user.
pub trait Meter: Send + Sync + 'static {
    /// Counts a request of this user, whose token is good, before anything is read of its body.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when it is one too many.
    fn admit(&self, user: &UserId) -> Result<(), Error>;

    /// The request may wait for what is to come: how long it takes says nothing of the server.
    fn waits(&self);
}

/// The meter of a request, as its data.
#[derive(Clone)]
pub struct Metered(pub Arc<dyn Meter>);
