//! A session that many read from at a time: statements go out one behind the other, without waiting for answers, and
//! the answers come back in the same order.
//!
//! That halves what a read costs: statements that come together leave in one packet, and few sessions serve all. The
//! price is that a statement waits for those before it, so only those that are quick and wait for nobody go this way,
//! and a session that makes no progress gets no more of them (`postgres.rs` chooses).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::storage::failure::Failure;
use crate::storage::session::{Session, Way};
use crate::storage::statement::{Reply, Statement};

/// How long the oldest statement may be without an answer.
const LIMIT: Duration = Duration::from_secs(3);
/// The same where the session was not heard of for [`DOUBTFUL`].
const LIMIT_IN_DOUBT: Duration = Duration::from_millis(500);
/// After so long without a word a session may be gone.
pub(crate) const DOUBTFUL: Duration = Duration::from_millis(500);
/// How much is written at a time, in bytes.
const PIECE: usize = 64 << 10;

/// A statement that somebody waits for.
struct Job {
    statement: Arc<Statement>,
    bound: Bytes,
    way: Way,
    answer: oneshot::Sender<Result<Reply, Failure>>,
}

/// What is known of a session from outside.
#[derive(Default)]
struct Load {
    /// How many statements wait for their answers.
    waiting: AtomicUsize,
    /// When it last got on, in milliseconds since its start.
    progress: AtomicU64,
    has_ended: AtomicBool,
    must_end: AtomicBool,
    waker: futures_util::task::AtomicWaker,
}

/// The way to a session that reads.
pub(crate) struct Reader {
    jobs: mpsc::UnboundedSender<Job>,
    load: Arc<Load>,
    start: Instant,
}

impl Reader {
    /// A reader on this session, and the work that keeps it going, to be spawned. The work ends with the session, when
    /// nobody can send any more and everything is answered, or with the failure that ended it.
    pub(crate) fn new(session: Session) -> (Self, Work) {
        let (sender, jobs) = mpsc::unbounded_channel();
        let load = Arc::new(Load::default());
        let start = Instant::now();
        let work = Work {
            session: Some(session),
            jobs,
            sent: VecDeque::new(),
            out: BytesMut::new(),
            deadline: start,
            timer: Box::pin(sleep_until(start)),
            is_armed: false,
            is_full: false,
            load: Arc::clone(&load),
            start,
        };
        (Self { jobs: sender, load, start }, work)
    }

    /// How many statements wait for their answers.
    pub(crate) fn waiting(&self) -> usize {
        self.load.waiting.load(Ordering::Relaxed)
    }

