//! The program as a person runs it: settings, start, restart, end, and a database that is away.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::Value;

use crate::client::Client;
use crate::cluster::free_port;
use crate::postgres;

/// The program with these variables, without the environment of this process.
fn program(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasks-server"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    let pooled = variables.iter().find(|(name, _)| *name == "DATABASE_URL");
    command.envs(pooled.and_then(|(_, url)| Some(("DATABASE_URL_UNPOOLED", postgres::direct(url)?))));
    command.envs(variables.iter().copied());
    command
}

pub(crate) fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    somewhere(program(folder, variables), variables).args(arguments).output().unwrap()
}

/// On a free port, unless the variables say where.
fn somewhere(mut program: Command, variables: &[(&str, &str)]) -> Command {
    if variables.iter().all(|(name, _)| !["LISTEN", "PORT"].contains(name)) {
        program.env("LISTEN", "127.0.0.1:0");
    }
    program
}

/// Both outputs of a program that ended.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running server.
pub(crate) struct Running {
    child: Child,
    address: String,
    pub(crate) token: Option<String>,
    /// What it printed until it was ready.
    printed: String,
}

impl Running {
    /// Starts it on a free port and reads where from what it prints.
    pub(crate) fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::spawn(somewhere(program(folder, variables), variables))
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut address, mut token, mut printed) = (None, None, String::new());
        for line in lines.by_ref() {
            let line = line.unwrap();
            printed.push_str(&line);
            printed.push('\n');
            if let Some(addresses) = line.trim().strip_prefix("listening ") {
                address = addresses.trim().split(", ").next().map(str::to_owned);
            }
            token = token.or(line.strip_prefix("eyJ").map(|_| line.clone()));
            if line.starts_with("Ready") {
                break;
            }
        }
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.unwrap_or_else(|| panic!("it did not start: {printed}"));
        Self { child, address, token, printed }
    }

    pub(crate) fn client(&self, user: &str, token: Option<String>) -> Client {
        Client::new(&format!("http://{}", self.address), user, token)
    }

    /// Asks it to end as a platform does, and answers what it logged.
    pub(crate) fn stop(mut self) -> String {
        let asked = Instant::now();
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let mut log = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        assert!(asked.elapsed() < Duration::from_secs(10));
        log
    }
}

#[tokio::test]
async fn tasks_outlive_the_process_on_the_embedded_database() {
    let folder = tempfile::tempdir().unwrap();
    let first = Running::start(folder.path(), &[]);
    let token = first.token.clone().expect("development mode prints a token");
    let task = first.client("me", Some(token.clone())).create("Buy milk").await;
    let log = first.stop();
    assert!(!log.contains(&token), "a token is never logged");
    assert!(folder.path().join("data/tasks.db").exists());
    // The development key is kept: the token of the first run still works.
    let second = Running::start(folder.path(), &[]);
    assert_eq!(second.client("me", Some(token)).all().await, [task]);
    second.stop();
}

#[tokio::test]
async fn tasks_outlive_the_process_on_postgres() {
    let Some(url) = postgres::empty_database().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let variables = [("DATABASE_URL", url.as_str()), ("MIGRATE_ON_START", "true")];
    let first = Running::start(folder.path(), &variables);
    let token = first.token.clone().unwrap();
    let task = first.client("me", Some(token.clone())).create("Buy milk").await;
    first.stop();
    let second = Running::start(folder.path(), &[("DATABASE_URL", url.as_str())]);
    assert_eq!(second.client("me", Some(token)).all().await, [task]);
    second.stop();
}

#[tokio::test]
async fn each_request_is_one_line_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), &[]);
    let alice = server.client("me", server.token.clone());
    let created = alice.post(serde_json::json!({ "title": "a secret plan" })).await;
    alice.get("not-a-uuid").await;
    server.client("me", None).to(Method::GET, "/nothing?password=hunter2").send().await;
    let log = server.stop();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON, off a terminal")).collect();
    let requests: Vec<_> = lines.iter().filter(|line| line["target"] == "tasks_server::request").collect();
    assert_eq!(requests.len(), 3, "{log}");
    let field = |n: usize, name: &str| requests[n]["fields"].get(name).unwrap_or(&requests[n][name]).clone();
    assert_eq!((field(0, "method"), field(0, "status")), ("POST".into(), 201.into()));
    assert_eq!(field(0, "route"), "/api/{user_id}/tasks");
    assert_eq!(field(0, "request_id"), created.header("x-request-id"));
    assert_eq!((field(1, "route"), field(1, "status")), ("/api/{user_id}/tasks/{id}".into(), 400.into()));
    assert_eq!((field(2, "route"), field(2, "status")), ("".into(), 404.into()));
    for secret in ["a secret plan", "hunter2", "eyJ"] {
        assert!(!log.contains(secret), "{secret} was logged");
    }
}

