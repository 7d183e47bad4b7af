//! What lists have in common, and the texts of those in any order and by any filter: constant too, but not kept prepared, as each is
//! best planned for the filter that it has.

use sea_orm::IdenStatic;
use tasks_api::Sort;
use tasks_migration::Place;

use crate::storage::statement::Kind::{self, Bool, Int, Text, Texts, Time, Uuid};
use crate::storage::statement::Statement;
use crate::tasks::fold::BETWEEN;
use crate::tasks::model::columns;
use crate::tasks::model::tasks::Column;

/// Whether what is folded of a task is not of its version: it was not folded yet, or an older server has changed the task since.
pub(super) const STALE: &str = "folded_version IS DISTINCT FROM version";

/// The types of the values of a filter.
const FILTER: [Kind; 7] = [Text, Bool, Texts, Texts, Text, Text, Text];

/// The tasks of owner `$1`, with completion `$2`, one of the priorities `$3`, all of the tags `$4`, due from `$5` to `$6`, and with the
/// folded text `$7` in them; each but the first is null where any will do. Of those that are not folded nobody knows the text, and so
/// they are among them.
fn matching(is_postgres: bool) -> String {
    let (priority, tags, has_text) = if is_postgres {
        ("priority = ANY($3)", "tags::text[] @> $4", "strpos(folded, $7) > 0")
    } else {
        (
            "priority IN (SELECT value FROM json_each($3))",
            "NOT EXISTS (SELECT value FROM json_each($4) EXCEPT SELECT value FROM json_each(tags))",
            "instr(folded, $7) > 0",
        )
    };
    format!(
        "user_id = $1 AND ($2 IS NULL OR is_completed = $2) AND ($3 IS NULL OR {priority}) AND ($4 IS NULL OR {tags}) \
         AND ($5 IS NULL OR due >= $5) AND ($6 IS NULL OR substr(due, 1, 10) <= $6) \
         AND ($7 IS NULL OR {STALE} OR {has_text})"
    )
}

/// Those of a filter in an order, behind key `$8` and id `$9`, which are null for the first page, at most `$10`: these columns, and
/// whether the task is folded.
pub(super) fn search(place: &Place, columns: &str, sort: Sort) -> Statement {
    let is_postgres = place.name().is_some();
    let between = u32::from(BETWEEN);
    let title = if is_postgres {
        format!("split_part(folded, chr({between}), 1)")
    } else {
        format!("substr(folded, 1, instr(folded, char({between})) - 1)")
    };
    let title = format!("CASE WHEN {STALE} THEN '' ELSE {title} END");
    // The first page has no key, and is planned without.
    let ascending = |key: &str| (format!("($8 IS NULL OR ({key}, id) > ($8, $9))"), format!("{key}, id"));
    let (behind, order) = match sort {
        Sort::Newest => ("($9 IS NULL OR id < $9)".to_owned(), "id DESC".to_owned()),
        Sort::Oldest => ("($9 IS NULL OR id > $9)".to_owned(), "id".to_owned()),
        // Behind every digit.
        Sort::Due => ascending("COALESCE(due, '~')"),
        Sort::Priority => {
            ascending("CASE priority WHEN 'high' THEN '1' WHEN 'medium' THEN '2' WHEN 'low' THEN '3' ELSE '4' END")
        }
        // First of all those that are not folded, wherever the page begins: nobody knows where they belong.
        Sort::Title => {
            let (behind, order) = ascending(&title);
            (format!("({STALE} OR {behind})"), order)
        }
        Sort::Changed => {
            ("($8 IS NULL OR (updated_at, id) < ($8, $9))".to_owned(), "updated_at DESC, id DESC".to_owned())
        }
    };
    let key = if sort == Sort::Changed { Time } else { Text };
    Statement::unnamed(
        with_position(
            place,
            &format!(
                "SELECT {columns}, NOT ({STALE}) FROM {} WHERE {} AND {behind} ORDER BY {order} LIMIT $10",
                place.of("tasks"),
                matching(is_postgres)
            ),
            ", TRUE",
        ),
        &[&FILTER[..], &[key, Uuid, Int]].concat(),
    )
}

/// On PostgreSQL a list and the row that tells of the owner, as the columns of a task: the incarnation in the place of the id, the number
/// of their last change in that of the version, and all else null, of the types of the table. Of others, it would make each row of the
/// list anew. SQLite would do so whatever the types, and asks for the position before the list.
pub(super) fn with_position(place: &Place, list: &str, more: &str) -> String {
    if place.name().is_none() {
        return list.to_owned();
    }
    let column = |column: Column| match column {
        Column::Id => "users.incarnation".to_owned(),
        Column::Version => "users.changes".to_owned(),
        other => format!("nothing.{}", other.as_str()),
    };
    let columns: Vec<_> = columns().map(column).collect();
    format!(
        "SELECT {}{more} FROM {} LEFT JOIN {} AS nothing ON FALSE WHERE users.id = $1 UNION ALL SELECT * FROM ({list}) AS page",
        columns.join(", "),
        place.of("users"),
        place.of("tasks")
    )
}

/// How many those of a filter are; and, while it has a text, title and description of those that are not folded and so are not counted,
/// `$8` at most. One statement, so that no task is in both or in neither.
pub(super) fn count(place: &Place) -> Statement {
    let (matching, tasks) = (matching(place.name().is_some()), place.of("tasks"));
    Statement::unnamed(
        format!(
            "SELECT count(*), NULL AS title, NULL AS description FROM {tasks} WHERE {matching} AND NOT ($7 IS NOT NULL AND {STALE}) \
             UNION ALL SELECT * FROM (SELECT 0, title, description FROM {tasks} WHERE {matching} AND $7 IS NOT NULL AND {STALE} \
             LIMIT $8) AS unsure"
        ),
        &[&FILTER[..], &[Int]].concat(),
    )
}
