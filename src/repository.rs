//! The queries: the only file that has any. Each takes the [`Owner`] first and carries them in its `WHERE`, so that no
//! query can reach another user's tasks; each is one statement, without a transaction around it, but
//! for a creation under a key.

use std::fmt::Write as _;
use std::sync::LazyLock;

use futures_util::FutureExt;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Asterisk, Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, DeleteMany, EntityTrait, Insert, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, SqlErr, Statement,
};
use tasks_api::{Created, Error, IdempotencyKey, Owner, PageRequest, Task, TaskId, Timestamp, Title};
use uuid::Uuid;

use crate::database::{Database, classify};
use crate::model::idempotency_keys::Column as KeyColumn;
use crate::model::tasks::Column;
use crate::model::{idempotency_keys, tasks, users};
use crate::pool::is_lock_timeout;

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

/// One statement for every change, in what both databases understand: a member that is not sent is null here, and keeps
/// its value. Every expression reads the row as it was before. `updated_at` never steps back, although the clocks of two
/// servers may differ.
const CHANGE: &str = "\
    UPDATE tasks SET \
        title = COALESCE($3, title), \
        is_completed = COALESCE($4, is_completed), \
        completed_at = CASE WHEN COALESCE($4, is_completed) THEN COALESCE(completed_at, $5) END, \
        updated_at = CASE WHEN updated_at < $5 AND (title <> $3 OR is_completed <> $4) THEN $5 ELSE updated_at END, \
        version = CASE WHEN title <> $3 OR is_completed <> $4 THEN version + 1 ELSE version END \
    WHERE user_id = $1 AND id = $2 \
    RETURNING user_id, id, title, is_completed, completed_at, created_at, updated_at, version";

/// [`CHANGE`], when the task has version `$6` or shows the change already: a repeat of a write whose answer was lost
/// succeeds (RFC 9110 §13.1.1).
static CHANGE_IF: LazyLock<String> = LazyLock::new(|| {
    CHANGE.replace(
        "WHERE user_id = $1 AND id = $2",
        "WHERE user_id = $1 AND id = $2 AND \
            (version = $6 OR (title = COALESCE($3, title) AND is_completed = COALESCE($4, is_completed)))",
    )
});

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
        let insert = || new_task(owner, id, title, now).exec_with_returning(db);
        let mut result = insert().await;
        if let Err(Some(SqlErr::ForeignKeyConstraintViolation(_))) = result.as_ref().map_err(DbErr::sql_err) {
            add_user(db, owner, now).await.map_err(classify)?;
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

    /// Creates a task, unless the owner did so under this key since `expiry`: then answers the task of that time, as it
    /// was when it was created.
    ///
    /// One transaction. The key goes in first: of two requests with the same one, the second waits until the first has
    /// ended and then finds what it made. The user goes in before, as a missing parent would end the transaction.
    pub async fn insert_once(
        &self,
        owner: &Owner,
        once: &Once,
        id: TaskId,
        title: &Title,
        now: Timestamp,
        expiry: Timestamp,
    ) -> Result<Created, Error> {
        let db = self.database.connection().await?;
        // What the work holds must outlive every connection.
        let own = (owner.clone(), once.clone(), title.clone());
        let done = db.transaction(move |db| {
            async move {
                let (owner, once, title) = &own;
                add_user(db, owner, now).await?;
                expired(expiry).filter(KeyColumn::UserId.eq(owner.id().as_str())).exec(db).await?;
                let key = idempotency_keys::ActiveModel {
                    user_id: Set(owner.id().as_str().to_owned()),
                    operation: Set(once.operation.to_owned()),
                    key: Set(once.key.as_str().to_owned()),
                    fingerprint: Set(once.fingerprint.clone()),
                    task_ids: Set(id.0.as_bytes().to_vec()),
                    created_at: Set(now.to_utc()),
                };
                let whole = [KeyColumn::UserId, KeyColumn::Operation, KeyColumn::Key];
                let inserted = idempotency_keys::Entity::insert(key)
                    .on_conflict(OnConflict::columns(whole).do_nothing().to_owned())
                    .exec_without_returning(db)
                    .await?;
                if inserted == 0 {
                    let known =
                        (owner.id().as_str().to_owned(), once.operation.to_owned(), once.key.as_str().to_owned());
                    return idempotency_keys::Entity::find_by_id(known).one(db).await.map(Inserted::Before);
                }
                new_task(owner, id, title, now).exec_with_returning(db).await.map(Inserted::Now)
            }
            .boxed()
        });
        match done.await {
            Ok(Inserted::Now(row)) => Ok(Created { task: row.into(), is_replay: false }),
            Ok(Inserted::Before(Some(known))) if known.fingerprint == once.fingerprint => {
                let id = Uuid::from_slice(&known.task_ids).map_err(Error::internal)?;
                let task = Task::new(TaskId(id), owner.id().clone(), title.clone(), known.created_at.into());
                Ok(Created { task, is_replay: true })
            }
            Ok(Inserted::Before(Some(_))) => Err(Error::KeyReused),
            // It was purged between two statements.
            Ok(Inserted::Before(None)) => Err(Error::KeyInUse),
            Err(error) if is_lock_timeout(&error) => Err(Error::KeyInUse),
            Err(error) => Err(classify(error)),
        }
    }

    /// Forgets the keys of all users that are older than `expiry`; how many there were.
    pub async fn purge(&self, expiry: Timestamp) -> Result<u64, Error> {
        let db = self.database.connection().await?;
        Ok(expired(expiry).exec(db).await.map_err(classify)?.rows_affected)
    }

    /// The owner's task with this id.
    pub async fn find(&self, owner: &Owner, id: TaskId) -> Result<Option<Task>, Error> {
        let db = self.database.connection().await?;
        let row = tasks::Entity::find().filter(key(owner, id)).one(db).await.map_err(classify)?;
        Ok(row.map(Into::into))
    }

    /// Changes a task and answers it as it is then; `None` when the owner has no such task, or, where a version is
    /// named, it has another and does not show the change already.
    ///
    /// What a change does not alter stays: its version, its `updated_at` and the `completed_at` of its first
    /// completion.
    pub async fn change(
        &self,
        owner: &Owner,
        TaskId(id): TaskId,
        change: &Change,
        version: Option<i64>,
        now: Timestamp,
    ) -> Result<Option<Task>, Error> {
        let db = self.database.connection().await?;
        let mut values = vec![
            owner.id().as_str().into(),
            id.into(),
            change.title.as_ref().map(Title::as_str).into(),
            change.is_completed.into(),
            now.to_utc().into(),
        ];
        values.extend(version.map(Into::into));
        let text = if version.is_some() { CHANGE_IF.as_str() } else { CHANGE };
        let statement = Statement::from_sql_and_values(db.get_database_backend(), text, values);
        let row = tasks::Entity::find().from_raw_sql(statement).one(db).await.map_err(classify)?;
        Ok(row.map(Into::into))
    }

    /// Deletes a task; `None` when the owner has no such task, or, where a version is named, it has another.
    pub async fn delete(&self, owner: &Owner, id: TaskId, version: Option<i64>) -> Result<Option<()>, Error> {
        let db = self.database.connection().await?;
        let which = key(owner, id).add_option(version.map(|version| Column::Version.eq(version)));
        let result = tasks::Entity::delete_many().filter(which).exec(db).await.map_err(classify)?;
        Ok((result.rows_affected > 0).then_some(()))
    }
}

