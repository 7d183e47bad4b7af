#!/usr/bin/env bash
# hyper's time limit for the head of a request also closes connections that are merely at rest between two requests.
#
# Versions: hyper 1.12.0, tokio 1.54.1, hyper-util 0.1.21.
#
# Behaviour: `http1::Builder::header_read_timeout` is described as the time that a client has to send the head of a request.
# The timer starts as soon as hyper waits for the next head, before its first byte has come. So a kept-alive connection
# without a next request is closed when it is over, in the middle of its rest, and the client sees an end of file
# where it asked for nothing wrong. A server that wants heads within 10 s and lets connections rest for 75 s, as common servers
# do, cannot have both from this setting; `keep_alive(true)` changes nothing.
#
# Why it matters: clients with a pool (browsers, reqwest) send a request on such a connection in the moment in which it is
# closed, and see a reset. Who wants two times has to watch the socket: here src/edge/activity.rs does.
#
# Known: hyperium/hyper pull requests 3185 (2023) and 3828 (2025) weigh a time for rest beside that for heads; the
# documentation of the method does not tell that rest counts.
#
# Output seen (a limit of 1 s for heads; times rounded to seconds):
#   answered: 200
#   at rest, nothing sent: closed after 1 s
#   a request each 0.6 s: 4 of 4 answered
#
# Needs: Rust. Takes a minute on two busy cores.
set -euo pipefail

# What is expected is the output above.
expected=$(sed -n '/^# Output seen/,/^#$/s/^#   //p' "$0")

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'MANIFEST'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
hyper = { version = "=1.12.0", features = ["http1", "server"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["io-util", "macros", "net", "rt", "time"] }
MANIFEST
cat >src/main.rs <<'PROGRAM'
use std::convert::Infallible;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

async fn ask(client: &mut TcpStream) -> String {
    client.write_all(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1024];
    let count = client.read(&mut answer).await.unwrap_or(0);
    String::from_utf8_lossy(&answer[..count]).split(' ').nth(1).unwrap_or("none").to_owned()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = service_fn(|_: Request<_>| async { Ok::<_, Infallible>(Response::new(String::new())) });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(1)).keep_alive(true);
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), answer));
        }
    });

    let mut client = TcpStream::connect(address).await.unwrap();
    println!("answered: {}", ask(&mut client).await);
    let begun = Instant::now();
    match timeout(Duration::from_secs(5), client.read(&mut [0; 1])).await {
        Ok(_) => println!("at rest, nothing sent: closed after {:.0} s", begun.elapsed().as_secs_f64()),
        Err(_) => println!("at rest, nothing sent: open after 5 s"),
    }

    let mut client = TcpStream::connect(address).await.unwrap();
    let mut count = 0;
    for _ in 0..4 {
        count += usize::from(ask(&mut client).await == "200");
        sleep(Duration::from_millis(600)).await;
    }
    println!("a request each 0.6 s: {count} of 4 answered");
}
PROGRAM
export CARGO_TARGET_DIR=$folder/target CARGO_PROFILE_DEV_DEBUG=0 CARGO_TERM_COLOR=never
output=$(cargo run --quiet)
printf '%s\n' "$output"
diff <(printf '%s\n' "$expected") <(printf '%s\n' "$output") || { echo "hyper does something else now"; exit 1; }
