//! The key set that an issuer publishes at `JWKS_URL`: fetched, kept, and fetched again when it is due.
//!
//! Requests are served from the kept set; only these wait for the issuer, and then all for the same fetch:
//!
//! | the kept set | a request |
//! | --- | --- |
//! | is younger than [`Pace::refresh`] | is served |
//! | is older | is served, and a fetch begins behind its back |
//! | is older than [`Pace::idle`], and none was tried for so long | waits for a fetch, and is served whatever becomes of it |
//! | is older than [`Pace::stale`], or there is none | waits for a fetch, and is 503 when it fails |
//! | has no key that verifies the token | waits for the fetch under way, or for a new one as long as [`Pace::budget`] lasts |
//!
//! An issuer that fails changes nothing of this; one that answers a set without a usable key has withdrawn its keys, and
//! then there is none. Nothing is fetched while no requests come, nothing twice at a time, and nothing a token says is ever fetched.

use std::error::Error as _;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::{Certificate, Client, Url, redirect};
use tokio::task::AbortHandle;

use crate::identity::key::{Keys, SetError, Skipped};

/// The longest answer that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// For how many keys of a set the log says why they are left out.
const MAX_REASONS: usize = 10;

/// When a key set is fetched again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// The age at which it is fetched anew.
    pub refresh: Duration,
    /// The least time between two fetches once there is a set and the last failed.
    pub retry: Duration,
    /// How many fetches there may be at once for tokens that no key verifies: a key may be new, and anybody can name one
    /// that never was.
    pub budget: u32,
    /// After how long one more of them may be.
    pub refill: Duration,
    /// The least time between two fetches while there is none.
    pub first: Duration,
    /// The age from which it is not used unseen: whoever asks first waits for a new one.
    pub idle: Duration,
    /// The age at which it is no longer used, whatever became of the issuer.
    pub stale: Duration,
    /// How long a fetch may take, and so a request may wait for it.
    pub timeout: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            refresh: Duration::from_mins(5),
            retry: Duration::from_secs(30),
            budget: 5,
            refill: Duration::from_secs(30),
            first: Duration::from_secs(2),
            idle: Duration::from_hours(1),
            stale: Duration::from_hours(24),
            timeout: Duration::from_secs(5),
        }
    }
}

/// What there is of a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySetFigures {
    /// How many keys verify tokens.
    pub keys: usize,
    /// How long ago they were fetched.
    pub age: Duration,
    /// How many fetches went well.
    pub fetched: u64,
    /// How many did not.
    pub failed: u64,
}

/// An issuer's key set.
pub(crate) struct KeySet {
    client: Client,
    url: Url,
    pace: Pace,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    /// When the last fetch began.
    begun: Option<Instant>,
    has_failed: bool,
    /// How many fetches went well, and how many did not.
    fetched: u64,
    failed: u64,
    /// The last fetch, done or still under way.
    fetch: Option<(AbortHandle, Flight)>,
    spent: Spent,
}

/// What is spent of [`Pace::budget`]: fetches for tokens that no key verifies.
#[derive(Default)]
struct Spent {
    fetches: u32,
    /// When one of them was last given back, or the first was spent.
    since: Option<Instant>,
}

impl Spent {
    /// Spends one fetch at this time, if there is one.
    fn spend(&mut self, pace: &Pace, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let refill = pace.refill.max(Duration::from_nanos(1)).as_nanos();
        let back = now.saturating_duration_since(since).as_nanos() / refill;
        let back = u32::try_from(back).unwrap_or(u32::MAX);
        if back >= self.fetches {
            *self = Self { fetches: 0, since: Some(now) };
        } else {
            self.fetches -= back;
            self.since = Some(since + pace.refill * back);
        }
        let has_some = self.fetches < pace.budget;
        self.fetches += u32::from(has_some);
        has_some
    }
}

/// The end of a fetch, which any number of requests can wait for.
type Flight = Shared<BoxFuture<'static, ()>>;

struct Kept {
    keys: Arc<Keys>,
    fetched: Instant,
    /// What it was read from: an answer that is the same need not be read again.
    text: Vec<u8>,
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{}", chain(.0))]
    Http(#[from] reqwest::Error),
    #[error("the issuer sends on to another address, which is not followed: it answered {0}")]
    Redirect(u16),
    #[error("the issuer answered {0}, where 200 is expected")]
    Status(u16),
    #[error("the issuer's answer is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the issuer's answer is no key set: {0}")]
    Set(#[from] SetError),
    #[error("the issuer publishes no key that can verify tokens: until it does, no token is taken")]
    NoKeys,
}

/// The texts of an error and of its causes, without the address.
fn chain(error: &reqwest::Error) -> String {
    let mut text =
        String::from(if error.is_connect() { "the issuer cannot be reached" } else { "the issuer's answer broke off" });
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    if error.is_timeout() { "the issuer took too long to answer".to_owned() } else { text }
}

/// Whether this address is of this machine, so that nothing on the way to it can be changed.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost",
    }
}

