//! HTTP/1.1 as bytes, as no library would send it.

use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::length::seconds;
use crate::server::Server;

/// A connection, with what was read of the next answer.
pub(crate) struct Raw {
    pub(crate) reader: OwnedReadHalf,
    writer: Option<OwnedWriteHalf>,
    rest: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and the headers.
    head: String,
    pub(crate) body: Vec<u8>,
}

/// How a connection went that the server was to close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Without an answer.
    Closed,
    /// With an answer of this status, and then closed.
    Answered(u16),
    /// It was still open when the time was over.
    Open,
}

impl Raw {
    pub(crate) async fn to(address: &str) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap())
    }

    fn on(stream: TcpStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader, writer: Some(writer), rest: Vec::new() }
    }

    /// A connection in segments as they are on the internet, not those of 64 KiB of one machine, by whoever takes little
    /// at a time: what the system keeps for the two is small.
    pub(crate) async fn narrow(address: &str) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_tcp_mss(1448).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_nonblocking(true).unwrap();
        let socket = TcpSocket::from_std_stream(socket.into());
        Self::on(socket.connect(address.parse().unwrap()).await.unwrap())
    }

    /// Sends it; an error when the server has closed before.
    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.writer.as_mut().unwrap().write_all(text.as_ref()).await
    }

    /// The half that writes, for whoever writes and reads at once.
    pub(crate) fn writer(&mut self) -> OwnedWriteHalf {
        self.writer.take().unwrap()
    }

    /// More of what comes; nothing at the end.
    async fn more(&mut self) -> io::Result<usize> {
        self.rest.reserve(16 * 1024);
        self.reader.read_buf(&mut self.rest).await
    }

    /// The next answer, or that there is none; interim answers (1xx) count.
    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        let end = || io::Error::new(io::ErrorKind::UnexpectedEof, "closed in an answer");
        let length = loop {
            if let Some(at) = self.rest.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if self.more().await? == 0 {
                return Err(end());
            }
        };
        let head = String::from_utf8_lossy(&self.rest[..length]).into_owned();
        self.rest.drain(..length + 4);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let mut answer = Answer { status, head, body: Vec::new() };
        if answer.header("transfer-encoding").contains("chunked") {
            while let Some(piece) = self.chunk().await? {
                answer.body.extend(piece);
            }
        } else if status >= 200 {
            let length: usize = answer.header("content-length").parse().unwrap_or_default();
            while self.rest.len() < length {
                if self.more().await? == 0 {
                    return Err(end());
                }
            }
            answer.body = self.rest.drain(..length).collect();
        }
        Ok(answer)
    }

    /// The next piece of a body in chunks, until the last.
    async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.rest.windows(2).position(|window| window == b"\r\n") {
                let size = String::from_utf8_lossy(&self.rest[..at]).into_owned();
                let size = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
                if self.rest.len() >= at + 2 + size + 2 {
                    let piece = self.rest.drain(..at + 2 + size + 2).skip(at + 2).take(size).collect();
                    return Ok((size > 0).then_some(piece));
                }
            }
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The answer, which must come within this time.
    #[track_caller]
    pub(crate) fn answered(&mut self, within: Duration) -> impl Future<Output = Answer> {
        let place = std::panic::Location::caller();
        async move {
            let answer = timeout(within, self.answer()).await;
            let answer = answer.unwrap_or_else(|_| panic!("{place}: no answer within {within:?}"));
            answer.unwrap_or_else(|error| panic!("{place}: no answer: {error}"))
        }
    }

    /// How it ends, when nothing more is sent and no more than one answer comes.
    pub(crate) async fn end(&mut self, within: Duration) -> End {
        let ending = async {
            let status = self.answer().await.map(|answer| answer.status);
            while matches!(self.more().await, Ok(1..)) {}
            status
        };
        match timeout(within, ending).await {
            Ok(Ok(status)) => End::Answered(status),
            Ok(Err(_)) => End::Closed,
            Err(_) => End::Open,
        }
    }

    /// Whether the server closes it within this time; what comes until then does not matter.
    pub(crate) async fn closes(&mut self, within: Duration) -> bool {
        timeout(within, async { while matches!(self.more().await, Ok(1..)) {} }).await.is_ok()
    }
}

impl Answer {
    /// A header; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
    }

    /// Whether it says that the connection is closed after it.
    pub(crate) fn says_close(&self) -> bool {
        self.header("connection").eq_ignore_ascii_case("close")
    }

    /// The problem that it is; its code.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status, "{problem}");
        problem["code"].as_str().unwrap().to_owned()
    }
}

/// Sends this on a connection of its own: the answer.
pub(crate) async fn ask(server: &Server, text: impl AsRef<[u8]>) -> Answer {
    let mut raw = Raw::to(&server.address()).await;
    raw.send(text).await.unwrap();
    raw.answered(seconds(30)).await
}

/// The head of a request; headers end with their line.
pub(crate) fn head(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: tasks.example\r\n{headers}\r\n")
}

/// The headers of somebody's JSON.
pub(crate) fn json(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n")
}

/// The same by so many strangers at once, who get their number and the server's address: how each went.
pub(crate) async fn each<T, F>(address: String, count: usize, work: impl Fn(usize, String) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let all = (0..count).map(|n| tokio::spawn(work(n, address.clone())));
    join_all(all.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).collect()
}

/// How many went how.
pub(crate) fn counted(ends: &[End]) -> String {
    let mut kinds = std::collections::BTreeMap::new();
    for end in ends {
        *kinds.entry(format!("{end:?}")).or_insert(0) += 1;
    }
    format!("{kinds:?}")
}
