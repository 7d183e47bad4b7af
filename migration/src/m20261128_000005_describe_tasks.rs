//! What a task may say beside its title.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// Adds `description`, `due`, `priority` and `tags` to the tasks; `draft`, a hash of what a client created under an id of its own;
/// and `folded`, title and description as they are looked for, with the version of the task that they are of.
///
/// No tags are null, not an empty array: that would be checked with each task that is created, and sent with each that is read.
///
/// Each is empty in the tasks that are there, and in those that an older server writes beside a newer one. No row is looked at: the
/// table is locked for as long as its description takes to change. What is folded is filled in by the searches that want it.
///
/// On PostgreSQL the rules are those of domains, which a session parses once, and a table's `CHECK`s once a statement. A domain with
/// a rule would have the table written anew when a column of it is added, and so the rules come behind the columns; `NOT VALID`
/// spares what is there, all of it empty, and holds for all that is written.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const POSTGRES: &str = r#"
CREATE DOMAIN task_description AS text;
CREATE DOMAIN task_due         AS text;
CREATE DOMAIN task_priority    AS text;
CREATE DOMAIN task_tags        AS text[];
ALTER TABLE tasks
    ADD COLUMN description task_description,
    ADD COLUMN due         task_due COLLATE pg_catalog."C",
    ADD COLUMN priority    task_priority,
    ADD COLUMN tags        task_tags,
    ADD COLUMN draft       bytea,
    ADD COLUMN folded      text COLLATE pg_catalog."C",
    ADD COLUMN folded_version bigint;
ALTER DOMAIN task_description ADD CONSTRAINT task_description_length
    CHECK (char_length(VALUE) BETWEEN 1 AND 4000) NOT VALID;
ALTER DOMAIN task_due ADD CONSTRAINT task_due_form
    CHECK (VALUE ~ '^\d{4}-[01]\d-[0-3]\d(T[0-2]\d:[0-5]\d)?$') NOT VALID;
ALTER DOMAIN task_priority ADD CONSTRAINT task_priority_word
    CHECK (VALUE IN ('high', 'medium', 'low')) NOT VALID;
ALTER DOMAIN task_tags ADD CONSTRAINT task_tags_number
    CHECK (cardinality(VALUE) BETWEEN 1 AND 20) NOT VALID;
"#;

/// A list of three after `IN` would be a table that SQLite makes for each task that is written.
const SQLITE: &str = r"
ALTER TABLE tasks ADD COLUMN description TEXT CHECK (length(description) BETWEEN 1 AND 4000);
ALTER TABLE tasks ADD COLUMN due TEXT CHECK (
    due GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]'
    OR due GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]'
);
ALTER TABLE tasks ADD COLUMN priority TEXT CHECK (priority = 'high' OR priority = 'medium' OR priority = 'low');
ALTER TABLE tasks ADD COLUMN tags TEXT CHECK (json_array_length(tags) BETWEEN 1 AND 20);
ALTER TABLE tasks ADD COLUMN draft BLOB;
ALTER TABLE tasks ADD COLUMN folded TEXT;
ALTER TABLE tasks ADD COLUMN folded_version INTEGER;
";

const DOWN: &str = r"
ALTER TABLE tasks DROP COLUMN description;
ALTER TABLE tasks DROP COLUMN due;
ALTER TABLE tasks DROP COLUMN priority;
ALTER TABLE tasks DROP COLUMN tags;
ALTER TABLE tasks DROP COLUMN draft;
ALTER TABLE tasks DROP COLUMN folded;
ALTER TABLE tasks DROP COLUMN folded_version;
";

const DOWN_POSTGRES: &str = "DROP DOMAIN IF EXISTS task_description, task_due, task_priority, task_tags;";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = match manager.get_database_backend() {
            DbBackend::Sqlite => SQLITE,
            _ => POSTGRES,
        };
        manager.get_connection().execute_unprepared(columns).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(DOWN).await?;
        if manager.get_database_backend() != DbBackend::Sqlite {
            manager.get_connection().execute_unprepared(DOWN_POSTGRES).await?;
        }
        Ok(())
    }
}
