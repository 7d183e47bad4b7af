//! The first tables: users, and the tasks that they own.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// Creates `users` and `tasks`.
///
/// The primary key `(user_id, id)` is the only index: every statement carries the owner, one user's rows lie together,
/// and ids of version 7 sort by creation, so a page of a list is a scan backward from its cursor. A second index for
/// `is_completed` would make each completion move an index entry (and on PostgreSQL end in-page updates, as an indexed
/// column changes) to spare a filtered list the rows of the same user that it skips, which are few and side by side.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Collation "C" compares bytes: no upgrade of the C library can reorder the key.
const POSTGRES: &str = r#"
CREATE TABLE users (
    id         text COLLATE "C" PRIMARY KEY,
    created_at timestamptz NOT NULL
);
CREATE TABLE tasks (
    user_id      text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    id           uuid        NOT NULL,
    title        text        NOT NULL,
    is_completed boolean     NOT NULL,
    completed_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    version      bigint      NOT NULL DEFAULT 1,
    PRIMARY KEY (user_id, id),
    CONSTRAINT tasks_title_length CHECK (char_length(title) BETWEEN 1 AND 200),
    CONSTRAINT tasks_completion   CHECK (is_completed = (completed_at IS NOT NULL)),
    CONSTRAINT tasks_version      CHECK (version >= 1)
);
"#;

/// `STRICT`: a value of a wrong type is refused, as PostgreSQL does. `WITHOUT ROWID`: the table is its primary key, as
/// a user's rows lie together. An id is its 16 bytes. A time is RFC 3339 in UTC with no, three or six digits of a
/// second, never more zeros than needed; as `+` sorts before `.` and the digits, text order is time order.
const SQLITE: &str = r"
CREATE TABLE users (
    id         TEXT NOT NULL COLLATE BINARY PRIMARY KEY,
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tasks (
    user_id      TEXT    NOT NULL COLLATE BINARY REFERENCES users ON DELETE CASCADE,
    id           BLOB    NOT NULL,
    title        TEXT    NOT NULL,
    is_completed INTEGER NOT NULL,
    completed_at TEXT,
    created_at   TEXT    NOT NULL,
    updated_at   TEXT    NOT NULL,
    version      INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (user_id, id),
    CONSTRAINT tasks_id_length    CHECK (length(id) = 16),
    CONSTRAINT tasks_title_length CHECK (length(title) BETWEEN 1 AND 200),
    CONSTRAINT tasks_completion   CHECK (is_completed = (completed_at IS NOT NULL)),
    CONSTRAINT tasks_version      CHECK (version >= 1)
) STRICT, WITHOUT ROWID;
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = match manager.get_database_backend() {
            DbBackend::Sqlite => SQLITE,
            _ => POSTGRES,
        };
        manager.get_connection().execute_unprepared(tables).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE tasks; DROP TABLE users;").await?;
        Ok(())
    }
}