#[tokio::test]
async fn in_development_the_printed_token_opens_the_tools_too() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), &[]);
    let alice = server.client("me", server.token.clone());
    let call = |name: &str, arguments: Value| {
        let params = serde_json::json!({ "name": name, "arguments": arguments });
        alice
            .to(Method::POST, "/mcp")
            .json(&serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }))
    };
    for (origin, status) in [
        ("http://localhost:6274", 200),
        ("http://127.0.0.1:3000", 200),
        ("https://[::1]:8443", 200),
        ("http://localhost", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("http://127.0.0.1.evil.example:80", 403),
        ("http://localhost@evil.example", 403),
        ("http://evil.example:localhost", 403),
        ("localhost", 403),
        ("null", 403),
    ] {
        let answer = call("list_tasks", serde_json::json!({})).header("Origin", origin).bare().send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{origin}");
    }
    let made = call("add_task", serde_json::json!({ "title": "a secret plan" })).bare().send().await.unwrap();
    assert_eq!(made.status(), 200);
    assert_eq!(alice.list("").await.data(200)[0]["title"], "a secret plan");
    let wrong = call("add_task", serde_json::json!({ "titel": "another secret" })).bare().send().await.unwrap();
    assert_eq!(wrong.status(), 200);
    let log = server.stop();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_tools = lines.iter().filter(|line| line["fields"]["route"] == "/mcp" && line["fields"]["status"] == 200);
    let codes: Vec<_> = of_tools.map(|line| line["fields"]["code"].as_str()).collect();
    assert_eq!(codes, [None, None, None, None, None, Some("invalid-request")], "what was refused is told: {log}");
    for secret in ["a secret plan", "another secret", "eyJ"] {
        assert!(!log.contains(secret), "{secret} was logged");
    }
    let quiet = Running::start(folder.path(), &[("MCP", "off")]);
    let off = quiet.client("me", quiet.token.clone()).to(Method::POST, "/mcp").json(&serde_json::json!({})).bare();
    assert_eq!(off.send().await.unwrap().status(), 404);
    quiet.stop();
}

/// What a token says of itself.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn a_token_for_agents_names_their_address_and_who_gives_it() {
    let folder = tempfile::tempdir().unwrap();
    let secret = ("JWT_SECRET", "a secret of the tests, 32 bytes and more");
    let given = [
        secret,
        ("JWT_AUDIENCE", "tasks"),
        ("JWT_ISSUER", "https://app.example"),
        ("AUTHORIZATION_SERVERS", "https://a.example,https://b.example"),
    ];
    let mint = |more: &[&str], variables: &[(&str, &str)]| {
        let minted = run(folder.path(), &[&["token", "--sub", "alice"][..], more].concat(), variables);
        assert!(minted.status.success(), "{}", text(&minted));
        claims(text(&minted).trim())
    };
    let audience = ["--aud", "https://tasks.example/mcp"];
    let (usual, agents) = (mint(&[], &given), mint(&audience, &given));
    assert_eq!((&usual["iss"], &usual["aud"]), (&"https://app.example".into(), &"tasks".into()));
    assert_eq!((&agents["iss"], &agents["aud"]), (&"https://a.example".into(), &"https://tasks.example/mcp".into()));
    // In `aud`, wherever the audience of others stands.
    let other = mint(&audience, &[&given[..], &[("JWT_AUDIENCE_CLAIM", "client_id")]].concat());
    assert_eq!((other.get("client_id"), &other["aud"]), (None, &"https://tasks.example/mcp".into()));
    assert_eq!(mint(&audience, &[secret]).get("iss"), None);
    // One of the operations' audiences is for those.
    let named = mint(&["--aud", "tasks"], &given);
    assert_eq!((&named["iss"], &named["aud"]), (&"https://app.example".into(), &"tasks".into()));
    let empty = run(folder.path(), &["token", "--sub", "alice", "--aud", ""], &[secret]);
    assert!(!empty.status.success() && text(&empty).contains("--aud must be an audience"), "{}", text(&empty));
}

