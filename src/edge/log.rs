//! The log: one line an event on standard output, for people on a terminal and as JSON elsewhere.

use std::io::{IsTerminal, stdout};

use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Which events, in the language of [`EnvFilter`], which reads it.
    pub filter: String,
    /// In which form.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What PostgreSQL only remarks, such as that a table is there already, is no news.
const QUIET: &str = "sqlx::postgres::notice=warn";

/// Starts the log; the first call counts.
pub fn start(log: &Log) {
    let is_text = match log.format {
        LogFormat::Auto => stdout().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(format!("{QUIET},{}", log.filter)));
    // A second start, in a test, changes nothing.
    let _ = if is_text {
        lines.with_ansi(stdout().is_terminal()).try_init()
    } else {
        lines.json().with_current_span(false).with_span_list(false).try_init()
    };
    // A request's panic is answered 500; here its place is told, in one line.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic");
    }));
}
