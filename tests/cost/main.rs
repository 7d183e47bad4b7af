//! What a request of the hot paths allocates, held against `allocations.txt`: red when it is 10 % more, in blocks or in bytes.
//!
//! Allocations know no clock, so a busy machine changes nothing: runs are equal to the block. The server runs in this
//! process, without a log, and the client allocates nothing. On PostgreSQL only: SQLite's rows come from another thread, and
//! how often one waits for the other changes the blocks of a list by a tenth. `instructions`, beside this, counts what the
//! release binary executes, on both. `just costs` takes what is counted now for what may be.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use tasks_server::Server;
use tasks_server::config::{Command, Settings, parse};
use tasks_server::identity::secret::{Secret, mint};
use tokio::net::TcpListener;

use crate::cluster::{Cluster, Place, programs};

#[path = "../support/cluster.rs"]
#[expect(dead_code, reason = "the tests among faults stop and kill it")]
mod cluster;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SECRET: &str = "the secret of the tests, 32 bytes and more";
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cost/allocations.txt");
/// More than a page, so that a list is a whole one and has a next.
const TASKS: usize = 60;
const WARM_UP: usize = 50;
const REQUESTS: usize = 200;

/// What is allocated is counted for the whole process: one test at a time.
static COUNTER: Mutex<()> = Mutex::new(());

/// Blocks and bytes of a request, by operation.
type Costs = BTreeMap<String, [u64; 2]>;

#[test]
fn no_request_allocates_more_than_it_did() {
    let _counter = COUNTER.lock();
    let _profiler = dhat::Profiler::builder().testing().build();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let Some(programs) = programs() else { return };
    let cluster = Cluster::start(&programs, Place::Socket, &[]);
    let costs = measure(&runtime, &cluster.url("postgres"));

    if std::env::var_os("WRITE_COSTS").is_some() {
        let mut text = "# operation, blocks and bytes of a request: written by `just costs`\n".to_owned();
        for (name, [blocks, bytes]) in &costs {
            writeln!(text, "{name} {blocks} {bytes}").unwrap();
        }
        std::fs::write(BASELINE, text).unwrap();
    }
    let known = known();
    let mut worse = String::new();
    for (name, cost) in &costs {
        let known = known.get(name).unwrap_or_else(|| panic!("allocations.txt knows no {name}"));
        println!("{name}: {cost:?}, known {known:?}");
        if (0..2).any(|part| cost[part] * 10 > known[part] * 11) {
            writeln!(worse, "{name} allocates {cost:?} blocks and bytes, and did {known:?}").unwrap();
        }
    }
    assert!(worse.is_empty(), "\n{worse}If it is worth it: just costs");
}

