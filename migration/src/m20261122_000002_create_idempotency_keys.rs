//! The keys by which a creation that is sent again is known.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// Creates `idempotency_keys`.
///
/// A row is what an answer is rebuilt from, together with the request that is sent again: the ids and the time of what
/// was created. The request itself is only there as a hash, by which another one under the same key is told. Rows are
/// looked up by the key's own index; the migration after this one adds that of the expiring ones.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &str = r#"
CREATE TABLE idempotency_keys (
    user_id     text COLLATE "C" NOT NULL REFERENCES users ON DELETE CASCADE,
    operation   text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    fingerprint bytea       NOT NULL,
    task_ids    bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (user_id, operation, key),
    CONSTRAINT idempotency_keys_key         CHECK (char_length(key) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_keys_fingerprint CHECK (octet_length(fingerprint) = 32),
    CONSTRAINT idempotency_keys_task_ids    CHECK (octet_length(task_ids) BETWEEN 16 AND 1600 AND octet_length(task_ids) % 16 = 0)
);
"#;

const SQLITE: &str = r"
CREATE TABLE idempotency_keys (
    user_id     TEXT NOT NULL COLLATE BINARY REFERENCES users ON DELETE CASCADE,
    operation   TEXT NOT NULL COLLATE BINARY,
    key         TEXT NOT NULL COLLATE BINARY,
    fingerprint BLOB NOT NULL,
    task_ids    BLOB NOT NULL,
    created_at  TEXT NOT NULL,
    PRIMARY KEY (user_id, operation, key),
    CONSTRAINT idempotency_keys_key         CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_keys_fingerprint CHECK (length(fingerprint) = 32),
    CONSTRAINT idempotency_keys_task_ids    CHECK (length(task_ids) BETWEEN 16 AND 1600 AND length(task_ids) % 16 = 0)
) STRICT, WITHOUT ROWID;
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = match manager.get_database_backend() {
            DbBackend::Sqlite => SQLITE,
            _ => POSTGRES,
        };
        manager.get_connection().execute_unprepared(table).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP TABLE idempotency_keys;").await?;
        Ok(())
    }
}
