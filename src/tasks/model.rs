//! The rows of the tables, and what a row means as a noun of the contract.
//!
//! Rows stay in this crate: the queries read them and hand on a [`Task`].

use std::cell::Cell;

use sea_orm::Iterable;
use tasks_api::{Description, Due, Owner, Position, Priority, StoredTitle, Tag, Task, TaskId, UserId, etag};

use crate::storage::failure::Failure;
use crate::storage::statement::{Columns, Row};

/// The users that own tasks. The sign-in system owns people; this mirrors their ids so that tasks have a parent.
pub mod users {
    #![expect(missing_docs, reason = "SeaORM derives the items around the row")]
    use sea_orm::entity::prelude::*;

    /// A user, known since their first task, without what only statements look at: `changes`, `forgotten` and `incarnation`.
    #[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        /// The `sub` of the user's token.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        /// When their first task came, in whole microseconds.
        pub created_at: DateTimeUtc,
    }

    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub enum Relation {
        #[sea_orm(has_many = "super::tasks::Entity")]
        Tasks,
    }

    impl Related<super::tasks::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Tasks.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// The tasks.
pub mod tasks {
    #![expect(missing_docs, reason = "SeaORM derives the items around the row")]
    use sea_orm::entity::prelude::*;

    /// A task, without what only statements look at: `draft`, `folded`, `folded_version` and `change`. Its key is `(user_id, id)`; the
    /// times are in whole microseconds.
    #[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tasks")]
    pub struct Model {
        /// The owner.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
        /// A UUID of version 7: sorts by creation.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// 1 to 200 code points.
        pub title: String,
        /// Exactly when `completed_at` is set.
        pub is_completed: bool,
        /// Since when the task is completed.
        pub completed_at: Option<DateTimeUtc>,
        /// When the task was created.
        pub created_at: DateTimeUtc,
        /// When the task last changed; never steps back.
        pub updated_at: DateTimeUtc,
        /// Counts the changes, from 1.
        pub version: i64,
        /// 1 to 4,000 code points.
        pub description: Option<String>,
        /// `2026-02-28` or `2026-02-28T18:30`.
        pub due: Option<String>,
        /// `high`, `medium` or `low`.
        pub priority: Option<String>,
        /// At most 20, each of 1 to 50 code points, and null where there are none; an array in PostgreSQL, and JSON in SQLite.
        pub tags: Option<Vec<String>>,
    }

    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub enum Relation {
        #[sea_orm(
            belongs_to = "super::users::Entity",
            from = "Column::UserId",
            to = "super::users::Column::Id",
            on_delete = "Cascade"
        )]
        User,
    }

    impl Related<super::users::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::User.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// What was deleted.
pub mod deletions {
    #![expect(missing_docs, reason = "SeaORM derives the items around the row")]
    use sea_orm::entity::prelude::*;

    /// A task that is gone, and whose id is not free yet, without what only statements look at: `change`. A trigger of the database
    /// writes it.
    #[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "deletions")]
    pub struct Model {
        /// Whose it was.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
        /// The task's id.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        /// When it was deleted, by the database's clock.
        pub deleted_at: DateTimeUtc,
    }

    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The requests that may be sent again.
pub mod idempotency_keys {
    #![expect(missing_docs, reason = "SeaORM derives the items around the row")]
    use sea_orm::entity::prelude::*;

    /// A key and what was done under it.
    #[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "idempotency_keys")]
    pub struct Model {
        /// Who used it.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: String,
        /// For which operation.
        #[sea_orm(primary_key, auto_increment = false)]
        pub operation: String,
        /// The key.
        #[sea_orm(primary_key, auto_increment = false)]
        pub key: String,
        /// SHA-256 of the request, by which another one is told.
        pub fingerprint: Vec<u8>,
        /// What was created, completed or deleted: 16 bytes an id, in the order of the request.
        pub task_ids: Vec<u8>,
        /// When that was done.
        pub created_at: DateTimeUtc,
        /// When each task was created, 8 bytes of microseconds, where some were there before.
        pub task_times: Option<Vec<u8>>,
    }

    #[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The columns of a task that are read, in the order of the table: all but the owner, whom every statement names.
pub(crate) fn columns() -> impl Iterator<Item = tasks::Column> {
    tasks::Column::iter().filter(|column| !matches!(column, tasks::Column::UserId))
}

/// The owner's task of a row that begins with those columns.
pub(crate) fn task(owner: &UserId, columns: &mut Columns<'_>) -> Result<Task, Failure> {
    let (id, title, is_completed) = (columns.uuid()?, columns.text()?, columns.bool()?);
    let (completed_at, created_at, updated_at) = (columns.optional_time()?, columns.time()?, columns.time()?);
    let (version, description, due) = (columns.int()?, columns.optional_text()?, columns.optional_text()?);
    let (priority, tags) = (columns.optional_text()?, columns.optional_texts()?);
    // What was written was checked; what somebody else wrote and the database let in shows as nothing.
    let due: Option<Due> = due.and_then(|due| due.parse().ok());
    let priority: Option<Priority> = priority.and_then(|priority| priority.parse().ok());
    let updated_at = updated_at.into();
    Ok(Task {
        id: TaskId(id),
        user_id: owner.clone(),
        title: StoredTitle::from_stored(title),
        description: description.map(Description::from_stored).into(),
        due_date: due.map(|due| due.date).into(),
        due_time: due.and_then(|due| due.time).into(),
        priority: priority.into(),
        tags: tags.into_iter().flatten().map(Tag::from_stored).collect(),
        is_completed,
        completed_at: completed_at.map(Into::into).into(),
        created_at: created_at.into(),
        updated_at,
        version,
        etag: etag(owner, version, updated_at),
    })
}

/// The owner's task of a row of a list. Where there is no title, the row is none's: it has the owner's incarnation in the place of the id,
/// and in that of the version the number of their last change, which are told there.
pub(crate) fn listed(
    owner: &Owner,
    columns: &mut Columns<'_>,
    told: &Cell<Option<Position>>,
) -> Result<Option<Task>, Failure> {
    if !columns.is_null(1) {
        return task(owner.id(), columns).map(Some);
    }
    let incarnation = columns.uuid()?;
    for _ in ["title", "is_completed", "completed_at", "created_at", "updated_at"] {
        columns.skip()?;
    }
    told.set(Some(Position::new(owner.id(), incarnation, columns.int()?)));
    Ok(None)
}

impl idempotency_keys::Model {
    /// A row with all columns, in the order of the table.
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, Failure> {
        let mut columns = row.columns();
        Ok(Self {
            user_id: columns.text()?,
            operation: columns.text()?,
            key: columns.text()?,
            fingerprint: columns.bytes()?,
            task_ids: columns.bytes()?,
            created_at: columns.time()?,
            task_times: columns.optional_bytes()?,
        })
    }
}
