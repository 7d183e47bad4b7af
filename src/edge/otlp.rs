//! Traces: a span of each request, sent to a collector (OTLP over HTTP), where one is set.
//!
//! What is sent, where and how much of it is set by the variables of the OpenTelemetry specification, most of which the SDK
//! reads itself. A span holds what the line in the log does: no user, no title, no token, no path as it was asked for. Who asks
//! never waits: ended spans go into a bounded queue, a thread of the SDK's sends them, and what does not fit is dropped.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use http_body_util::{BodyExt, Limited};
use opentelemetry::trace::{
    Span, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, TraceFlags, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use poem::Response as Answer;
use poem::http::{Request, Response};
use reqwest::{Certificate, Client, Url, redirect};
use tasks_api::{ProblemCode, Route};
use tokio::runtime::Handle;

use crate::edge::trace::{Parent, TraceId};

/// How long the collector may take for a batch, unless it is set.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the end waits for the last spans to be sent.
const LAST: Duration = Duration::from_secs(1);

/// How often it is told that the collector is away.
const PAUSE: Duration = Duration::from_mins(1);

/// The most of the collector's answers that is read, in bytes.
const ANSWER: usize = 64 * 1024;

/// A variable, what it must be, and whether a value is that.
type Rule = (&'static str, &'static str, fn(&str) -> bool);

/// What variables must be that the SDK reads, and passes over where it cannot.
const RULES: [Rule; 9] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", ADDRESS, is_address),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ADDRESS, is_address),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", PROTOCOL, is_protocol),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", PROTOCOL, is_protocol),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", TIMEOUT, is_timeout),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", TIMEOUT, is_timeout),
    ("OTEL_TRACES_EXPORTER", "be otlp or none", |text| ["otlp", "none"].contains(&text)),
    (
        "OTEL_TRACES_SAMPLER",
        "be always_on, always_off or traceidratio, or one of them with parentbased_ before it",
        |text| ["always_on", "always_off", "traceidratio"].contains(&text.strip_prefix("parentbased_").unwrap_or(text)),
    ),
    ("OTEL_TRACES_SAMPLER_ARG", "be a number from 0 to 1", |text| {
        text.parse().is_ok_and(|ratio: f64| (0.0..=1.0).contains(&ratio))
    }),
];

const ADDRESS: &str = "be an address that begins with https:// or http://, such as http://localhost:4318";
const PROTOCOL: &str =
    "be http/protobuf, as the server speaks no other protocol: collectors listen for it on port 4318";
const TIMEOUT: &str = "be a whole number of milliseconds, from 1 to 60000";

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
}

fn is_protocol(text: &str) -> bool {
    text == "http/protobuf"
}

fn is_timeout(text: &str) -> bool {
    text.parse().is_ok_and(|millis: u64| (1..=60_000).contains(&millis))
}

/// Why there can be no traces. Texts name variables, never their values.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// A variable is not as it must be.
    #[error("{0} must {1}")]
    Variable(&'static str, &'static str),
    /// Nothing can be sent.
    #[error("the system's cryptography or certificates cannot be used, so that no traces can be sent")]
    Client(#[source] reqwest::Error),
    /// The SDK does not take what is set.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used")]
    Exporter,
}

