//! What happens, in numbers: Prometheus reads them on a listener of their own, which the world does not reach.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tasks_api::Route;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::edge::activity::Verdict;
use crate::edge::log;
use crate::edge::receiving::MOST;
use crate::identity::key_set::KeySetFigures;
use crate::storage::figures::Sessions;

/// The upper ends of the histogram's buckets, in seconds.
const BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0];

/// How many readers there are at a time, and how long each may take.
const READERS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);

/// What happened since the start. Where nobody reads it, requests are not counted.
pub(crate) struct Metrics {
    is_read: bool,
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    connections: Gauge,
    closed: Family<Closed, Counter>,
    not_accepted: Counter,
    errors: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    operation: Operation,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    operation: Operation,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    reason: &'static str,
}

/// The id of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Operation(Arc<str>);

impl EncodeLabelValue for Operation {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        (&*self.0).encode(encoder)
    }
}

impl Metrics {
    pub(crate) fn new(is_read: bool) -> Self {
        Self {
            is_read,
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            closed: Family::default(),
            not_accepted: Counter::default(),
            errors: Counter::default(),
        }
    }

    /// A request begins; it ends when what is returned is dropped.
    pub(super) fn begin(&self) -> Counted<'_> {
        self.in_flight.inc();
        Counted(&self.in_flight)
    }

    /// A connection is open; it ends when what is returned is dropped.
    pub(super) fn connected(&self) -> Counted<'_> {
        self.connections.inc();
        Counted(&self.connections)
    }

    /// A request was answered, and took so long, unless it waited for what was to come.
    pub(super) fn answered(&self, route: Option<&Route>, status: u16, took: Option<Duration>) {
        if self.is_read {
            let operation = Operation(route.map_or_else(|| "none".into(), |route| Arc::clone(&route.operation)));
            if let Some(took) = took {
                self.durations.get_or_create(&Asked { operation: operation.clone() }).observe(took.as_secs_f64());
            }
            self.requests.get_or_create(&Answered { operation, status }).inc();
        }
    }

    /// A connection was closed before its client did so.
    pub(super) fn closed(&self, verdict: Verdict) {
        self.closed.get_or_create(&Closed { reason: reason(verdict) }).inc();
    }

    /// A connection could not be accepted.
    pub(super) fn not_accepted(&self) {
        self.not_accepted.inc();
    }

    /// The database, or the keys, failed a request.
    pub(super) fn failed(&self) {
        self.errors.inc();
    }

    fn register(&self, registry: &mut Registry) {
        let requests = "Requests that were answered, by operation and status";
        registry.register("http_requests", requests, self.requests.clone());
        let durations = "From the head of a request to its answer, before that is sent";
        registry.register_with_unit("http_request_duration", durations, Unit::Seconds, self.durations.clone());
        registry.register("http_requests_in_flight", "Requests that are worked on", self.in_flight.clone());
        registry.register("connections", "Open connections of clients", self.connections.clone());
        for verdict in [Verdict::Head, Verdict::Idle, Verdict::Stalled] {
            // A series that is there from the start has a rate from the first time on.
            drop(self.closed.get_or_create(&Closed { reason: reason(verdict) }));
        }
        registry.register("connections_closed", "Connections that the server closed, by reason", self.closed.clone());
        registry.register("accept_errors", "Connections that could not be accepted", self.not_accepted.clone());
        let errors = "Requests that failed for want of the database or of keys, or by a bug";
        registry.register("database_errors", errors, self.errors.clone());
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The program", Info::new(version));
    }
}

const fn reason(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Head => "head_timeout",
        Verdict::Idle => "idle",
        Verdict::Stalled => "stalled",
    }
}

/// A request that is worked on, or a connection that is open.
pub(super) struct Counted<'a>(&'a Gauge);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What is looked up when somebody asks.
pub(crate) struct Figures {
    /// How many connections of clients there may be.
    pub(crate) connections_max: usize,
    /// Bytes of unfinished bodies.
    pub(crate) bodies: usize,
    /// Requests of users and of addresses that were one too many.
    pub(crate) limited: [u64; 2],
    /// Connections to the database.
    pub(crate) sessions: Sessions,
    /// The issuer's keys, where they are published.
    pub(crate) keys: Option<KeySetFigures>,
}

