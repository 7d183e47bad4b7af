//! What a connection does, and since when it does nothing: the judge of those that only hold a place.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long the head of a request may take, and a connection until its first request. It is closed without an answer: nobody
/// has asked for anything yet.
pub(super) const HEAD: Duration = Duration::from_secs(10);

/// How long a connection may be idle between requests.
pub(super) const IDLE: Duration = Duration::from_secs(75);

/// The same, and the time of a head, where all connections are taken and others wait.
pub(super) const IDLE_WHEN_FULL: Duration = Duration::from_secs(5);

/// How long an answer may go without progress. Progress is [`PACE`] bytes in each of its four parts.
pub(super) const STALLED: Duration = Duration::from_secs(20);

/// How often a connection is looked at.
pub(super) const TICK: Duration = Duration::from_secs(5);

/// How many bytes the reader of an answer takes in each [`TICK`], at least.
pub(super) const PACE: u64 = 4 * 1024;

/// How long the connection stays silent, while it ends, before it is closed all the same: without a request, or with one whose
/// body does not come or whose answer is not read.
const LAST_WORDS: Duration = Duration::from_millis(500);
const LAST_PIECE: Duration = Duration::from_secs(2);

/// What a body of unknown length may have: all that was read.
const UNKNOWN: u64 = u64::MAX;

/// Why a connection was closed before its client did so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// The head of a request did not come.
    Head,
    /// No request came.
    Idle,
    /// An answer was not read.
    Stalled,
}

/// What a connection does now. Written by the tasks of its requests, read by its own.
pub(super) struct Activity {
    born: Instant,
    /// Requests that are worked on.
    handling: AtomicUsize,
    /// Of those, the ones that wait for the rest of their body.
    receiving: AtomicUsize,
    /// Answers that are not written whole.
    answering: AtomicUsize,
    read: AtomicU64,
    /// How much of it belongs to requests that have begun, as far as can be told.
    consumed: AtomicU64,
    written: AtomicU64,
    /// Whether the socket takes no more.
    is_blocked: AtomicBool,
    /// HTTP/2: what is read need not be the head of a request.
    is_multiplexed: AtomicBool,
    /// Whether the head of a request is under way, or the first is not here yet.
    is_in_head: AtomicBool,
    /// Since when it is so, or else idle: milliseconds after birth.
    since: AtomicU64,
    /// Whether the client may still be sending when its connection is closed.
    lingers: AtomicBool,
    /// Whether the connection ends at once, with what stands in buffers.
    is_cut: AtomicBool,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            born: Instant::now(),
            handling: AtomicUsize::new(0),
            receiving: AtomicUsize::new(0),
            answering: AtomicUsize::new(0),
            read: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            written: AtomicU64::new(0),
            is_blocked: AtomicBool::new(false),
            is_multiplexed: AtomicBool::new(false),
            is_in_head: AtomicBool::new(true),
            since: AtomicU64::new(0),
            lingers: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
        }
    }

    /// The client may still be sending when its connection is closed.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Relaxed);
    }

    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Relaxed)
    }

    /// The connection ends as soon as nobody works on a request, with what stands in buffers.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Relaxed);
    }

    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_quiet(&self) -> bool {
        self.handling.load(Relaxed) == 0 && self.answering.load(Relaxed) == 0
    }

    /// Whether a request is worked on that has all of its body.
    pub(super) fn is_at_work(&self) -> bool {
        self.handling.load(Relaxed) > self.receiving.load(Relaxed)
    }

    pub(super) fn has_read(&self, count: usize) {
        self.read.fetch_add(count as u64, Relaxed);
        if self.is_quiet() && !self.is_in_head.load(Relaxed) && !self.is_multiplexed.load(Relaxed) {
            self.since.store(self.now(), Relaxed);
            self.is_in_head.store(true, Relaxed);
        }
    }

    pub(super) fn has_written(&self, count: usize) {
        self.written.fetch_add(count as u64, Relaxed);
        self.is_blocked.store(false, Relaxed);
    }

    pub(super) fn is_blocked(&self) {
        self.is_blocked.store(true, Relaxed);
    }

    pub(super) fn is_waiting_for_a_body(&self, waits: bool) {
        if waits {
            self.receiving.fetch_add(1, Relaxed);
        } else {
            self.receiving.fetch_sub(1, Relaxed);
        }
    }

    fn falls_quiet(&self) {
        if self.is_quiet() {
            self.since.store(self.now(), Relaxed);
            // More than requests were read: the next one's head has begun to come behind the last. Who writes heads in an
            // unusual way is taken for such at times, and has less time to be idle.
            let read = self.read.load(Relaxed);
            let is_in_head = self.consumed.load(Relaxed) < read && !self.is_multiplexed.load(Relaxed);
            if !is_in_head {
                self.consumed.store(read, Relaxed);
            }
            self.is_in_head.store(is_in_head, Relaxed);
        }
    }

    /// A request begins, of which so many bytes were or will be read, as far as that is known; of HTTP/2 it does not matter.
    pub(super) fn begin(&self, is_multiplexed: bool, length: Option<u64>) {
        self.handling.fetch_add(1, Relaxed);
        self.is_multiplexed.store(is_multiplexed, Relaxed);
        let consumed = self.consumed.load(Relaxed);
        self.consumed.store(consumed.saturating_add(length.unwrap_or(UNKNOWN)), Relaxed);
    }

    /// The request has its answer, of which nothing is written yet.
    pub(super) fn answer(&self) {
        self.answering.fetch_add(1, Relaxed);
        self.handling.fetch_sub(1, Relaxed);
    }

    /// The client went before there was an answer.
    pub(super) fn give_up(&self) {
        self.handling.fetch_sub(1, Relaxed);
        self.falls_quiet();
    }

    /// The answer is written, or nobody is left to read it.
    pub(super) fn end(&self) {
        self.answering.fetch_sub(1, Relaxed);
        self.falls_quiet();
    }
}

