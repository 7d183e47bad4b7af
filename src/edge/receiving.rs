//! The body of a request, on its way in: what it may hold, how long it may stand still, and what becomes of what nobody reads.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tasks_api::Error;
use tokio::time::{Instant, timeout};

use crate::edge::activity::Activity;
use crate::edge::share::{Held, SMALL, Share};

/// How long a body may stand still.
pub(super) const STANDSTILL: Duration = Duration::from_secs(20);

/// What all unfinished bodies hold together, in bytes.
pub(super) const MOST: usize = 16 * 1024 * 1024;

/// What those of one user hold of it.
pub(super) const MOST_OF_A_USER: usize = 4 * 1024 * 1024;

/// What one may become that is larger than [`SMALL`] and does not say how long it is.
const UNKNOWN: usize = 2 * 1024 * 1024;

/// What is read of one body, or thrown away of it, before others have their turn: a thousand that come at once would else
/// keep everybody waiting until all of them are read.
const TURN: usize = 32 * 1024;

/// What is read and thrown away of a body that nobody wanted, so that the connection can be used again.
const DRAINED: usize = 256 * 1024;
const DRAINING: Duration = Duration::from_secs(1);

/// The body of one request.
pub(super) struct Receiving {
    share: Arc<Share>,
    activity: Arc<Activity>,
    state: Mutex<State>,
}

struct State {
    incoming: Incoming,
    progress: Progress,
    /// Since when the request waits for more of it.
    since: Instant,
    /// How much of it was read, and at how much others have their turn.
    count: usize,
    turn: usize,
    /// What it holds: its whole length, from the beginning. Bodies that grew side by side, until most of them are refused, would
    /// leave a multiple of the bound behind as holes.
    held: Option<Held>,
    user: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nobody asked for it: a client that waits to be told (RFC 9110 §10.1.1) has not been.
    Unasked,
    /// Some of it is here.
    Begun,
    /// The request waits for more of it.
    Awaited,
    /// All of it is here.
    Whole,
    /// It ended before its end.
    Broken,
}

impl Receiving {
    /// What comes in; `None` where there is nothing to come.
    pub(super) fn new(incoming: Incoming, share: &Arc<Share>, activity: &Arc<Activity>) -> Option<Arc<Self>> {
        if incoming.is_end_stream() {
            return None;
        }
        let state = State {
            incoming,
            progress: Progress::Unasked,
            since: Instant::now(),
            count: 0,
            turn: TURN,
            held: None,
            user: None,
        };
        Some(Arc::new(Self { share: Arc::clone(share), activity: Arc::clone(activity), state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what it holds against the bound of this user.
    pub(super) fn is_of(&self, user: u64) {
        self.state().user = Some(user);
    }

    /// Until when the request waits for the next of it; `None` where it does not wait.
    pub(super) fn awaited_until(&self) -> Option<Instant> {
        let state = self.state();
        (state.progress == Progress::Awaited).then(|| state.since + STANDSTILL)
    }

    /// Reads what nobody wanted, if that is little and here soon. Says whether the connection can be used again. `expects`:
    /// whether the client sends it only when it is told to.
    pub(super) async fn drain(&self, expects: bool) -> bool {
        if let Some(is_over) = self.is_over(expects) {
            return is_over;
        }
        let rest = async {
            let mut count = 0;
            while let Some(frame) = std::future::poll_fn(|cx| self.poll(cx, false)).await {
                count += frame.ok()?.data_ref().map_or(0, Bytes::len);
                if count > DRAINED {
                    return None;
                }
            }
            Some(())
        };
        matches!(timeout(DRAINING, rest).await, Ok(Some(())))
    }

    /// Whether it has come to its end, as it should or not; `None` where the rest may be worth reading.
    fn is_over(&self, expects: bool) -> Option<bool> {
        let state = self.state();
        let is_long = state.incoming.size_hint().lower() > DRAINED as u64;
        match state.progress {
            Progress::Whole => Some(true),
            Progress::Broken | Progress::Awaited => Some(false),
            Progress::Unasked if expects => Some(false),
            Progress::Unasked | Progress::Begun => is_long.then_some(false),
        }
    }

    /// The next piece; `is_kept`: whether it is held until the request has its answer.
    fn poll(&self, cx: &mut Context<'_>, is_kept: bool) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut state = self.state();
        if matches!(state.progress, Progress::Whole | Progress::Broken) {
            return Poll::Ready(None);
        }
        if state.count >= state.turn {
            state.turn = state.count + TURN;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if is_kept && !self.has_room(&mut state) {
            return Poll::Ready(Some(Err(io::Error::other(Error::Overloaded))));
        }
        let Poll::Ready(frame) = Pin::new(&mut state.incoming).poll_frame(cx) else {
            state.turn = state.count + TURN;
            if state.progress != Progress::Awaited {
                (state.progress, state.since) = (Progress::Awaited, Instant::now());
                self.activity.is_waiting_for_a_body(true);
            }
            return Poll::Pending;
        };
        if state.progress == Progress::Awaited {
            self.activity.is_waiting_for_a_body(false);
        }
        state.progress = match &frame {
            Some(Err(_)) => Progress::Broken,
            Some(Ok(_)) if !state.incoming.is_end_stream() => Progress::Begun,
            Some(Ok(_)) | None => Progress::Whole,
        };
        if let Some(Ok(frame)) = &frame {
            state.count += frame.data_ref().map_or(0, Bytes::len);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    /// Holds what the body needs, if it does not yet and there is room.
    fn has_room(&self, state: &mut State) -> bool {
        let need = match (state.progress, &state.held) {
            (Progress::Unasked, _) => {
                let length = state.incoming.size_hint().exact();
                length.map_or(SMALL, |length| length.try_into().unwrap_or(MOST).min(MOST))
            }
            (_, Some(held)) if state.count > held.count() => UNKNOWN,
            _ => return true,
        };
        let (held, has_room) = self.share.hold(state.user, need);
        state.held = has_room.then_some(held);
        has_room
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.progress == Progress::Awaited {
            self.activity.is_waiting_for_a_body(false);
        }
    }
}

/// The body as the request has it.
pub(super) struct Received(pub(super) Arc<Receiving>);

impl Body for Received {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll(cx, true)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0.state().progress, Progress::Whole | Progress::Broken)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.state().incoming.size_hint()
    }
}
