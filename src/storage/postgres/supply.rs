//! Where sessions come from and where they go: opened for who waits, given back, doubted, swept.
//!
//! All of it works on one [`State`] under one lock, in which nothing waits and nothing is dropped that would want it.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::storage::failure::{Failure, Remedy};
use crate::storage::postgres::state::{Away, Count, Inner, Lease, Live, Outcome, Pool, State};
use crate::storage::race::{CONNECT, SLOW_CONNECT, connect};
use crate::storage::reader::Reader;
use crate::storage::session::Session;

/// After so long at rest a session is closed.
const MAX_REST: Duration = Duration::from_mins(1);
/// At this age a session is closed: its server process has grown, and a failover may have moved the database.
const MAX_AGE: Duration = Duration::from_mins(15);
/// How often the resting sessions are looked at.
const SWEEP: Duration = Duration::from_secs(5);
/// How long after a failed attempt to open a session the next one begins.
const PAUSE: Duration = Duration::from_millis(100);
/// How many attempts to find the database well again may be under way, and how long one has before the next begins.
const PROBES: usize = 4;
const PROBE: Duration = Duration::from_secs(1);
/// For so long after the last request the database is looked for.
const DEMAND: Duration = Duration::from_secs(2);
/// For so long after a read, a session is kept for reads.
const READING: Duration = Duration::from_secs(10);
/// For so long the number of sessions that a database allows is taken for its limit.
const LIMITED: Duration = Duration::from_secs(30);

impl State {
    /// Whether there is no session but those that are being opened.
    pub(super) fn is_without(&self) -> bool {
        self.open == self.opening
    }

    /// Leaves off the readers that are not so. They end by themselves, once all that they have is answered.
    pub(super) fn retire(&mut self, stays: impl Fn(&(u64, Arc<Reader>)) -> bool) {
        self.retired.retain(|reader| reader.strong_count() > 0);
        let left = self.readers.extract_if(.., |reader| !stays(reader));
        self.retired.extend(left.map(|(_, reader)| Arc::downgrade(&reader)));
    }

    pub(super) fn is_busy(&self) -> bool {
        let is_waited_for = |reader: &Reader| reader.waiting() > 0;
        self.leased > 0
            || self.readers.iter().any(|(_, reader)| is_waited_for(reader))
            || self.retired.iter().filter_map(Weak::upgrade).any(|reader| is_waited_for(&reader))
    }
}

/// The state, locked.
pub(super) struct Locked<'a>(Option<MutexGuard<'a, State>>);

impl Deref for Locked<'_> {
    type Target = State;

    #[expect(clippy::expect_used, reason = "it is locked until it is dropped")]
    fn deref(&self) -> &State {
        self.0.as_deref().expect("locked")
    }
}

impl DerefMut for Locked<'_> {
    #[expect(clippy::expect_used, reason = "it is locked until it is dropped")]
    fn deref_mut(&mut self) -> &mut State {
        self.0.as_deref_mut().expect("locked")
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let closing = self.0.as_mut().map(|state| std::mem::take(&mut state.closing)).unwrap_or_default();
        self.0 = None;
        for live in closing {
            live.close();
        }
    }
}

impl Live {
    /// Ends it, in the background.
    pub(super) fn close(self) {
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { self.session.close().await });
        }
    }
}

/// One of the sessions that are being opened.
struct Opening(Arc<Inner>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.state().opening -= 1;
    }
}