/// A body that is made to be refused costs no more than one that is taken: in all, and so at any time, what is allocated
/// for it are a few bodies.
#[test]
fn no_refusal_allocates_more_than_a_few_bodies() {
    let _counter = COUNTER.lock();
    let _profiler = dhat::Profiler::builder().testing().build();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&runtime, &format!("sqlite://{}", folder.path().join("tasks.db").display()));
    let mut wire = Wire::to(server.address);
    let many = |part: &str| vec![part; 520_000 / (part.len() + 1)].join(",");
    let list = |part: &str| format!(r#"{{"tasks":[{}]}}"#, many(part));
    let thousands = (0..35_000).map(|n| format!(r#""m{n}":{n}"#)).collect::<Vec<_>>().join(",");
    let long = "n".repeat(520_000);
    for (verb, body) in [
        ("create", list("1")),
        ("create", list("{}")),
        ("create", list(r#"{"":0}"#)),
        ("create", list(r#"{"title":"x"}"#)),
        ("complete", list(r#"{"id":1}"#)),
        ("delete", list(r#"{"id":"019c13be-7ac0-7a43-9f5b-2d6c8e1f4a70"}"#)),
        ("create", format!(r#"{{"tasks":[{{"title":[{}]}}]}}"#, many("{}"))),
        ("delete", format!(r#"{{"tasks":[{{"id":"x","version":[{}]}}]}}"#, many("1"))),
        ("create", format!("{{{thousands}}}")),
        ("create", format!("{{{}}}", many(r#""x":[0]"#))),
        ("create", format!(r#"{{"tasks":[{{{}}}]}}"#, many(r#""title":"x""#))),
        ("create", format!("[{}]", many("[]"))),
        ("create", format!(r#"{{"tasks":[{{"{long}":0}}]}}"#)),
        ("create", format!(r#"{{"tasks":[{{"title":"{long}"}}]}}"#)),
        ("create", "[".repeat(520_000)),
    ] {
        let request = request("POST", &format!("/bulk-{verb}"), &body);
        // Once before, as a connection's own buffer grows with its first body.
        wire.ask(400, &request);
        let before = dhat::HeapStats::get();
        wire.ask(400, &request);
        let after = dhat::HeapStats::get();
        let bytes = usize::try_from(after.total_bytes - before.total_bytes).unwrap();
        let blocks = after.total_blocks - before.total_blocks;
        println!("{verb} {}…: {bytes} bytes in {blocks} blocks", &body[..30]);
        assert!(bytes < 10 * body.len(), "{verb} {}…: {bytes} bytes in {blocks} blocks", &body[..30]);
    }
    drop(wire);
    server.stop(&runtime);
}

fn known() -> Costs {
    let text = std::fs::read_to_string(BASELINE).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(' ');
            let name = words.next().unwrap().to_owned();
            (name, [(); 2].map(|()| words.next().unwrap().parse().unwrap()))
        })
        .collect()
}

fn settings(url: &str) -> Settings {
    let variables = |name: &str| match name {
        "DATABASE_URL" => Some(url.to_owned()),
        "MIGRATE_ON_START" => Some("true".to_owned()),
        "JWT_SECRET" => Some(SECRET.to_owned()),
        "RATE_LIMIT_PER_MINUTE" | "RATE_LIMIT_PER_MINUTE_ADDRESS" => Some("0".to_owned()),
        _ => None,
    };
    match parse(["tasks-server"], variables).unwrap().command {
        Command::Serve(settings) => *settings,
        other => panic!("{other:?}"),
    }
}

fn measure(runtime: &tokio::runtime::Runtime, url: &str) -> Costs {
    let mut costs = Costs::new();
    let server = Served::start(runtime, url);
    let mut wire = Wire::to(server.address);
    let create = request("POST", "", r#"{"title":"Buy milk and bread"}"#);
    for _ in 0..TASKS {
        wire.ask(201, &create);
    }
    let body = wire.ask(201, &create);
    let id = body.split(r#""id":""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
    let completion = format!("/{id}/complete");
    let operations = [
        ("get", 200, [request("GET", &format!("/{id}"), ""), request("GET", &format!("/{id}"), "")]),
        ("list", 200, [request("GET", "?limit=50", ""), request("GET", "?limit=50", "")]),
        ("create", 201, [create.clone(), create.clone()]),
        (
            "complete",
            200,
            [true, false].map(|value| request("PATCH", &completion, &format!(r#"{{"is_completed":{value}}}"#))),
        ),
    ];
    for (name, status, requests) in &operations {
        let mut ask = |times| requests.iter().cycle().take(times).for_each(|request| _ = wire.ask(*status, request));
        ask(WARM_UP);
        let before = dhat::HeapStats::get();
        ask(REQUESTS);
        let after = dhat::HeapStats::get();
        let each = |before, after| (after - before) / u64::try_from(REQUESTS).unwrap();
        let cost = [each(before.total_blocks, after.total_blocks), each(before.total_bytes, after.total_bytes)];
        costs.insert((*name).to_owned(), cost);
    }
    drop(wire);
    server.stop(runtime);
    costs
}

/// A server of this process.
struct Served {
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    running: tokio::task::JoinHandle<()>,
}

impl Served {
    fn start(runtime: &tokio::runtime::Runtime, url: &str) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = Server::open(settings(url)).await.unwrap();
            Self {
                address,
                stop,
                running: tokio::spawn(server.serve(vec![listener], None, async { drop(stopped.await) })),
            }
        })
    }

    fn stop(self, runtime: &tokio::runtime::Runtime) {
        drop(self.stop);
        runtime.block_on(self.running).unwrap();
    }
}

/// A request of alice's.
fn request(method: &str, below: &str, body: &str) -> String {
    let token =
        mint(&Secret::new(SECRET.into()).unwrap(), &"alice".parse().unwrap(), Duration::from_hours(1), None, None);
    let token = token.unwrap();
    format!(
        "{method} /api/alice/tasks{below} HTTP/1.1\r\nHost: tasks\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A connection whose answers are read into one buffer.
struct Wire {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Wire {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, answer: vec![0; 65536] }
    }

    /// The answer, which must have this status.
    fn ask(&mut self, status: u16, request: &str) -> &str {
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            length += self.stream.read(&mut self.answer[length..]).unwrap();
            let text = std::str::from_utf8(&self.answer[..length]).unwrap_or_default();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let announced = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if announced.is_some_and(|announced| announced.parse() == Ok(body.len())) {
                assert_eq!(head.get(9..12).and_then(|code| code.parse().ok()), Some(status), "{text}");
                break;
            }
        }
        std::str::from_utf8(&self.answer[..length]).unwrap()
    }
}
