//! The noun of the probes.

use poem_openapi::{Enum, Object};
use serde::Serialize;

use crate::http::json::Written;

/// How the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Object, Serialize)]
pub(crate) struct Health {
    /// Always `ok`; a server that is not well answers with a problem.
    pub(crate) status: HealthStatus,
}

impl Written for Health {}

/// How the server is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(crate) enum HealthStatus {
    /// All is well.
    Ok,
}
