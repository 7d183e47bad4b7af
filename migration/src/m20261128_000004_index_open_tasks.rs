//! The index by which the open tasks of a user are found.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::Place;

/// Creates `tasks_open`.
///
/// Open tasks are what people look at, and most tasks of an old list are completed: without the index a page of open
/// ones reads all that lie between. It holds only open tasks, so a completed one costs it nothing; completing and opening
/// again do, as PostgreSQL cannot keep such a change within its page.
///
/// On PostgreSQL it is built while others read and write. A build that was killed leaves an index that is not valid: it
/// is removed and built again.
pub(crate) struct Migration(pub(crate) Place);

const NAME: &str = "tasks_open";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m20261128_000004_index_open_tasks"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = self.0.of("tasks");
        let create = if manager.get_database_backend() == DbBackend::Sqlite {
            "CREATE INDEX"
        } else {
            // Also one that was built to its end: that its line is missing says that nobody knows.
            let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", self.0.of(NAME));
            manager.get_connection().execute_unprepared(&drop).await?;
            "CREATE INDEX CONCURRENTLY"
        };
        let create = format!("{create} {NAME} ON {table} (user_id, id) WHERE NOT is_completed");
        manager.get_connection().execute_unprepared(&create).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = match manager.get_database_backend() {
            DbBackend::Sqlite => "DROP INDEX",
            _ => "DROP INDEX CONCURRENTLY IF EXISTS",
        };
        manager.get_connection().execute_unprepared(&format!("{drop} {}", self.0.of(NAME))).await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }
}
