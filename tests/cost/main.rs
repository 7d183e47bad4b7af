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
use std::net::TcpStream;
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

/// Blocks and bytes of a request, by operation.
type Costs = BTreeMap<String, [u64; 2]>;

#[test]
fn no_request_allocates_more_than_it_did() {
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
        _ => None,
    };
    match parse(["tasks-server"], variables).unwrap().command {
        Command::Serve(settings) => *settings,
        other => panic!("{other:?}"),
    }
}

fn measure(runtime: &tokio::runtime::Runtime, url: &str) -> Costs {
    let mut costs = Costs::new();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (address, served) = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::open(settings(url)).await.unwrap();
        (address, tokio::spawn(server.serve(vec![listener], None, async { drop(stopped.await) })))
    });
    let mut wire = Wire { stream: TcpStream::connect(address).unwrap(), answer: vec![0; 65536] };
    wire.stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    wire.stream.set_nodelay(true).unwrap();
    let token =
        mint(&Secret::new(SECRET.into()).unwrap(), &"alice".parse().unwrap(), Duration::from_hours(1), None, None);
    let token = token.unwrap();
    let request = |method: &str, below: &str, body: &str| {
        format!(
            "{method} /api/alice/tasks{below} HTTP/1.1\r\nHost: tasks\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
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
    drop((wire, stop));
    runtime.block_on(served).unwrap();
    costs
}

/// A connection whose answers are read into one buffer.
struct Wire {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Wire {
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
