//! The texts of the queries, made of the entities once for a database: constant, so that each is prepared once.
//!
//! They are the same for both databases, but for lists of values: those are arrays in PostgreSQL and JSON in SQLite.

use std::fmt::Display;
use std::sync::Arc;

use sea_orm::sea_query::{
    Alias, Condition, DeleteStatement, Expr, ExprTrait, InsertStatement, IntoTableRef, OnConflict, Order,
    PostgresQueryBuilder, Query, SelectStatement, TableRef,
};
use sea_orm::{EntityName, IdenStatic, Iterable};
use tasks_api::Sort;
use tasks_migration::Place;

use crate::storage::statement::Kind::{self, Bool, Bytes, Int, Json, Text, Texts, Time, Uuid, Uuids};
use crate::storage::statement::Statement;
use crate::tasks::model::idempotency_keys::Column as KeyColumn;
use crate::tasks::model::tasks::Column;
use crate::tasks::model::{columns, deletions, idempotency_keys, tasks, users};
use crate::tasks::search::{STALE, count, search, with_position};

/// All of them. `$1` is the owner, unless it says otherwise.
#[derive(Debug)]
pub(crate) struct Statements {
    /// Whether lists have a row that tells how far the owner's changes go.
    pub(crate) lists_tell: bool,
    /// Those before id `$2`, newest first, at most `$3`.
    pub(crate) list: Arc<Statement>,
    pub(crate) list_open: Arc<Statement>,
    /// Those of a filter (see `search.rs`), in each order: those behind key `$8` and id `$9`, at most `$10`; each with whether it is
    /// folded.
    search: [(Sort, Statement); Sort::ALL.len()],
    /// How many those of a filter are, and how many of them are not folded where that counts.
    pub(crate) count: Statement,
    /// Tasks behind id `$2` that are not folded, at most `$3`: id, version, title, description.
    pub(crate) unfolded: Statement,
    /// Folds those of a list of objects `$2`.
    pub(crate) fold: Statement,
    /// The task with id `$2`.
    pub(crate) get: Arc<Statement>,
    /// Id `$2`, title `$3`, time `$4`, and nothing more: most tasks are such.
    pub(crate) insert: Statement,
    /// Those of a list of objects `$2` whose ids are not there yet, time `$3`.
    pub(crate) insert_all: Statement,
    /// The tasks with ids `$2`, held until the transaction ends, each with the hash of the draft that it was created by.
    pub(crate) drafts: Statement,
    /// Which of the ids `$2` were deleted since `$3`.
    pub(crate) deleted: Statement,
    /// Of the deletions of all users from before `$1`: when the last of the first `$2` was.
    pub(crate) oldest: Statement,
    /// Takes down up to which number the deletions are forgotten that were before `$1`.
    pub(crate) mark_forgotten: Statement,
    /// Forgets deletions of all users from before `$1`.
    pub(crate) forget: Statement,
    /// Of the user: incarnation, number of the last change, and up to which number deletions are forgotten.
    pub(crate) position: Arc<Statement>,
    /// The tasks and deletions behind number `$2` and id `$3`, deletions also behind number `$4`, in the order of their numbers, at most
    /// `$5`: number, whether it is a deletion, and the columns of a task, of which a deletion has but the id.
    pub(crate) changes: Statement,
    /// Since when the user is known.
    pub(crate) known_since: Statement,
    /// Their tasks behind id `$2`, at most `$3`; their deletions, as ids and times; and their keys behind operation `$2` and key `$3`, at
    /// most `$4`: with the ids of their tasks and the time.
    pub(crate) all_tasks: Statement,
    pub(crate) all_deletions: Statement,
    pub(crate) all_keys: Statement,
    /// Of those of the users `$1` that there are: id, incarnation and number of the last change.
    pub(crate) positions: Statement,
    /// Gives those behind user `$1` up to `$2` a new incarnation each.
    pub(crate) renew: Statement,
    /// Of the users behind `$1` the last of the first `$2`.
    pub(crate) last_of: Statement,
    /// Time `$2`.
    pub(crate) add_user: Statement,
    /// The task with id `$2`, unless it is so already: title `$3`, completion `$4`, time `$5`.
    pub(crate) change: Statement,
    /// The same, when it has version `$6` and, unless that is null, changed last at `$7`.
    pub(crate) change_if: Statement,
    /// Sets all members of tasks to those of a list of objects `$2`, time `$3`.
    pub(crate) change_all: Statement,
    /// As `change_if`, where also the version `$6` may be null and the time is `$16`, and of the other members: whether it changes and to what, description `$7` and `$8`,
    /// the day `$9` and `$10`, the time of the day `$11` and `$12`, priority `$13` and `$14`; tags `$15`. Not where a time would
    /// stand without a day.
    pub(crate) change_more: Statement,
    /// The task with id `$2`.
    pub(crate) delete: Statement,
    /// The same, when it has version `$3` and, unless that is null, changed last at `$4`.
    pub(crate) delete_if: Statement,
    /// The tasks with ids `$2`.
    pub(crate) delete_all: Statement,
    /// The tasks with ids `$2`, in the order of their ids.
    pub(crate) get_all: Statement,
    /// The same, held until the transaction ends.
    pub(crate) lock: Statement,
    /// Whether there is a task, for each, held until the transaction ends, in the order of their ids.
    pub(crate) lock_own: Statement,
    /// The user.
    pub(crate) erase: Statement,
    /// Forgets keys from before `$2`.
    pub(crate) expire: Statement,
    /// Forgets keys of all users from before `$1`.
    pub(crate) purge: Statement,
    /// Operation `$2`, key `$3`, fingerprint `$4`, ids `$5`, time `$6`, times of tasks `$7`.
    pub(crate) add_key: Statement,
    /// Times of tasks `$4` of operation `$2`, key `$3`.
    pub(crate) date_key: Statement,
    /// Operation `$2`, key `$3`.
    pub(crate) find_key: Statement,
}

