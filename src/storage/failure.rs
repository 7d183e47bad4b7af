//! What can go wrong with a database, and what each failure means: on this page and nowhere else.
//!
//! | the failure | means |
//! | --- | --- |
//! | a statement met another past than its connection's: 26000, 0A000; the session was ended before it: 57P01, 57P02, 57P05; two transactions waited for each other: 40001, 40P01 | certainly not executed: run it again |
//! | the connection ended or went silent under a statement; 08xxx | perhaps executed: run it again only where that changes nothing |
//! | no connection; locks and time limits 55P03, 57014; read-only 25006; resources 53xxx; 57P03, 57P04; I/O 58030; Neon's texts under XX000; SQLite's file locked, full, read-only or unreadable; a schema that is behind: 42P01, 42703, 3F000; a role that may not: 42501 | 503: later it may work |
//! | 23505 of a creation's own id | it is done |
//! | 55P03 of an idempotency key | 409: another request has it |
//! | anything else | 500: a bug |

use std::fmt;
use std::sync::Arc;

use tasks_api::Error;

/// What PostgreSQL said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// SQLSTATE (PostgreSQL, appendix A): five characters.
    pub(crate) code: String,
    /// The primary message. Details are left out: they hold rows.
    pub(crate) message: String,
    /// Whether the session ended with it.
    pub(crate) is_fatal: bool,
}

/// Why something was not done. Its text is fit for a log: no address, no row, no bound value.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// PostgreSQL refused.
    Said(Said),
    /// SQLite refused.
    Sqlite(Arc<sqlx::Error>),
    /// The connection ended while the statement was under way.
    Lost(std::io::ErrorKind),
    /// The connection gave no answer in time.
    Silent,
    /// No connection could be made.
    Away(Arc<str>),
    /// The database is none that can be used.
    Unfit(Arc<str>),
    /// Every connection is in use, or waits for others.
    Busy,
    /// The server is ending.
    Stopping,
    /// SQLite's file was taken away or replaced under the server.
    Removed(Arc<str>),
    /// A column cannot be decoded.
    Column(usize),
    /// The program is at fault.
    Bug(&'static str),
}

/// What can be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing has happened: again, on another connection.
    Again,
    /// It may have happened: again where that changes nothing.
    Perhaps,
    /// Later.
    Later,
    /// None: a bug.
    None,
}

impl Failure {
    /// What can be done about it.
    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Said(said) => match said.code.as_str() {
                "26000" | "0A000" | "57P01" | "57P02" | "57P05" | "40001" | "40P01" => Remedy::Again,
                code if code.starts_with("08") => Remedy::Perhaps,
                "25006" | "55P03" | "57014" | "57P03" | "57P04" | "58030" | "42P01" | "42703" | "3F000" | "42501" => {
                    Remedy::Later
                }
                code if code.starts_with("53") => Remedy::Later,
                "XX000" if is_neon(&said.message) => Remedy::Later,
                _ if said.is_fatal => Remedy::Perhaps,
                _ => Remedy::None,
            },
            Self::Sqlite(error) if is_outage_of_sqlite(error) => Remedy::Later,
            Self::Lost(_) | Self::Silent => Remedy::Perhaps,
            Self::Away(_) | Self::Unfit(_) | Self::Busy | Self::Stopping | Self::Removed(_) => Remedy::Later,
            Self::Sqlite(_) | Self::Column(_) | Self::Bug(_) => Remedy::None,
        }
    }

    /// Whether the session can go on: the statement was refused, and nothing else happened.
    pub(crate) fn leaves_session_sound(&self) -> bool {
        match self {
            Self::Said(said) => {
                let class = said.code.get(..2).unwrap_or_default();
                !said.is_fatal && (matches!(class, "22" | "23" | "26" | "40" | "42" | "55") || said.code == "0A000")
            }
            _ => false,
        }
    }

    /// Whether the database will take connections soon.
    pub(crate) fn is_starting(&self) -> bool {
        self.is("57P03", "")
    }

    /// Whether the database takes no more connections for now: its limit, the role's, the database's, Neon's.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Said(said) if said.code == "53300"
            || said.message.to_ascii_lowercase().contains("too many connections")
            || said.message.contains("no more connections allowed"))
    }

    /// Whether a row was waited for in vain.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        self.is("55P03", "")
    }

    /// Whether a row with this key is there already.
    pub(crate) fn is_duplicate(&self) -> bool {
        self.is("23505", "1555") || self.is("", "2067")
    }

    /// Whether the parent row is missing.
    pub(crate) fn is_orphan(&self) -> bool {
        self.is("23503", "787")
    }

    /// Whether the schema was taken back, or replaced, under the server: a table or column is missing.
    pub(crate) fn is_misfit(&self) -> bool {
        match self {
            Self::Said(said) => matches!(said.code.as_str(), "42P01" | "42703" | "3F000"),
            Self::Sqlite(error) => error.as_database_error().is_some_and(|said| {
                ["no such table", "no such column"].iter().any(|text| said.message().starts_with(text))
            }),
            _ => false,
        }
    }

    /// Whether something of that name is there already.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Said(said) if matches!(said.code.as_str(), "42P07" | "42710"))
    }

    /// Whether the role lacks the right.
    pub(crate) fn is_denied(&self) -> bool {
        self.is("42501", "")
    }

    fn is(&self, postgres: &str, sqlite: &str) -> bool {
        match self {
            Self::Said(said) => said.code == postgres,
            Self::Sqlite(error) => error.as_database_error().is_some_and(|said| said.code().as_deref() == Some(sqlite)),
            _ => false,
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.kind())
    }
}