impl KeySet {
    /// The key set at this address, not fetched yet.
    ///
    /// # Errors
    /// When the system's cryptography or certificates cannot be used.
    pub(crate) fn new(url: Url, pace: Pace) -> Result<Arc<Self>, reqwest::Error> {
        let client = Client::builder()
            .user_agent(concat!("tasks-server/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(pace.timeout)
            .pool_max_idle_per_host(0);
        let is_loopback = is_loopback(&url);
        let client = if url.scheme() == "https" {
            // The system's certificates, for issuers of one's own; the web's, for images that have none.
            let web = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
            let web = web.iter().map(|root| Certificate::from_der(root)).collect::<Result<Vec<_>, _>>()?;
            client.tls_certs_merge(web)
        } else if is_loopback {
            // Where no proxy is wanted and no certificate needed.
            client.no_proxy().tls_certs_only([])
        } else {
            client.tls_certs_only([])
        };
        Ok(Arc::new(Self { client: client.build()?, url, pace, state: Mutex::default() }))
    }

    /// Begins the first fetch, so that the first request need not wait for it.
    pub(crate) fn prefetch(self: &Arc<Self>) {
        drop(self.fetch(|_| true));
    }

    /// The set, fetched as the module's table says; `None` when there is none.
    pub(crate) async fn keys(self: &Arc<Self>) -> Option<Arc<Keys>> {
        if let Some(keys) = self.kept(self.pace.refresh) {
            return Some(keys);
        }
        // While the issuer fails, nobody waits for it as long as there is something to serve from.
        let patience = if self.is_failing() { self.pace.stale } else { self.pace.idle.min(self.pace.stale) };
        if let Some(keys) = self.kept(patience) {
            drop(self.fetch(Self::after(self.pace.retry)));
            return Some(keys);
        }
        let spacing = if self.kept(self.pace.stale).is_some() { self.pace.retry } else { self.pace.first };
        if let Some(flight) = self.fetch(Self::after(spacing)) {
            flight.await;
        }
        self.kept(self.pace.stale)
    }

    /// A newer set than this one, in which no key verifies a token: its key may have been published since.
    pub(crate) async fn newer_than(self: &Arc<Self>, known: &Arc<Keys>) -> Option<Arc<Keys>> {
        if let Some(flight) = self.fetch(|state| state.spent.spend(&self.pace, Instant::now())) {
            flight.await;
        }
        self.kept(self.pace.stale).filter(|kept| !Arc::ptr_eq(kept, known))
    }

    /// What there is of it.
    pub(crate) fn figures(&self) -> KeySetFigures {
        let state = self.state();
        let kept = state.kept.as_ref();
        KeySetFigures {
            keys: kept.map_or(0, |kept| kept.keys.len()),
            age: kept.map(|kept| kept.fetched.elapsed()).unwrap_or_default(),
            fetched: state.fetched,
            failed: state.failed,
        }
    }

    /// Whether the last fetch failed, not too long ago.
    fn is_failing(&self) -> bool {
        let state = self.state();
        state.has_failed && state.begun.is_some_and(|begun| begun.elapsed() <= self.pace.idle)
    }

    /// The kept set, if it is no older than this.
    fn kept(&self, age: Duration) -> Option<Arc<Keys>> {
        let state = self.state();
        state.kept.as_ref().filter(|kept| kept.fetched.elapsed() <= age).map(|kept| Arc::clone(&kept.keys))
    }

    /// Whether the last fetch began so long ago.
    fn after(spacing: Duration) -> impl FnOnce(&mut State) -> bool {
        move |state| state.begun.is_none_or(|begun| begun.elapsed() >= spacing)
    }

    /// The fetch that is under way, or a new one if there may be one.
    fn fetch(self: &Arc<Self>, may: impl FnOnce(&mut State) -> bool) -> Option<Flight> {
        let mut state = self.state();
        let last = state.fetch.as_ref();
        if let Some((_, flight)) = last.filter(|(task, _)| !task.is_finished()) {
            return Some(flight.clone());
        }
        if !may(&mut state) {
            return None;
        }
        state.begun = Some(Instant::now());
        // A task of its own: a request that is given up does not take it along.
        let set = Arc::clone(self);
        let task = tokio::spawn(async move {
            let outcome = set.download().await;
            set.keep(outcome);
        });
        let handle = task.abort_handle();
        let flight = task.map(drop).boxed().shared();
        state.fetch = Some((handle, flight.clone()));
        Some(flight)
    }

    /// The text of the set, from the issuer.
    async fn download(&self) -> Result<Vec<u8>, FetchError> {
        let mut answer = self.client.get(self.url.clone()).send().await?;
        if answer.status().is_redirection() {
            return Err(FetchError::Redirect(answer.status().as_u16()));
        }
        if answer.status() != 200 {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if text.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooLong);
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }

    /// Keeps what a fetch brought. A failure leaves what is kept.
    fn keep(&self, outcome: Result<Vec<u8>, FetchError>) {
        let read = outcome.and_then(|text| self.read(text));
        let mut state = self.state();
        state.has_failed = read.is_err();
        *(if read.is_ok() { &mut state.fetched } else { &mut state.failed }) += 1;
        drop(state);
        if let Err(error) = read {
            tracing::warn!(%error, "the key set cannot be used (JWKS_URL)");
        }
    }

    fn read(&self, text: Vec<u8>) -> Result<(), FetchError> {
        if let Some(kept) = self.state().kept.as_mut().filter(|kept| kept.text == text) {
            kept.fetched = Instant::now();
            return Ok(());
        }
        let (keys, skipped) = Keys::parse(&text)?;
        for Skipped { index, reason } in skipped.iter().take(MAX_REASONS) {
            tracing::warn!(key = index, reason, "a key of the key set is left out");
        }
        if let Some(more) = skipped.len().checked_sub(MAX_REASONS).filter(|more| *more > 0) {
            tracing::warn!(more, "more keys of the key set are left out");
        }
        let count = keys.len();
        let kept = Kept { keys: Arc::new(keys), fetched: Instant::now(), text };
        self.state().kept = (count > 0).then_some(kept);
        if count == 0 {
            return Err(FetchError::NoKeys);
        }
        tracing::info!(keys = count, "the key set is fetched");
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
