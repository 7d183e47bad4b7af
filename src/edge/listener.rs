//! Connections come in here: accepted, counted, and ended in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use poem::{Endpoint, Response};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::edge::connection;
use crate::edge::request::Edge;

/// How long no connection is accepted after one could not be: without a pause, a process that has no descriptors left
/// spends its time on being told so.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is said that a connection could not be accepted, or that all are taken.
const SILENCE: Duration = Duration::from_mins(1);

/// How many descriptors are kept for everything but clients and the database.
const OTHERS: usize = 64;

/// How many connections there may be: as many as are wanted, unless the process may not open so many files beside those of
/// the database. What it may at most is what it asks for.
pub(crate) fn places(wanted: usize, of_the_database: usize) -> usize {
    let files = descriptors().unwrap_or(usize::MAX);
    let places = wanted.min(files.saturating_sub(OTHERS + of_the_database)).max(1);
    if places < wanted {
        tracing::warn!(places, files, "fewer connections than MAX_CONNECTIONS: the process may not open more files");
    }
    places
}

/// How many files the process may open.
#[cfg(unix)]
fn descriptors() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    usize::try_from(current?).ok()
}

#[cfg(not(unix))]
fn descriptors() -> Option<usize> {
    None
}

/// The places of connections.
struct Places {
    free: Arc<Semaphore>,
    /// How many wait for one.
    wanted: AtomicUsize,
}

/// Serves at most so many connections at a time, until `stop` is done; then requests that run have `grace` to end.
pub(crate) async fn serve<E: Endpoint<Output = Response> + 'static>(
    listeners: Vec<TcpListener>,
    edge: Edge<E>,
    most: usize,
    stop: impl Future<Output = ()>,
    grace: Duration,
) {
    let (edge, (stopping, stops)) = (Arc::new(edge), watch::channel(()));
    let places = Arc::new(Places { free: Arc::new(Semaphore::new(most)), wanted: AtomicUsize::new(0) });
    let accepting = join_all(listeners.into_iter().map(|listener| accept(listener, &edge, &places, &stops)));
    tokio::select! {
        _ = accepting => {}
        () = stop => {}
    }
    // The listeners are closed: who comes now goes to another server.
    drop(stops);
    stopping.send_replace(());
    let open = stopping.receiver_count();
    if open > 0 {
        tracing::info!(connections = open, "ends: what runs goes on, and nothing new begins");
    }
    if timeout(grace, stopping.closed()).await.is_err() {
        tracing::warn!(
            connections = stopping.receiver_count(),
            "SHUTDOWN_GRACE_SECONDS are over: what runs is cut off"
        );
    }
}

async fn accept<E: Endpoint<Output = Response> + 'static>(
    listener: TcpListener,
    edge: &Arc<Edge<E>>,
    places: &Arc<Places>,
    stops: &watch::Receiver<()>,
) {
    let builder = Arc::new(connection::builder());
    let local = listener.local_addr().ok();
    let (mut refused, mut full) = (Notice::default(), Notice::default());
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                edge.metrics().not_accepted();
                // A client that went before its turn is no reason to wait.
                if !is_of_the_client(&error) {
                    if refused.is_due() {
                        tracing::warn!(%error, "no connection can be accepted for now");
                    }
                    sleep(PAUSE).await;
                }
                continue;
            }
        };
        // One that is accepted waits for a place, and those behind it in the system's queue.
        let place = if let Ok(place) = Arc::clone(&places.free).try_acquire_owned() {
            place
        } else {
            if full.is_due() {
                tracing::warn!(
                    "every connection is taken (MAX_CONNECTIONS, or the descriptors of the process): others wait"
                );
            }
            places.wanted.fetch_add(1, Relaxed);
            let place = Arc::clone(&places.free).acquire_owned().await;
            places.wanted.fetch_sub(1, Relaxed);
            let Ok(place) = place else { return };
            place
        };
        let (builder, edge, stops, places) =
            (Arc::clone(&builder), Arc::clone(edge), stops.clone(), Arc::clone(places));
        let addresses = [local.unwrap_or(remote), remote];
        tokio::spawn(async move {
            let is_full = || places.wanted.load(Relaxed) > 0;
            connection::serve(&builder, (stream, addresses), edge, stops, is_full, place).await;
        });
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Something that is said once in a while.
#[derive(Default)]
struct Notice(Option<std::time::Instant>);

impl Notice {
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|said| said.elapsed() > SILENCE);
        if is_due {
            self.0 = Some(std::time::Instant::now());
        }
        is_due
    }
}
