//! All that is held of a user can be taken along: whole, as of one time, and seen to be cut where it was.

use std::time::Duration;

use reqwest::Method;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use tasks_api::ExportLine;
use tasks_server::tasks::repository::Repository;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::client::{Answer, Client, id};
use crate::process::{Running, run, text};
use crate::server::Server;

on_each_engine!(
    all_that_is_held_is_exported,
    an_export_is_of_one_time,
    one_export_of_a_user_runs_at_a_time_and_few_in_all,
);

async fn export(client: &Client) -> Answer {
    client.to(Method::GET, "/api/me/export").send().await
}

fn lines(text: &[u8]) -> Vec<Value> {
    assert!(text.ends_with(b"\n"));
    std::str::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the lines of this name hold.
fn of(lines: &[Value], name: &str) -> Vec<Value> {
    lines.iter().filter_map(|line| line.get(name)).cloned().collect()
}

/// So many hundreds of tasks with the longest descriptions: 1.6 MB each hundred.
async fn fill(client: &Client, hundreds: usize) {
    let draft = json!({ "title": "x", "description": "😀".repeat(4000) });
    let body = json!({ "tasks": vec![draft; 100] });
    for _ in 0..hundreds {
        client.on(Method::POST, "/bulk-create").json(&body).send().await.data(201);
    }
}

/// An export that has begun, of which nobody has read more than the head, and little fits between server and reader.
struct Begun(BufReader<TcpStream>);

impl Begun {
    async fn new(server: &Server, user: &str) -> Self {
        let begun = Self::ask(server, user).await;
        begun.unwrap_or_else(|head| panic!("{head}"))
    }

    /// The head of the answer, where it is a refusal.
    async fn ask(server: &Server, user: &str) -> Result<Self, String> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let mut stream = BufReader::new(socket.connect(server.address().parse().unwrap()).await.unwrap());
        let token = server.token(user);
        let request = format!(
            "GET /api/me/export HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).await.unwrap() > 0, "{head}");
        }
        if head.starts_with("HTTP/1.1 200 ") { Ok(Self(stream)) } else { Err(head) }
    }

    /// Reads to the end; how many tasks the last line tells of, unless the answer is cut.
    async fn tasks(mut self) -> Option<Value> {
        let mut text = vec![];
        // Where the server closes without having been read, it may be an error, too.
        let _ = self.0.read_to_end(&mut text).await;
        let text = text.strip_suffix(b"\r\n0\r\n\r\n")?;
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let last = text.rsplit(|byte| *byte == b'\n').next().unwrap();
        let last: Value = serde_json::from_slice(last).unwrap();
        assert_eq!(last["end"], true);
        Some(last["tasks"].clone())
    }
}

