//! How the document sorts the operations.

use poem_openapi::Tags;

#[derive(Tags)]
pub(super) enum Tag {
    /// One user's tasks.
    Tasks,
    /// All that is held of one user.
    User,
    /// Whether the server is up.
    Health,
}