/// One statement for every change: a member that is not sent is null here, and keeps its value. Every expression reads
/// the row as it was before. Times never step back, although the clocks of two servers may differ and that of one may be
/// set.
const CHANGE: &str = "\
    title = COALESCE($3, title), \
    is_completed = COALESCE($4, is_completed), \
    completed_at = CASE WHEN COALESCE($4, is_completed) THEN \
        COALESCE(completed_at, CASE WHEN updated_at < $5 THEN $5 ELSE updated_at END) END, \
    updated_at = CASE WHEN updated_at < $5 THEN $5 ELSE updated_at END, \
    version = version + 1, \
    folded_version = folded_version + CASE WHEN {folds} THEN 1 END";

/// Whether what is folded of a task stays so.
const FOLDS: &str = "COALESCE($3 = title, TRUE)";
const FOLDS_MORE: &str = "COALESCE($3 = title, TRUE) AND (NOT $7 OR description IS NOT DISTINCT FROM $8)";

/// Where it changes nothing, nothing is written: neither the row anew nor a commit to wait for.
const DIFFERS: &str = "(title <> $3 OR is_completed <> $4)";

/// The same for the other members.
const CHANGE_MORE: &str = "\
    description = CASE WHEN $7 THEN $8 ELSE description END, \
    due = {due}, \
    priority = CASE WHEN $13 THEN $14 ELSE priority END, \
    tags = CASE WHEN $15 IS NULL THEN tags ELSE {tags} END";

const DIFFERS_MORE: &str = "\
    (title <> $3 OR is_completed <> $4 OR $7 AND description IS DISTINCT FROM $8 OR due IS DISTINCT FROM {due} \
    OR $13 AND priority IS DISTINCT FROM $14 OR $15 IS NOT NULL AND tags IS DISTINCT FROM {tags})";

/// All members as objects have them.
const REWRITE: &str = "\
    title = new.title, is_completed = new.is_completed, description = new.description, due = new.due, priority = new.priority, \
    tags = new.tags, \
    completed_at = CASE WHEN new.is_completed THEN \
        COALESCE(tasks.completed_at, CASE WHEN tasks.updated_at < $3 THEN $3 ELSE tasks.updated_at END) END, \
    updated_at = CASE WHEN tasks.updated_at < $3 THEN $3 ELSE tasks.updated_at END, \
    version = tasks.version + 1, \
    folded_version = tasks.folded_version + CASE WHEN tasks.title = new.title \
        AND tasks.description IS NOT DISTINCT FROM new.description THEN 1 END";

/// The day as it will be, and when the task will be due: without a day there is no time.
const DAY: &str = "CASE WHEN $9 THEN $10 ELSE substr(due, 1, 10) END";
const DUE: &str = "{day} || COALESCE('T' || CASE WHEN $11 THEN $12 ELSE NULLIF(substr(due, 12), '') END, '')";

