//! A relay before a database: it carries bytes, or does to connections what networks do to them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Welcome {
    /// They are carried, and answered for the first time after so long.
    Carry(Duration),
    /// They are accepted, and nothing happens on them until this changes.
    Hold,
}

/// A port that leads to another one.
pub(crate) struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    target: SocketAddr,
    welcome: watch::Sender<Welcome>,
    /// How much later each piece arrives.
    delay: Mutex<Duration>,
    lines: Mutex<Vec<Line>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    sent: AtomicU64,
}

/// An open connection.
struct Line {
    is_silent: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A relay to this port of the loopback address.
    pub(crate) async fn to(port: u16) -> Self {
        Self::at("127.0.0.1", port).await
    }

    /// A relay that listens on this address.
    pub(crate) async fn at(address: &str, port: u16) -> Self {
        let shared = Arc::new(Shared {
            target: SocketAddr::from(([127, 0, 0, 1], port)),
            welcome: watch::Sender::new(Welcome::Carry(Duration::ZERO)),
            delay: Mutex::new(Duration::ZERO),
            lines: Mutex::new(Vec::new()),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
        });
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(Arc::clone(&shared).accept(listener));
        Self { address, shared, listener: Mutex::new(Some(task)) }
    }

    /// The URL of a database behind the relay.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://tasks@{}/{database}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Carries new connections and those that were held, and listens again.
    pub(crate) fn forward(&self) {
        self.welcome(Welcome::Carry(Duration::ZERO));
    }

    /// New connections get their first answer after so long, as when the database starts up meanwhile.
    pub(crate) fn answer_after(&self, time: Duration) {
        self.welcome(Welcome::Carry(time));
    }

    /// Accepts new connections and lets them wait.
    pub(crate) fn hold(&self) {
        self.welcome(Welcome::Hold);
    }

    fn welcome(&self, welcome: Welcome) {
        self.shared.welcome.send_replace(welcome);
        let mut listener = self.listener.lock().unwrap();
        if listener.is_none() {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(self.address).unwrap();
            *listener = Some(tokio::spawn(Arc::clone(&self.shared).accept(socket.listen(1024).unwrap())));
        }
    }

    /// Nobody listens any more; open connections stay.
    pub(crate) async fn refuse(&self) {
        let listener = self.listener.lock().unwrap().take();
        if let Some(task) = listener {
            task.abort();
            let _ = task.await;
        }
    }

    /// Each piece arrives so much later, both ways.
    pub(crate) fn delay(&self, time: Duration) {
        *self.shared.delay.lock().unwrap() = time;
    }

    /// Swallows what comes on the connections that are open now, both ways; new ones are not concerned.
    pub(crate) fn silence(&self) {
        for line in &*self.shared.lines.lock().unwrap() {
            line.is_silent.store(true, Ordering::Relaxed);
        }
    }

    /// Ends the open connections.
    pub(crate) fn cut(&self) {
        for line in self.shared.lines.lock().unwrap().drain(..) {
            line.task.abort();
        }
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// How many connections there ever were.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// How many bytes clients have sent.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(task) = self.listener.get_mut().unwrap().take() {
            task.abort();
        }
        self.cut();
    }
}

/// Counts a connection for as long as it lives.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((client, _)) = listener.accept().await else { continue };
            self.accepted.fetch_add(1, Ordering::Relaxed);
            self.open.fetch_add(1, Ordering::Relaxed);
            let (counted, is_silent) = (Counted(Arc::clone(&self)), Arc::new(AtomicBool::new(false)));
            let silent = Arc::clone(&is_silent);
            let task = tokio::spawn(async move {
                // What goes wrong here is the end of a connection, which both ends see for themselves.
                let _ = counted.0.carry(client, &silent).await;
            });
            let mut lines = self.lines.lock().unwrap();
            lines.retain(|line| !line.task.is_finished());
            lines.push(Line { is_silent, task });
        }
    }

    async fn carry(&self, client: TcpStream, is_silent: &AtomicBool) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let mut welcome = self.welcome.subscribe();
        let carried = welcome.wait_for(|welcome| *welcome != Welcome::Hold).await;
        let Ok(Welcome::Carry(time)) = carried.map(|welcome| *welcome) else { return Ok(()) };
        tokio::time::sleep(time).await;
        let server = TcpStream::connect(self.target).await?;
        server.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Whichever end closes, both are closed.
        tokio::select! {
            done = self.pump(from_client, to_server, is_silent, Some(&self.sent)) => done,
            done = self.pump(from_server, to_client, is_silent, None) => done,
        }
    }

    async fn pump(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        is_silent: &AtomicBool,
        count: Option<&AtomicU64>,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            if let Some(count) = count {
                count.fetch_add(length as u64, Ordering::Relaxed);
            }
            let delay = *self.delay.lock().unwrap();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            if !is_silent.load(Ordering::Relaxed) {
                to.write_all(&buffer[..length]).await?;
            }
        }
    }
}
