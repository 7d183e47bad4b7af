//! How many connections to the database there are, whichever database it is.

/// The connections, and who waits for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// Those at work.
    pub busy: usize,
    /// Those at rest.
    pub idle: usize,
    /// How many there may be.
    pub max: usize,
    /// Requests that wait for one, as far as is known.
    pub waiting: usize,
}
