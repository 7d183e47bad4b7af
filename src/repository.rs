//! The queries: the only file that has any. Each takes the [`Owner`] first and carries them in its `WHERE`, so that no
//! query can reach another user's tasks; each is one statement, without a transaction around it.

use std::fmt::Write as _;

use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Asterisk, Expr, ExprTrait, Func, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    SqlErr,
};
use tasks_api::Error;
use tasks_api::Owner;
use tasks_api::{PageRequest, Task, TaskId, Timestamp, Title};

use crate::database::{Database, classify};
use crate::model::tasks::Column;
use crate::model::{tasks, users};
use crate::pool::Pool;

/// The tasks in the database.
///
/// # Errors
/// Every query answers [`Error::Unavailable`] while the database is away, full or busy, and [`Error::Internal`] for a
/// bug.
#[derive(Debug, Clone)]
pub struct Repository {
    database: Database,
}

/// What a write changes of a task; `None` keeps the member as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The new title.
    pub title: Option<Title>,
    /// Whether the task shall be completed.
    pub is_completed: Option<bool>,
}

#[expect(clippy::missing_errors_doc, reason = "the same for all, said at the type")]
impl Repository {
    /// Queries of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Whether the database can be used; see [`Database::ready`].
    pub async fn ready(&self) -> Result<(), Error> {
        self.database.ready().await
    }

    /// The owner's tasks that the page asks for, newest first, and one more when there is a next page.
    pub async fn list(&self, owner: &Owner, page: PageRequest) -> Result<Vec<Task>, Error> {
        let db = self.database.connection().await?;
        let mut statement = tasks::Entity::find()
            .filter(filter(owner, page.is_completed))
            .apply_if(page.before, |query, TaskId(id)| query.filter(Column::Id.lt(id)))
            .order_by_desc(Column::Id)
            .build(db.get_database_backend());
        // Part of the text: bound, it would make PostgreSQL plan every list anew, as the best plan may hang on it.
        let _ = write!(statement.sql, " LIMIT {}", u16::from(page.limit.get()) + 1);
        let rows = tasks::Entity::find().from_raw_sql(statement).all(db).await.map_err(classify)?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// How many tasks the owner has; with `is_completed`, only completed or only open ones.
    pub async fn count(&self, owner: &Owner, is_completed: Option<bool>) -> Result<i64, Error> {
        let db = self.database.connection().await?;
        let count = tasks::Entity::find()
            .select_only()
            .column_as(Expr::col(Asterisk).count(), "count")
            .filter(filter(owner, is_completed))
            .into_tuple()
            .one(db)
            .await
            .map_err(classify)?;
        Ok(count.unwrap_or_default())
    }

    /// Creates a task, open and with version 1.
    ///
    /// The user's row is added only when the database misses it, so that all but a user's first task are one
    /// statement. `id` must be new: a task that has it already is the one that an earlier try of this call made.
    pub async fn insert(&self, owner: &Owner, id: TaskId, title: &Title, now: Timestamp) -> Result<Task, Error> {
        let db = self.database.connection().await?;
        let insert = || {
            tasks::Entity::insert(tasks::ActiveModel {
                user_id: Set(owner.id().as_str().to_owned()),
                id: Set(id.0),
                title: Set(title.as_str().to_owned()),
                is_completed: Set(false),
                created_at: Set(now.to_utc()),
                updated_at: Set(now.to_utc()),
                ..Default::default()
            })
            .exec_with_returning(db)
        };
        let mut result = insert().await;
        if let Err(Some(SqlErr::ForeignKeyConstraintViolation(_))) = result.as_ref().map_err(DbErr::sql_err) {
            self.add_user(db, owner, now).await.map_err(classify)?;
            result = insert().await;
        }
        match result {
            Ok(row) => Ok(row.into()),
            Err(error) => match error.sql_err() {
                Some(SqlErr::UniqueConstraintViolation(_)) => {
                    self.find(owner, id).await?.ok_or_else(|| classify(error))
                }
                _ => Err(classify(error)),
            },
        }
    }

    async fn add_user(&self, db: &Pool, owner: &Owner, now: Timestamp) -> Result<(), DbErr> {
        let user = users::ActiveModel { id: Set(owner.id().as_str().to_owned()), created_at: Set(now.to_utc()) };
        users::Entity::insert(user)
            .on_conflict(OnConflict::column(users::Column::Id).do_nothing().to_owned())
            .exec_without_returning(db)
            .await
            .map(drop)
    }

    /// The owner's task with this id.
    pub async fn find(&self, owner: &Owner, id: TaskId) -> Result<Option<Task>, Error> {
        let db = self.database.connection().await?;
        let row = tasks::Entity::find().filter(key(owner, id)).one(db).await.map_err(classify)?;
        Ok(row.map(Into::into))
    }

    /// Changes a task and answers it as it is then; `None` when the owner has no such task.
    ///
    /// What a change does not alter stays: its version, its `updated_at` and the `completed_at` of its first
    /// completion. `updated_at` never steps back, although the clocks of two servers may differ: SQLite has no
    /// `GREATEST`, so a `CASE` sees to it.
    pub async fn change(
        &self,
        owner: &Owner,
        id: TaskId,
        change: Change,
        now: Timestamp,
    ) -> Result<Option<Task>, Error> {
        if change == Change::default() {
            return self.find(owner, id).await;
        }
        let db = self.database.connection().await?;
        let mut alters = Condition::any();
        let mut update = tasks::Entity::update_many();
        if let Some(title) = &change.title {
            alters = alters.add(Column::Title.ne(title.as_str()));
            update = update.col_expr(Column::Title, Expr::val(title.as_str()));
        }
        if let Some(is_completed) = change.is_completed {
            let completed_at = if is_completed {
                Func::coalesce([Expr::col(Column::CompletedAt), Expr::val(now.to_utc())]).into()
            } else {
                Expr::cust("NULL")
            };
            alters = alters.add(Column::IsCompleted.ne(is_completed));
            update = update
                .col_expr(Column::IsCompleted, Expr::val(is_completed))
                .col_expr(Column::CompletedAt, completed_at);
        }
        let is_later = Condition::all().add(alters.clone()).add(Column::UpdatedAt.lt(now.to_utc()));
        let rows = update
            .col_expr(
                Column::UpdatedAt,
                Expr::case(is_later, now.to_utc()).finally(Expr::col(Column::UpdatedAt)).into(),
            )
            .col_expr(
                Column::Version,
                Expr::case(alters, Expr::col(Column::Version).add(Expr::cust("1")))
                    .finally(Expr::col(Column::Version))
                    .into(),
            )
            .filter(key(owner, id))
            .exec_with_returning(db)
            .await
            .map_err(classify)?;
        Ok(rows.into_iter().next().map(Into::into))
    }

    /// Deletes a task; false when the owner has no such task.
    pub async fn delete(&self, owner: &Owner, id: TaskId) -> Result<bool, Error> {
        let db = self.database.connection().await?;
        let result = tasks::Entity::delete_many().filter(key(owner, id)).exec(db).await.map_err(classify)?;
        Ok(result.rows_affected > 0)
    }
}

/// The owner's task with this id.
fn key(owner: &Owner, TaskId(id): TaskId) -> Condition {
    filter(owner, None).add(Column::Id.eq(id))
}

/// The owner's tasks; with `is_completed`, only completed or only open ones.
fn filter(owner: &Owner, is_completed: Option<bool>) -> Condition {
    Condition::all()
        .add(Column::UserId.eq(owner.id().as_str()))
        .add_option(is_completed.map(|is_completed| Column::IsCompleted.eq(is_completed)))
}