async fn all_that_is_held_is_exported(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let nothing = export(&alice).await;
    assert_eq!(lines(&nothing.body), [json!({ "end": true, "tasks": 0 })]);
    bob.create("another's").await;
    let mut tasks = vec![];
    // More than are read at a time.
    for _ in 0..2 {
        let drafts: Vec<_> =
            (0..75).map(|n| json!({ "title": format!("{n}"), "tags": ["a"], "priority": "low" })).collect();
        let drafts = json!({ "tasks": drafts });
        let call = alice.on(Method::POST, "/bulk-create").json(&drafts);
        if let Value::Array(new) = call.send().await.data(201) {
            tasks.extend(new);
        }
    }
    let gone = tasks.remove(7);
    alice.delete(id(&gone)).await;
    let call = alice.on(Method::POST, "").json(&json!({ "title": "y", "description": "line\nline" }));
    tasks.push(call.header("idempotency-key", "k-1").send().await.data(201));
    let answer = export(&alice).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"tasks.jsonl\"");
    assert_eq!((answer.header("cache-control"), answer.header("vary")), ("private, no-cache", "Authorization"));
    let lines = lines(&answer.body);
    assert_eq!(lines.len(), tasks.len() + 4);
    assert_eq!(lines[0]["user"]["id"], "alice");
    assert!(lines[0]["user"]["created_at"].is_string());
    assert_eq!(of(&lines, "task"), tasks);
    let [deletion] = &of(&lines, "deletion")[..] else { panic!("{lines:?}") };
    assert_eq!(deletion["id"], gone["id"]);
    assert!(deletion["deleted_at"].is_string());
    let [key] = &of(&lines, "idempotency_key")[..] else { panic!("{lines:?}") };
    let last = tasks.last().unwrap();
    let expected = json!({
        "operation": "createTask", "key": "k-1", "created_at": key["created_at"], "task_ids": [last["id"]],
    });
    assert_eq!((key, &key["created_at"]), (&expected, &last["created_at"]));
    assert_eq!(*lines.last().unwrap(), json!({ "end": true, "tasks": tasks.len() }));
    // An operator gets the same.
    let repository = Repository::new(server.database());
    let mut export = repository.export(&"alice".parse().unwrap()).await.unwrap();
    let mut text = vec![];
    while let Some(lines) = export.lines().await.unwrap() {
        text.extend(ExportLine::text(&lines));
    }
    assert_eq!(text, answer.body);
    let of_others = bob.to(Method::GET, "/api/alice/export").send().await;
    of_others.problem(403, "user-mismatch");
    server.nobody().to(Method::GET, "/api/alice/export").send().await.problem(401, "token-missing");
}

