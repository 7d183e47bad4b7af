//! The queries: the only file that has any. Each takes the [`Owner`] first and carries them in its `WHERE`, so that no
//! query can reach another user's tasks; each is one statement, without a transaction around it, but
//! for creations under a key and for writes of several tasks.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use futures_util::FutureExt;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Asterisk, Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, DeleteMany, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, SqlErr, Statement,
};
use tasks_api::{Created, Error, IdempotencyKey, Owner, PageRequest, SelectedTask, Task, TaskId, Timestamp, Title};
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
/// its value. Every expression reads the row as it was before. Times never step back, although the clocks of two servers
/// may differ and that of one may be set.
const CHANGE: &str = "\
    UPDATE tasks SET \
        title = COALESCE($3, title), \
        is_completed = COALESCE($4, is_completed), \
        completed_at = CASE WHEN COALESCE($4, is_completed) THEN \
            COALESCE(completed_at, CASE WHEN updated_at < $5 THEN $5 ELSE updated_at END) END, \
        updated_at = CASE WHEN updated_at < $5 AND (title <> $3 OR is_completed <> $4) THEN $5 ELSE updated_at END, \
        version = CASE WHEN title <> $3 OR is_completed <> $4 THEN version + 1 ELSE version END \
    WHERE user_id = $1";
const RETURNING: &str = " RETURNING user_id, id, title, is_completed, completed_at, created_at, updated_at, version";

/// The change of one task, whatever its version.
static CHANGE_ONE: LazyLock<String> = LazyLock::new(|| format!("{CHANGE} AND id = $2{RETURNING}"));

/// The change of one task, when it has version `$6` or shows the change already: a repeat of a write whose answer was
/// lost succeeds (RFC 9110 §13.1.1).
static CHANGE_IF: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{CHANGE} AND id = $2 AND \
            (version = $6 OR (title = COALESCE($3, title) AND is_completed = COALESCE($4, is_completed))){RETURNING}"
    )
});