impl Inner {
    pub(super) fn state(&self) -> Locked<'_> {
        // Nothing under this lock can stop half-way.
        Locked(Some(self.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(super) fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Done when the server is to end.
    pub(super) async fn stop(&self) {
        let stopped = self.stopped.notified();
        if !self.has_stopped.load(Ordering::Relaxed) {
            stopped.await;
        }
    }

    /// Remembers what was heard of the database; writes only news, as every request comes by here.
    pub(super) fn note<T>(&self, result: &Result<T, Failure>) {
        let outcome = match result {
            Err(failure) if failure.remedy() != Remedy::None => Outcome::Bad,
            _ => Outcome::Good,
        };
        if self.outcome.load(Ordering::Relaxed) != outcome as u8 {
            self.outcome.store(outcome as u8, Ordering::Relaxed);
        }
    }

    pub(super) fn noted(&self, failure: Failure) -> Failure {
        self.note(&Err::<(), _>(failure.clone()));
        failure
    }

    /// How many sessions there may be.
    pub(super) fn ceiling(&self, state: &State) -> usize {
        match state.ceiling {
            Some((ceiling, until)) if Instant::now() < until => ceiling.min(self.max),
            _ => self.max,
        }
    }

    pub(super) fn can_open(&self, state: &State) -> bool {
        state.open < self.ceiling(state)
    }

    /// Whether a session is to be kept for reads.
    pub(super) fn is_reading(&self) -> bool {
        let last = Duration::from_millis(self.last_read.load(Ordering::Relaxed));
        last > Duration::ZERO && self.start.elapsed().saturating_sub(last) < READING
    }

    /// How many sessions may be somebody's own.
    pub(super) fn max_leased(&self, state: &State) -> usize {
        let ceiling = self.ceiling(state);
        if self.is_reading() && ceiling > 1 { ceiling - 1 } else { ceiling }
    }

    /// Closes the sessions of this generation and those before it: what ended one has most likely ended them, too.
    pub(super) fn forget(self: &Arc<Self>, generation: u64) {
        let mut state = self.state();
        if state.generation != generation {
            return;
        }
        state.generation += 1;
        let resting = std::mem::take(&mut state.resting);
        state.closing.extend(resting);
        state.retire(|_| false);
    }

    /// Takes a session back, for who waits or to rest.
    pub(super) fn put(self: &Arc<Self>, state: &mut State, live: Live) {
        if live.generation == state.generation && live.session.born.elapsed() < MAX_AGE && !state.is_stopping {
            state.resting.push(live);
            self.serve(state);
        } else {
            state.closing.push(live);
        }
    }

    /// Gives what there is to who waits, and opens sessions for the others.
    pub(super) fn serve(self: &Arc<Self>, state: &mut State) {
        loop {
            let can_lease = state.leased < self.max_leased(state);
            let is_write = can_lease && !state.writes.is_empty();
            // By turns, so that neither starves where there are few sessions.
            let yields = is_write && state.is_turn_of_writes;
            let is_read = !state.reads.is_empty() && !yields;
            if !is_read && !is_write {
                break;
            }
            let Some(live) = state.resting.pop() else { break };
            let is_stale = live.session.heard.elapsed() > MAX_REST || live.session.born.elapsed() > MAX_AGE;
            if is_stale || live.generation != state.generation {
                state.closing.push(live);
                continue;
            }
            let queue = if is_read { &mut state.reads } else { &mut state.writes };
            let Some(wanting) = queue.pop_front() else { break };
            let lease = Lease { pool: Pool(Arc::clone(self)), live: Some(live), is_read, is_sound: true };
            state.leased += usize::from(!is_read);
            state.is_turn_of_writes = is_read;
            if let Err(Ok(mut lease)) = wanting.send(Ok(lease)) {
                // Nobody waits there any more. Its own end would want the lock that we have.
                state.leased -= usize::from(!is_read);
                state.resting.extend(lease.live.take());
            }
        }
        state.reads.retain(|wanting| !wanting.is_closed());
        state.writes.retain(|wanting| !wanting.is_closed());
        let leases = self.max_leased(state).saturating_sub(state.leased);
        let wanted = state.reads.len() + state.writes.len().min(leases);
        let is_news = state.away.as_ref().is_none_or(Away::is_news) || !state.is_without();
        while state.opening < wanted && self.can_open(state) && is_news && !state.is_stopping {
            self.open(state, state.away.is_some());
        }
        // What was taken from the reads and has not come back yet.
        let kept = state.opening + state.leased + state.resting.len() + state.readers.len();
        let returning = state.open.saturating_sub(kept);
        if state.opening + returning < wanted && !self.can_open(state) {
            self.take_reader(state);
        }
    }

    /// Takes the session from the reads that has the fewest, for who waits for one. It gets no more of them, and comes
    /// back by itself once they are answered.
    pub(super) fn take_reader(&self, state: &mut State) {
        let can_spare = state.readers.len() > 1 || !self.is_reading() || self.ceiling(state) == 1;
        let least = state.readers.iter().enumerate().min_by_key(|(_, (_, reader))| reader.waiting());
        if can_spare && let Some((place, _)) = least {
            let (_, reader) = state.readers.swap_remove(place);
            state.retired.push(Arc::downgrade(&reader));
        }
    }

    /// Opens a session in the background: whoever waited may be gone when it is there, and others come.
    pub(super) fn open(self: &Arc<Self>, state: &mut State, is_again: bool) {
        state.open += 1;
        state.opening += 1;
        let inner = Arc::clone(self);
        let generation = state.generation;
        tokio::spawn(async move {
            if is_again {
                sleep(PAUSE).await;
            }
            let count = Count(Arc::clone(&inner));
            let opening = Opening(Arc::clone(&inner));
            let opened = timeout(CONNECT, inner.reach()).await;
            let opened = opened.unwrap_or_else(|_| Err(Failure::Away(SLOW_CONNECT.into())));
            drop(opening);
            match opened {
                Ok(session) => inner.opened(Live { session, generation, _count: count }),
                Err(failure) => {
                    inner.failed(&failure);
                    drop(count);
                }
            }
        });
    }

    /// A new session. An attempt that gets no answer may be lost, or the database takes long to wake: it goes on, and
    /// others begin beside it. One of all that are being opened tries again each second; once it has succeeded, each of
    /// those that take long does.
    async fn reach(&self) -> Result<Session, Failure> {
        let mut attempts = FuturesUnordered::from_iter([connect(&self.target)]);
        let mut last = Instant::now();
        let mut scout = None;
        loop {
            let is_time = tokio::select! {
                Some(done) = attempts.next() => match done {
                    Err(failure) if attempts.is_empty() => return Err(failure),
                    Err(_) => false,
                    Ok(session) => return Ok(session),
                },
                () = self.reached.notified() => last.elapsed() > PROBE,
                () = sleep(PROBE) => {
                    scout = scout.or_else(|| self.scout.try_acquire().ok());
                    scout.is_some()
                }
            };
            if is_time && attempts.len() < PROBES {
                attempts.push(connect(&self.target));
                last = Instant::now();
            }
        }
    }

    pub(super) fn opened(self: &Arc<Self>, mut live: Live) {
        self.reached.notify_waiters();
        let mut state = self.state();
        state.away = None;
        let living = state.open - state.opening;
        if let Some((ceiling, _)) = &mut state.ceiling {
            *ceiling = living.max(*ceiling);
        }
        // It is newer than what was lost meanwhile.
        live.generation = state.generation;
        self.put(&mut state, live);
        if !state.is_sweeping {
            state.is_sweeping = true;
            tokio::spawn(sweep(Arc::clone(self)));
        }
    }

    pub(super) fn failed(self: &Arc<Self>, failure: &Failure) {
        let mut state = self.state();
        let now = Instant::now();
        // The one that failed is still counted.
        let living = state.open - state.opening - 1;
        if failure.is_full() && living > 0 {
            state.ceiling = Some((living, now + LIMITED));
            return;
        }
        let since = state.away.as_ref().map_or(now, |away| away.since);
        let is_passing = match failure {
            // A wrong password, a database that is not there.
            Failure::Said(said) => !said.code.starts_with("28") && said.code != "3D000",
            Failure::Unfit(_) => false,
            _ => true,
        };
        let away = Away { since, cause: failure.clone(), is_passing };
        let is_over = !away.is_news();
        state.away = Some(away);
        if is_over && living == 0 && state.opening == 0 {
            for wanting in std::mem::take(&mut state.reads).into_iter().chain(std::mem::take(&mut state.writes)) {
                let _ = wanting.send(Err(failure.clone()));
            }
        }
        // Also where nobody waits any more: old news would refuse whoever comes next.
        self.probe(&mut state);
    }

    /// Looks for the database as long as somebody asks for it.
    pub(super) fn probe(self: &Arc<Self>, state: &mut State) {
        if std::mem::replace(&mut state.is_probing, true) {
            return;
        }
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            let mut last = None::<Instant>;
            loop {
                sleep(PAUSE).await;
                let mut state = inner.state();
                if state.away.is_none() || state.is_stopping {
                    state.is_probing = false;
                    return;
                }
                if state.demand.elapsed() > DEMAND {
                    // Whoever comes next hears no old news.
                    state.is_probing = false;
                    state.away = None;
                    return;
                }
                let is_time = state.opening == 0 || last.is_none_or(|last| last.elapsed() > PROBE);
                if is_time && state.opening < PROBES && inner.can_open(&state) {
                    last = Some(Instant::now());
                    inner.open(&mut state, false);
                }
            }
        });
    }
}

/// Closes what has rested for long, until nothing is left.
async fn sweep(inner: Arc<Inner>) {
    loop {
        sleep(SWEEP).await;
        let stale: Vec<_> = {
            let mut state = inner.state();
            // One that is too old is not lost: it ends when its statements are answered.
            let is_young = |reader: &Reader| reader.age() < MAX_AGE;
            let is_used = |reader: &Reader| reader.waiting() > 0 || reader.still() + SWEEP < MAX_REST;
            state.retire(|(_, reader)| is_young(reader) && is_used(reader));
            if state.open == 0 {
                state.is_sweeping = false;
                return;
            }
            let is_stale = |live: &mut Live| live.session.heard.elapsed() + SWEEP > MAX_REST;
            state.resting.extract_if(.., is_stale).collect()
        };
        for live in stale {
            live.session.close().await;
        }
    }
}
