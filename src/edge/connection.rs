//! One connection: HTTP/1.1 or HTTP/2, from its first byte to its last, within limits.
//!
//! hyper reads and writes; [`Activity`] is told what happens, and the connection is closed when it only holds a place.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use futures_util::future::BoxFuture;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use poem::http::{self, Version, uri};
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Endpoint, Request, RequestParts, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep};

use crate::edge::activity::{Activity, Judge, TICK, Verdict};
use crate::edge::receiving::{Received, Receiving};
use crate::edge::request::Edge;
use crate::edge::share::Held;

/// The longest head of a request, in bytes; longer ones are 431.
pub(super) const HEAD_BYTES: usize = 24 * 1024;

/// How many requests one HTTP/2 connection has at a time.
pub(super) const STREAMS: u32 = 100;

/// Up to how many bytes in its buffer an HTTP/2 stream asks for more. An answer in one piece is there whole: what bounds those is
/// that they end when they are written, or not read.
const SENT_AHEAD: usize = 64 * 1024;

/// What a client may send of bodies before they are read, in bytes a stream and a connection.
const RECEIVED_AHEAD: u32 = 64 * 1024;
const RECEIVED_AHEAD_IN_ALL: u32 = 64 * 1024;

/// How long and how much is still read of a client that is answered but has not stopped sending: a connection that is
/// closed under it takes the answer along.
const LINGER: Duration = Duration::from_secs(3);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How connections are spoken to.
pub(super) fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Times are kept by `Activity`: hyper's timer of heads is set anew for each request, and knows no HTTP/2.
    builder.http1().max_buf_size(HEAD_BYTES).header_read_timeout(None);
    builder
        .http2()
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES.try_into().unwrap_or(u32::MAX))
        .max_send_buf_size(SENT_AHEAD)
        .initial_stream_window_size(RECEIVED_AHEAD)
        .initial_connection_window_size(RECEIVED_AHEAD_IN_ALL);
    builder
}

/// Serves one connection to its end. `stop` changes when the server ends, and is gone when the time
/// for that is over; `is_full`: whether others wait for a place.
pub(super) async fn serve<E: Endpoint<Output = Response> + 'static>(
    builder: &auto::Builder<TokioExecutor>,
    (stream, addresses): (TcpStream, [SocketAddr; 2]),
    edge: Arc<Edge<E>>,
    mut stop: watch::Receiver<()>,
    is_full: impl Fn() -> bool,
    _place: OwnedSemaphorePermit,
) {
    let _connected = edge.metrics().connected();
    // Answers are whole when they are written: nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::new());
    let socket = Socket { stream, activity: Arc::clone(&activity), lingering: None };
    let visitor = Visitor { edge: Arc::clone(&edge), activity: Arc::clone(&activity), addresses };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), visitor));
    let mut judge = Judge::new();
    let mut tick = every(TICK);
    let mut is_stopping = false;
    loop {
        let verdict = tokio::select! {
            biased;
            // Whatever ended it: there is nobody to tell.
            _ended = connection.as_mut() => return,
            _ = tick.tick() => {
                if is_stopping {
                    if judge.is_over(&activity) {
                        return;
                    }
                    None
                } else {
                    judge.look(&activity, is_full())
                }
            }
            changed = stop.changed() => {
                if changed.is_err() {
                    // The time for the end is over.
                    return;
                }
                connection.as_mut().graceful_shutdown();
                (is_stopping, tick, judge) = (true, every(Judge::LAST_TICK), Judge::new());
                None
            }
        };
        if let Some(verdict) = verdict {
            edge.metrics().closed(verdict);
            // What stands in buffers for a reader that does not read goes too; but not beside a request that is worked on.
            if verdict == Verdict::Stalled {
                activity.cut();
            }
            if verdict != Verdict::Idle && !activity.is_at_work() {
                return;
            }
            connection.as_mut().graceful_shutdown();
            (is_stopping, tick, judge) = (true, every(Judge::LAST_TICK), Judge::new());
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What answers the requests of one connection.
struct Visitor<E> {
    edge: Arc<Edge<E>>,
    activity: Arc<Activity>,
    addresses: [SocketAddr; 2],
}

impl<E: Endpoint<Output = Response> + 'static> Service<http::Request<Incoming>> for Visitor<E> {
    type Response = http::Response<Answer>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let visit = Visit::begin(&self.activity, &request);
        let edge = Arc::clone(&self.edge);
        let (parts, incoming) = request.into_parts();
        let receiving = Receiving::new(incoming, edge.bodies(), &self.activity);
        let [local, remote] = self.addresses.map(Addr::SocketAddr);
        let parts = RequestParts::from((parts, LocalAddr(local), RemoteAddr(remote), uri::Scheme::HTTP));
        let body = receiving.as_ref().map(|receiving| BoxBody::new(Received(Arc::clone(receiving))).into());
        let request = Request::from_parts(parts, body.unwrap_or_default());
        Box::pin(async move {
            let (response, is_last) = edge.handle(request, receiving).await;
            if is_last {
                visit.activity.linger();
            }
            let mut response = http::Response::<BoxBody<Bytes, io::Error>>::from(response);
            let held = response.extensions_mut().remove();
            Ok(response.map(|body| Answer { body, visit: Arc::new(visit.answered(held)) }))
        })
    }
}

