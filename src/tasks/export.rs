//! All that is held of a user, some at a time and as of one time; and who reads it now.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tasks_api::{Error, ExportLine, TaskId, UserId};
use uuid::Uuid;

use crate::storage::failure::Failure;
use crate::storage::snapshot::Snapshot;
use crate::storage::statement::Value;
use crate::tasks::model::task;
use crate::tasks::repository::{Repository, count};
use crate::tasks::statements::Statements;

/// How many rows are read at a time. Of tasks, whose texts are at most 17 KiB, they are at most 2 MiB.
const BATCH: usize = 100;

/// How many users' exports run at a time: each has a connection to the database.
const MOST: usize = 4;

impl Repository {
    /// All that is held of a user, as it is now. It takes an id, as operators have no token of the user: operations give an owner's.
    ///
    /// # Errors
    /// Those of every query.
    pub async fn export(&self, id: &UserId) -> Result<Export, Error> {
        let snapshot = self.database.snapshot().await?;
        let (id, statements) = (id.clone(), Arc::clone(&self.statements));
        let mut export = Export { snapshot: Some(snapshot), statements, id, next: Part::User, tasks: 0, read: vec![] };
        if export.snapshot.as_ref().is_some_and(|snapshot| snapshot.holds_writers) {
            // It is in memory as it is.
            let mut read = vec![];
            while let Some(lines) = export.lines().await? {
                read.push(lines);
            }
            read.reverse();
            export.read = read;
        }
        Ok(export)
    }
}

/// All that is held of a user.
pub struct Export {
    /// None once all is read.
    snapshot: Option<Snapshot>,
    statements: Arc<Statements>,
    id: UserId,
    next: Part,
    tasks: u64,
    /// What was read ahead, the last first.
    read: Vec<Vec<ExportLine>>,
}

/// What is read next, and behind what.
enum Part {
    User,
    Tasks(Uuid),
    Deletions(Uuid),
    Keys(String, String),
    End,
}

impl Export {
    /// The next lines; `None` behind the last.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database is away, and there is no more then.
    pub async fn lines(&mut self) -> Result<Option<Vec<ExportLine>>, Error> {
        if let Some(lines) = self.read.pop() {
            return Ok(Some(lines));
        }
        let lines = self.read().await?;
        if matches!(self.next, Part::End)
            && let Some(snapshot) = self.snapshot.take()
        {
            snapshot.close().await;
        }
        Ok(lines)
    }

    /// Whether the last lines were read, and nothing is held for more.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.snapshot.is_none() && self.read.is_empty()
    }

    /// How many tasks were among the lines up to now.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.tasks
    }

    async fn read(&mut self) -> Result<Option<Vec<ExportLine>>, Failure> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(None) };
        let (statements, id) = (&*self.statements, &self.id);
        let user = Value::Text(id.as_str());
        loop {
            // Each is read until there is nothing more of it.
            let (lines, behind) = match &self.next {
                Part::User => {
                    let reply = snapshot.run(&statements.known_since, &[user]).await?;
                    let lines = reply
                        .all(|row| Ok(ExportLine::User { id: id.clone(), created_at: row.columns().time()?.into() }))?;
                    (lines, Part::Tasks(Uuid::nil()))
                }
                Part::Tasks(last) => {
                    let reply = snapshot.run(&statements.all_tasks, &[user, Value::Uuid(*last), count(BATCH)]).await?;
                    let tasks = reply.all(|row| task(id, &mut row.columns()))?;
                    self.tasks += tasks.len() as u64;
                    let behind = tasks.last().map_or(Part::Deletions(Uuid::nil()), |task| Part::Tasks(task.id.0));
                    (tasks.into_iter().map(|task| ExportLine::Task(Box::new(task))).collect(), behind)
                }
                Part::Deletions(last) => {
                    let values = [user, Value::Uuid(*last), count(BATCH)];
                    let reply = snapshot.run(&statements.all_deletions, &values).await?;
                    let gone = reply.all(|row| {
                        let mut columns = row.columns();
                        Ok((columns.uuid()?, columns.time()?.into()))
                    })?;
                    let behind =
                        gone.last().map_or(Part::Keys(String::new(), String::new()), |(id, _)| Part::Deletions(*id));
                    let line = |(id, deleted_at)| ExportLine::Deletion { id: TaskId(id), deleted_at };
                    (gone.into_iter().map(line).collect(), behind)
                }
                Part::Keys(operation, key) => {
                    let values = [user, operation.as_str().into(), key.as_str().into(), count(BATCH)];
                    let reply = snapshot.run(&statements.all_keys, &values).await?;
                    let mut behind = Part::End;
                    let mut lines = vec![];
                    for (operation, key, task_ids, created_at) in reply.all(|row| {
                        let mut columns = row.columns();
                        Ok((columns.text()?, columns.text()?, columns.bytes()?, columns.time()?))
                    })? {
                        behind = Part::Keys(operation.clone(), key.clone());
                        let task_ids = task_ids.as_chunks().0.iter().map(|id| TaskId(Uuid::from_bytes(*id))).collect();
                        lines.push(ExportLine::IdempotencyKey {
                            operation,
                            key,
                            created_at: created_at.into(),
                            task_ids,
                        });
                    }
                    (lines, behind)
                }
                Part::End => return Ok(None),
            };
            self.next = behind;
            if matches!(self.next, Part::End) {
                return Ok(Some([lines, vec![ExportLine::end(self.tasks)]].concat()));
            }
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
        }
    }
}

/// Whose exports run.
#[derive(Debug, Default)]
pub(super) struct Exports(Arc<Mutex<HashSet<UserId>>>);

/// That a user's export runs, until it is ended or dropped.
#[derive(Debug)]
pub(super) struct Turn {
    users: Arc<Mutex<HashSet<UserId>>>,
    /// None once it has ended.
    id: Mutex<Option<UserId>>,
}

impl Exports {
    /// The right to an export of a user.
    ///
    /// # Errors
    /// [`Error::TooManyExports`] when one of the user runs, or as many as may.
    pub(super) fn begin(&self, id: &UserId) -> Result<Turn, Error> {
        let mut users = locked(&self.0);
        if users.len() >= MOST || !users.insert(id.clone()) {
            return Err(Error::TooManyExports);
        }
        Ok(Turn { users: Arc::clone(&self.0), id: Mutex::new(Some(id.clone())) })
    }
}

impl Turn {
    /// Lets the user begin another.
    pub(super) fn end(&self) {
        if let Some(id) = locked(&self.id).take() {
            locked(&self.users).remove(&id);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end();
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