/// Looks at a connection from time to time.
pub(super) struct Judge {
    written: u64,
    read: u64,
    /// For how many looks in a row too little was written, or nothing happened.
    slow: u32,
}

impl Judge {
    pub(super) const fn new() -> Self {
        Self { written: 0, read: 0, slow: 0 }
    }

    /// Whether the connection is to be closed, asked once a [`TICK`].
    pub(super) fn look(&mut self, activity: &Activity, is_full: bool) -> Option<Verdict> {
        let written = activity.written.load(Relaxed);
        let progress = written - std::mem::replace(&mut self.written, written);
        if activity.answering.load(Relaxed) > 0 || activity.is_blocked.load(Relaxed) {
            self.slow = if progress < PACE { self.slow + 1 } else { 0 };
            return (TICK * self.slow >= STALLED).then_some(Verdict::Stalled);
        }
        self.slow = 0;
        if activity.handling.load(Relaxed) > 0 {
            return None;
        }
        let quiet = Duration::from_millis(activity.now().saturating_sub(activity.since.load(Relaxed)));
        let (limit, verdict) =
            if activity.is_in_head.load(Relaxed) { (HEAD, Verdict::Head) } else { (IDLE, Verdict::Idle) };
        (quiet > if is_full { IDLE_WHEN_FULL } else { limit }).then_some(verdict)
    }

    /// How often it is asked whether a connection that ends has nothing more to do.
    pub(super) const LAST_TICK: Duration = Duration::from_millis(250);