/// Others change every task at once, again and again: no export has some of one change and some of another.
async fn an_export_is_of_one_time(server: Server) {
    let alice = server.user("alice");
    for _ in 0..3 {
        let body = json!({ "tasks": vec![json!({ "title": "0" }); 100] });
        alice.on(Method::POST, "/bulk-create").json(&body).send().await.data(201);
    }
    let url = server.direct();
    let changing = tokio::spawn(async move {
        let other = sea_orm::Database::connect(&url).await.unwrap();
        for n in 1.. {
            let text = format!("UPDATE tasks SET title = '{n}'");
            other.execute_raw(Statement::from_string(other.get_database_backend(), text)).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    });
    let mut seen = vec![];
    for _ in 0..15 {
        let mut titles: Vec<_> = of(&lines(&export(&alice).await.body), "task");
        assert_eq!(titles.len(), 300);
        titles.dedup_by(|a, b| a["title"] == b["title"]);
        assert_eq!(titles.len(), 1, "{titles:?}");
        seen.push(titles[0]["title"].clone());
    }
    changing.abort();
    seen.dedup();
    assert!(seen.len() > 1, "they did change meanwhile");
}

async fn one_export_of_a_user_runs_at_a_time_and_few_in_all(server: Server) {
    const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
    let mut running = vec![];
    for name in &NAMES[..4] {
        let user = server.user(name);
        fill(&user, 4).await;
        running.push(Begun::new(&server, name).await);
        // Whatever else they do goes on.
        user.create("y").await;
    }
    for name in ["alice", "erin"] {
        let refused = export(&server.user(name)).await;
        refused.problem(429, "too-many-exports");
        assert_eq!(refused.header("retry-after"), "2");
    }
    server.user("erin").create("z").await;
    // One that is read to its end, and one that is left.
    assert_eq!(running.pop().unwrap().tasks().await, Some(json!(400)), "without what came later");
    // Whoever has read to the end may begin again at once.
    for _ in 0..20 {
        assert_eq!(export(&server.user("erin")).await.status, 200);
    }
    drop(running.pop());
    for name in ["dave", "carol"] {
        let again = async {
            loop {
                match Begun::ask(&server, name).await {
                    Ok(begun) => break begun,
                    Err(head) => assert!(head.starts_with("HTTP/1.1 429 "), "{head}"),
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let again = timeout(Duration::from_secs(20), again).await.expect("there is room again");
        assert_eq!(again.tasks().await, Some(json!(401)));
    }
}

#[tokio::test]
async fn an_export_that_takes_too_long_is_cut_where_its_reader_sees_it() {
    let server = Server::given(&[("EXPORT_TIMEOUT_SECONDS", "2")]).await;
    fill(&server.user("alice"), 6).await;
    let slow = Begun::new(&server, "alice").await;
    sleep(Duration::from_millis(2500)).await;
    // It has given its place away, although nobody has read.
    let again = Begun::new(&server, "alice").await;
    assert_eq!(slow.tasks().await, None);
    assert_eq!(again.tasks().await, Some(json!(600)));
}

/// HTTP/2: nothing of the body is taken, and the connection is well.
#[tokio::test]
async fn whoever_takes_nothing_of_a_small_export_has_no_place_for_ever() {
    let server = Server::given(&[("EXPORT_TIMEOUT_SECONDS", "2")]).await;
    let alice = server.user("alice");
    alice.create("x").await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let builder = h2::client::Builder::new().initial_window_size(0).handshake::<_, bytes::Bytes>(stream);
    let (mut requests, connection) = builder.await.unwrap();
    tokio::spawn(connection);
    let request = poem::http::Request::get("http://tasks.example/api/me/export")
        .header("authorization", format!("Bearer {}", server.token("alice")));
    let (answer, _) = requests.send_request(request.body(()).unwrap(), true).unwrap();
    let unread = answer.await.unwrap();
    assert_eq!(unread.status().as_u16(), 200);
    export(&alice).await.problem(429, "too-many-exports");
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(export(&alice).await.status, 200);
    drop(unread);
}

#[tokio::test]
async fn an_export_whose_database_goes_is_cut_where_its_reader_sees_it() {
    let Some(server) = Server::on_postgres().await else { return };
    fill(&server.user("alice"), 6).await;
    let running = Begun::new(&server, "alice").await;
    let other = sea_orm::Database::connect(&server.direct()).await.unwrap();
    let text = "SELECT count(pg_terminate_backend(pid)) AS count FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'";
    let ended = async || {
        let text = Statement::from_string(other.get_database_backend(), text);
        other.query_one_raw(text).await.unwrap().unwrap().try_get::<i64>("", "count").unwrap()
    };
    let all_is_sent_that_fits = async {
        while ended().await == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), all_is_sent_that_fits).await.expect("it waits for its reader");
    assert_eq!(running.tasks().await, None);
    assert_eq!(Begun::new(&server, "alice").await.tasks().await, Some(json!(600)));
}

/// What is answered is the lines and nothing else, and of no database that was made for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_exports_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for words in [["export", "--sub", "developer"], ["erase", "--sub", "developer"]] {
        let absent = run(folder.path(), &words, &[]);
        assert!(!absent.status.success() && absent.stdout.is_empty(), "{}", text(&absent));
        assert!(text(&absent).contains("is not there"), "{}", text(&absent));
        assert!(!folder.path().join("data").exists());
    }
    let server = Running::start(folder.path(), &[]);
    let task = server.client("me", server.token.clone()).create("x").await;
    let done = run(folder.path(), &["export", "--sub", "developer"], &[("RUST_LOG", "trace")]);
    assert!(done.status.success(), "{}", text(&done));
    let lines = lines(&done.stdout);
    assert_eq!((of(&lines, "task"), &lines[2]), (vec![task], &json!({ "end": true, "tasks": 1 })));
}

/// A database in memory has no log beside which others could write: whoever does not read holds nobody up.
#[tokio::test]
async fn an_export_that_is_not_read_holds_no_writer_up() {
    let server = Server::start("sqlite::memory:", None).await;
    let alice = server.user("alice");
    fill(&alice, 6).await;
    let running = Begun::new(&server, "alice").await;
    let task = timeout(Duration::from_secs(5), alice.create("y")).await.expect("it is written");
    assert_eq!(alice.delete(id(&task)).await.status, 204);
    assert_eq!(running.tasks().await, Some(json!(600)));
}
