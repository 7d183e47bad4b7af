//! Where the database is, as it was set, and why that may name none.

use std::{fmt, io};

/// Where the database is and how to use it.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// `DATABASE_URL`: `sqlite://…`, `postgres://…` or `postgresql://…`. Holds a password.
    pub url: String,
    /// `DATABASE_URL_UNPOOLED`: a direct connection for migrations, when `url` goes through a pooler.
    pub migration_url: Option<String>,
    /// `DATABASE_SCHEMA`: the schema of PostgreSQL in which the tables are; `None` is `public`.
    pub schema: Option<String>,
    /// `DATABASE_MAX_CONNECTIONS`: the most connections at a time. Of SQLite, only as many as can be of use.
    pub max_connections: u32,
    /// `DATABASE_TLS`.
    pub tls: DatabaseTls,
    /// `MIGRATE_ON_START`: whether a start brings the schema up to date itself.
    pub migrate_on_start: bool,
}

impl fmt::Debug for DatabaseSettings {
    /// Without the addresses: they hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings")
            .field("schema", &self.schema)
            .field("max_connections", &self.max_connections)
            .field("tls", &self.tls)
            .field("migrate_on_start", &self.migrate_on_start)
            .finish_non_exhaustive()
    }
}

/// How the way to a remote PostgreSQL is protected. On the same machine the address's `sslmode` decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DatabaseTls {
    /// TLS, and the server's certificate and name are verified, whatever `sslmode` says.
    #[default]
    Verified,
    /// As `sslmode` says, which may be plain text.
    Off,
}

/// Why the settings name no usable database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not an address of a kind that is known.
    #[error("{0} must begin with sqlite://, postgres:// or postgresql://")]
    Scheme(&'static str),
    /// The address cannot be read. What is wrong with it would repeat a part of it.
    #[error(
        "{0} is no valid database address; write reserved characters of the user name and the password \
         percent-encoded, and check the names and values behind the question mark"
    )]
    Address(&'static str),
    /// A variable that completes the address has a value that cannot be used.
    #[error("the variable {0}, which completes the database's address, has no usable value")]
    Variable(&'static str),
    /// The system's certificates are asked for, and a mode that does not verify with them.
    #[error("{0}: sslrootcert=system needs sslmode=verify-full, and a weaker sslmode is named beside it")]
    SystemRoots(&'static str),
    /// A certificate that the address names cannot be used.
    #[error("{0}: {1}")]
    Certificate(&'static str, TlsError),
    /// `DATABASE_URL` and `DATABASE_URL_UNPOOLED` are of two kinds.
    #[error("DATABASE_URL_UNPOOLED must name the same database as DATABASE_URL")]
    Kinds,
    /// SQLite has no schemas.
    #[error("DATABASE_SCHEMA is for PostgreSQL: SQLite has no schemas")]
    Schema,
    /// The pool would be empty.
    #[error("DATABASE_MAX_CONNECTIONS must be at least 1")]
    NoConnections,
    /// There is no file of SQLite, where none is to be made.
    #[error("{0}, the file that DATABASE_URL names, is not there")]
    Absent(String),
    /// The directory of the SQLite file is missing and cannot be made.
    #[error("the directory of the file in DATABASE_URL cannot be created: {0}")]
    Directory(#[source] io::Error),
}

/// Why no TLS connection can be begun. Names the parameter of the address, and never its value.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is missing or cannot be read.
    #[error("the file that {0} names in the database's address cannot be read: {1}")]
    File(&'static str, io::ErrorKind),
    /// The file or the text is something else.
    #[error("{0} in the database's address names no {1} in PEM format that can be used")]
    Content(&'static str, &'static str),
    /// The client's certificate without its key, or the other way round.
    #[error("sslcert and sslkey in the database's address belong together: {0} is missing")]
    Pair(&'static str),
    /// The client's key is not that of its certificate, or of an unknown kind.
    #[error("sslkey in the database's address is not the key of the certificate in sslcert, or of an unknown kind")]
    Key,
    /// `sslrootcert=system` on a system without certificates.
    #[error("sslrootcert=system, but this system has no certificates; SSL_CERT_FILE names a file of them")]
    NoSystemRoots,
    /// A socket, or a host whose name cannot stand in a certificate.
    #[error("the host in the database's address has no name that a certificate could be for")]
    Name,
    /// The cryptography cannot be used.
    #[error("TLS cannot be used: {0}")]
    Setup(#[source] rustls::Error),
}

/// The kinds of databases.
pub(crate) enum Scheme {
    Postgres,
    Sqlite,
}

/// The kind of the database at this address.
pub(crate) fn kind(setting: &'static str, url: &str) -> Result<Scheme, OpenError> {
    match url.split_once(':') {
        Some(("sqlite", _)) => Ok(Scheme::Sqlite),
        Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => Ok(Scheme::Postgres),
        _ => Err(OpenError::Scheme(setting)),
    }
}

/// Whether a database of SQLite has no file.
pub(crate) fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}