#[tokio::test]
async fn a_database_that_is_away_is_503_and_never_500() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgresql://someone:hunter2@127.0.0.1:{}/tasks", free_port());
    let server = Running::start(folder.path(), &[("DATABASE_URL", url.as_str())]);
    let alice = server.client("me", server.token.clone());
    assert_eq!(alice.to(Method::GET, "/livez").send().await.status, 200);
    for _ in 0..2 {
        let ready = alice.to(Method::GET, "/readyz").send().await;
        ready.problem(503, "unavailable");
        let answer = alice.list("").await;
        answer.problem(503, "unavailable");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
        let created = alice.post(serde_json::json!({ "title": "x" })).await;
        created.problem(503, "unavailable");
        let list = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "list_tasks" } });
        let called = alice.to(Method::POST, "/mcp").json(&list).bare().send().await.unwrap();
        assert_eq!((called.status().as_u16(), &called.headers()["retry-after"]), (503, &"2".parse().unwrap()));
        let answer = called.json::<Value>().await.unwrap();
        let error = &answer["error"];
        assert_eq!(answer["id"], 1, "it was read");
        assert_eq!((&error["code"], &error["data"]["code"]), (&503.into(), &"unavailable".into()));
        assert_eq!(error["data"]["retry_after"], 2);
    }
    let log = server.stop();
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn a_health_check_asks_the_server_of_its_settings_and_says_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let away = format!("postgresql://someone:hunter2@127.0.0.1:{}/tasks", free_port());
    for (url, ready) in [("sqlite://tasks.db", 0), (away.as_str(), 1)] {
        let server = Running::start(folder.path(), &[("DATABASE_URL", url)]);
        let address = server.address.clone();
        let port = address.rsplit(':').next().unwrap().to_owned();
        // No setting but the address matters, as a watcher may have no other, and no proxy.
        let variables = [("LISTEN", "0.0.0.0:1"), ("PORT", port.as_str()), ("HTTP_PROXY", "http://127.0.0.1:9")];
        let asked = |arguments: &[&str]| run(folder.path(), arguments, &variables);
        let live = asked(&["healthcheck"]);
        assert_eq!((live.status.code(), text(&live).as_str()), (Some(0), "ok\n"));
        let probe = asked(&["healthcheck", "--ready"]);
        assert_eq!((probe.status.code(), text(&probe).lines().count()), (Some(ready), 1), "{}", text(&probe));
        if ready == 1 {
            assert_eq!(text(&probe), format!("tasks-server: {address} answers /readyz with 503\n"));
        }
        server.stop();
        let gone = asked(&["healthcheck"]);
        let said = format!("tasks-server: nobody at {address} answers /livez in 2 s\n");
        assert_eq!((gone.status.code(), text(&gone)), (Some(1), said));
    }
}

#[tokio::test]
async fn a_database_whose_schema_is_behind_names_the_command() {
    let Some(url) = postgres::empty_database().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let database = [("DATABASE_URL", url.as_str())];
    let refused = run(folder.path(), &[], &database);
    assert!(!refused.status.success());
    assert!(text(&refused).contains("tasks-server migrate up"), "{}", text(&refused));
    let status = run(folder.path(), &["migrate", "status"], &database);
    assert!(text(&status).to_lowercase().contains("pending"), "{}", text(&status));
    assert!(run(folder.path(), &["migrate", "up"], &database).status.success());
    assert!(run(folder.path(), &["migrate", "up"], &database).status.success(), "a second time does no harm");
    let status = run(folder.path(), &["migrate", "status"], &database);
    assert!(!text(&status).to_lowercase().contains("pending"), "{}", text(&status));
    let server = Running::start(folder.path(), &database);
    server.client("me", server.token.clone()).create("x").await;
    server.stop();
    assert!(run(folder.path(), &["migrate", "down"], &database).status.success());
    assert!(!run(folder.path(), &[], &database).status.success());
}

