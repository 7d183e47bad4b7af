//! Outputs that cannot be written, or that nobody reads: the log cannot stop the server.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::length::{millis, seconds};
use crate::load::Tally;
use crate::raw::{Raw, head};
use crate::server::{Server, TITLE, UNDER};

/// A named pipe, open here so that it can be written, and that nobody reads yet.
struct Pipe {
    end: File,
    path: PathBuf,
    _folder: TempDir,
}

impl Pipe {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let end = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Self { end, path, _folder: folder }
    }
}

/// Each of these is a line of the log, or two.
async fn requests(server: &Server, count: usize) {
    let mut raw = Raw::to(&server.address()).await;
    let token = server.token("alice");
    let asks = [
        head("GET", "/nothing", ""),
        head("GET", "/api/me/tasks", &format!("Authorization: Bearer {token}\r\n")),
        head("GET", "/api/me/tasks", ""),
    ];
    for n in 0..count {
        raw.send(&asks[n % 3]).await.unwrap();
        let status = raw.answered(seconds(10)).await.status;
        assert_eq!(status, [404, 200, 401][n % 3]);
    }
    server.user("alice", &Tally::default()).made(TITLE).await;
    assert_eq!(server.probe("/livez").await, 200);
}

/// SIGTERM, and all is well within this time.
async fn ends(server: &mut Server, within: Duration) {
    server.ask_to_end();
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = server.ended() {
            break status;
        }
        assert!(asked.elapsed() < within, "it has not ended after {within:?}");
        sleep(millis(20)).await;
    };
    assert_eq!(status.code(), Some(0), "{status}");
}

pub(crate) async fn a_server_that_cannot_write_its_log_serves_on() {
    for under in ["exec >&- 2>&-", "exec >/dev/full 2>/dev/full", "exec >/dev/full", "exec 2>/dev/full"] {
        let mut server = Server::with(&[(UNDER, under)]).await;
        requests(&server, 30).await;
        ends(&mut server, seconds(5)).await;
    }
    // Whoever read it is gone.
    for outputs in ["exec >PIPE 2>&1", "exec >PIPE"] {
        let pipe = Pipe::new();
        let mut server = Server::with(&[(UNDER, &outputs.replace("PIPE", pipe.path.to_str().unwrap()))]).await;
        drop(pipe);
        requests(&server, 30).await;
        ends(&mut server, seconds(5)).await;
    }
}

pub(crate) async fn a_server_whose_log_nobody_reads_serves_on() {
    for outputs in ["exec >PIPE", "exec >PIPE 2>&1"] {
        let pipe = Pipe::new();
        let under = outputs.replace("PIPE", pipe.path.to_str().unwrap());
        let mut server = Server::with(&[(UNDER, &under), ("RUST_LOG", "debug")]).await;
        // Several times what a pipe holds.
        requests(&server, 1_500).await;
        ends(&mut server, seconds(5)).await;
    }
}

/// More lines than a pipe and the server hold, whoever writes them.
const LINES: usize = 24_000;

pub(crate) async fn lines_that_are_lost_are_counted() {
    let pipe = Pipe::new();
    let under = format!("exec >{}", pipe.path.display());
    let mut server = Server::with(&[(UNDER, &under)]).await;
    let text = head("GET", "/nothing", "").repeat(100);
    let mut raw = Raw::to(&server.address()).await;
    for _ in 0..LINES / 100 {
        raw.send(&text).await.unwrap();
        for _ in 0..100 {
            assert_eq!(raw.answered(seconds(10)).await.status, 404);
        }
    }
    // Somebody reads again.
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe.end).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    let (mut seen, mut lost, mut told, began) = (0, 0, 0, Instant::now());
    // Until all lines are accounted for, and a little longer.
    while began.elapsed() < seconds(10) && (seen + lost < LINES || began.elapsed() < seconds(2)) {
        while let Ok(line) = lines.try_recv() {
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("half a line: {line}"));
            if line["target"] == "tasks_server::request" {
                seen += 1;
            }
            if let Some(count) = line["fields"]["lost"].as_u64() {
                assert_eq!(line["level"], "WARN", "{line}");
                lost += usize::try_from(count).unwrap();
                told += 1;
            }
        }
        sleep(millis(50)).await;
    }
    println!("{seen} lines seen, {lost} lost, told {told} times");
    assert!(lost > 0, "no line says how many are lost");
    // Lines that are not of requests may be among the lost.
    assert!((LINES..LINES + 20).contains(&(seen + lost)), "{seen} seen and {lost} lost of {LINES}");
    assert!(told <= 5, "told {told} times");
    // Afterwards nothing is lost.
    for _ in 0..100 {
        raw.send(head("GET", "/nothing", "")).await.unwrap();
        assert_eq!(raw.answered(seconds(10)).await.status, 404);
    }
    sleep(seconds(1)).await;
    let after: Vec<_> = lines.try_iter().collect();
    assert_eq!(after.iter().filter(|line| line.contains("tasks_server::request")).count(), 100);
    ends(&mut server, seconds(5)).await;
}

pub(crate) async fn a_collector_that_gets_nothing_is_told_of() {
    const WARNING: &str = "OTEL_EXPORTER_OTLP_ENDPOINT is set, but";
    let gets_nothing = !cfg!(feature = "otlp");
    for (endpoint, is_told) in [("http://127.0.0.1:9/told-to-nobody", gets_nothing), ("", false)] {
        let server = Server::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).await;
        server.user("alice", &Tally::default()).made(TITLE).await;
        let log = server.log();
        assert_eq!(log.matches(WARNING).count(), usize::from(is_told), "{log}");
        assert!(!log.contains("told-to-nobody"), "{log}");
    }
}
