//! The program, run by what a person writes into its settings.

use crate::server::run;

/// What the program said, and whether it went well.
pub(crate) struct Said {
    is_well: bool,
    pub(crate) text: String,
}

/// The settings of one run. The home of whoever runs it has no password file.
#[derive(Clone)]
pub(crate) struct Program(Vec<(String, String)>);

impl Program {
    /// With this `DATABASE_URL`.
    pub(crate) fn at(url: &str) -> Self {
        Self(Vec::new()).with("HOME", "/nonexistent").with("DATABASE_URL", url)
    }

    /// With one more variable, or another value of it.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With these variables too.
    pub(crate) fn with_all(self, variables: &[(&str, &str)]) -> Self {
        variables.iter().fold(self, |program, (name, value)| program.with(name, value))
    }

    /// The variables as a server takes them.
    pub(crate) fn variables(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let (is_well, text) = run(arguments, &self.variables());
        Said { is_well, text }
    }

    /// Asks the database by the storage's own sessions.
    pub(crate) fn asks(&self) -> Said {
        self.run(&["migrate", "status"])
    }

    /// Goes to the database by the driver of the migrations too.
    pub(crate) fn migrates(&self) -> Said {
        self.run(&["migrate", "up"])
    }

    /// Both ways lead to the database; all that was said.
    #[track_caller]
    pub(crate) fn connects(&self) -> String {
        self.asks().well() + &self.migrates().well()
    }

    /// Neither way leads to the database, and the reason holds this text; all that was said.
    #[track_caller]
    pub(crate) fn fails(&self, reason: &str) -> String {
        self.asks().refused(reason) + &self.migrates().refused(reason)
    }
}

impl Said {
    /// It went well; what was said.
    #[track_caller]
    pub(crate) fn well(self) -> String {
        assert!(self.is_well, "{}", self.text);
        self.text
    }

    /// It did not go well, and the reason holds this text; what was said.
    #[track_caller]
    pub(crate) fn refused(self, reason: &str) -> String {
        assert!(!self.is_well && self.text.contains(reason), "no {reason:?}: {}", self.text);
        self.text
    }

    pub(crate) fn is_well(&self) -> bool {
        self.is_well
    }
}
