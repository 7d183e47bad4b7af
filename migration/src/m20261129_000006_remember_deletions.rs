//! What was deleted, and when what a key created was created.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::Place;

/// Adds `task_times` to the idempotency keys: where tasks of a creation were there before it, by ids of their client, when each was
/// created, so that a replay says it also when they are gone. Creates `deletions`, and the trigger that fills it: also an older
/// server's deletions are remembered, and those by hand.
///
/// An id that was deleted is free again when its line here is gone; `tasks-server purge` takes away what is old, by the index. The
/// trigger looks once at a statement, however many rows it deletes. It has the rights of the tables' owner, so that a role which was
/// made before there was this table can delete as before; and it looks for the table where the tasks are, as all of them may be moved
/// into another schema.
pub(crate) struct Migration(pub(crate) Place);

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261129_000006_remember_deletions"
    }
}

const POSTGRES: &str = r#"
ALTER TABLE {keys} ADD COLUMN task_times bytea;
CREATE TABLE {deletions} (
    user_id    text COLLATE "C" NOT NULL,
    id         uuid        NOT NULL,
    deleted_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, id)
);
CREATE INDEX deletions_age ON {deletions} (deleted_at);
CREATE FUNCTION {remember}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    EXECUTE format('INSERT INTO %I.deletions (user_id, id, deleted_at)
        SELECT user_id, id, statement_timestamp() FROM gone
        ON CONFLICT (user_id, id) DO UPDATE SET deleted_at = excluded.deleted_at', TG_TABLE_SCHEMA);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION {remember}() FROM PUBLIC;
CREATE TRIGGER tasks_deleted AFTER DELETE ON {tasks} REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION {remember}();
"#;

/// A time is RFC 3339 in UTC, as the server writes it.
const SQLITE: &str = r"
ALTER TABLE idempotency_keys ADD COLUMN task_times BLOB;
CREATE TABLE deletions (
    user_id    TEXT NOT NULL COLLATE BINARY,
    id         BLOB NOT NULL,
    deleted_at TEXT NOT NULL,
    PRIMARY KEY (user_id, id),
    CONSTRAINT deletions_id_length CHECK (length(id) = 16)
) STRICT, WITHOUT ROWID;
CREATE INDEX deletions_age ON deletions (deleted_at);
CREATE TRIGGER tasks_deleted AFTER DELETE ON tasks BEGIN
    INSERT INTO deletions (user_id, id, deleted_at)
    VALUES (OLD.user_id, OLD.id, strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))
    ON CONFLICT (user_id, id) DO UPDATE SET deleted_at = excluded.deleted_at;
END;
";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let make = match manager.get_database_backend() {
            DbBackend::Sqlite => SQLITE.to_owned(),
            _ => self.placed(POSTGRES),
        };
        manager.get_connection().execute_unprepared(&make).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = match manager.get_database_backend() {
            DbBackend::Sqlite => {
                "DROP TRIGGER tasks_deleted; DROP TABLE deletions; ALTER TABLE idempotency_keys DROP COLUMN task_times;"
                    .to_owned()
            }
            _ => self.placed(
                "DROP TRIGGER tasks_deleted ON {tasks}; DROP FUNCTION IF EXISTS {remember}(); DROP TABLE {deletions};
                ALTER TABLE {keys} DROP COLUMN task_times;",
            ),
        };
        manager.get_connection().execute_unprepared(&drop).await?;
        Ok(())
    }
}

impl Migration {
    /// Statements with the names of what they are about.
    fn placed(&self, statements: &str) -> String {
        let named = |name| self.0.of(name);
        statements
            .replace("{tasks}", &named("tasks"))
            .replace("{keys}", &named("idempotency_keys"))
            .replace("{deletions}", &named("deletions"))
            .replace("{remember}", &named("tasks_remember_deleted"))
    }
}