impl Statements {
    /// The list of this order.
    pub(crate) fn search(&self, sort: Sort) -> &Statement {
        let [(_, newest), rest @ ..] = &self.search;
        rest.iter().find(|(of, _)| *of == sort).map_or(newest, |(_, statement)| statement)
    }

    /// For tables in this place.
    #[expect(clippy::too_many_lines, reason = "a list")]
    pub(crate) fn new(place: &Place) -> Self {
        let is_postgres = place.name().is_some();
        let list = |which: Condition| {
            // Bound, as with a cursor PostgreSQL plans it once; the first page has the greatest id as its cursor.
            let select =
                select(place, which.add(Expr::col(Column::Id).lt(value(2)))).order_by(Column::Id, Order::Desc).take();
            format!("{} LIMIT $3", text(&select))
        };
        let listed = |text: String| Arc::new(Statement::new(text, &[Text, Uuid, Int]));
        let mut list_open = list(own().add(Expr::col(Column::IsCompleted).not()));
        if !is_postgres {
            // SQLite thinks the primary key as good, and would look at each completed task.
            list_open = list_open.replace(" WHERE ", " INDEXED BY tasks_open WHERE ");
        }
        let one = || own().add(Expr::col(Column::Id).eq(value(2)));
        let many = || {
            own().add(Expr::cust(if is_postgres {
                "\"id\" = ANY($2)"
            } else {
                "\"id\" IN (SELECT unhex(value) FROM json_each($2))"
            }))
        };
        let into =
            format!("INSERT INTO {} (user_id, id, title, is_completed, created_at, updated_at", place.of("tasks"));
        let new = "SELECT $1, id, title, is_completed, $3, $3, CASE WHEN is_completed THEN $3 END, description, due, priority, tags";
        // With a limit, though it is none, SQLite makes the list first and looks its rows up; else it looks through the list for each
        // task of the user.
        let objects = if is_postgres {
            "json_to_recordset($2) AS new (id uuid, title text, is_completed boolean, description text, due text, \
             priority text, tags text[], draft text)"
        } else {
            "(SELECT unhex(value ->> 'id') AS id, value ->> 'title' AS title, value ->> 'is_completed' AS is_completed, \
             value ->> 'description' AS description, value ->> 'due' AS due, value ->> 'priority' AS priority, \
             NULLIF(value -> 'tags', 'null') AS tags, value ->> 'draft' AS draft FROM json_each($2) LIMIT -1) AS new"
        };
        let named = |table: &str| {
            let columns: Vec<_> = columns().map(|column| format!("{table}{}", column.as_str())).collect();
            columns.join(", ")
        };
        let [table_of_tasks, table_of_users, table_of_deletions, table_of_keys] =
            ["tasks", "users", "deletions", "idempotency_keys"].map(|name| place.of(name));
        let all = named("");
        // On PostgreSQL the rows of one statement share a number: the trigger would raise it for each, and leave as many dead rows of the
        // user behind.
        let raised = if is_postgres {
            format!(
                "WITH raised AS (UPDATE {table_of_users} SET changes = changes + 1 WHERE id = $1 RETURNING changes) "
            )
        } else {
            String::new()
        };
        let shared = |with: &'static str| if is_postgres { with } else { "" };
        let change = |which: &str, kinds: &[Kind]| {
            let set = CHANGE.replace("{folds}", FOLDS);
            let which = format!("user_id = $1 AND {which} AND {DIFFERS}");
            Statement::new(format!("UPDATE {table_of_tasks} SET {set} WHERE {which} RETURNING {all}"), kinds)
        };
        let behind_id = |columns: &str, table: &str| {
            let text = format!("SELECT {columns} FROM {table} WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3");
            Statement::unnamed(text, &[Text, Uuid, Int])
        };
        let get_all = text(&select(place, many()).order_by(Column::Id, Order::Asc).take());
        let held = |select: String| if is_postgres { format!("{select} FOR UPDATE") } else { select };
        let draft = if is_postgres { "decode(draft, 'hex')" } else { "unhex(draft)" };
        let folds = if is_postgres {
            "json_to_recordset($2) AS new (id uuid, version bigint, folded text)"
        } else {
            "(SELECT unhex(value ->> 'id') AS id, value ->> 'version' AS version, value ->> 'folded' AS folded \
             FROM json_each($2) LIMIT -1) AS new"
        };
        Self {
            lists_tell: is_postgres,
            list: listed(with_position(place, &list(own()), "")),
            list_open: listed(with_position(place, &list_open, "")),
            search: Sort::ALL.map(|(sort, _)| (sort, search(place, &all, sort))),
            count: count(place),
            unfolded: Statement::unnamed(
                format!(
                    "SELECT id, version, title, description FROM {table_of_tasks} WHERE user_id = $1 AND id > $2 AND {STALE} ORDER BY id LIMIT $3"
                ),
                &[Text, Uuid, Int],
            ),
            fold: Statement::unnamed(
                format!(
                    "UPDATE {table_of_tasks} SET folded = new.folded, folded_version = new.version FROM {folds} \
                     WHERE tasks.user_id = $1 AND tasks.id = new.id AND tasks.version = new.version"
                ),
                &[Text, Json],
            ),
            get: Arc::new(Statement::new(text(&select(place, one())), &[Text, Uuid])),
            insert: Statement::new(format!("{into}) VALUES ($1, $2, $3, FALSE, $4, $4)"), &[Text, Uuid, Text, Time]),
            insert_all: Statement::new(
                // The condition tells SQLite that no join follows.
                format!(
                    "{raised}{into}, completed_at, description, due, priority, tags, draft{}) {new}, {draft}{} FROM {objects}{} WHERE TRUE \
                     ON CONFLICT (user_id, id) DO NOTHING",
                    shared(", change"),
                    shared(", raised.changes"),
                    shared(", raised"),
                ),
                &[Text, Json, Time],
            ),
            drafts: Statement::new(held(get_all.replacen(" FROM ", ", draft FROM ", 1)), &[Text, Uuids]),
            deleted: Statement::new(
                text(
                    Query::select()
                        .column(deletions::Column::Id)
                        .from(table(place, deletions::Entity))
                        .cond_where(many())
                        .and_where(Expr::col(deletions::Column::DeletedAt).gte(value(3))),
                ),
                &[Text, Uuids, Time],
            ),
            oldest: Statement::new(
                format!(
                    "SELECT max(deleted_at) FROM (SELECT deleted_at FROM {table_of_deletions} WHERE deleted_at < $1 \
                     ORDER BY deleted_at LIMIT $2) AS oldest"
                ),
                &[Time, Int],
            ),
            mark_forgotten: Statement::new(
                format!(
                    "UPDATE {table_of_users} SET forgotten = old.change FROM (SELECT user_id, max(change) AS change \
                     FROM {table_of_deletions} WHERE deleted_at < $1 GROUP BY user_id) AS old \
                     WHERE users.id = old.user_id AND users.forgotten < old.change"
                ),
                &[Time],
            ),
            forget: Statement::new(
                text(&delete(
                    place,
                    deletions::Entity,
                    Condition::all().add(Expr::col(deletions::Column::DeletedAt).lt(value(1))),
                )),
                &[Time],
            ),
            position: Arc::new(Statement::new(
                format!("SELECT incarnation, changes, forgotten FROM {table_of_users} WHERE id = $1"),
                &[Text],
            )),
            changes: Statement::unnamed(
                {
                    let behind = "user_id = $1 AND (change > $2 OR change = $2 AND id > $3)";
                    let nothing = ", NULL".repeat(columns().count() - 1);
                    format!(
                        "SELECT change, FALSE AS is_gone, {all} FROM {table_of_tasks} WHERE {behind} \
                         UNION ALL SELECT change, TRUE, id{nothing} FROM {table_of_deletions} AS gone WHERE {behind} AND change > $4 \
                         AND NOT EXISTS (SELECT 1 FROM {table_of_tasks} AS again WHERE again.user_id = $1 AND again.id = gone.id) \
                         ORDER BY change, id LIMIT $5"
                    )
                },
                &[Text, Int, Uuid, Int, Int],
            ),
            known_since: Statement::unnamed(format!("SELECT created_at FROM {table_of_users} WHERE id = $1"), &[Text]),
            all_tasks: behind_id(&all, &table_of_tasks),
            all_deletions: behind_id("id, deleted_at", &table_of_deletions),
            all_keys: Statement::unnamed(
                format!(
                    "SELECT operation, key, task_ids, created_at FROM {table_of_keys} \
                     WHERE user_id = $1 AND (operation, key) > ($2, $3) ORDER BY operation, key LIMIT $4"
                ),
                &[Text, Text, Text, Int],
            ),
            positions: Statement::new(
                format!("SELECT id, incarnation, changes FROM {table_of_users} WHERE {}", any_of("id", is_postgres)),
                &[Texts],
            ),
            renew: Statement::new(
                format!(
                    "UPDATE {table_of_users} SET incarnation = {} WHERE id > $1 AND id <= $2",
                    if is_postgres { "gen_random_uuid()" } else { "randomblob(16)" }
                ),
                &[Text, Text],
            ),
            last_of: Statement::new(
                format!(
                    "SELECT max(id) FROM (SELECT id FROM {table_of_users} WHERE id > $1 ORDER BY id LIMIT $2) AS part"
                ),
                &[Text, Int],
            ),
            add_user: Statement::new(
                text(
                    insert(place, users::Entity, users::Column::iter())
                        .on_conflict(OnConflict::column(users::Column::Id).do_nothing().to_owned()),
                ),
                &[Text, Time],
            ),
            change: change("id = $2", &[Text, Uuid, Text, Bool, Time]),
            change_if: change(
                "id = $2 AND version = $6 AND ($7 IS NULL OR updated_at = $7)",
                &[Text, Uuid, Text, Bool, Time, Int, Time],
            ),
            change_all: Statement::new(
                format!(
                    "{raised}UPDATE {table_of_tasks} SET {REWRITE}{} FROM {objects}{} WHERE tasks.user_id = $1 AND tasks.id = new.id RETURNING {}",
                    shared(", change = raised.changes"),
                    shared(", raised"),
                    named("tasks.")
                ),
                &[Text, Json, Time],
            ),
            change_more: {
                let due = DUE.replace("{day}", DAY);
                // None are null.
                let tags = if is_postgres { "NULLIF($15, '{}')" } else { "NULLIF($15, '[]')" };
                let text = format!(
                    "UPDATE {table_of_tasks} SET {}, {} WHERE user_id = $1 AND id = $2 AND ($6 IS NULL OR version = $6) \
                     AND ($16 IS NULL OR updated_at = $16) AND {} AND ($12 IS NULL OR {DAY} IS NOT NULL) RETURNING {all}",
                    CHANGE.replace("{folds}", FOLDS_MORE),
                    CHANGE_MORE.replace("{due}", &due).replace("{tags}", tags),
                    DIFFERS_MORE.replace("{due}", &due).replace("{tags}", tags),
                );
                let own = [Text, Uuid, Text, Bool, Time, Int];
                Statement::new(
                    text,
                    &[&own[..], &[Bool, Text, Bool, Text, Bool, Text, Bool, Text, Texts, Time]].concat(),
                )
            },
            delete: Statement::new(text(&delete(place, tasks::Entity, one())), &[Text, Uuid]),
            delete_if: Statement::new(
                text(&delete(
                    place,
                    tasks::Entity,
                    one()
                        .add(Expr::col(Column::Version).eq(value(3)))
                        .add(Expr::cust("($4 IS NULL OR updated_at = $4)")),
                )),
                &[Text, Uuid, Int, Time],
            ),
            delete_all: Statement::new(text(&delete(place, tasks::Entity, many())), &[Text, Uuids]),
            lock: Statement::new(held(get_all.clone()), &[Text, Uuids]),
            lock_own: Statement::unnamed(
                format!(
                    "SELECT count(*) FROM ({}) AS held",
                    held(format!("SELECT 1 FROM {table_of_tasks} WHERE user_id = $1 ORDER BY id"))
                ),
                &[Text],
            ),
            erase: Statement::unnamed(format!("DELETE FROM {table_of_users} WHERE id = $1"), &[Text]),
            get_all: Statement::new(get_all, &[Text, Uuids]),
            expire: Statement::new(
                text(&delete(
                    place,
                    idempotency_keys::Entity,
                    Condition::all()
                        .add(Expr::col(KeyColumn::UserId).eq(value(1)))
                        .add(Expr::col(KeyColumn::CreatedAt).lt(value(2))),
                )),
                &[Text, Time],
            ),
            purge: Statement::new(
                text(&delete(
                    place,
                    idempotency_keys::Entity,
                    Condition::all().add(Expr::col(KeyColumn::CreatedAt).lt(value(1))),
                )),
                &[Time],
            ),
            add_key: Statement::new(
                text(
                    insert(place, idempotency_keys::Entity, KeyColumn::iter()).on_conflict(
                        OnConflict::columns([KeyColumn::UserId, KeyColumn::Operation, KeyColumn::Key])
                            .do_nothing()
                            .to_owned(),
                    ),
                ),
                &[Text, Text, Text, Bytes, Bytes, Time, Bytes],
            ),
            date_key: Statement::new(
                format!(
                    "UPDATE {table_of_keys} SET task_times = $4 WHERE user_id = $1 AND operation = $2 AND key = $3"
                ),
                &[Text, Text, Text, Bytes],
            ),
            find_key: Statement::new(
                text(
                    Query::select()
                        .columns(KeyColumn::iter())
                        .from(table(place, idempotency_keys::Entity))
                        .and_where(Expr::col(KeyColumn::UserId).eq(value(1)))
                        .and_where(Expr::col(KeyColumn::Operation).eq(value(2)))
                        .and_where(Expr::col(KeyColumn::Key).eq(value(3))),
                ),
                &[Text, Text, Text],
            ),
        }
    }
}

