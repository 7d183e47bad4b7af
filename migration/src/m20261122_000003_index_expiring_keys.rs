//! The index by which the expired keys of a user are found.

use sea_orm_migration::prelude::*;

/// Creates `idempotency_keys_expiry`.
///
/// Each creation with a key deletes its user's expired ones. Without the index it would read all that the user made in
/// the last day.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "CREATE INDEX idempotency_keys_expiry ON idempotency_keys (user_id, created_at);";
        manager.get_connection().execute_unprepared(index).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared("DROP INDEX idempotency_keys_expiry;").await?;
        Ok(())
    }
}
