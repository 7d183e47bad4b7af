//! Traces: what a collector gets of requests, and what requests get of a collector that is away.
//!
//! Each test starts the program beside a collector of its own, which is an HTTP server that reads what it is sent.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use poem::http::{HeaderMap, StatusCode};
use poem::listener::TcpAcceptor;
use poem::web::Data;
use poem::{EndpointExt, Route, handler, post};
use prost::Message;
use reqwest::{Client, Method, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

#[path = "../support/load.rs"]
#[expect(dead_code, reason = "the faults need more of it")]
mod load;
#[path = "../support/server.rs"]
#[expect(dead_code, reason = "the faults need more of it")]
mod server;

use server::{Server, TITLE, run};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const KEY: &str = "a key that no log may hold";

/// What came, and what is answered to it.
type Taken = Arc<Mutex<(Vec<(HeaderMap, Vec<u8>)>, u16)>>;

#[handler]
fn take(headers: &HeaderMap, body: Vec<u8>, Data(taken): Data<&Taken>) -> StatusCode {
    let mut taken = taken.lock().unwrap();
    taken.0.push((headers.clone(), body));
    StatusCode::from_u16(taken.1).unwrap()
}

/// A collector.
struct Collector {
    taken: Taken,
    url: String,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    async fn new(answers: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken = Taken::new(Mutex::new((Vec::new(), answers)));
        let routes = Route::new().at("/v1/traces", post(take)).data(Arc::clone(&taken));
        let acceptor = TcpAcceptor::from_tokio(listener).unwrap();
        let task = tokio::spawn(async { poem::Server::new_with_acceptor(acceptor).run(routes).await.unwrap() });
        Self { taken, url, task }
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let taken = self.taken.lock().unwrap();
        taken.0.iter().map(|(_, body)| ExportTraceServiceRequest::decode(body.as_slice()).unwrap()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        resources.flat_map(|spans| spans.scope_spans).flat_map(|spans| spans.spans).collect()
    }

    /// The spans, once there are so many.
    async fn spans_of(&self, count: usize) -> Vec<Span> {
        let since = Instant::now();
        while self.spans().len() < count {
            assert!(since.elapsed() < Duration::from_secs(20), "{} of {count} spans", self.spans().len());
            sleep(Duration::from_millis(20)).await;
        }
        self.spans()
    }
}

/// A server that sends its spans there, soon.
async fn server(url: &str, more: &[(&str, &str)]) -> Server {
    let to = [("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    // To ask whether it is there would be a request.
    Server::with(&[&to, more].concat()).await
}

/// Asks for something with these headers.
async fn ask(server: &Server, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
    let client = Client::builder().tls_certs_only([]).build().unwrap();
    let request = client.request(method, format!("http://{}{path}", server.address()));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(match found.value.clone()?.value? {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    })
}

/// The span of this operation.
fn of<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let (Some(span), None) = (found.next(), found.next()) else { panic!("not one {name} in {spans:?}") };
    span
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_of_each_request_says_what_it_was_and_not_whose() {
    let collector = Collector::new(200).await;
    let server = server(&collector.url, &[("OTEL_EXPORTER_OTLP_HEADERS", &format!("x-key={KEY}"))]).await;
    let bearer = format!("Bearer {}", server.token("alice-of-the-test"));
    let authorization = ("Authorization", bearer.as_str());
    let before = std::time::SystemTime::now();
    let listed = ask(
        &server,
        Method::GET,
        "/api/alice-of-the-test/tasks?limit=7",
        &[authorization, ("traceparent", &traceparent("01"))],
    )
    .await;
    assert_eq!(listed.status(), 200);
    let client = Client::builder().tls_certs_only([]).build().unwrap();
    let created = client.post(format!("http://{}/api/me/tasks", server.address())).header("Authorization", &bearer);
    assert_eq!(created.json(&serde_json::json!({ "title": TITLE })).send().await.unwrap().status(), 201);
    assert_eq!(ask(&server, Method::DELETE, "/api/me/tasks/alice", &[]).await.status(), 401);
    let odd = Method::from_bytes(b"ALICE").unwrap();
    assert_eq!(ask(&server, odd, "/alice-was-here", &[authorization]).await.status(), 404);
    let spans = collector.spans_of(5).await;

    let list = of(&spans, "listTasks");
    assert_eq!((hex(&list.trace_id).as_str(), hex(&list.parent_span_id).as_str()), (TRACE, PARENT));
    assert_eq!(list.kind, 2, "SPAN_KIND_SERVER");
    let of_list = |key: &str| text(&list.attributes, key);
    assert_eq!(of_list("http.request.method").as_deref(), Some("GET"));
    assert_eq!(of_list("http.route").as_deref(), Some("/api/{user_id}/tasks"));
    assert_eq!(of_list("http.response.status_code").as_deref(), Some("200"));
    assert_eq!((of_list("tasks.code"), list.attributes.len()), (None, 3));
    let nanos = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let (start, end) = (list.start_time_unix_nano, list.end_time_unix_nano);
    // The start is told from the end, by another clock.
    assert!(start < end && u128::from(start) + 1_000_000_000 > nanos(before), "{start} to {end}");
    assert!(u128::from(end) <= nanos(std::time::SystemTime::now()));

    // Without a parent, a trace of its own, which the log names.
    let create = of(&spans, "createTask");
    assert!(create.parent_span_id.is_empty() && create.trace_id != list.trace_id, "{create:?}");
    let trace = hex(&create.trace_id);
    assert!(server.logged(&trace).await.contains(&trace));

    let refused = of(&spans, "deleteTask");
    assert_eq!(text(&refused.attributes, "http.response.status_code").as_deref(), Some("401"));
    assert!(text(&refused.attributes, "tasks.code").is_some_and(|code| server.log().contains(&code)), "{refused:?}");

    let unknown = of(&spans, "_OTHER");
    assert_eq!(text(&unknown.attributes, "http.route"), None);
    assert_eq!(text(&unknown.attributes, "http.response.status_code").as_deref(), Some("404"));

    let requests = collector.requests();
    let resource = requests[0].resource_spans[0].resource.clone().unwrap().attributes;
    assert_eq!(text(&resource, "service.name").as_deref(), Some("tasks-server"));
    for (headers, body) in &collector.taken.lock().unwrap().0 {
        assert_eq!(headers["x-key"], KEY);
        for private in ["alice", "ALICE", TITLE, "limit", "eyJ"] {
            let is_there = body.windows(private.len()).any(|part| part == private.as_bytes());
            assert!(!is_there, "{private} was sent");
        }
    }
    assert!(!server.log().contains(KEY));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_and_what_the_caller_sampled_is_followed() {
    let collector = Collector::new(200).await;
    let set = [
        ("OTEL_SERVICE_NAME", "ours"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
    ];
    let server = server(&collector.url, &set).await;
    for flags in ["00", "02", "01", "00"] {
        ask(&server, Method::GET, "/readyz", &[("traceparent", &traceparent(flags))]).await;
    }
    for bad in ["", "00-1-2-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"] {
        ask(&server, Method::GET, "/readyz", &[("traceparent", bad)]).await;
    }
    collector.spans_of(1).await;
    // Others would have come by now.
    sleep(Duration::from_millis(500)).await;
    let spans = collector.spans();
    assert_eq!((spans.len(), hex(&spans[0].trace_id).as_str()), (1, TRACE), "{spans:?}");
    let resource = collector.requests()[0].resource_spans[0].resource.clone().unwrap().attributes;
    assert_eq!(text(&resource, "service.name").as_deref(), Some("ours"));
    assert_eq!(text(&resource, "deployment.environment.name").as_deref(), Some("test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_sends_what_waits() {
    let collector = Collector::new(200).await;
    let mut server = server(&collector.url, &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]).await;
    ask(&server, Method::GET, "/readyz", &[("traceparent", &traceparent("01"))]).await;
    assert_eq!(collector.spans().len(), 0);
    ended(&mut server).await;
    assert!(collector.spans().iter().any(|span| hex(&span.trace_id) == TRACE));
}

/// Asks it to end, which it does soon and well, also where a batch may still wait for seconds.
async fn ended(server: &mut Server) {
    server.ask_to_end();
    let asked = Instant::now();
    while server.ended().is_none() {
        assert!(asked.elapsed() < Duration::from_secs(4), "it does not end");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(server.ended().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_silent_or_unwilling_costs_spans_and_a_line() {
    // Nobody listens; nobody answers; nothing is taken.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unwilling = Collector::new(401).await;
    let (closed, silent_url) = (format!("http://{closed}"), format!("http://{}", silent.local_addr().unwrap()));
    for url in [&closed, &silent_url, &unwilling.url] {
        let soon = [("OTEL_EXPORTER_OTLP_TIMEOUT", "4000"), ("OTEL_BSP_MAX_QUEUE_SIZE", "64")];
        let mut server = server(url, &soon).await;
        let client = Client::builder().tls_certs_only([]).build().unwrap();
        let (began, mut slowest) = (Instant::now(), Duration::ZERO);
        // Many more than wait, in several batches.
        while began.elapsed() < Duration::from_secs(5) {
            let asked = Instant::now();
            assert_eq!(client.get(format!("http://{}/livez", server.address())).send().await.unwrap().status(), 200);
            slowest = slowest.max(asked.elapsed());
        }
        assert!(slowest < Duration::from_millis(500), "{slowest:?}");
        ended(&mut server).await;
        let log = server.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("the collector of traces")).collect();
        assert_eq!(lines.len(), 1, "{url}: {lines:?}");
        assert!(lines[0].contains("WARN") && lines[0].contains("cause") && !lines[0].contains(url), "{lines:?}");
        assert!(!log.contains("a panic"), "{log}");
    }
}

#[test]
fn a_variable_that_cannot_be_meant_stops_the_start_and_is_not_shown() {
    const TO: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "canary:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://canary"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc-canary"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "canary"),
        ("OTEL_TRACES_SAMPLER", "canary"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_EXPORTER", "canary"),
    ] {
        let (went_well, said) = run(&[], &[("LISTEN", "127.0.0.1:0"), TO, (name, value)]);
        assert!(!went_well && said.contains(&format!("{name} must be ")) && !said.contains("canary"), "{name}: {said}");
    }
}
