//! Why the process ends before it has begun, in words that repeat nothing of what was given.

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Why the process ends before it has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    text: String,
    /// Whether the text was asked for (`--help`, `--version`).
    pub(super) is_wanted: bool,
}

impl Stop {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_wanted: false }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Prints the text: on standard output with status 0 when it was asked for, else on standard error with status 2.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        // There is nobody left to tell that nobody listens.
        if self.is_wanted {
            let _ = io::stdout().write_all(self.text.as_bytes());
            ExitCode::SUCCESS
        } else {
            let _ = writeln!(io::stderr(), "tasks-server: {self}");
            ExitCode::from(2)
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Stop {}

impl From<clap::Error> for Stop {
    /// In our words: the parser's own would repeat whatever was typed, also a secret behind a mistyped flag.
    fn from(error: clap::Error) -> Self {
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            Some(ContextValue::Strings(texts)) => texts.join(", "),
            _ => String::new(),
        };
        let argument = context(ContextKind::InvalidArg);
        let text = match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                return Self { text: error.render().to_string(), is_wanted: true };
            }
            ErrorKind::UnknownArgument => {
                let suggestion = context(ContextKind::SuggestedArg);
                match (is_flag(&argument), suggestion.as_str()) {
                    (true, "") => format!("there is no flag {argument}"),
                    (true, flag) => format!("there is no flag {argument}; did you mean {flag}?"),
                    (false, _) => "there is an argument too many".to_owned(),
                }
            }
            ErrorKind::InvalidSubcommand => {
                "there is no such command: it is serve, migrate, purge, epoch, export, erase, backup, healthcheck or token"
                    .to_owned()
            }
            ErrorKind::InvalidValue => format!("{argument} needs a value"),
            ErrorKind::ArgumentConflict => format!("{argument} is given more than once"),
            ErrorKind::MissingRequiredArgument => format!("{argument} is missing"),
            _ => "the arguments are not understood".to_owned(),
        };
        Self::new(format!("{text} (see tasks-server --help)"))
    }
}

/// Whether a text is written like one of our flags, and not like a secret that starts with hyphens.
fn is_flag(text: &str) -> bool {
    let name = text.strip_prefix("--").unwrap_or_default();
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}
