//! Sessions with PostgreSQL: when they are opened, who gets them, and what happens when they fail.
//!
//! Quick reads share few sessions ([`Reader`]), the one with the fewest statements under way first, and none that does
//! not get on. Whatever may wait (writes, for rows that others hold; transactions; counts) has a session for itself,
//! which rests in between. A user has only a part of the sessions at a time, so that writes which wait for one row leave
//! the others to others; and while reads come, one session is theirs.
//!
//! Sessions are opened in the background, by as many as wait, and go to who waits the longest. A session that was lost
//! makes all that are older doubtful: they are closed, and the statement runs on a new one where it may. A statement
//! that is given up is cancelled, and its session closed. Nothing here runs while nothing is asked, but for the clock
//! that closes what has rested for a minute.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::storage::connection::Target;
use crate::storage::failure::{Failure, Remedy};
use crate::storage::figures::Sessions;
pub(crate) use crate::storage::postgres::state::Pool;
use crate::storage::postgres::state::{Inner, Lease, Live, Outcome, Share, State, give_up};
use crate::storage::race::{CONNECT, SLOW_CONNECT, connect_in_time};
use crate::storage::reader::{DOUBTFUL, Reader};
use crate::storage::session::{CANCEL, OUTCOME};
use crate::storage::snapshot::Snapshot;
use crate::storage::statement::{Reply, Statement, Value};
use crate::storage::transaction::{Attempt, Transaction};

mod state;
mod supply;

/// How long a session that others have is waited for, together with the statement that it is wanted for.
pub(crate) const PATIENCE: Duration = Duration::from_millis(3500);
/// How long a statement on a session of its own may take, when it needs not wait for the session.
pub(crate) const STATEMENT: Duration = Duration::from_secs(3);
/// What it has at least, however long it waited.
const LEAST: Duration = Duration::from_millis(300);
/// The same for what reads much.
pub(crate) const SLOW: Duration = Duration::from_secs(10);
/// How long a session that may be gone is waited for.
const PING: Duration = Duration::from_millis(500);
/// A reader that has not got on for so long gets no more statements.
const STALLED: Duration = Duration::from_millis(20);
/// So many statements under way make another reader worth it.
const BUSY: usize = 4;
/// A session that is younger leads to where the database's name leads now.
const FAILOVER: Duration = Duration::from_secs(1);
/// In whose name reads run that had no answer on a shared session. No user has this id.
const SILENT: &str = "\0";
/// How often something is tried.
const TRIES: usize = 5;

impl Pool {
    /// An empty pool of at most `max` sessions.
    pub(crate) fn new(target: Arc<Target>, max: usize) -> Self {
        let now = Instant::now();
        let state = State {
            open: 0,
            opening: 0,
            leased: 0,
            ceiling: None,
            generation: 0,
            resting: Vec::new(),
            closing: Vec::new(),
            readers: Vec::new(),
            retired: Vec::new(),
            is_growing: false,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            away: None,
            is_probing: false,
            is_turn_of_writes: false,
            demand: now,
            is_sweeping: false,
            is_stopping: false,
        };
        Self(Arc::new(Inner {
            target,
            max,
            max_readers: (max / 3).clamp(1, 4),
            share: (max / 4).max(1),
            state: Mutex::new(state),
            growing: AsyncMutex::new(()),
            users: Mutex::default(),
            hasher: RandomState::new(),
            outcome: AtomicU8::new(Outcome::Unknown as u8),
            reached: Notify::new(),
            scout: Semaphore::new(1),
            stopped: Notify::new(),
            has_stopped: AtomicBool::new(false),
            cancelling: AtomicUsize::new(0),
            start: now,
            last_read: AtomicU64::new(0),
        }))
    }