/// What a failure means for the request: [`Error::Unavailable`] where later may help, else [`Error::Internal`].
impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let cause = StorageError(failure.to_string()).into();
        if failure.remedy() == Remedy::None { Self::Internal(cause) } else { Self::Unavailable(cause) }
    }
}

/// What the database or its driver said, fit for a log: no address, no row, no bound value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(pub(crate) String);

impl StorageError {
    /// Of a database that takes its time.
    pub(crate) fn silent() -> Self {
        Self(Failure::Silent.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            _ if self.is_misfit() => {
                let said = self.said();
                write!(f, "{said}: the schema is behind, run `tasks-server migrate up`")
            }
            _ if self.is_denied() => {
                write!(f, "{}: `tasks-server migrate role NAME` gives the server's role its rights", self.said())
            }
            Self::Said(_) | Self::Sqlite(_) => f.write_str(&self.said()),
            Self::Lost(kind) => write!(f, "the connection to the database ended ({kind})"),
            Self::Silent => f.write_str("the database gave no answer in time"),
            Self::Away(cause) | Self::Unfit(cause) => f.write_str(cause),
            Self::Busy => f.write_str("every connection is in use; DATABASE_MAX_CONNECTIONS says how many there are"),
            Self::Stopping => f.write_str("the server is stopping"),
            Self::Removed(file) => write!(
                f,
                "{file}, the file of the database, was removed or replaced under the server: see to the file, then restart \
                 the server"
            ),
            Self::Column(number) => write!(f, "column {number} cannot be decoded"),
            Self::Bug(text) => f.write_str(text),
        }
    }
}

impl Failure {
    /// What the database said, without advice. PostgreSQL's messages of class 22 hold the value that was refused.
    pub(crate) fn said(&self) -> String {
        match self {
            Self::Said(said) if said.code.starts_with("22") => format!("a value was refused (code {})", said.code),
            Self::Said(said) => format!("{} (code {})", said.message, said.code),
            Self::Sqlite(error) => match &**error {
                sqlx::Error::Database(said) => {
                    format!("{} (code {})", said.message(), said.code().unwrap_or_default())
                }
                sqlx::Error::ColumnDecode { index, .. } => format!("column {index} cannot be decoded"),
                sqlx::Error::Decode(_) => "a value cannot be decoded".to_owned(),
                sqlx::Error::Encode(_) => "a value cannot be encoded".to_owned(),
                sqlx::Error::Configuration(_) => "the address of the database cannot be used".to_owned(),
                other => other.to_string(),
            },
            other => other.to_string(),
        }
    }
}

/// SQLite's codes: the low byte is the primary one: BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN.
fn is_outage_of_sqlite(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, WorkerCrashed};
    let Some(said) = error.as_database_error() else {
        return matches!(error, Io(_) | Protocol(_) | PoolTimedOut | PoolClosed | WorkerCrashed);
    };
    let is_misfit = ["no such table", "no such column"].iter().any(|text| said.message().starts_with(text));
    is_misfit
        || matches!(said.code().unwrap_or_default().parse().map(|code: i32| code & 0xff), Ok(5 | 6 | 8 | 10 | 13 | 14))
}