/// The text of a query that has no values of its own. Both databases quote names alike.
fn text(query: &impl sea_orm::sea_query::QueryStatementWriter) -> String {
    query.to_string(PostgresQueryBuilder)
}

/// Whether a text is one of a list `$1`.
fn any_of(column: &str, is_postgres: bool) -> String {
    if is_postgres { format!("{column} = ANY($1)") } else { format!("{column} IN (SELECT value FROM json_each($1))") }
}

/// The place of a value.
fn value(number: impl Display) -> Expr {
    Expr::cust(format!("${number}"))
}

fn table(place: &Place, entity: impl EntityName) -> TableRef {
    let name = Alias::new(entity.table_name());
    match place.name() {
        Some(schema) => (Alias::new(schema), name).into_table_ref(),
        None => name.into_table_ref(),
    }
}

/// Tasks of the owner, `$1`.
fn own() -> Condition {
    Condition::all().add(Expr::col(Column::UserId).eq(value(1)))
}

fn select(place: &Place, which: Condition) -> SelectStatement {
    Query::select().columns(columns()).from(table(place, tasks::Entity)).cond_where(which).take()
}

fn delete(place: &Place, entity: impl EntityName, which: Condition) -> DeleteStatement {
    Query::delete().from_table(table(place, entity)).cond_where(which).take()
}