/// The change of so many tasks; the ids of all but the first come behind the other values.
fn change_of(count: usize) -> String {
    let ids: Vec<_> = std::iter::once(2).chain(6..5 + count).map(|number| format!("${number}")).collect();
    format!("{CHANGE} AND id IN ({}){RETURNING}", ids.join(", "))
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

    /// Stores new tasks of the owner, open and with version 1, in one statement.
    ///
    /// The user's row is added only when the database misses it, so that all but a user's first tasks are one
    /// statement. The ids must be new: where one is there already, an earlier try of this call stored them all.
    pub async fn insert(&self, owner: &Owner, tasks: &[Task], now: Timestamp) -> Result<(), Error> {
        let db = self.database.connection().await?;
        let mut result = insert(db, owner, tasks).await;
        if let Err(Some(SqlErr::ForeignKeyConstraintViolation(_))) = result.as_ref().map_err(DbErr::sql_err) {
            add_user(db, owner, now).await.map_err(classify)?;
            result = insert(db, owner, tasks).await;
        }
        match result {
            Err(error) if !matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                Err(classify(error))
            }
            _ => Ok(()),
        }
    }

    /// Stores new tasks of the owner, unless tasks were stored under this key since `expiry`: then answers what the new
    /// ones would be, had they been stored then.
    ///
    /// One transaction. The key goes in first: of two requests with the same one, the second waits until the first has
    /// ended and then finds what it made. The user goes in before, as a missing parent would end the transaction.
    pub async fn insert_once(
        &self,
        owner: &Owner,
        once: Once,
        tasks: Vec<Task>,
        now: Timestamp,
        expiry: Timestamp,
    ) -> Result<Created<Vec<Task>>, Error> {
        let db = self.database.connection().await?;
        // What the work holds must outlive every connection.
        let own = Arc::new((owner.clone(), once, tasks));
        let done = db.transaction(move |db| {
            let own = Arc::clone(&own);
            async move {
                let (owner, once, tasks) = &*own;
                add_user(db, owner, now).await?;
                expired(expiry).filter(KeyColumn::UserId.eq(owner.id().as_str())).exec(db).await?;
                let is_new = match add_key(db, owner, once, tasks, now).await {
                    // Another request with the key has not ended yet.
                    Err(error) if is_lock_timeout(&error) => return Err(Error::KeyInUse.into()),
                    added => added?,
                };
                if is_new {
                    insert(db, owner, tasks).await?;
                    return Ok(Created { data: tasks.clone(), is_replay: false });
                }
                let known = (owner.id().as_str().to_owned(), once.operation.to_owned(), once.key.as_str().to_owned());
                match idempotency_keys::Entity::find_by_id(known).one(db).await? {
                    Some(known) if known.fingerprint == once.fingerprint => {
                        Ok(Created { data: replay(tasks, &known)?, is_replay: true })
                    }
                    Some(_) => Err(Error::KeyReused.into()),
                    // It was purged between two statements.
                    None => Err(Error::KeyInUse.into()),
                }
            }
            .boxed()
        });
        done.await.map_err(|stopped: Stopped| stopped.into())
    }

    /// Completes tasks of the owner, all or none, in one transaction, and answers them in no order.
    ///
    /// # Errors
    /// [`Error::TasksNotFound`] or [`Error::VersionMismatches`] when they are not as the selection wants them.
    pub async fn complete_all(
        &self,
        owner: &Owner,
        selection: Vec<SelectedTask>,
        now: Timestamp,
    ) -> Result<Vec<Task>, Error> {
        let db = self.database.connection().await?;
        let own = Arc::new((owner.clone(), selection));
        let done = db.transaction(move |db| {
            let own = Arc::clone(&own);
            async move {
                let (owner, selection) = &*own;
                lock(db, owner, selection, |row| row.is_completed).await?;
                let mut ids = selection.iter().map(|task| task.id.0.into());
                let mut values = vec![owner.id().as_str().into()];
                values.extend(ids.next());
                values.extend([None::<String>.into(), true.into(), now.to_utc().into()]);
                values.extend(ids);
                let text = change_of(selection.len());
                let statement = Statement::from_sql_and_values(db.get_database_backend(), text, values);
                Ok(tasks::Entity::find().from_raw_sql(statement).all(db).await?)
            }
            .boxed()
        });
        let rows = done.await.map_err(|stopped: Stopped| Error::from(stopped))?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Deletes tasks of the owner, all or none, in one transaction.
    ///
    /// # Errors
    /// [`Error::TasksNotFound`] or [`Error::VersionMismatches`] when they are not as the selection wants them.
    pub async fn delete_all(&self, owner: &Owner, selection: Vec<SelectedTask>) -> Result<(), Error> {
        let db = self.database.connection().await?;
        let own = Arc::new((owner.clone(), selection));
        let done = db.transaction(move |db| {
            let own = Arc::clone(&own);
            async move {
                let (owner, selection) = &*own;
                lock(db, owner, selection, |_| false).await?;
                tasks::Entity::delete_many().filter(keys(owner, selection)).exec(db).await?;
                Ok(())
            }
            .boxed()
        });
        done.await.map_err(|stopped: Stopped| stopped.into())
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
        let text = if version.is_some() { &*CHANGE_IF } else { &*CHANGE_ONE };
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

/// Why a transaction was taken back.
enum Stopped {
    /// The database failed.
    Failed(DbErr),
    /// What the database holds does not allow it.
    Refused(Error),
}

impl From<DbErr> for Stopped {
    fn from(error: DbErr) -> Self {
        Self::Failed(error)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Failed(error) => classify(error),
            Stopped::Refused(error) => error,
        }
    }
}

/// Holds the selected tasks until the transaction ends, unless one is missing, or has another version than the selection
/// wants and is not `done` either.
///
/// They are locked in the order of their ids: two transactions that want the same ones do not wait for each other.
async fn lock(
    db: &impl ConnectionTrait,
    owner: &Owner,
    selection: &[SelectedTask],
    is_done: impl Fn(&tasks::Model) -> bool,
) -> Result<(), Stopped> {
    let query = tasks::Entity::find().filter(keys(owner, selection)).order_by_asc(Column::Id).lock_exclusive();
    let rows: HashMap<_, _> = query.all(db).await?.into_iter().map(|row| (row.id, row)).collect();
    let (mut missing, mut mismatches) = (Vec::new(), Vec::new());
    for (place, selected) in selection.iter().enumerate() {
        match rows.get(&selected.id.0) {
            None => missing.push(place),
            Some(row) if selected.version.is_some_and(|version| version != row.version) && !is_done(row) => {
                mismatches.push((place, row.version));
            }
            Some(_) => {}
        }
    }
    if !missing.is_empty() {
        return Err(Error::TasksNotFound(missing).into());
    }
    if !mismatches.is_empty() {
        return Err(Error::VersionMismatches(mismatches).into());
    }
    Ok(())
}

/// The new tasks, as they were stored under a key that is known.
fn replay(tasks: &[Task], known: &idempotency_keys::Model) -> Result<Vec<Task>, Error> {
    let (ids, rest) = known.task_ids.as_chunks();
    if ids.len() != tasks.len() || !rest.is_empty() {
        return Err(Error::internal("a key knows another number of tasks than its request has"));
    }
    let again = tasks.iter().zip(ids).map(|(task, id)| {
        let id = TaskId(Uuid::from_bytes(*id));
        Task::new(id, task.user_id.clone(), task.title.clone(), known.created_at.into())
    });
    Ok(again.collect())
}

/// Stores a key with the ids of its tasks; whether it is new.
async fn add_key(
    db: &impl ConnectionTrait,
    owner: &Owner,
    once: &Once,
    tasks: &[Task],
    now: Timestamp,
) -> Result<bool, DbErr> {
    let key = idempotency_keys::ActiveModel {
        user_id: Set(owner.id().as_str().to_owned()),
        operation: Set(once.operation.to_owned()),
        key: Set(once.key.as_str().to_owned()),
        fingerprint: Set(once.fingerprint.clone()),
        task_ids: Set(tasks.iter().flat_map(|task| task.id.0.into_bytes()).collect()),
        created_at: Set(now.to_utc()),
    };
    let whole = [KeyColumn::UserId, KeyColumn::Operation, KeyColumn::Key];
    let inserted = idempotency_keys::Entity::insert(key)
        .on_conflict(OnConflict::columns(whole).do_nothing().to_owned())
        .exec_without_returning(db)
        .await?;
    Ok(inserted > 0)
}

async fn add_user(db: &impl ConnectionTrait, owner: &Owner, now: Timestamp) -> Result<(), DbErr> {
    let user = users::ActiveModel { id: Set(owner.id().as_str().to_owned()), created_at: Set(now.to_utc()) };
    users::Entity::insert(user)
        .on_conflict(OnConflict::column(users::Column::Id).do_nothing().to_owned())
        .exec_without_returning(db)
        .await
        .map(drop)
}

/// Stores new tasks. Asked as a query, which is tried again on a connection that turns out to be lost.
async fn insert(db: &impl ConnectionTrait, owner: &Owner, tasks: &[Task]) -> Result<(), DbErr> {
    let rows = tasks.iter().map(|task| tasks::ActiveModel {
        user_id: Set(owner.id().as_str().to_owned()),
        id: Set(task.id.0),
        title: Set(task.title.as_str().to_owned()),
        is_completed: Set(task.is_completed),
        created_at: Set(task.created_at.to_utc()),
        updated_at: Set(task.updated_at.to_utc()),
        ..Default::default()
    });
    let statement = tasks::Entity::insert_many(rows).build(db.get_database_backend());
    db.query_all_raw(statement).await.map(drop)
}

/// The keys that are older than this.
fn expired(expiry: Timestamp) -> DeleteMany<idempotency_keys::Entity> {
    idempotency_keys::Entity::delete_many().filter(KeyColumn::CreatedAt.lt(expiry.to_utc()))
}

/// The owner's task with this id.
fn key(owner: &Owner, TaskId(id): TaskId) -> Condition {
    filter(owner, None).add(Column::Id.eq(id))
}

/// The owner's tasks of a selection.
fn keys(owner: &Owner, selection: &[SelectedTask]) -> Condition {
    filter(owner, None).add(Column::Id.is_in(selection.iter().map(|task| task.id.0)))
}

/// The owner's tasks; with `is_completed`, only completed or only open ones.
fn filter(owner: &Owner, is_completed: Option<bool>) -> Condition {
    Condition::all()
        .add(Column::UserId.eq(owner.id().as_str()))
        .add_option(is_completed.map(|is_completed| Column::IsCompleted.eq(is_completed)))
}
