//! HTTP/2 as frames (RFC 9113), as no library would send it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:method GET` and `:method POST` of the static table (RFC 7541, appendix A).
const GET: u8 = 0x82;
const POST: u8 = 0x83;
/// The parameters of SETTINGS (RFC 9113 §6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A connection, with what the server said of it.
pub(crate) struct Frames {
    stream: TcpStream,
    /// How many streams the server takes at a time, when it has said so.
    pub(crate) most_streams: Option<u32>,
    /// How many bytes of answers have come.
    pub(crate) data: usize,
}

impl Frames {
    /// A connection whose streams may each get so many bytes before they ask for more, and all together these many more
    /// than the 65,535 of the protocol.
    pub(crate) async fn to(address: &str, window: u32, more: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut frames = Self { stream, most_streams: None, data: 0 };
        frames.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let settings = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
        frames.send(SETTINGS, 0, 0, &settings).await;
        if more > 0 {
            frames.send(WINDOW_UPDATE, 0, 0, &more.to_be_bytes()).await;
        }
        frames
    }

    /// Sends a frame; whether the server still takes any.
    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await.is_ok()
    }

    /// Asks for this path as the `count`th request, with these headers.
    pub(crate) async fn get(&mut self, count: u32, path: &str, headers: &[(&str, &str)]) -> bool {
        self.ask(count, GET, path, headers, END_STREAM).await
    }

    /// Sends this to the path as the `count`th request, with these headers.
    pub(crate) async fn post(&mut self, count: u32, path: &str, headers: &[(&str, &str)], body: &str) -> bool {
        self.ask(count, POST, path, headers, 0).await
            && self.send(DATA, END_STREAM, count * 2 + 1, body.as_bytes()).await
    }

    /// The head of a request, which may be all of it.
    async fn ask(&mut self, count: u32, method: u8, path: &str, headers: &[(&str, &str)], ends_stream: u8) -> bool {
        // By HPACK (RFC 7541): the method and `:scheme http` of the static table; the others as they are.
        let mut block = vec![method, 0x86, 0x04];
        text(&mut block, path);
        block.push(0x01);
        text(&mut block, "tasks.example");
        for (name, value) in headers {
            block.push(0);
            text(&mut block, name);
            text(&mut block, value);
        }
        let stream = count * 2 + 1;
        let mut pieces = block.chunks(16_000).peekable();
        let (mut kind, mut ends_stream) = (HEADERS, ends_stream);
        while let Some(piece) = pieces.next() {
            let ends_headers = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            if !self.send(kind, ends_stream | ends_headers, stream, piece).await {
                return false;
            }
            (kind, ends_stream) = (CONTINUATION, 0);
        }
        true
    }

    /// Obeys the protocol, but asks for no more bytes, until the server closes; whether it does in time.
    pub(crate) async fn closes(&mut self, within: Duration) -> bool {
        let end = Instant::now() + within;
        while let Ok(next) = timeout_at(end, self.next()).await {
            if next.is_none() {
                return true;
            }
        }
        false
    }

    /// Takes what comes for so long; whether it is still open then.
    pub(crate) async fn stays(&mut self, time: Duration) -> bool {
        !self.closes(time).await
    }

    /// The next frame, answered where it has to be; none when the connection has ended, or been given up.
    async fn next(&mut self) -> Option<()> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.ok()?;
        match (head[3], head[4]) {
            (DATA, _) => self.data += length,
            (SETTINGS, flags) if flags & ACK == 0 => {
                for setting in payload.chunks_exact(6) {
                    if u16::from_be_bytes([setting[0], setting[1]]) == MAX_CONCURRENT_STREAMS {
                        self.most_streams = Some(u32::from_be_bytes(setting[2..].try_into().unwrap()));
                    }
                }
                self.send(SETTINGS, ACK, 0, &[]).await;
            }
            (PING, flags) if flags & ACK == 0 => {
                self.send(PING, ACK, 0, &payload).await;
            }
            _ => {}
        }
        Some(())
    }
}

/// A text as HPACK has it, without its code (RFC 7541 §5.2).
fn text(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(u8::try_from(length % 128).unwrap() | 128);
            length /= 128;
        }
        block.push(u8::try_from(length).unwrap());
    }
    block.extend(text.as_bytes());
}