/// One label and its value.
type By = [(&'static str, &'static str); 1];

/// The figures in the form that is read, made anew each time.
fn figures(registry: &mut Registry, figures: &Figures) {
    fn gauge(registry: &mut Registry, name: &str, help: &str, value: usize) {
        let gauge: Gauge<u64, AtomicU64> = Gauge::default();
        gauge.set(value as u64);
        registry.register(name, help, gauge);
    }
    fn counters(registry: &mut Registry, name: &str, help: &str, key: &'static str, values: [(&'static str, u64); 2]) {
        let counters = Family::<By, Counter>::default();
        for (value, count) in values {
            counters.get_or_create(&[(key, value)]).inc_by(count);
        }
        registry.register(name, help, counters);
    }
    gauge(registry, "connections_max", "How many there may be", figures.connections_max);
    gauge(registry, "body_bytes_held", "What unfinished bodies hold, in bytes", figures.bodies);
    gauge(registry, "body_bytes_held_max", "What they may hold, in bytes", MOST);
    let [users, addresses] = figures.limited;
    let help = "Requests that were answered 429, by whose they were";
    counters(registry, "rate_limited", help, "scope", [("user", users), ("address", addresses)]);
    let Sessions { busy, idle, max, waiting } = figures.sessions;
    let sessions = Family::<By, Gauge<u64, AtomicU64>>::default();
    for (state, count) in [("busy", busy), ("idle", idle)] {
        sessions.get_or_create(&[("state", state)]).set(count as u64);
    }
    registry.register("database_sessions", "Connections to the database", sessions);
    gauge(registry, "database_sessions_max", "How many there may be", max);
    gauge(registry, "database_waiting", "Requests that wait for one", waiting);
    if let Some(KeySetFigures { keys, age, fetched, failed }) = figures.keys {
        gauge(registry, "key_set_keys", "Keys of the issuer that verify tokens", keys);
        let gauge: Gauge<u64, AtomicU64> = Gauge::default();
        gauge.set(age.as_secs());
        registry.register_with_unit("key_set_age", "Since they were fetched", Unit::Seconds, gauge);
        let fetches = [("ok", fetched), ("failed", failed)];
        counters(registry, "key_set_fetches", "Fetches of the key set", "outcome", fetches);
    }
    let lost: Counter = Counter::default();
    lost.inc_by(log::lost());
    registry.register("log_lines_lost", "Lines of the log that could not be written", lost);
}

/// Answers `GET /metrics` until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    now: impl Fn() -> Figures + Send + Sync + 'static,
) {
    let (now, readers) = (Arc::new(now), Arc::new(Semaphore::new(READERS)));
    let mut kept = Registry::with_prefix("tasks");
    metrics.register(&mut kept);
    let kept = Arc::new(kept);
    loop {
        let Ok(reader) = Arc::clone(&readers).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (now, kept) = (Arc::clone(&now), Arc::clone(&kept));
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let answer = answer(&request, &kept, &now());
                async { Ok::<_, Infallible>(answer) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
            let _ = timeout(PATIENCE * 2, builder.serve_connection(TokioIo::new(stream), answer)).await;
            drop(reader);
        });
    }
}

fn answer(request: &Request<Incoming>, kept: &Registry, now: &Figures) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    if request.uri().path() != "/metrics" {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if request.method() == Method::GET {
        let mut text = String::new();
        let mut current = Registry::with_prefix("tasks");
        figures(&mut current, now);
        // Writing to a String cannot fail. One document has one end.
        let _ = encode_registry(&mut text, kept).and_then(|()| encode(&mut text, &current));
        *response.body_mut() = Full::new(text.into());
        let form = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, form);
    } else {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
    }
    response
}
