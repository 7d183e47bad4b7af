//! How the tools of agents are served.

use std::fmt;
use std::sync::Arc;

/// Where messages are sent.
pub(crate) const PATH: &str = "/mcp";

/// How the tools of agents are served.
#[derive(Debug, Clone)]
pub struct McpOptions {
    /// The authorization servers that give tokens for them, by their issuers (RFC 8414 §2); where there are none, nobody is told where
    /// to get one.
    pub authorization_servers: Vec<String>,
    /// The origins whose pages may call.
    pub origins: Origins,
}

/// Which origins (RFC 6454 §6.2) are meant, as `Origin` names them.
#[derive(Clone)]
pub struct Origins(pub Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origins(…)")
    }
}