#[tokio::test]
async fn a_schema_that_falls_behind_a_running_server_is_503_and_the_log_names_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut databases = vec![("DATABASE_URL", "sqlite://tasks.db".to_owned())];
    databases.extend(postgres::database().await.map(|url| ("DATABASE_URL", url)));
    for (name, url) in &databases {
        let database = [(*name, url.as_str())];
        let server = Running::start(folder.path(), &database);
        let alice = server.client("me", server.token.clone());
        alice.create("x").await;
        // Back to before the first change.
        while text(&run(folder.path(), &["migrate", "status"], &database)).contains("applied") {
            assert!(run(folder.path(), &["migrate", "down"], &database).status.success());
        }
        alice.list("").await.problem(503, "unavailable");
        alice.to(Method::GET, "/readyz").send().await.problem(503, "unavailable");
        assert!(run(folder.path(), &["migrate", "up"], &database).status.success());
        assert_eq!(alice.to(Method::GET, "/readyz").send().await.status, 200);
        alice.create("y").await;
        assert!(server.stop().contains("tasks-server migrate up"));
    }
}

#[test]
fn a_direct_connection_alone_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let direct = [("DATABASE_URL_UNPOOLED", "postgresql://direct/tasks")];
    for arguments in [["migrate", "up"].as_slice(), &["migrate", "status"], &[]] {
        let output = run(folder.path(), arguments, &direct);
        assert!(!output.status.success());
        assert!(text(&output).contains("DATABASE_URL (--database-url) must be set"), "{}", text(&output));
    }
}

#[test]
fn a_bad_setting_stops_the_start_and_is_named_without_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        ("LISTEN", "hunter2"),
        ("PORT", "hunter2"),
        ("PUBLIC_URL", "https://example.com/?hunter2"),
        ("DATABASE_URL", "mysql://root:hunter2@localhost/x"),
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_MAX_CONNECTIONS", "hunter2"),
        ("DATABASE_TLS", "hunter2"),
        ("MIGRATE_ON_START", "hunter2"),
        ("JWT_SECRET", "hunter2"),
        ("BETTER_AUTH_SECRET", "hunter2"),
        ("JWT_SECRET", "hunter2 and more than thirty-two bytes\n"),
        ("JWT_SECRET", "'hunter2 and more than thirty-two bytes'"),
        ("JWT_SECRET", "-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----"),
        ("JWT_SECRET_PREVIOUS", "hunter2"),
        ("JWT_PUBLIC_KEY", "hunter2"),
        ("JWT_PUBLIC_KEY", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"),
        ("JWKS_URL", "http://hunter2.example/jwks"),
        ("JWKS_TLS", "hunter2"),
        ("JWT_ISSUER", "https://a.example,https://hunter2.example"),
        ("JWT_AUDIENCE", "hunter2,,b"),
        ("JWT_AUDIENCE_CLAIM", "hunter2"),
        ("JWT_USER_CLAIM", "hunter2 "),
        ("JWT_LEEWAY_SECONDS", "hunter2"),
        ("CORS_ALLOWED_ORIGINS", "hunter2"),
        ("REQUEST_TIMEOUT_SECONDS", "hunter2"),
        ("MAX_CONNECTIONS", "hunter2"),
        ("RATE_LIMIT_PER_MINUTE", "hunter2"),
        ("RATE_LIMIT_PER_MINUTE_ADDRESS", "hunter2"),
        ("TRUSTED_PROXIES", "hunter2"),
        ("METRICS_ADDR", "hunter2"),
        ("SERVER_TIMING", "hunter2"),
        ("SHUTDOWN_GRACE_SECONDS", "hunter2"),
        ("RUST_LOG", "hunter2=hunter2"),
        ("LOG_FORMAT", "hunter2"),
    ];
    for (name, value) in table {
        let output = run(folder.path(), &[], &[(name, value)]);
        let said = text(&output);
        assert!(!output.status.success(), "{name}: {said}");
        assert!(said.contains(name), "{name}: {said}");
        assert!(!said.contains("hunter2"), "{name}: {said}");
    }
}