/// A row with as many values as columns.
fn insert<C: sea_orm::Iden + 'static>(
    place: &Place,
    entity: impl EntityName,
    columns: impl IntoIterator<Item = C>,
) -> InsertStatement {
    let columns: Vec<_> = columns.into_iter().collect();
    let values: Vec<_> = (1..=columns.len()).map(value).collect();
    let mut insert = Query::insert();
    insert.into_table(table(place, entity)).columns(columns).values_panic(values);
    insert
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection, Row, SqliteConnection};

    use super::*;
    use crate::storage::database::Database;
    use crate::storage::settings::{DatabaseSettings, DatabaseTls};

    /// A page costs the same whatever lies beside it: what is read is what is answered, in its order. (PostgreSQL knows how
    /// many rows there are and plans by that: `just bench --growth` shows it.)
    #[tokio::test]
    async fn pages_in_sqlite_read_what_they_answer() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("tasks.db").display());
        let settings = DatabaseSettings {
            url: url.clone(),
            migration_url: None,
            schema: None,
            max_connections: 1,
            tls: DatabaseTls::Verified,
            migrate_on_start: false,
        };
        let database = Database::open(&settings).unwrap();
        database.migrate_up().await.unwrap();
        let statements = Statements::new(database.place());
        let mut link = SqliteConnection::connect(&url).await.unwrap();
        for (statement, index) in [
            (&statements.list, "PRIMARY KEY (user_id=? AND id<?)"),
            (&statements.list_open, "INDEX tasks_open (user_id=? AND id<?)"),
            (&statements.get, "PRIMARY KEY (user_id=? AND id=?)"),
            (&statements.position, "SEARCH users USING PRIMARY KEY (id=?)"),
        ] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", statement.text()));
            let plan = sqlx::query(explain).fetch_all(&mut link).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
            assert!(plan.len() == 1 && plan[0].ends_with(index), "{plan:?}");
        }
    }
}
