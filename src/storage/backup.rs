//! A copy of SQLite's file while others use it: what `tasks-server backup` makes.
//!
//! The file alone is no copy: what was written last is in the write-ahead log beside it. `VACUUM INTO` reads both in one
//! transaction, beside which others go on reading and writing.

#[cfg(unix)]
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection};
use tempfile::Builder;

use crate::storage::failure::{Failure, StorageError};
use crate::storage::settings::{DatabaseSettings, OpenError, Scheme, is_in_memory, kind};
use crate::storage::sqlite::{address, existing};

/// Why there is no copy. Nothing was written over, and nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// PostgreSQL has its own.
    #[error(
        "`backup` is for SQLite: of PostgreSQL, pg_dump makes a copy, and Neon keeps a history that it restores from"
    )]
    Postgres,
    /// A database in memory.
    #[error("the database is in memory, and ends with its server")]
    Memory,
    /// The settings name no usable database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A copy overwrites nothing.
    #[error("{0} is there already, and a backup overwrites nothing: name a new file")]
    Exists(String),
    /// The folder does not take it.
    #[error("{0} cannot be written: {1}")]
    Write(String, #[source] io::Error),
    /// The database cannot be read or copied.
    #[error("the database cannot be copied: {0}")]
    Copy(#[source] StorageError),
}

/// Copies the database into a new file, which only its owner may read and which is whole as soon as it has its name.
///
/// # Errors
/// As [`BackupError`] says.
pub async fn backup(settings: &DatabaseSettings, file: &Path) -> Result<(), BackupError> {
    let Scheme::Sqlite = kind("DATABASE_URL", &settings.url)? else { return Err(BackupError::Postgres) };
    let options = address("DATABASE_URL", &settings.url)?.create_if_missing(false).read_only(true);
    if is_in_memory(&settings.url) {
        return Err(BackupError::Memory);
    }
    existing(&options)?;
    let name = file.display().to_string();
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(name.clone()),
        kind @ (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            BackupError::Write(name.clone(), io::Error::new(kind, "its folder is not there"))
        }
        _ => BackupError::Write(name.clone(), error),
    };
    // Also a link that leads nowhere.
    if file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(name));
    }
    let folder = folder(file).map_err(fail)?;
    // Empty, for its owner alone, and removed when it does not come to its end.
    let copy = Builder::new().prefix(".backup-").suffix(".part").tempfile_in(&folder).map_err(fail)?;
    let refused = |error: sqlx::Error| BackupError::Copy(StorageError(Failure::from(error).to_string()));
    let into = copy.path().to_str().ok_or_else(|| fail(io::ErrorKind::InvalidFilename.into()))?;
    let mut link = options.connect().await.map_err(refused)?;
    sqlx::query("VACUUM INTO ?").bind(into).execute(&mut link).await.map_err(refused)?;
    link.close().await.map_err(refused)?;
    copy.as_file().sync_all().map_err(fail)?;
    copy.persist_noclobber(file).map_err(|error| fail(error.error))?;
    // The name, too.
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    Ok(())
}

/// Where a file is to be, as an absolute path: no name of a folder is taken for an address of SQLite then.
fn folder(file: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(file)?;
    absolute.parent().map(Path::to_owned).ok_or_else(|| io::ErrorKind::IsADirectory.into())
}
