//! Who waits for changes. A write of this process wakes those who wait for its user; what other processes write is learned by one
//! statement for all users for whom somebody waits, every so often.
//!
//! Whoever waits holds a place here and nothing else: no connection of the database, no row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tasks_api::{Error, Position, UserId};
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
    /// How many places there are. Receivers of `news` are no measure: each is there until its place is gone, which is too late.
    places: usize,
    news: watch::Sender<()>,
    /// What those who wait know already.
    known: Option<Position>,
}

/// A place of a request that waits; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    user: &'a UserId,
    news: watch::Receiver<()>,
}

impl Waiting {
    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place to wait at. What changes from now on is not missed. `None` where nobody waits any more.
    ///
    /// # Errors
    /// [`Error::TooManyWaiting`] when the user has as many places as may be.
    pub(super) fn join<'a>(&'a self, user: &'a UserId) -> Result<Option<Place<'a>>, Error> {
        let mut users = self.users();
        if users.is_closed {
            return Ok(None);
        }
        let entry = users.by_id.entry(user.clone());
        let entry = entry.or_insert_with(|| User { places: 0, news: watch::Sender::new(()), known: None });
        if entry.places >= MOST {
            return Err(Error::TooManyWaiting);
        }
        entry.places += 1;
        let news = entry.news.subscribe();
        self.begun.notify_one();
        Ok(Some(Place { waiting: self, user, news }))
    }

    /// Something of the user's has changed.
    pub(super) fn wake(&self, user: &UserId) {
        if let Some(user) = self.users().by_id.get(user) {
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
        if let Some(user) = self.waiting.users().by_id.get_mut(self.user) {
            // Others may wait here who do not know it: what is known is the same for all from now on.
            if user.known.replace(position).is_some_and(|known| known != position) {
                user.news.send_replace(());
            }
        }
    }

    /// Waits until something may have changed since the last time; whether it has, before that is over.
    pub(super) async fn news(&mut self, until: Instant) -> bool {
        matches!(timeout_at(until, self.news.changed()).await, Ok(Ok(()))) && !self.waiting.users().is_closed
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut user) = self.waiting.users().by_id.entry(self.user.clone()) {
            user.get_mut().places -= 1;
            if user.get().places == 0 {
                user.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    fn user(id: &str) -> UserId {
        id.parse().unwrap()
    }

    /// Else it would be looked for ever what others write, for nobody, and no database could sleep.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn who_has_left_is_not_looked_for() {
        let waiting = Arc::new(Waiting::default());
        for _ in 0..500 {
            let all = (0..8).map(|_| {
                let waiting = Arc::clone(&waiting);
                tokio::spawn(async move {
                    let alice = user("alice");
                    let mut place = waiting.join(&alice).unwrap().unwrap();
                    waiting.wake(&alice);
                    place.news(Instant::now() + Duration::from_secs(1)).await
                })
            });
            for place in futures_util::future::join_all(all).await {
                assert!(place.unwrap());
            }
            assert!(waiting.ids().is_empty());
        }
    }

    #[tokio::test]
    async fn only_news_wakes() {
        let (waiting, alice) = (Waiting::default(), user("alice"));
        let soon = || Instant::now() + Duration::from_millis(20);
        let mut place = waiting.join(&alice).unwrap().unwrap();
        let [known, next] = [1, 2].map(|number| Position::new(&alice, Uuid::nil(), number));
        let learn = |position| waiting.learn(waiting.ids(), HashMap::from([(alice.clone(), position)]));
        learn(known);
        assert!(!place.news(soon()).await, "nothing was known before");
        place.knows(known);
        learn(known);
        assert!(!place.news(soon()).await);
        learn(next);
        assert!(place.news(soon()).await);
        waiting.learn(waiting.ids(), HashMap::new());
        assert!(place.news(soon()).await, "the user is gone");
        // Another who has read on meanwhile knows what this one does not.
        place.knows(known);
        assert!(place.news(soon()).await);
        let other = waiting.join(&alice).unwrap().unwrap();
        other.knows(next);
        assert!(place.news(soon()).await);
        other.knows(next);
        assert!(!place.news(soon()).await);
        waiting.wake(&user("bob"));
        assert!(!place.news(soon()).await);
        waiting.close();
        assert!(!place.news(soon()).await && waiting.join(&alice).unwrap().is_none());
    }
}
