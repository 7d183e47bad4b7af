//! Which of a database's addresses is taken: all are tried in time, as some may be silent (RFC 8305).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use crate::storage::connection::Target;
use crate::storage::failure::Failure;
use crate::storage::session::Session;

/// How long a session may take to be opened: a database that sleeps wakes within it.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// What is said of one that takes longer.
pub(crate) const SLOW_CONNECT: &str = "the database did not answer a new connection in time";
/// How long an address may take to accept a connection before the next one of the host is tried beside it: RFC 8305
/// §8, "Connection Attempt Delay".
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
/// How long an address that accepted may stay silent before the next one is tried beside it.
const NEXT_SERVER: Duration = Duration::from_secs(1);

/// As [`connect`], in time.
///
/// # Errors
/// Those of [`connect`].
pub(crate) async fn connect_in_time(target: &Arc<Target>) -> Result<Session, Failure> {
    timeout(CONNECT, connect(target)).await.unwrap_or_else(|_| Err(Failure::Away(SLOW_CONNECT.into())))
}

/// Opens a session at the first address that answers. An address that is silent does not keep the others waiting.
///
/// # Errors
/// [`Failure::Away`] with a text for the log, or what the database said.
pub(crate) async fn connect(target: &Arc<Target>) -> Result<Session, Failure> {
    let (endpoints, failed) = target.endpoints().await;
    let mut failure = Failure::Away(match failed {
        Some(error) => format!("the host of the database cannot be looked up: {error}").into(),
        None => "the host of the database has no address".into(),
    });
    let mut endpoints = endpoints.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut accepted = Arc::new(AtomicBool::new(false));
    let attempt = |endpoint| {
        let accepted = Arc::new(AtomicBool::new(false));
        (Arc::clone(&accepted), Session::open(target, endpoint, accepted))
    };
    loop {
        if attempts.is_empty() {
            let Some(endpoint) = endpoints.next() else { return Err(failure) };
            let (flag, work) = attempt(endpoint);
            accepted = flag;
            attempts.push(work);
        }
        let patience = async {
            sleep(NEXT_ADDRESS).await;
            if accepted.load(Ordering::Relaxed) {
                sleep(NEXT_SERVER).await;
            }
        };
        let has_more = endpoints.len() > 0;
        tokio::select! {
            Some(done) = attempts.next() => match done {
                Ok(session) => return Ok(session),
                // The database itself has spoken: another address would say the same.
                Err(said @ (Failure::Said(_) | Failure::Unfit(_))) if !said.is_starting() => return Err(said),
                Err(other) => failure = other,
            },
            () = patience, if has_more => {}
        }
        if let Some(endpoint) = endpoints.next() {
            let (flag, work) = attempt(endpoint);
            accepted = flag;
            attempts.push(work);
        }
    }
}