    /// Whether a connection that ends has nothing more to do, asked once a [`Self::LAST_TICK`]: no request, or only such
    /// whose bodies do not come or whose answers are not read.
    pub(super) fn is_over(&mut self, activity: &Activity) -> bool {
        let (written, read) = (activity.written.load(Relaxed), activity.read.load(Relaxed));
        let is_silent = (written, read) == (self.written, self.read);
        (self.written, self.read) = (written, read);
        self.slow = if is_silent && !activity.is_at_work() { self.slow + 1 } else { 0 };
        let is_quiet = activity.is_quiet() && !activity.is_blocked.load(Relaxed);
        let is_silent_for_long = Self::LAST_TICK * self.slow >= if is_quiet { LAST_WORDS } else { LAST_PIECE };
        is_silent_for_long || (activity.is_cut() && !activity.is_at_work())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that was born this long ago.
    fn aged(age: Duration) -> Activity {
        Activity { born: Instant::now().checked_sub(age).unwrap(), ..Activity::new() }
    }

    fn verdict(activity: &Activity) -> Option<Verdict> {
        Judge::new().look(activity, false)
    }

    const LONG: Duration = Duration::from_mins(2);

    #[test]
    fn a_head_has_its_time_and_so_has_idleness() {
        assert_eq!(verdict(&aged(HEAD / 2)), None);
        assert_eq!(verdict(&aged(HEAD * 2)), Some(Verdict::Head));
        let idle = aged(LONG);
        idle.begin(false, Some(0));
        assert_eq!(verdict(&idle), None, "a request may take its time");
        idle.answer();
        idle.end();
        assert_eq!(verdict(&idle), None);
        idle.since.store(0, Relaxed);
        assert_eq!(verdict(&idle), Some(Verdict::Idle));
        idle.has_read(1);
        assert_eq!(verdict(&idle), None, "a head begins");
        idle.since.store(0, Relaxed);
        assert_eq!(verdict(&idle), Some(Verdict::Head));
    }

    #[test]
    fn a_head_that_came_behind_a_request_is_one() {
        for (length, is_in_head) in [(Some(100), false), (Some(90), true), (None, false)] {
            let idle = aged(LONG);
            idle.has_read(100);
            idle.begin(false, length);
            idle.answer();
            idle.end();
            assert_eq!(idle.is_in_head.load(Relaxed), is_in_head);
        }
    }

    #[test]
    fn what_an_idle_http2_connection_says_is_no_head() {
        let idle = aged(LONG);
        idle.begin(true, Some(0));
        idle.answer();
        idle.end();
        idle.has_read(17);
        assert_eq!(verdict(&idle), None);
        idle.since.store(0, Relaxed);
        assert_eq!(verdict(&idle), Some(Verdict::Idle));
    }

    #[test]
    fn idleness_is_short_where_others_wait() {
        let idle = aged(LONG);
        idle.begin(false, Some(0));
        idle.answer();
        idle.end();
        let since = idle.now() - u64::try_from((IDLE_WHEN_FULL * 2).as_millis()).unwrap();
        idle.since.store(since, Relaxed);
        assert_eq!(Judge::new().look(&idle, false), None);
        assert_eq!(Judge::new().look(&idle, true), Some(Verdict::Idle));
    }

    #[test]
    fn an_answer_is_read_at_a_pace_or_not_at_all() {
        let read = |pace: u64| {
            let (activity, mut judge) = (aged(LONG), Judge::new());
            activity.begin(false, Some(0));
            activity.answer();
            (0..60).find_map(|_| {
                activity.has_written(usize::try_from(pace).unwrap());
                judge.look(&activity, false)
            })
        };
        assert_eq!(read(PACE), None);
        assert_eq!(read(PACE - 1), Some(Verdict::Stalled));
        assert_eq!(read(0), Some(Verdict::Stalled));
    }

    #[test]
    fn a_socket_that_takes_no_more_is_stalled_also_when_the_answer_is_made() {
        let (activity, mut judge) = (aged(LONG), Judge::new());
        activity.begin(false, Some(0));
        activity.answer();
        activity.is_blocked();
        activity.end();
        assert_eq!((0..60).find_map(|_| judge.look(&activity, false)), Some(Verdict::Stalled));
    }

    #[test]
    fn what_ends_waits_for_requests_and_not_for_bodies_that_do_not_come() {
        let over = |activity: &Activity| {
            let mut judge = Judge::new();
            (0..100).find(|_| judge.is_over(activity))
        };
        let activity = aged(LONG);
        assert!(over(&activity).is_some_and(|looks| looks < 4), "half a head");
        activity.begin(true, Some(0));
        assert_eq!(over(&activity), None, "a request is worked on");
        activity.is_waiting_for_a_body(true);
        assert!(over(&activity).is_some_and(|looks| looks >= 4), "a body may still come, for a while");
        activity.begin(true, Some(0));
        assert_eq!(over(&activity), None, "another is worked on");
        activity.answer();
        assert!(over(&activity).is_some_and(|looks| looks >= 4), "its answer may still be read, for a while");
    }
}
