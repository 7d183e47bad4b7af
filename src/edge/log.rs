//! The log: one line an event on standard output, for people on a terminal and as JSON elsewhere.
//!
//! Who logs never waits: lines go into a bounded buffer, and a thread of its own writes them. What does not fit, as nobody reads
//! them, or cannot be written, as the disk is full, is lost and counted; how many were lost is told as soon as lines can be
//! written again. (`tracing-appender` does the like, but says so on standard output when its queue is full at the end: there
//! it would wait for ever for the reader that is not there.)

use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::mem::{replace, take};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::edge::log_line::Json;

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Which events, in the language of [`EnvFilter`], which reads it.
    pub filter: String,
    /// In which form.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What PostgreSQL only remarks, such as that a table is there already, is no news.
const QUIET: &str = "sqlx::postgres::notice=warn";

/// How many bytes wait to be written, at most: some 3,000 lines.
pub const WAITING: usize = 1024 * 1024;

/// How long lines wait for others: a thread that is woken for each line costs more than the line.
const GATHERED: Duration = Duration::from_millis(2);

/// How long the end waits for lines to be written.
const LAST: Duration = Duration::from_secs(1);

/// The lines of this process that are not written yet.
static LINES: Lines = Lines::new();

/// How many lines were lost since the start.
pub(super) fn lost() -> u64 {
    LINES.lost.load(Relaxed)
}

/// Starts the log; the first call counts. Lines are written until what it returns is dropped: a server's to standard output, a command's to
/// standard error, as what it answers is on the other.
#[must_use = "the log ends with it"]
pub fn start(log: &Log, serves: bool) -> Writing {
    let is_terminal = if serves { stdout().is_terminal() } else { stderr().is_terminal() };
    let is_text = match log.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{QUIET},{}", log.filter)))
        .log_internal_errors(false)
        .with_writer(&LINES);
    // A second start, in a test, changes nothing.
    let _ = if is_text { lines.with_ansi(is_terminal).try_init() } else { lines.event_format(Json).try_init() };
    // A request's panic is answered 500; here its place is told, in one line.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic");
    }));
    // Where there can be no thread, there is no log.
    let _ = thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || if serves { LINES.write(stdout()) } else { LINES.write(stderr()) });
    Writing
}

/// The log is written while this lives.
#[derive(Debug)]
pub struct Writing;

impl Drop for Writing {
    fn drop(&mut self) {
        LINES.end();
    }
}

/// Lines on their way from those who log to the one who writes.
struct Lines {
    waiting: Mutex<Waiting>,
    /// Something waits, or the end has come.
    some: Condvar,
    /// The end was written.
    none: Condvar,
    lost: AtomicU64,
}

struct Waiting {
    bytes: Vec<u8>,
    /// How many did not fit since it was told.
    lost: u64,
    is_ending: bool,
    has_ended: bool,
}

impl Lines {
    const fn new() -> Self {
        let waiting = Waiting { bytes: Vec::new(), lost: 0, is_ending: false, has_ended: false };
        Self { waiting: Mutex::new(waiting), some: Condvar::new(), none: Condvar::new(), lost: AtomicU64::new(0) }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line, or counts it as lost.
    fn take(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.bytes.len() + line.len() > WAITING {
            waiting.lost += 1;
            self.lost.fetch_add(1, Relaxed);
            return;
        }
        let is_first = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.some.notify_one();
        }
    }

    /// Writes lines until the end.
    fn write(&self, mut to: impl Write) {
        let mut bytes = Vec::new();
        loop {
            let mut waiting = self.waiting();
            while waiting.bytes.is_empty() && !waiting.is_ending {
                waiting = self.some.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let is_ending = waiting.is_ending;
            if !is_ending {
                drop(waiting);
                thread::sleep(GATHERED);
                waiting = self.waiting();
            }
            bytes.clear();
            bytes = replace(&mut waiting.bytes, bytes);
            let lost = take(&mut waiting.lost);
            drop(waiting);
            // Told when lines can be written, and not before: a line about what was lost, lost itself, would be followed by another.
            if to.write_all(&bytes).and_then(|()| to.flush()).is_ok() {
                if lost > 0 {
                    tracing::warn!(
                        lost,
                        "lines of the log were lost: standard output was not read, or could not be written"
                    );
                }
            } else {
                let unwritten = bytes.split(|byte| *byte == b'\n').skip(1).count() as u64;
                self.lost.fetch_add(unwritten, Relaxed);
                self.waiting().lost += lost + unwritten;
            }
            if is_ending && self.waiting().bytes.is_empty() {
                self.waiting().has_ended = true;
                self.none.notify_all();
                return;
            }
        }
    }

    /// Waits until all is written, but not long.
    fn end(&self) {
        let mut waiting = self.waiting();
        waiting.is_ending = true;
        self.some.notify_one();
        let _ = self.none.wait_timeout_while(waiting, LAST, |waiting| !waiting.has_ended);
    }
}

/// One line that somebody logs.
struct Line(&'static Lines);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for &'static Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes each piece only when it is let.
    struct Gate(Receiver<bool>, Sender<Vec<u8>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.recv() {
                Ok(true) => {
                    self.1.send(bytes.to_vec()).unwrap();
                    Ok(bytes.len())
                }
                _ => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() -> (&'static Lines, Sender<bool>, Receiver<Vec<u8>>) {
        let lines: &'static Lines = Box::leak(Box::new(Lines::new()));
        let ((let_through, gate), (into, out)) = (channel(), channel());
        thread::spawn(|| lines.write(Gate(gate, into)));
        (lines, let_through, out)
    }

    #[test]
    fn lines_come_out_as_they_went_in() {
        let (lines, gate, out) = lines();
        for _ in 0..3 {
            gate.send(true).unwrap();
        }
        lines.take(b"one\n");
        lines.take(b"two\n");
        lines.end();
        drop(gate);
        assert_eq!(out.iter().collect::<Vec<_>>().concat(), b"one\ntwo\n");
        assert_eq!(lines.lost.load(Relaxed), 0);
    }

    #[test]
    fn who_logs_does_not_wait_for_a_reader_that_is_not_there() {
        let (lines, gate, _out) = lines();
        let line = [b'x'; 1024];
        for _ in 0..3 * WAITING / line.len() {
            lines.take(&line);
        }
        let lost = lines.lost.load(Relaxed);
        assert!(usize::try_from(lost).unwrap() >= WAITING / line.len(), "{lost}");
        // Nor does the end.
        let begun = std::time::Instant::now();
        lines.end();
        assert!(begun.elapsed() < LAST * 3);
        drop(gate);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_rest_goes_on() {
        let (lines, gate, out) = lines();
        gate.send(false).unwrap();
        lines.take(b"lost\n");
        while lines.lost.load(Relaxed) == 0 {
            thread::yield_now();
        }
        gate.send(true).unwrap();
        lines.take(b"kept\n");
        assert_eq!(out.recv().unwrap(), b"kept\n");
        assert_eq!(lines.lost.load(Relaxed), 1);
        drop(gate);
    }
}
