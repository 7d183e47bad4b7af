//! What there is: the sessions, who has them, who waits for them; and what becomes of a session whose owner is done.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use crate::storage::connection::Target;
use crate::storage::failure::Failure;
use crate::storage::reader::Reader;
use crate::storage::session::{CANCEL, Session};

/// How long it is tried when nobody waits for it any more: the database may be far.
const LONG_CANCEL: Duration = Duration::from_secs(10);
/// For so long an outage is news: who comes waits for its end. Later ones are told at once.
pub(super) const NEWS: Duration = Duration::from_millis(800);

/// The last thing that was heard of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Outcome {
    Unknown,
    Good,
    Bad,
}

/// At most so many sessions, opened when they are needed and never before.
#[derive(Clone)]
pub(crate) struct Pool(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) target: Arc<Target>,
    /// The most sessions, and the most of them that read.
    pub(super) max: usize,
    pub(super) max_readers: usize,
    /// The most sessions that one user has.
    pub(super) share: usize,
    pub(super) state: Mutex<State>,
    /// Lets one at a time ask for a session to read from.
    pub(super) growing: AsyncMutex<()>,
    pub(super) users: Mutex<HashMap<u64, Arc<Semaphore>>>,
    pub(super) hasher: RandomState,
    pub(super) outcome: AtomicU8,
    /// Told when a session was opened.
    pub(super) reached: Notify,
    /// Who tries again while nobody has an answer.
    pub(super) scout: Semaphore,
    pub(super) stopped: Notify,
    pub(super) has_stopped: AtomicBool,
    /// How many statements are being cancelled behind their answers.
    pub(super) cancelling: AtomicUsize,
    pub(super) start: Instant,
    /// When something was last read, in milliseconds from the start.
    pub(super) last_read: AtomicU64,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a thing of its own")]
pub(super) struct State {
    /// How many sessions there are, with those that are being opened.
    pub(super) open: usize,
    pub(super) opening: usize,
    /// How many are somebody's own.
    pub(super) leased: usize,
    /// How many the database allows, as far as is known, and until when that is believed.
    pub(super) ceiling: Option<(usize, Instant)>,
    /// Sessions of an older generation are not used any more.
    pub(super) generation: u64,
    pub(super) resting: Vec<Live>,
    /// What is to be closed once the lock is let go: its end is counted under it.
    pub(super) closing: Vec<Live>,
    pub(super) readers: Vec<(u64, Arc<Reader>)>,
    /// Those that get no more statements, while they still have some.
    pub(super) retired: Vec<Weak<Reader>>,
    pub(super) is_growing: bool,
    pub(super) reads: VecDeque<Wanting>,
    pub(super) writes: VecDeque<Wanting>,
    pub(super) away: Option<Away>,
    pub(super) is_probing: bool,
    pub(super) is_turn_of_writes: bool,
    pub(super) demand: Instant,
    pub(super) is_sweeping: bool,
    pub(super) is_stopping: bool,
}

/// An outage.
pub(super) struct Away {
    pub(super) since: Instant,
    pub(super) cause: Failure,
    /// Whether waiting may help.
    pub(super) is_passing: bool,
}

impl Away {
    /// Whether who comes may wait for its end.
    pub(super) fn is_news(&self) -> bool {
        self.is_passing && self.since.elapsed() < NEWS
    }
}

/// Somebody who waits for a session.
pub(super) type Wanting = oneshot::Sender<Result<Lease, Failure>>;

/// A session, counted.
pub(super) struct Live {
    pub(super) session: Session,
    pub(super) generation: u64,
    pub(super) _count: Count,
}

/// One of the sessions that there are.
pub(super) struct Count(pub(super) Arc<Inner>);

impl Drop for Count {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        self.0.serve(&mut state);
    }
}

/// A session that is somebody's own. Dropping it gives it back where nothing is under way on it, else ends it.
pub(super) struct Lease {
    pub(super) pool: Pool,
    pub(super) live: Option<Live>,
    /// Whether it is to be read from by many: then it does not count as somebody's own.
    pub(super) is_read: bool,
    /// Whether it is as it was before.
    pub(super) is_sound: bool,
}

/// One of the cancels that go on behind an answer.
struct Cancelling(Arc<Inner>);

impl Cancelling {
    fn begin(inner: &Arc<Inner>) -> Self {
        inner.cancelling.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(inner))
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        self.0.cancelling.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(live) = self.live.take() else { return };
        let is_at_rest = live.session.is_at_rest();
        let mut state = self.pool.0.state();
        state.leased -= usize::from(!self.is_read);
        if self.is_sound && is_at_rest {
            self.pool.0.put(&mut state, live);
            return;
        }
        self.pool.0.serve(&mut state);
        drop(state);
        // Who gave it up does not want it to happen any more.
        if !is_at_rest && let Ok(runtime) = Handle::try_current() {
            let Live { session, _count: count, .. } = live;
            runtime.spawn(give_up(session, count));
        }
    }
}

/// The right to one of a user's sessions.
pub(super) struct Share {
    pub(super) pool: Pool,
    pub(super) user: u64,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Share {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut users = self.pool.0.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(user) = users.entry(self.user)
            && Arc::strong_count(user.get()) == 1
        {
            user.remove();
        }
    }
}

/// Cancels what a session runs, and ends it. Where that takes long, it does not count any more meanwhile; but the end of the
/// pool waits for it, from the call on.
pub(super) fn give_up(session: Session, count: Count) -> impl Future<Output = ()> + Send {
    let cancelling = Cancelling::begin(&count.0);
    async move {
        let mut cancelled = std::pin::pin!(session.cancel().send(LONG_CANCEL));
        if timeout(CANCEL, &mut cancelled).await.is_err() {
            drop(count);
            cancelled.await;
        }
        drop(cancelling);
    }
}