#[test]
fn a_public_listener_wants_a_key_and_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let secret = ("JWT_SECRET", "a secret of thirty-two bytes or more");
    let listen = ("LISTEN", "0.0.0.0:0");
    let said = text(&run(folder.path(), &[], &[listen, ("DATABASE_URL", "sqlite://x.db")]));
    assert!(said.contains("JWT_SECRET"), "{said}");
    let said = text(&run(folder.path(), &[], &[listen, secret]));
    assert!(said.contains("DATABASE_URL"), "{said}");
}

/// What a listener that others reach needs.
const NAMED: [(&str, &str); 2] =
    [("JWT_SECRET", "a secret of thirty-two bytes or more"), ("DATABASE_URL", "sqlite://tasks.db")];

/// Why the server listens where it does, and where.
fn listening(log: &str) -> (String, String) {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<_> =
        lines.filter(|line| line["target"] == "tasks_server" && line["fields"]["message"] == "listening").collect();
    assert_eq!((lines.len(), &lines[0]["level"]), (1, &"INFO".into()), "{log}");
    let field = |name: &str| lines[0]["fields"][name].as_str().unwrap().to_owned();
    (field("addresses"), field("reason"))
}

fn reaches_ipv6(port: u16) -> bool {
    TcpStream::connect((Ipv6Addr::LOCALHOST, port)).is_ok()
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn a_port_alone_is_public_with_a_key_and_a_database_else_it_is_this_machine_and_the_log_says_why() {
    let folder = tempfile::tempdir().unwrap();
    for (more, is_public) in [(NAMED.as_slice(), true), (&NAMED[..1], false), (&NAMED[1..], false), (&[], false)] {
        let port = free_port();
        let text = port.to_string();
        let server = Running::start(folder.path(), &[&[("PORT", text.as_str())], more].concat());
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        // The whole of 127.0.0.0/8 is this machine: another address of it is reached only where all are listened on.
        assert_eq!(TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).is_ok(), is_public, "{more:?}");
        assert_eq!(reaches_ipv6(port), is_public && has_ipv6(), "{more:?}");
        assert!(server.printed.contains(&format!("listening   {}", server.address)), "{}", server.printed);
        let (addresses, reason) = listening(&server.stop());
        assert!(reason.starts_with("PORT is set and LISTEN is not"), "{reason}");
        if is_public {
            assert!([format!("[::]:{port}"), format!("0.0.0.0:{port}")].contains(&addresses), "{addresses}");
        } else {
            assert_eq!(addresses, format!("127.0.0.1:{port}"));
            assert!(reason.contains("JWKS_URL") && reason.contains("DATABASE_URL"), "{reason}");
        }
    }
}

#[test]
fn localhost_is_listened_on_in_both_families() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let server = Running::start(folder.path(), &[("LISTEN", &format!("localhost:{port}"))]);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    assert_eq!(reaches_ipv6(port), has_ipv6());
    assert!(TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).is_err());
    let host = if has_ipv6() { "localhost" } else { "127.0.0.1" };
    assert!(server.printed.contains(&format!("http://{host}:{port}/docs")), "{}", server.printed);
    let taken = text(&run(folder.path(), &[], &[("LISTEN", &format!("localhost:{port}"))]));
    assert!(taken.contains("LISTEN cannot be listened on"), "{taken}");
    let (addresses, reason) = listening(&server.stop());
    assert!(addresses.starts_with(&format!("127.0.0.1:{port}")), "{addresses}");
    assert!(reason.starts_with("LISTEN"), "{reason}");
}

