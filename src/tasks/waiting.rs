//! Who waits for changes. A write of this process wakes those who wait for its user; what other processes write is learned by one
//! statement for all users for whom somebody waits, every so often.
//!
//! Whoever waits holds a place here and nothing else: no connection of the database, no row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tasks_api::{Error, Owner, Position, UserId};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

/// How many requests of a user may wait at a time.
const MOST: usize = 20;

/// Who waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    users: Mutex<Users>,
    /// Somebody has begun to wait.
    begun: Notify,
}

#[derive(Debug, Default)]
struct Users {
    by_id: HashMap<UserId, User>,
    /// Nobody waits any more.
    is_closed: bool,
}

#[derive(Debug)]
struct User {
    news: watch::Sender<()>,
    /// What those who wait know already.
    known: Option<Position>,
}

/// A place of a request that waits; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    owner: &'a Owner,
    news: watch::Receiver<()>,
}

impl Waiting {
    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place to wait at. What changes from now on is not missed. `None` where nobody waits any more.
    ///
    /// # Errors
    /// [`Error::TooManyWaiting`] when the owner has as many places as may be.
    pub(super) fn join<'a>(&'a self, owner: &'a Owner) -> Result<Option<Place<'a>>, Error> {
        let mut users = self.users();
        if users.is_closed {
            return Ok(None);
        }
        let user =
            users.by_id.entry(owner.id().clone()).or_insert_with(|| User { news: watch::Sender::new(()), known: None });
        if user.news.receiver_count() >= MOST {
            return Err(Error::TooManyWaiting);
        }
        let news = user.news.subscribe();
        self.begun.notify_one();
        Ok(Some(Place { waiting: self, owner, news }))
    }

    /// Something of the owner's has changed.
    pub(super) fn wake(&self, owner: &Owner) {
        if let Some(user) = self.users().by_id.get(owner.id()) {
            user.news.send_replace(());
        }
    }

    /// Lets nobody wait any more.
    pub(super) fn close(&self) {
        let mut users = self.users();
        users.is_closed = true;
        users.by_id.values().for_each(|user| user.news.send_replace(()));
    }

    /// Waits until somebody does.
    pub(super) async fn begun(&self) {
        while self.users().by_id.is_empty() {
            self.begun.notified().await;
        }
    }

    /// Those for whom somebody waits.
    pub(super) fn ids(&self) -> Vec<UserId> {
        self.users().by_id.keys().cloned().collect()
    }

    /// Wakes those of these users of whom something else is known now; of whom nothing is, there is nothing.
    pub(super) fn learn(&self, ids: Vec<UserId>, mut known: HashMap<UserId, Position>) {
        let mut users = self.users();
        for id in ids {
            let position = known.remove(&id).unwrap_or_else(|| Position::absent(&id));
            if let Some(user) = users.by_id.get_mut(&id)
                && user.known.is_some_and(|known| known != position)
            {
                user.known = Some(position);
                user.news.send_replace(());
            }
        }
    }
}

impl Place<'_> {
    /// Tells what is known to whoever waits here.
    pub(super) fn knows(&self, position: Position) {
        if let Some(user) = self.waiting.users().by_id.get_mut(self.owner.id()) {
            user.known = Some(position);
        }
    }

    /// Waits until something may have changed since the last time; whether it has, before that is over.
    pub(super) async fn news(&mut self, until: Instant) -> bool {
        matches!(timeout_at(until, self.news.changed()).await, Ok(Ok(()))) && !self.waiting.users().is_closed
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut users = self.waiting.users();
        if let Entry::Occupied(user) = users.by_id.entry(self.owner.id().clone())
            && user.get().news.receiver_count() == 1
        {
            user.remove();
        }
    }
}