/// A request, from its head to the end of its answer.
struct Visit {
    activity: Arc<Activity>,
    is_answered: bool,
    /// The room for its answer, where that is large.
    held: Option<Arc<Held>>,
}

impl Visit {
    fn begin(activity: &Arc<Activity>, request: &http::Request<Incoming>) -> Self {
        let is_multiplexed = request.version() == Version::HTTP_2;
        activity.begin(is_multiplexed, if is_multiplexed { None } else { length(request) });
        Self { activity: Arc::clone(activity), is_answered: false, held: None }
    }

    fn answered(mut self, held: Option<Arc<Held>>) -> Self {
        self.activity.answer();
        (self.is_answered, self.held) = (true, held);
        self
    }
}

/// How many bytes a request of HTTP/1 has, written in the usual way; `None` where its body does not say how long it is.
fn length(request: &http::Request<Incoming>) -> Option<u64> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let line = request.method().as_str().len() + target + "  HTTP/1.1\r\n\r\n".len();
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    Some((line + headers.sum::<usize>()) as u64 + request.body().size_hint().exact()?)
}

impl Drop for Visit {
    fn drop(&mut self) {
        if self.is_answered { self.activity.end() } else { self.activity.give_up() }
    }
}

/// The body of an answer.
struct Answer {
    body: BoxBody<Bytes, io::Error>,
    visit: Arc<Visit>,
}

/// A piece of it, which is held until it is written: a body is asked for its last piece long before that.
struct Piece {
    bytes: Bytes,
    _visit: Arc<Visit>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Body for Answer {
    type Data = Piece;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Piece>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let piece = |bytes| Piece { bytes, _visit: Arc::clone(&self.visit) };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The socket, which tells what goes through it.
struct Socket {
    stream: TcpStream,
    activity: Arc<Activity>,
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.activity.is_cut() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.activity.has_read(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl Socket {
    fn written(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &poll {
            Poll::Pending => self.activity.is_blocked(),
            Poll::Ready(Ok(count)) => self.activity.has_written(*count),
            Poll::Ready(Err(_)) => {}
        }
        poll
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = &mut *self;
        if !socket.activity.lingers() {
            return Pin::new(&mut socket.stream).poll_shutdown(cx);
        }
        if socket.lingering.is_none() {
            ready!(Pin::new(&mut socket.stream).poll_shutdown(cx))?;
        }
        let (over, count) = socket.lingering.get_or_insert_with(|| (Box::pin(sleep(LINGER)), 0));
        if over.as_mut().poll(cx).is_ready() || *count >= LINGER_BYTES {
            return Poll::Ready(Ok(()));
        }
        let mut waste = [0; 16 * 1024];
        let mut buffer = ReadBuf::new(&mut waste);
        ready!(Pin::new(&mut socket.stream).poll_read(cx, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        *count += buffer.filled().len();
        socket.activity.has_read(buffer.filled().len());
        // The rest when others have had their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