/// The program with a socket at the descriptor 3, as systemd hands it over, and nothing else said of where to listen.
fn handed_over(folder: &Path, socket: &TcpListener, variables: &[(&str, &str)]) -> Command {
    let program = program(folder, variables);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\""]).arg(program.get_program());
    command.env_clear().current_dir(folder).stdin(OwnedFd::from(socket.try_clone().unwrap()));
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[tokio::test]
async fn systemd_hands_over_sockets_and_hears_how_the_server_is() {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    // The socket may be anybody's: this is no development mode.
    for (named, missing) in [(&NAMED[..1], "DATABASE_URL"), (&NAMED[1..], "JWT_SECRET")] {
        let said = text(&handed_over(folder.path(), &socket, named).output().unwrap());
        assert!(said.contains(missing) && said.contains("systemd"), "{said}");
    }
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let heard = || {
        let mut buffer = [0; 64];
        let length = systemd.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()
    };
    let told = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let server = Running::spawn(handed_over(folder.path(), &socket, &[NAMED.as_slice(), &told].concat()));
    assert_eq!(server.address, socket.local_addr().unwrap().to_string());
    assert_eq!([heard(), heard(), heard()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    let answer = server.client("me", None).to(Method::GET, "/livez").send().await;
    assert_eq!(answer.status, 200);
    let (addresses, reason) = listening(&server.stop());
    assert_eq!(addresses, socket.local_addr().unwrap().to_string());
    assert!(reason.contains("systemd"), "{reason}");
    while heard() != "STOPPING=1" {}
}

#[test]
fn the_banner_shows_where_the_world_finds_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), &[("PUBLIC_URL", "https://example.com/tasks/")]);
    for address in ["/docs", "/openapi.json", "/api/me/tasks"] {
        assert!(server.printed.contains(&format!(" https://example.com/tasks{address}\n")), "{}", server.printed);
    }
    assert!(!server.printed.contains("http://"), "{}", server.printed);
    server.stop();
}

#[tokio::test]
async fn tokens_are_printed_for_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), &[]);
    let output = run(folder.path(), &["token", "--sub", "bob"], &[]);
    assert!(output.status.success(), "{}", text(&output));
    let token = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let task = server.client("bob", Some(token)).create("x").await;
    assert_eq!(task["user_id"], "bob");
    server.stop();
    let short = run(folder.path(), &["token", "--sub", "bob", "--ttl", "hunter2"], &[]);
    assert!(!short.status.success());
}

#[test]
fn an_env_file_that_cannot_be_read_stops_only_what_may_need_it() {
    let folder = tempfile::tempdir().unwrap();
    let env_file = folder.path().join(".env");
    for told in ["is UTF-16", "cannot be read"] {
        if told == "is UTF-16" {
            std::fs::write(&env_file, [0xff, 0xfe, b'A', 0, b'=', 0, b'1', 0]).unwrap();
        } else {
            // A link to itself, as root may read whatever is there.
            std::os::unix::fs::symlink(".env", &env_file).unwrap();
        }
        for arguments in [&[][..], &["migrate", "status"], &["token", "--sub", "bob"]] {
            let output = run(folder.path(), arguments, &[]);
            let said = text(&output);
            assert!(!output.status.success() && said.contains(told) && said.contains("--no-env-file"), "{said}");
        }
        let log = Running::start(folder.path(), &NAMED).stop();
        assert_eq!(log.matches(told).count(), 1, "{log}");
        assert!(run(folder.path(), &["token", "--sub", "bob", "--no-env-file"], &[]).status.success());
        assert!(run(folder.path(), &["--no-env-file", "token", "--sub", "bob"], &[]).status.success());
        std::fs::remove_file(&env_file).unwrap();
    }
    // As Python's virtual environments are called.
    std::fs::create_dir(&env_file).unwrap();
    let log = Running::start(folder.path(), &[]).stop();
    assert!(log.contains(".env is a folder"), "{log}");
}

#[tokio::test]
async fn an_env_file_may_be_another_programs_too() {
    let folder = tempfile::tempdir().unwrap();
    let secret = NAMED[0].1;
    let ours = format!("JWT_SECRET='{secret}'\nDATABASE_URL=sqlite://tasks.db\n");
    std::fs::write(folder.path().join(".env"), format!("hunter2: x y\nX=$HOME \"hunter2\nset -e\n{ours}")).unwrap();
    let output = run(folder.path(), &["token", "--sub", "bob"], &[]);
    assert!(output.status.success(), "{}", text(&output));
    let token = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        token.starts_with("eyJ") && token.trim().lines().count() == 1,
        "what commands answer stands alone: {token}"
    );
    assert!(text(&output).contains("line 3 of the file .env is no setting") && !text(&output).contains("hunter2"));
    let server = Running::start(folder.path(), &[]);
    server.client("bob", Some(token.trim().to_owned())).create("x").await;
    let log = server.stop();
    assert_eq!(log.matches("of the file .env is no setting").count(), 3, "{log}");
    // A secret that was cut would start a server that takes no token.
    std::fs::write(folder.path().join(".env"), ours.replace('\'', "").replace("secret of", "secret$of")).unwrap();
    let said = text(&run(folder.path(), &[], &[]));
    assert!(said.contains("JWT_SECRET in line 1 of the file .env") && !said.contains("thirty-two"), "{said}");
}