    /// Whether the last statement found the database well.
    pub(crate) fn is_well(&self) -> bool {
        self.0.outcome.load(Ordering::Relaxed) == Outcome::Good as u8
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> Sessions {
        let state = self.0.state();
        let idle = state.resting.len() + state.readers.iter().filter(|(_, reader)| reader.waiting() == 0).count();
        let waiting = state.reads.len() + state.writes.len();
        Sessions { busy: state.open.saturating_sub(idle), idle, max: self.0.max, waiting }
    }

    /// Reads what is quick and waits for nobody.
    ///
    /// # Errors
    /// As all statements: what [`Failure`] says.
    pub(crate) async fn read(&self, statement: &Arc<Statement>, values: &[Value<'_>]) -> Result<Reply, Failure> {
        let bound = statement.bind(statement.name(), values)?;
        let inner = &self.0;
        inner.last_read.store(inner.millis(), Ordering::Relaxed);
        let begun = Instant::now();
        let mut tries = 0;
        let result = loop {
            tries += 1;
            if inner.has_stopped.load(Ordering::Relaxed) {
                break Err(Failure::Stopping);
            }
            let (generation, reader) = match self.reader(begun).await {
                Ok(found) => found,
                Err(failure) => break Err(failure),
            };
            match reader.run(statement, &bound).await {
                // Where it is slow and not silent, it is so again.
                Err(Failure::Silent) => return Box::pin(self.slowly(SILENT, statement, &bound)).await,
                Err(failure) if tries < TRIES && matches!(failure.remedy(), Remedy::Again | Remedy::Perhaps) => {
                    if inner.has_stopped.load(Ordering::Relaxed) {
                        break Err(Failure::Stopping);
                    }
                    inner.forget(generation);
                }
                done => break done,
            }
        };
        inner.note(&result);
        result
    }

    /// Runs for a user what may take long, and may run twice.
    pub(crate) async fn run_slowly(
        &self,
        user: &str,
        statement: &Statement,
        values: &[Value<'_>],
    ) -> Result<Reply, Failure> {
        let bound = statement.bind(statement.name(), values)?;
        self.slowly(user, statement, &bound).await
    }

    async fn slowly(&self, user: &str, statement: &Statement, bound: &Bytes) -> Result<Reply, Failure> {
        let mut begun = Instant::now();
        let _share = self.share(user, &mut begun).await?;
        self.run(statement, bound, SLOW, true, begun).await
    }

    /// Writes for a user. `twice`: whether the statement has the same effect when it had run already, and then fails as
    /// [`Failure::is_duplicate`].
    pub(crate) async fn write(
        &self,
        user: &str,
        statement: &Statement,
        values: &[Value<'_>],
        twice: bool,
    ) -> Result<Reply, Failure> {
        let mut begun = Instant::now();
        let _share = self.share(user, &mut begun).await?;
        let bound = statement.bind(statement.name(), values)?;
        self.run(statement, &bound, STATEMENT, twice, begun).await
    }

    async fn run(
        &self,
        statement: &Statement,
        bound: &Bytes,
        limit: Duration,
        twice: bool,
        begun: Instant,
    ) -> Result<Reply, Failure> {
        let mut tries = 0;
        let result = loop {
            tries += 1;
            let mut lease = match self.lease(begun).await {
                Ok(lease) => lease,
                Err(failure) => break Err(failure),
            };
            let limit = lease.rest_of(limit, begun);
            let failure = match lease.run(limit, statement, bound).await {
                Err(failure) => failure,
                done => break done,
            };
            let again = match failure.remedy() {
                Remedy::Again => true,
                Remedy::Perhaps => twice,
                Remedy::Later | Remedy::None => false,
            };
            if !again || tries == TRIES || begun.elapsed() > PATIENCE {
                break Err(failure);
            }
        };
        self.0.note(&result);
        result
    }

    /// Runs statements that happen all or not at all. When `work` fails, or is given up, nothing has happened.
    ///
    /// `work` is done again where it is certain that nothing has happened: up to the end of a transaction that is so,
    /// whatever was lost.
    pub(crate) async fn transaction<T, E: From<Failure>>(
        &self,
        user: &str,
        work: impl for<'t> Fn(&'t Transaction<'_>) -> BoxFuture<'t, Result<T, E>>,
    ) -> Result<T, E> {
        let mut begun = Instant::now();
        let _share = match self.share(user, &mut begun).await {
            Ok(share) => share,
            Err(failure) => return Err(self.0.noted(failure).into()),
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let mut lease = match self.lease(begun).await {
                Ok(lease) => lease,
                Err(failure) => return Err(self.0.noted(failure).into()),
            };
            let limit = lease.rest_of(STATEMENT, begun);
            let Some(live) = &mut lease.live else { return Err(Failure::Stopping.into()) };
            if tries > 2 {
                live.session.go_unnamed();
            }
            // Until it has ended as it should, nobody else may have the session.
            lease.is_sound = false;
            let Some(live) = &mut lease.live else { return Err(Failure::Stopping.into()) };
            let attempt = tokio::select! {
                attempt = Attempt::on_postgres(&mut live.session, limit, &work) => attempt,
                () = self.0.stop() => return Err(Failure::Stopping.into()),
            };
            match attempt {
                Attempt::Done(done) => {
                    lease.is_sound = true;
                    self.0.note(&Ok::<_, Failure>(()));
                    return Ok(done);
                }
                Attempt::Failed { error, said, is_clean, is_undone } => {
                    lease.is_sound = is_clean && said.as_ref().is_none_or(Failure::leaves_session_sound);
                    let remedy = said.as_ref().map_or(Remedy::None, Failure::remedy);
                    if let Some(said) = &said {
                        lease.doubt(said);
                        self.0.note(&Err::<(), _>(said.clone()));
                    }
                    // What an earlier statement saw to, or found, is gone: whoever begins again sees to it anew.
                    let is_orphan = said.as_ref().is_some_and(Failure::is_orphan);
                    let again = is_undone && (is_orphan || matches!(remedy, Remedy::Again | Remedy::Perhaps));
                    if !again || tries == TRIES || begun.elapsed() > PATIENCE {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The database as it is now, on a session that is not of the pool.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Failure> {
        if self.0.has_stopped.load(Ordering::Relaxed) {
            return Err(Failure::Stopping);
        }
        Snapshot::of_postgres(connect_in_time(&self.0.target).await?).await
    }

    /// Lets nobody begin, and makes what is under way fail.
    pub(crate) fn stop(&self) {
        let inner = &*self.0;
        inner.has_stopped.store(true, Ordering::Relaxed);
        let mut state = inner.state();
        state.is_stopping = true;
        for wanting in std::mem::take(&mut state.reads).into_iter().chain(std::mem::take(&mut state.writes)) {
            let _ = wanting.send(Err(Failure::Stopping));
        }
        let retired: Vec<_> = state.retired.drain(..).filter_map(|reader| reader.upgrade()).collect();
        for reader in state.readers.iter().map(|(_, reader)| reader).chain(&retired) {
            if reader.waiting() > 0 {
                reader.end();
            }
        }
        drop(state);
        inner.stopped.notify_waiters();
    }

    /// Lets nobody begin, waits `grace` for what is under way, and ends the sessions.
    pub(crate) async fn close(&self, grace: Duration) {
        self.0.state().is_stopping = true;
        let begun = Instant::now();
        while begun.elapsed() < grace && self.0.state().is_busy() {
            sleep(Duration::from_millis(10)).await;
        }
        self.stop();
        let resting = {
            let mut state = self.0.state();
            state.readers.clear();
            std::mem::take(&mut state.resting)
        };
        let ends = resting.into_iter().map(|live| live.session.close());
        let _ = timeout(grace, futures_util::future::join_all(ends)).await;
        // What was refused must not happen when nobody is left to cancel it.
        let begun = Instant::now();
        while begun.elapsed() < grace && self.0.cancelling.load(Ordering::Relaxed) > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The right to one of a user's sessions. The time begins anew where it was spent on opening one.
    async fn share(&self, user: &str, begun: &mut Instant) -> Result<Share, Failure> {
        let inner = &self.0;
        let user = inner.hasher.hash_one(user);
        let semaphore = Arc::clone(
            inner
                .users
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(user)
                .or_insert_with(|| Arc::new(Semaphore::new(inner.share))),
        );
        // Made first, so that it clears up behind whoever gives up waiting.
        let mut share = Share { pool: self.clone(), user, permit: None };
        // A share is one of what the database allows, which may be less than the pool would like.
        let most = (inner.ceiling(&inner.state()) / 4).max(1);
        let weight = u32::try_from(inner.share.div_ceil(most)).unwrap_or(u32::MAX);
        let now = Arc::clone(&semaphore).try_acquire_many_owned(weight);
        share.permit = if let Ok(permit) = now {
            Some(permit)
        } else {
            let mut acquire = std::pin::pin!(semaphore.acquire_many_owned(weight));
            let mut acquired = timeout(patience(*begun), &mut acquire).await;
            if acquired.is_err() && inner.state().is_without() {
                // Those before wait for a session to be opened.
                acquired = timeout(rest_of(CONNECT, *begun), acquire).await;
                *begun = Instant::now();
            }
            Some(acquired.ok().and_then(Result::ok).ok_or(Failure::Busy)?)
        };
        Ok(share)
    }

    /// The reader with the fewest statements under way, of those that get on; a new one when there is none.
    async fn reader(&self, begun: Instant) -> Result<(u64, Arc<Reader>), Failure> {
        if let Some(found) = self.choose() {
            return Ok(found);
        }
        Box::pin(async {
            let _alone = self.0.growing.lock().await;
            if let Some(found) = self.choose() {
                return Ok(found);
            }
            let mut lease = self.wait(true, begun).await?;
            Ok(self.add_reader(lease.live.take().ok_or(Failure::Stopping)?))
        })
        .await
    }

    fn choose(&self) -> Option<(u64, Arc<Reader>)> {
        let inner = &self.0;
        let mut state = inner.state();
        let generation = state.generation;
        state.retire(|(of, reader)| *of == generation && !reader.has_ended());
        let gets_on = |reader: &Reader| reader.waiting() == 0 || reader.still() < STALLED;
        let least = |(_, reader): &&(u64, Arc<Reader>)| reader.waiting();
        let best = state.readers.iter().filter(|(_, reader)| gets_on(reader)).min_by_key(least).cloned();
        // Twice as many as usual where some do not get on, but never all.
        let most = (inner.max_readers * 2).min(inner.ceiling(&state).saturating_sub(1).max(1));
        let can_open = (inner.can_open(&state) || !state.resting.is_empty()) && state.readers.len() < most;
        let Some((generation, best)) = best else {
            // None gets on. Where there is no place for another, they are better than nothing.
            return if can_open { None } else { state.readers.iter().min_by_key(least).cloned() };
        };
        if best.waiting() >= BUSY && state.readers.len() < inner.max_readers && can_open && !state.is_growing {
            state.is_growing = true;
            let pool = self.clone();
            tokio::spawn(async move {
                if let Ok(mut lease) = pool.wait(true, Instant::now()).await
                    && let Some(live) = lease.live.take()
                {
                    pool.add_reader(live);
                }
                pool.0.state().is_growing = false;
            });
        }
        Some((generation, best))
    }

    fn add_reader(&self, live: Live) -> (u64, Arc<Reader>) {
        let Live { session, generation, _count: count } = live;
        let (reader, work) = Reader::new(session);
        let reader = Arc::new(reader);
        let inner = Arc::clone(&self.0);
        let mut state = inner.state();
        state.readers.push((generation, Arc::clone(&reader)));
        // Who wants it for a write could not take it on its way here.
        inner.serve(&mut state);
        drop(state);
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let (session, outcome) = work.await;
            let is_at_rest = session.is_at_rest();
            match outcome {
                Ok(()) if is_at_rest => {
                    inner.put(&mut inner.state(), Live { session, generation, _count: count });
                }
                Err(failure) => {
                    if !matches!(failure, Failure::Stopping) {
                        inner.forget(generation);
                    }
                    // All that was under way was given up.
                    give_up(session, count).await;
                }
                Ok(()) => drop(count),
            }
        });
        (generation, reader)
    }

    /// A session for oneself.
    async fn lease(&self, begun: Instant) -> Result<Lease, Failure> {
        loop {
            let mut lease = self.wait(false, begun).await?;
            let Some(live) = &mut lease.live else { return Err(Failure::Stopping) };
            let generation = live.generation;
            if live.session.heard.elapsed() < DOUBTFUL || Box::pin(live.session.ping(PING)).await {
                return Ok(lease);
            }
            lease.is_sound = false;
            self.0.forget(generation);
        }
    }

    /// Waits for a session: to read from, or to have.
    async fn wait(&self, is_read: bool, begun: Instant) -> Result<Lease, Failure> {
        let (sender, mut receiver) = oneshot::channel();
        {
            let mut state = self.0.state();
            if state.is_stopping {
                return Err(Failure::Stopping);
            }
            state.demand = Instant::now();
            if state.is_without()
                && let Some(away) = &state.away
                && !away.is_news()
            {
                let cause = away.cause.clone();
                self.0.probe(&mut state);
                return Err(cause);
            }
            if is_read { &mut state.reads } else { &mut state.writes }.push_back(sender);
            self.0.serve(&mut state);
        }
        let closed = |_| Failure::Stopping;
        if let Ok(gift) = timeout(patience(begun), &mut receiver).await {
            return gift.map_err(closed)?;
        }
        // What is being opened may take longer than what others use.
        if !self.0.state().is_without() {
            return Err(Failure::Busy);
        }
        match timeout(CONNECT.saturating_sub(begun.elapsed()), receiver).await {
            Ok(gift) => gift.map_err(closed)?,
            Err(_) => Err(Failure::Away(SLOW_CONNECT.into())),
        }
    }
}

/// What is left of the patience.
fn patience(begun: Instant) -> Duration {
    PATIENCE.saturating_sub(begun.elapsed())
}

/// What is left of a limit after waiting for what others use.
fn rest_of(limit: Duration, begun: Instant) -> Duration {
    limit.saturating_sub(begun.elapsed().saturating_sub(LEAST)).max(LEAST)
}

impl Lease {
    /// What is left of a limit: all of it where the time was spent on opening a session.
    fn rest_of(&self, limit: Duration, begun: Instant) -> Duration {
        let is_new = self.live.as_ref().is_some_and(|live| live.session.born > begun);
        if is_new && begun.elapsed() > PATIENCE { limit } else { rest_of(limit, begun) }
    }

    /// Runs a statement, and gives it up after so long.
    async fn run(&mut self, limit: Duration, statement: &Statement, bound: &Bytes) -> Result<Reply, Failure> {
        let pool = self.pool.clone();
        let Some(live) = &mut self.live else { return Err(Failure::Stopping) };
        let session = &mut live.session;
        let done = tokio::select! {
            done = timeout(limit, session.run(statement, bound)) => done,
            () = pool.0.stop() => return Err(Failure::Stopping),
        };
        let result = if let Ok(done) = done {
            done
        } else {
            self.is_sound = false;
            Box::pin(async {
                session.cancel().send(CANCEL).await;
                timeout(OUTCOME, session.outcome()).await.unwrap_or(Err(Failure::Silent))
            })
            .await
        };
        if let Err(failure) = &result {
            self.is_sound &= failure.leaves_session_sound();
            self.doubt(failure);
        }
        result
    }

    /// Doubts the other sessions too, when this one was lost.
    fn doubt(&self, failure: &Failure) {
        let is_loss = match failure {
            Failure::Lost(_) | Failure::Silent => true,
            Failure::Said(said) if said.code == "25006" => {
                // After a failover, the name leads to another server: once, and not with each write that comes meanwhile.
                self.live.as_ref().is_some_and(|live| live.session.born.elapsed() > FAILOVER)
            }
            Failure::Said(said) => said.is_fatal,
            _ => false,
        };
        if is_loss && let Some(live) = &self.live {
            self.pool.0.forget(live.generation);
        }
    }
}

impl fmt::Debug for Pool {
    /// Without the target: it holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("max", &self.0.max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::io::copy_bidirectional;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::cluster::{Cluster, Place, free_port, programs};
    use crate::pgbouncer::{PgBouncer, UNAWARE};
    use crate::storage::address::Address;
    use crate::storage::postgres::state::NEWS;
    use crate::storage::settings::DatabaseTls;
    use crate::storage::statement::Kind;

    fn pool(url: &str) -> Pool {
        let address = Address::parse("DATABASE_URL", url, DatabaseTls::Verified, &|_: &str| None).unwrap();
        Pool::new(Arc::new(Target::new(address).unwrap()), 4)
    }

    /// What a process runs, by names that are made of the texts, or that it has counted in the order of first use.
    fn statements(names: Option<[&str; 2]>) -> [Arc<Statement>; 2] {
        let texts = ["SELECT id FROM numbers WHERE id = $1", "DELETE FROM numbers WHERE id = $1"];
        let made = texts.map(|text| Statement::new(text, &[Kind::Int]));
        match names {
            None => made.map(Arc::new),
            Some([read, delete]) => {
                let [a, b] = made;
                [a.renamed(read), b.renamed(delete)].map(Arc::new)
            }
        }
    }

    /// How many numbers that nobody deletes are left, and how many reads of them answered something else, after two
    /// processes read them beside deletions of others, behind a pooler that knows nothing of prepared statements.
    async fn left(pooler: &PgBouncer, direct: &Pool, names: Option<[[&str; 2]; 2]>) -> (i64, usize) {
        const KEPT: i64 = 50;
        const DOOMED: i64 = 400;
        let fill = "INSERT INTO numbers SELECT generate_series(1, $1) ON CONFLICT DO NOTHING";
        direct.write("", &Statement::new(fill, &[Kind::Int]), &[Value::Int(KEPT + DOOMED)], true).await.unwrap();
        let work = (0..2).map(|process| {
            let pool = pool(&pooler.url("postgres"));
            let [read, delete] = statements(names.map(|names| names[process]));
            async move {
                let process = i64::try_from(process).unwrap();
                let mut wrong = 0;
                for n in 0..DOOMED / 2 {
                    let doomed = KEPT + 1 + n * 2 + process;
                    let user = doomed.to_string();
                    let ids = [n % KEPT + 1, (n + 7) % KEPT + 1];
                    let [first, second, doomed] = [[ids[0]], [ids[1]], [doomed]].map(|[id]| [Value::Int(id)]);
                    let (one, other, _) = tokio::join!(
                        pool.read(&read, &first),
                        pool.read(&read, &second),
                        pool.write(&user, &delete, &doomed, false),
                    );
                    for (id, reply) in ids.iter().zip([one, other]) {
                        let found = reply.ok().and_then(|reply| reply.one(|row| row.columns().int()).ok().flatten());
                        wrong += usize::from(found != Some(*id));
                    }
                }
                wrong
            }
        });
        let wrong = join_all(work).await.into_iter().sum();
        let count = Statement::new("SELECT count(*) FROM numbers WHERE id <= $1", &[Kind::Int]);
        let reply = direct.read(&Arc::new(count), &[Value::Int(KEPT)]).await.unwrap();
        (reply.one(|row| row.columns().int()).unwrap().unwrap(), wrong)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_names_that_are_made_of_the_texts_are_safe_behind_every_pooler() {
        let Some(programs) = programs() else { return };
        let cluster = Cluster::start(&programs, Place::Loopback, &[]);
        let Some(pooler) = PgBouncer::start(UNAWARE.lenient(), &cluster) else { return };
        let direct = pool(&cluster.url("postgres"));
        direct
            .write("", &Statement::new("CREATE TABLE numbers (id bigint PRIMARY KEY)", &[]), &[], false)
            .await
            .unwrap();
        assert_eq!(left(&pooler, &direct, None).await, (50, 0));
        // What drivers do that count: of two processes, each has its own first statement.
        let (left, wrong) = left(&pooler, &direct, Some([["s0", "s1"], ["s1", "s0"]])).await;
        assert!(left < 50 && wrong > 0, "{left} left, {wrong} wrong: the test would not see a name that is shared");
    }

    /// A port that leads nowhere, and later to the cluster.
    async fn lead(port: u16, to: u16) {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_heard_of_an_outage_long_ago_refuses_nobody() {
        let Some(programs) = programs() else { return };
        let cluster = Cluster::start(&programs, Place::Loopback, &[]);
        let port = free_port();
        let pool = pool(&format!("postgresql://tasks@127.0.0.1:{port}/postgres?sslmode=disable"));
        let read = Arc::new(Statement::new("SELECT 1", &[]));
        // Whoever met the outage left while it was news, and nobody has asked since.
        assert!(timeout(NEWS / 4, pool.read(&read, &[])).await.is_err());
        sleep(Duration::from_secs(4)).await;
        lead(port, cluster.port()).await;
        assert!(pool.read(&read, &[]).await.is_ok());
    }
}