/// A creation that may be sent again.
#[derive(Debug, Clone)]
pub struct Once {
    /// Which operation the key is for.
    pub operation: &'static str,
    /// The client's name for the creation.
    pub key: IdempotencyKey,
    /// SHA-256 of what is created.
    pub fingerprint: Vec<u8>,
}

/// What an insertion under a key found.
enum Inserted {
    /// The key was new, and so is the task.
    Now(tasks::Model),
    /// The key was known.
    Before(Option<idempotency_keys::Model>),
}

async fn add_user(db: &impl ConnectionTrait, owner: &Owner, now: Timestamp) -> Result<(), DbErr> {
    let user = users::ActiveModel { id: Set(owner.id().as_str().to_owned()), created_at: Set(now.to_utc()) };
    users::Entity::insert(user)
        .on_conflict(OnConflict::column(users::Column::Id).do_nothing().to_owned())
        .exec_without_returning(db)
        .await
        .map(drop)
}

/// The row of a new task.
fn new_task(owner: &Owner, id: TaskId, title: &Title, now: Timestamp) -> Insert<tasks::ActiveModel> {
    tasks::Entity::insert(tasks::ActiveModel {
        user_id: Set(owner.id().as_str().to_owned()),
        id: Set(id.0),
        title: Set(title.as_str().to_owned()),
        is_completed: Set(false),
        created_at: Set(now.to_utc()),
        updated_at: Set(now.to_utc()),
        ..Default::default()
    })
}

/// The keys that are older than this.
fn expired(expiry: Timestamp) -> DeleteMany<idempotency_keys::Entity> {
    idempotency_keys::Entity::delete_many().filter(KeyColumn::CreatedAt.lt(expiry.to_utc()))
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