#[test]
fn help_documents_every_setting() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&run(folder.path(), &["--help"], &[("JWT_SECRET", "hunter2 hunter2 hunter2 hunter2")]));
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let names = help.split("[env: ").skip(1).map(|rest| rest.split([']', '=']).next().unwrap());
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 12, "{help}");
    for name in names {
        assert!(example.contains(name), "{name} is not in .env.example");
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in README.md");
    }
    assert!(!help.contains("hunter2"));
}

#[tokio::test]
async fn figures_are_served_on_an_address_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = format!("127.0.0.1:{}", free_port());
    let variables = [("METRICS_ADDR", metrics.as_str()), ("RATE_LIMIT_PER_MINUTE", "6")];
    let server = Running::start(folder.path(), &variables);
    let alice = server.client("me", server.token.clone());
    // One that waits says nothing of how fast the server is.
    for query in ["/changes", "/changes?wait=1"] {
        alice.list(query).await.data(200);
    }
    alice.create("x").await;
    for _ in 0..2 {
        alice.list("").await.data(200);
    }
    alice.get("019ab0d2-7c1e-7a43-9f5b-2d6c8e1f4a70").await.problem(404, "task-not-found");
    alice.list("").await.problem(429, "rate-limited");
    alice.to(Method::GET, "/docs").send().await;
    alice.to(Method::GET, "/nothing").send().await.problem(404, "path-not-found");
    alice.to(Method::GET, "/metrics").send().await.problem(404, "path-not-found");

    let http = reqwest::Client::new();
    let ask = async |method: Method, path: &str| {
        http.request(method, format!("http://{metrics}{path}")).send().await.unwrap()
    };
    let answer = ask(Method::GET, "/metrics").await;
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text().await.unwrap();
    for line in [
        "tasks_http_requests_total{operation=\"createTask\",status=\"201\"} 1",
        "tasks_http_requests_total{operation=\"listTasks\",status=\"200\"} 2",
        "tasks_http_requests_total{operation=\"listTasks\",status=\"429\"} 1",
        "tasks_http_requests_total{operation=\"getTask\",status=\"404\"} 1",
        "tasks_http_requests_total{operation=\"page\",status=\"200\"} 1",
        "tasks_http_requests_total{operation=\"none\",status=\"404\"} 2",
        "tasks_http_request_duration_seconds_count{operation=\"listTasks\"} 3",
        "tasks_http_requests_total{operation=\"listChanges\",status=\"200\"} 2",
        "tasks_http_request_duration_seconds_count{operation=\"listChanges\"} 1",
        "tasks_http_requests_in_flight 0",
        "tasks_connections 1",
        "tasks_connections_closed_total{reason=\"idle\"} 0",
        "tasks_rate_limited_total{scope=\"user\"} 1",
        "tasks_rate_limited_total{scope=\"address\"} 0",
        "tasks_body_bytes_held 0",
        "tasks_log_lines_lost_total 0",
    ] {
        assert!(text.lines().any(|known| known == line), "no {line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    assert!(!text.contains("developer"), "no figure names a user");
    assert_eq!(ask(Method::POST, "/metrics").await.status(), 405);
    assert_eq!(ask(Method::GET, "/api/me/tasks").await.status(), 404);
    server.stop();
}

#[tokio::test]
async fn a_line_of_the_log_names_the_trace() {
    let folder = tempfile::tempdir().unwrap();
    let server = Running::start(folder.path(), &[]);
    let live =
        |value: &'static str| server.client("me", None).to(Method::GET, "/livez").header("traceparent", value).send();
    live("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").await;
    live("00-4bf92f3577b34da6a3ce929d0e0e4737-0000000000000000-01").await;
    let log = server.stop();
    assert_eq!(log.matches("\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"").count(), 1, "{log}");
    assert!(!log.contains("0e4737"), "{log}");
}

#[test]
fn a_listener_of_figures_that_is_taken_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = text(&run(folder.path(), &[], &[("METRICS_ADDR", &address)]));
    assert!(said.contains("METRICS_ADDR") && !said.contains(&address), "{said}");
}