/// Whether an "internal error" is the storage or proxy of Neon, which have no other code.
fn is_neon(message: &str) -> bool {
    ["[NEON", "compute node", "ontrol plane", "endpoint", "quota", "too many connections", "pageserver"]
        .iter()
        .any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error as StdError;

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    pub(crate) fn said(code: &str, message: &str) -> Failure {
        Failure::Said(Said { code: code.to_owned(), message: message.to_owned(), is_fatal: false })
    }

    fn fatal(code: &str) -> Failure {
        Failure::Said(Said { code: code.to_owned(), message: String::new(), is_fatal: true })
    }

    /// What SQLite answers: a code and a message.
    #[derive(Debug, thiserror::Error)]
    #[error("{0} {1}")]
    struct Answer(&'static str, &'static str);

    impl DatabaseError for Answer {
        fn message(&self) -> &str {
            self.1
        }
        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }
        fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn sqlite(code: &'static str, message: &'static str) -> Failure {
        sqlx::Error::Database(Box::new(Answer(code, message))).into()
    }

    #[test]
    fn an_outage_is_unavailable_and_anything_else_a_bug() {
        let of_postgres = [
            ("08006", ""),
            ("25006", ""),
            ("40001", ""),
            ("40P01", ""),
            ("53100", ""),
            ("53300", ""),
            ("55P03", ""),
            ("57014", ""),
            ("57P01", ""),
            ("57P02", ""),
            ("57P03", ""),
            ("58030", ""),
            ("42P01", "relation \"tasks\" does not exist"),
            ("42703", "column does not exist"),
            ("42501", "permission denied for table tasks"),
            ("XX000", "Couldn't connect to compute node"),
            ("XX000", "[NEON_SMGR] could not read"),
        ];
        let of_sqlite = [
            ("1", "no such table: tasks"),
            ("5", "database is locked"),
            ("6", ""),
            ("8", ""),
            ("10", ""),
            ("13", ""),
            ("14", ""),
            ("261", ""),
            ("517", ""),
            ("1546", ""),
            ("8458", ""),
        ];
        let mine = [
            Failure::Lost(std::io::ErrorKind::UnexpectedEof),
            Failure::Silent,
            Failure::Away("refused".into()),
            Failure::Busy,
            Failure::Stopping,
            Failure::Removed("tasks.db".into()),
        ];
        let all = of_postgres.map(|(code, text)| said(code, text)).into_iter();
        for failure in all.chain(of_sqlite.map(|(code, text)| sqlite(code, text))).chain(mine) {
            assert!(matches!(Error::from(failure.clone()), Error::Unavailable(_)), "{failure:?}");
        }
        let bugs = ["22021", "23503", "23505", "23514", "XX000", "XX001"].map(|code| said(code, "text"));
        let of_sqlite = ["1", "275", "1555"].map(|code| sqlite(code, "text"));
        for failure in bugs.into_iter().chain(of_sqlite).chain([Failure::Column(1), Failure::Bug("")]) {
            assert!(matches!(Error::from(failure.clone()), Error::Internal(_)), "{failure:?}");
        }
    }

    #[test]
    fn the_cause_has_message_and_code_but_no_value() {
        assert_eq!(said("23514", "check failed").to_string(), "check failed (code 23514)");
        assert_eq!(said("22P02", "bad input: s3cret").to_string(), "a value was refused (code 22P02)");
        assert_eq!(sqlite("1555", "UNIQUE constraint failed").to_string(), "UNIQUE constraint failed (code 1555)");
        let decode = sqlx::Error::ColumnDecode { index: "3".to_owned(), source: "s3cret".into() };
        assert_eq!(Failure::from(decode).to_string(), "column 3 cannot be decoded");
        assert!(!Failure::from(sqlx::Error::Configuration("s3cret".into())).to_string().contains("s3cret"));
        assert!(said("42P01", "no table").to_string().contains("tasks-server migrate up"));
    }

    #[test]
    fn only_a_refused_statement_leaves_the_session_sound() {
        for code in ["22021", "23505", "26000", "40001", "42P01", "55P03", "0A000"] {
            assert!(said(code, "").leaves_session_sound(), "{code}");
            assert!(!fatal(code).leaves_session_sound(), "{code}");
        }
        // 57014: the request to cancel may still be under way, and would meet the next statement.
        for code in ["25006", "57014", "57P01", "08006", "XX000", "53300"] {
            assert!(!said(code, "").leaves_session_sound(), "{code}");
        }
        assert!(!Failure::Silent.leaves_session_sound());
    }

    #[test]
    fn what_may_have_happened_is_told_from_what_has_not() {
        for code in ["26000", "0A000", "57P01", "40P01"] {
            assert_eq!(said(code, "").remedy(), Remedy::Again, "{code}");
        }
        assert_eq!(fatal("57P01").remedy(), Remedy::Again, "PostgreSQL works its messages off in order");
        for failure in [said("08P01", ""), fatal("08P01"), fatal("XX000"), Failure::Lost(std::io::ErrorKind::Other)] {
            assert_eq!(failure.remedy(), Remedy::Perhaps, "{failure:?}");
        }
    }
}
