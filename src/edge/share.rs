//! What many may hold of one thing: together, and each user of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one may hold however full it is, in bytes, so that what is small gets in beside much that is large.
pub(super) const SMALL: usize = 8 * 1024;

/// So many bytes for all, and so many of them for one user.
pub(crate) struct Share {
    most: usize,
    most_of_a_user: usize,
    held: AtomicUsize,
    users: Mutex<HashMap<u64, usize>>,
}

impl Share {
    pub(super) fn new(most: usize, most_of_a_user: usize) -> Self {
        Self { most, most_of_a_user, held: AtomicUsize::default(), users: Mutex::default() }
    }

    /// How many bytes are held.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Holds as much as this, and says whether there is room for it. Of one user no more counts for all than their own bound: whoever
    /// gets past that takes nothing away from others.
    pub(super) fn hold(self: &Arc<Self>, user: Option<u64>, count: usize) -> (Held, bool) {
        let held = Held { share: Arc::clone(self), user, count };
        let (of_user, counted) = user.map_or((0, count), |user| {
            let mut users = self.users();
            let of_user = users.entry(user).or_default();
            let before = *of_user;
            *of_user += count;
            (*of_user, self.counted(*of_user) - self.counted(before))
        });
        let all = self.held.fetch_add(counted, Relaxed) + counted;
        (held, count <= SMALL || (all <= self.most && of_user <= self.most_of_a_user))
    }

    /// Whether this user holds all that one may.
    pub(super) fn is_full_for(&self, user: u64) -> bool {
        self.held() >= self.most_of_a_user && self.users().get(&user).is_some_and(|held| *held >= self.most_of_a_user)
    }

    /// What counts for all of what one user holds.
    fn counted(&self, of_user: usize) -> usize {
        of_user.min(self.most_of_a_user)
    }

    fn users(&self) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one holds, until it is dropped.
pub(super) struct Held {
    share: Arc<Share>,
    user: Option<u64>,
    count: usize,
}

impl Held {
    /// How many bytes that is.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let share = &self.share;
        let counted = self.user.map_or(self.count, |user| {
            let mut users = share.users();
            let Some(of_user) = users.get_mut(&user) else { return 0 };
            let before = *of_user;
            *of_user -= self.count;
            let counted = share.counted(before) - share.counted(*of_user);
            if *of_user == 0 {
                users.remove(&user);
            }
            counted
        });
        share.held.fetch_sub(counted, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_for_all_and_for_each_and_given_back() {
        const LARGE: usize = 2 * SMALL;
        let share = Arc::new(Share::new(3 * LARGE, 2 * LARGE));
        let hold = |user| share.hold(user, LARGE);
        let first = [hold(Some(1)), hold(Some(1))];
        assert!(first.iter().all(|(_, has_room)| *has_room));
        assert!(!hold(Some(1)).1, "one user has a share of it");
        let (_other, has_room) = hold(Some(2));
        assert!(has_room);
        assert!(!hold(Some(3)).1 && !hold(None).1, "all of it is held");
        assert!(share.hold(Some(1), SMALL).1, "what is small gets in");
        assert_eq!(share.held(), 3 * LARGE);
        drop(first);
        assert_eq!(share.held(), LARGE);
        assert!(hold(Some(1)).1);
        assert_eq!(share.users().len(), 1, "nothing is kept of who holds nothing");
        // Whoever holds more than they may takes nothing from others.
        let many: Vec<_> = (0..9).map(|_| hold(Some(1))).collect();
        assert!(share.is_full_for(1) && !share.is_full_for(2));
        assert_eq!(share.held(), 3 * LARGE);
        drop(many);
        assert_eq!(share.held(), LARGE);
        assert!(!share.is_full_for(1));
    }
}
