//! The program under test: started as a person starts it, killed, and started again at the same address.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tasks_server::identity::secret::{Secret, mint};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::cluster::free_port;
use crate::load::{Tally, User};

/// What the server and those who sign its tokens share.
const SECRET: &str = "the secret of the tests, 32 bytes and more";

/// What is done before the server starts, in a view of the files that only it has.
pub(crate) const UNDER: &str = "UNDER";

/// A running server.
pub(crate) struct Server {
    child: Child,
    port: u16,
    variables: Vec<(String, String)>,
    folder: TempDir,
    http: reqwest::Client,
    log: Log,
}

/// The lines of both outputs, with the time when they came.
type Log = Arc<Mutex<Vec<(Instant, String)>>>;

/// The program, without the environment of this process. With the variable `UNDER`, which the program does not know, a
/// shell does that first.
fn program(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let path = env!("CARGO_BIN_EXE_tasks-server");
    let under = variables.iter().find(|(name, _)| *name == UNDER);
    let mut command = Command::new(if under.is_some() { "/usr/bin/unshare" } else { path });
    if let Some((_, first)) = under {
        command.args(["--mount", "sh", "-c", &format!("{first} && exec \"$0\" \"$@\""), path]);
    }
    command.env_clear().env("JWT_SECRET", SECRET).envs(variables.iter().copied());
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
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let mut own = vec![("LISTEN".to_owned(), format!("127.0.0.1:{port}"))];
        own.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let log = Log::default();
        let child = spawn(folder.path(), &own, &log);
        // Without certificates, which take time to load and are needed for nothing here.
        let http = reqwest::Client::builder().tls_certs_only([]).timeout(Duration::from_mins(1)).build().unwrap();
        let mut server = Self { child, port, variables: own, folder, http, log };
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
        self.child = spawn(self.folder.path(), &self.variables, &self.log);
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
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
    }

    /// How it ended, when it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// A user whose requests are counted.
    pub(crate) fn user(&self, name: &str, tally: &Tally) -> User {
        let secret = Secret::new(SECRET.into()).unwrap();
        let token = mint(&secret, &name.parse().unwrap(), Duration::from_hours(1), None, None).unwrap();
        User::new(&self.http, &self.address(), name, &token, tally)
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
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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

fn spawn(folder: &Path, variables: &[(String, String)], log: &Log) -> Child {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut command = program(folder, &variables);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let outputs: [Box<dyn Read + Send>; 2] =
        [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
    for output in outputs {
        let log = Arc::clone(log);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                log.lock().unwrap().push((Instant::now(), line));
            }
        });
    }
    child
}