/// A variable that is set and not empty, which the specification takes for not set.
fn set(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// A variable of the exporter, the one for traces before the one for all.
fn of_exporter(name: &str) -> Option<OsString> {
    set(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}")).or_else(|| set(&format!("OTEL_EXPORTER_OTLP_{name}")))
}

/// Where spans go.
#[derive(Debug, Clone)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Begins to send to the collector that is set, on the runtime that calls; `None` where there is none.
    pub(crate) fn start() -> Result<Option<Self>, TracesError> {
        let is_off = |name, value| set(name).is_some_and(|set| set.eq_ignore_ascii_case(value));
        if of_exporter("ENDPOINT").is_none()
            || is_off("OTEL_SDK_DISABLED", "true")
            || is_off("OTEL_TRACES_EXPORTER", "none")
        {
            return Ok(None);
        }
        for (name, must, is_good) in RULES {
            if set(name).is_some_and(|value| value.to_str().is_none_or(|value| !is_good(value))) {
                return Err(TracesError::Variable(name, must));
            }
        }
        let timeout = of_exporter("TIMEOUT").and_then(|value| value.to_str()?.parse().ok());
        let collector = Collector::new(timeout.map_or(PATIENCE, Duration::from_millis)).map_err(TracesError::Client)?;
        let exporter = SpanExporter::builder().with_http().with_http_client(collector).build();
        let resource = Resource::builder_empty()
            .with_attribute(KeyValue::new("service.name", env!("CARGO_PKG_NAME")))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
        let resource = match set("OTEL_SERVICE_NAME").and_then(|name| name.into_string().ok()) {
            Some(name) => resource.with_service_name(name),
            None => resource,
        };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter.map_err(|_| TracesError::Exporter)?)
            .build();
        Ok(Some(Self { tracer: provider.tracer(env!("CARGO_PKG_NAME")), provider }))
    }

    /// Records the span of a request that was just answered, unless its trace is not sampled: the id of the trace.
    pub(super) fn record(
        &self,
        parent: Option<Parent>,
        method: &'static str,
        answer: &Answer,
        took: Duration,
    ) -> Option<TraceId> {
        let context = parent.map_or_else(Context::new, |parent| {
            let flags = TraceFlags::default().with_sampled(parent.is_sampled);
            let (trace, span) = (parent.trace.0.into(), parent.span.into());
            Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, TraceState::NONE))
        });
        let (status, route) = (answer.status(), answer.data::<Route>());
        let mut attributes = Vec::with_capacity(5);
        attributes.push(KeyValue::new("http.request.method", method));
        attributes.push(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if let Some(route) = route {
            attributes.push(KeyValue::new("http.route", route.path.clone()));
        }
        if let Some(code) = answer.data::<ProblemCode>() {
            attributes.push(KeyValue::new("tasks.code", code.as_str()));
        }
        if status.is_server_error() {
            attributes.push(KeyValue::new("error.type", status.as_str().to_owned()));
        }
        // What no operation answered is named by its method.
        let operation = route.map(|route| &*route.operation).filter(|operation| *operation != "none");
        let now = SystemTime::now();
        let mut span = SpanBuilder::from_name(operation.unwrap_or(method).to_owned())
            .with_kind(SpanKind::Server)
            .with_start_time(now.checked_sub(took).unwrap_or(now))
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &context);
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(now);
        let trace = span.span_context();
        trace.is_sampled().then(|| TraceId(u128::from_be_bytes(trace.trace_id().to_bytes())))
    }

    /// Sends what waits, for a second at most.
    pub(crate) async fn close(self) {
        let _ = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(LAST)).await;
    }
}

/// The way to the collector. The SDK's thread asks for it; the work is done on the server's runtime.
#[derive(Debug)]
struct Collector {
    client: Client,
    runtime: Handle,
    failures: Mutex<Failures>,
}

/// What was last told of failures, and how many there were since.
#[derive(Debug, Default)]
struct Failures {
    told: Option<Instant>,
    more: u64,
}

impl Collector {
    fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        // The system's certificates, for collectors of one's own; the web's, for images that have none.
        let web = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        let web = web.iter().map(|root| Certificate::from_der(root)).collect::<Result<Vec<_>, _>>()?;
        let client = Client::builder().redirect(redirect::Policy::none()).timeout(timeout).tls_certs_merge(web);
        Ok(Self { client: client.build()?, runtime: Handle::current(), failures: Mutex::default() })
    }

    /// Tells, now and then, that spans were not taken.
    fn failed(&self, cause: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.told.is_some_and(|told| told.elapsed() < PAUSE) {
            failures.more += 1;
            return;
        }
        let more = std::mem::take(&mut failures.more);
        failures.told = Some(Instant::now());
        drop(failures);
        tracing::warn!(cause, more, "the collector of traces takes no spans: they are dropped until it does");
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = self.runtime.spawn(async move {
            let answer = client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
            let (head, body) = Response::from(answer).into_parts();
            Ok(Response::from_parts(head, Limited::new(body, ANSWER).collect().await?.to_bytes()))
        });
        // A runtime that has ended has dropped the exchange.
        let outcome: Result<_, HttpError> = exchange.await.unwrap_or_else(|error| Err(error.into()));
        match &outcome {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => self.failed(&format!("it answered {}", answer.status().as_u16())),
            Err(error) => self.failed(&chain(&**error)),
        }
        outcome
    }
}

/// The texts of an error and of its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