    /// For how long it has not got on: while nothing waits, since when it rests.
    pub(crate) fn still(&self) -> Duration {
        let progress = Duration::from_millis(self.load.progress.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(progress)
    }

    /// How old its session is, at least.
    pub(crate) fn age(&self) -> Duration {
        self.start.elapsed()
    }

    /// Whether it takes no more.
    pub(crate) fn has_ended(&self) -> bool {
        self.load.has_ended.load(Ordering::Relaxed)
    }

    /// Lets everything that waits fail.
    pub(crate) fn end(&self) {
        self.load.must_end.store(true, Ordering::Relaxed);
        self.load.waker.wake();
    }

    /// Runs a statement behind those that wait already.
    pub(crate) async fn run(&self, statement: &Arc<Statement>, bound: &Bytes) -> Result<Reply, Failure> {
        let (answer, answered) = oneshot::channel();
        let job = Job { statement: Arc::clone(statement), bound: bound.clone(), way: Way::Named, answer };
        if self.load.waiting.fetch_add(1, Ordering::Relaxed) == 0 {
            // Until it is sent, it rested.
            self.load.progress.store(millis(self.start), Ordering::Relaxed);
        }
        if self.jobs.send(job).is_err() {
            return Err(ended());
        }
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> Failure {
    Failure::Lost(std::io::ErrorKind::NotConnected)
}

fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What keeps a reader going.
pub(crate) struct Work {
    session: Option<Session>,
    jobs: mpsc::UnboundedReceiver<Job>,
    /// What waits for its answer, in the order in which it was sent.
    sent: VecDeque<Job>,
    out: BytesMut,
    /// When the oldest must be answered.
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer goes off before the deadline is over.
    /// Whether more would have been taken to be sent.
    is_full: bool,
    is_armed: bool,
    load: Arc<Load>,
    start: Instant,
}

impl Future for Work {
    type Output = (Session, Result<(), Failure>);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(mut session) = this.session.take() else { return Poll::Pending };
        this.load.waker.register(context.waker());
        match this.go_on(&mut session, context) {
            Poll::Pending => {
                this.session = Some(session);
                Poll::Pending
            }
            Poll::Ready(outcome) => {
                this.load.has_ended.store(true, Ordering::Relaxed);
                this.jobs.close();
                if let Err(failure) = &outcome {
                    while let Ok(job) = this.jobs.try_recv() {
                        this.sent.push_back(job);
                    }
                    for job in this.sent.drain(..) {
                        let _ = job.answer.send(Err(failure.clone()));
                    }
                }
                Poll::Ready((session, outcome))
            }
        }
    }
}

impl Work {
    /// Sends and receives what is possible now.
    fn go_on(&mut self, session: &mut Session, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.load.must_end.load(Ordering::Relaxed) {
            return Poll::Ready(Err(Failure::Stopping));
        }
        loop {
            let can_come = self.take(session, context)?;
            if let Poll::Ready(Err(failure)) = session.poll_send(context, &mut self.out) {
                return Poll::Ready(Err(failure));
            }
            if self.is_full && self.out.is_empty() {
                // What came meanwhile; else the session says when there is place for it.
                context.waker().wake_by_ref();
            }
            if !can_come && self.sent.is_empty() {
                return Poll::Ready(Ok(()));
            }
            match session.poll_receive(context) {
                Poll::Ready(answer) => self.deliver(session, answer?)?,
                Poll::Pending => break,
            }
            while let Poll::Ready(answer) = session.poll_receive(context) {
                self.deliver(session, answer?)?;
            }
            self.load.progress.store(millis(self.start), Ordering::Relaxed);
            self.deadline = Instant::now() + LIMIT;
        }
        if self.sent.is_empty() { Poll::Pending } else { self.watch(context) }
    }

    /// Takes what came, as far as there is place; whether more can come.
    fn take(&mut self, session: &mut Session, context: &mut Context<'_>) -> Result<bool, Failure> {
        self.is_full = false;
        while self.out.len() < PIECE {
            match self.jobs.poll_recv(context) {
                Poll::Ready(Some(job)) if job.answer.is_closed() => {
                    self.load.waiting.fetch_sub(1, Ordering::Relaxed);
                }
                Poll::Ready(Some(job)) => self.send(session, job)?,
                Poll::Ready(None) => return Ok(false),
                Poll::Pending => return Ok(true),
            }
        }
        // It is written first; what comes meanwhile waits.
        self.is_full = true;
        Ok(true)
    }

    fn send(&mut self, session: &mut Session, job: Job) -> Result<(), Failure> {
        if self.sent.is_empty() {
            let limit = if session.heard.elapsed() > DOUBTFUL { LIMIT_IN_DOUBT } else { LIMIT };
            self.deadline = Instant::now() + limit;
            self.is_armed &= self.timer.deadline() <= self.deadline;
        }
        session.write(&job.statement, &job.bound, job.way, &mut self.out)?;
        self.sent.push_back(job);
        Ok(())
    }

    fn deliver(&mut self, session: &mut Session, answer: crate::storage::session::Answer) -> Result<(), Failure> {
        let Some(mut job) = self.sent.pop_front() else {
            return Err(Failure::Lost(std::io::ErrorKind::InvalidData));
        };
        match session.judge(&job.statement, job.way, answer) {
            Ok(reply) => {
                self.load.waiting.fetch_sub(1, Ordering::Relaxed);
                let _ = job.answer.send(reply);
                Ok(())
            }
            Err(way) => {
                job.way = way;
                self.send(session, job)
            }
        }
    }

    /// Sees to it that the oldest statement is answered in time.
    fn watch(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            if !self.is_armed {
                self.timer.as_mut().reset(self.deadline);
                self.is_armed = true;
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= self.deadline {
                return Poll::Ready(Err(Failure::Silent));
            }
            self.is_armed = false;
        }
    }
}
