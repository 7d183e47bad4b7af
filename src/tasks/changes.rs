//! What changed, and up to where: the queries of the feed, and those by which deletions are forgotten and a database that was restored
//! is told from its past.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::FutureExt;
use tasks_api::{ChangesToken, Error, Owner, Position, Task, TaskId, Timestamp, UserId};

use crate::storage::failure::Failure;
use crate::storage::statement::{Columns, Value};
use crate::tasks::model::task;
use crate::tasks::repository::{Repository, count, name, time, user};
use crate::tasks::transactions::Stopped;

/// A change, by its number: a task as it is now, or that it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The number.
    pub number: i64,
    /// Which task.
    pub id: TaskId,
    /// The task, unless it is gone.
    pub task: Option<Task>,
}

#[expect(clippy::missing_errors_doc, reason = "the same for all, said at the type")]
impl Repository {
    /// How far the owner's changes go, and up to which number deletions are not remembered any more.
    pub async fn position(&self, owner: &Owner) -> Result<(Position, i64), Error> {
        let reply = self.database.read(&self.statements.position, &[user(owner)]).await?;
        let known = reply.one(|row| {
            let mut columns = row.columns();
            Ok((position(owner.id(), &mut columns)?, columns.int()?))
        })?;
        Ok(known.unwrap_or_else(|| (Position::absent(owner.id()), 0)))
    }

    /// How far the changes of those of the users go of whom something is known.
    pub async fn positions(&self, users: &[UserId]) -> Result<HashMap<UserId, Position>, Error> {
        let ids: Vec<_> = users.iter().map(UserId::as_str).collect();
        let reply = self.database.run_slowly("", &self.statements.positions, &[Value::Texts(&ids)]).await?;
        let known = reply.all(|row| {
            let mut columns = row.columns();
            let id = UserId::from_stored(columns.text()?);
            let position = position(&id, &mut columns)?;
            Ok((id, position))
        })?;
        Ok(known.into_iter().collect())
    }

    /// What changed of the owner's tasks behind what the token stands for, in its order; deletions only from number `until` on.
    pub async fn changes(
        &self,
        owner: &Owner,
        since: ChangesToken,
        until: i64,
        limit: usize,
    ) -> Result<Vec<Changed>, Error> {
        let values = [user(owner), Value::Int(since.number), Value::Uuid(since.id), Value::Int(until), count(limit)];
        let reply = self.database.run_slowly(name(owner), &self.statements.changes, &values).await?;
        Ok(reply.all(|row| {
            let mut columns = row.columns();
            let (number, is_gone) = (columns.int()?, columns.bool()?);
            if is_gone {
                return Ok(Changed { number, id: TaskId(columns.uuid()?), task: None });
            }
            let task = task(owner.id(), &mut columns)?;
            Ok(Changed { number, id: task.id, task: Some(task) })
        })?)
    }

    /// Forgets the deletions of all users from before `since`, so that the ids are free again; how many there were. Some at a time: the
    /// users whose they are wait meanwhile.
    pub async fn forget(&self, since: Timestamp) -> Result<u64, Error> {
        let mut forgotten = 0;
        loop {
            let oldest = self.database.run_slowly("", &self.statements.oldest, &[time(since), count(BATCH)]).await?;
            let Some(oldest) = oldest.one(|row| row.columns().optional_time())?.flatten() else { return Ok(forgotten) };
            // Beyond it, as SQLite compares texts, and the same time may be written in two ways.
            let until = oldest + TimeDelta::milliseconds(1);
            let statements = Arc::clone(&self.statements);
            forgotten += self
                .database
                .transaction("", move |db| {
                    let statements = Arc::clone(&statements);
                    async move {
                        db.run(&statements.mark_forgotten, &[Value::Time(until)]).await?;
                        Ok::<_, Stopped>(db.run(&statements.forget, &[Value::Time(until)]).await?.affected())
                    }
                    .boxed()
                })
                .await
                .map_err(Error::from)?;
        }
    }

    /// Gives every user a new incarnation: after a restore nothing of what was read before it can be gone on with. How many there are.
    pub async fn renew(&self) -> Result<u64, Error> {
        let (mut last, mut renewed) = (String::new(), 0);
        loop {
            let values = [Value::Text(&last), count(BATCH)];
            let reply = self.database.run_slowly("", &self.statements.last_of, &values).await?;
            let Some(next) = reply.one(|row| row.columns().optional_text())?.flatten() else { return Ok(renewed) };
            let values = [Value::Text(&last), Value::Text(&next)];
            renewed += self.database.run_slowly("", &self.statements.renew, &values).await?.affected();
            last = next;
        }
    }
}

/// How many rows of other users a statement holds at a time.
const BATCH: usize = 1000;

/// The position in the columns of a user.
fn position(user: &UserId, columns: &mut Columns<'_>) -> Result<Position, Failure> {
    let (incarnation, number) = (columns.uuid()?, columns.int()?);
    Ok(Position::new(user, incarnation, number))
}
