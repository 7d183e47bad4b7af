//! The program under test: started as a person starts it, killed, and started again at the same address.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tasks_server::identity::secret::{Secret, mint};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::load::{Tally, User};

/// What the server and those who sign its tokens share.
const SECRET: &str = "the secret of the tests, 32 bytes and more";

/// What a shell does before it becomes the server.
pub(crate) const UNDER: &str = "UNDER";

/// What no line of a log may hold, in titles of the tests.
pub(crate) const TITLE: &str = "nobody's business";

/// A running server.
pub(crate) struct Server {
    child: Child,
    port: u16,
    variables: Vec<(String, String)>,
    folder: TempDir,
    http: reqwest::Client,
    log: Log,
    readers: Vec<JoinHandle<()>>,
}

/// A token of this user by this issuer, for this audience.
pub(crate) fn token_for(name: &str, issuer: Option<&str>, audience: Option<&str>) -> String {
    let secret = Secret::new(SECRET.into()).unwrap();
    mint(&secret, &name.parse().unwrap(), Duration::from_hours(1), issuer, audience).unwrap()
}

/// The lines of both outputs, with the time when they came.
type Log = Arc<Mutex<Vec<(Instant, String)>>>;

/// The program, without the environment of this process, and without a limit of requests where the variables set none.
/// With the variable `UNDER`, which the program does not know, a shell does that first.
fn program(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let path = env!("CARGO_BIN_EXE_tasks-server");
    let under = variables.iter().find(|(name, _)| *name == UNDER);
    let mut command = Command::new(if under.is_some() { "/bin/sh" } else { path });
    if let Some((_, first)) = under {
        command.args(["-c", &format!("{first} && exec \"$0\" \"$@\""), path]);
    }
    command.env_clear().env("JWT_SECRET", SECRET);
    command.env("RATE_LIMIT_PER_MINUTE", "0").env("RATE_LIMIT_PER_MINUTE_ADDRESS", "0");
    command.envs(variables.iter().copied());
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Runs the program to its end: whether it went well, and what it said. One that does not end is ended, and that is not
/// what went well.
pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path(), variables);
    let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

impl Server {
    /// A server on the database at this URL, once it answers `/livez`.
    pub(crate) async fn on(url: &str) -> Self {
        Self::with(&[("DATABASE_URL", url)]).await
    }

    /// A server with these variables.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        let (port, folder) = (own_port(), tempfile::tempdir().unwrap());
        let mut own = vec![("LISTEN".to_owned(), format!("127.0.0.1:{port}"))];
        own.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let log = Log::default();
        let (child, readers) = spawn(folder.path(), &own, &log);
        // Without certificates, which take time to load and are needed for nothing here.
        let http = reqwest::Client::builder().tls_certs_only([]).timeout(Duration::from_mins(1)).build().unwrap();
        let mut server = Self { child, port, variables: own, folder, http, log, readers };
        server.answers().await;
        server
    }

    /// Waits until it answers.
    async fn answers(&mut self) {
        let started = Instant::now();
        while self.probe("/livez").await != 200 {
            assert!(started.elapsed() < Duration::from_secs(30), "it does not answer: {}", self.log());
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status}: {}", self.log());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts it again; how long it took to answer.
    pub(crate) async fn start_again(&mut self) -> Duration {
        let started = Instant::now();
        (self.child, self.readers) = spawn(self.folder.path(), &self.variables, &self.log);
        self.answers().await;
        started.elapsed()
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as platforms do.
    pub(crate) fn ask_to_end(&self) {
        self.signal("-TERM");
    }

    /// Sends it a signal, as `kill` takes it.
    pub(crate) fn signal(&self, signal: &str) {
        let asked = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
    }

    /// How it ended, when it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// A user whose requests are counted.
    pub(crate) fn user(&self, name: &str, tally: &Tally) -> User {
        User::new(&self.http, &self.address(), name, &self.token(name), tally)
    }

    /// A good token of this user.
    pub(crate) fn token(&self, name: &str) -> String {
        let audience = self.variables.iter().find(|(name, _)| name == "JWT_AUDIENCE").map(|(_, value)| value.as_str());
        token_for(name, None, audience)
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The status of `/livez` or `/readyz`; 0 when there is no answer.
    pub(crate) async fn probe(&self, path: &str) -> u16 {
        let answer = self.http.get(format!("http://{}{path}", self.address())).send().await;
        answer.map_or(0, |answer| answer.status().as_u16())
    }

    /// The folder where it runs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All that it said.
    pub(crate) fn log(&self) -> String {
        let log = self.log.lock().unwrap();
        log.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// The same, once it has this text in it: a line is written behind the answer that it tells of.
    pub(crate) async fn logged(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let log = self.log();
            if log.contains(text) || began.elapsed() > Duration::from_secs(20) {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The warnings and errors that it logged since it listens: what it says of its settings comes before.
    pub(crate) fn alarms(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        let lines = log.iter().map(|(_, line)| line).skip_while(|line| !line.contains(r#""message":"listening""#));
        lines.filter(|line| is_complaint(line)).cloned().collect()
    }

    /// How many warnings and errors it logged since then.
    pub(crate) fn complaints(&self, since: Instant) -> usize {
        let log = self.log.lock().unwrap();
        let recent = log.iter().filter(|(at, _)| *at >= since);
        recent.filter(|(_, line)| is_complaint(line)).count()
    }

    /// How many files and connections it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// A number of `/proc/PID/status`; memory is in KiB.
    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().split_whitespace().next().unwrap().parse().unwrap()
    }

    /// The memory that it has in use, in KiB.
    pub(crate) fn memory(&self) -> usize {
        self.status("VmRSS")
    }

    /// The most memory that it had in use since [`Self::forget_peak`], in KiB.
    pub(crate) fn peak(&self) -> usize {
        self.status("VmHWM")
    }

    pub(crate) fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
    }

    pub(crate) fn threads(&self) -> usize {
        self.status("Threads")
    }

    /// The time that processors worked for it, in hundredths of a second by Linux's custom.
    pub(crate) fn worked(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name, in parentheses, may hold anything; `utime` and `stime` are the fields 14 and 15.
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.readers.drain(..).for_each(|reader| drop(reader.join()));
        if !std::thread::panicking() {
            let log = self.log();
            for private in [SECRET, "eyJ", TITLE] {
                assert!(!log.contains(private), "{private} was logged");
            }
        }
        // For whoever reads why a test failed.
        if std::thread::panicking() {
            let log = self.log.lock().unwrap();
            let complaints: Vec<_> = log.iter().filter(|(_, line)| is_complaint(line)).collect();
            println!("the server's {} warnings and errors, the first of them:", complaints.len());
            complaints.iter().take(5).for_each(|(_, line)| println!("  {line}"));
        }
    }
}

fn is_complaint(line: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    matches!(line["level"].as_str(), Some("WARN" | "ERROR"))
}

/// A free port below those that the system gives to connections, of which the tests open thousands.
fn own_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset =
            NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(u16::try_from(std::process::id() % 97).unwrap() * 100);
        let port = 20_000 + offset % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn spawn(folder: &Path, variables: &[(String, String)], log: &Log) -> (Child, Vec<JoinHandle<()>>) {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut command = program(folder, &variables);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let outputs: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
    let readers = outputs.map(|output| {
        let log = Arc::clone(log);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                log.lock().unwrap().push((Instant::now(), line));
            }
        })
    });
    (child, readers.into())
}
