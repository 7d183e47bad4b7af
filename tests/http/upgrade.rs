//! A database of 0.1.0 with tasks in it is brought up to date while servers of 0.1.0 work on it, and taken back.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement, Value as Sql};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use crate::changes::Copy;
use crate::client::{id, whole};
use crate::server::{Server, migrate};

on_each_engine!(an_older_database_is_brought_up_to_date_beside_older_servers_and_taken_back);

/// What 0.1.0 did with tasks, on one connection.
struct Older {
    db: DatabaseConnection,
}

impl Older {
    async fn on(url: &str) -> Self {
        let mut options = sea_orm::ConnectOptions::new(url.to_owned());
        options.max_connections(1).sqlx_logging(false);
        Self { db: sea_orm::Database::connect(options).await.unwrap() }
    }

    async fn run(&self, text: &str, values: Vec<Sql>) -> u64 {
        let statement = Statement::from_sql_and_values(self.backend(), text, values);
        self.db.execute_raw(statement).await.unwrap_or_else(|error| panic!("{text}: {error}")).rows_affected()
    }

    fn backend(&self) -> DbBackend {
        self.db.get_database_backend()
    }

    async fn create(&self, title: &str) -> Uuid {
        let (id, now) = (Uuid::now_v7(), chrono::Utc::now());
        let user = "INSERT INTO users (id, created_at) VALUES ('alice', $1) ON CONFLICT (id) DO NOTHING";
        self.run(user, vec![now.into()]).await;
        let task = "INSERT INTO tasks (user_id, id, title, is_completed, created_at, updated_at) \
            VALUES ('alice', $1, $2, FALSE, $3, $3)";
        self.run(task, vec![id.into(), title.into(), now.into()]).await;
        id
    }

    async fn rename(&self, id: Uuid, title: &str) -> u64 {
        let text = "UPDATE tasks SET title = COALESCE($2, title), updated_at = $3, version = version + 1 \
            WHERE user_id = 'alice' AND id = $1 AND title <> $2 RETURNING user_id, id, title, is_completed, version";
        self.run(text, vec![id.into(), title.into(), chrono::Utc::now().into()]).await
    }

    async fn delete(&self, id: Uuid) -> u64 {
        self.run("DELETE FROM tasks WHERE user_id = 'alice' AND id = $1", vec![id.into()]).await
    }

    async fn titles(&self) -> Vec<String> {
        let text = "SELECT title FROM tasks WHERE user_id = 'alice' ORDER BY id";
        let rows = self.db.query_all_raw(Statement::from_string(self.backend(), text)).await.unwrap();
        rows.iter().map(|row| row.try_get("", "title").unwrap()).collect()
    }

    /// Works until it is told to stop; how long the slowest statement took.
    async fn work(self, stop: Arc<AtomicBool>) -> Duration {
        let mut slowest = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let id = self.create("passing").await;
            assert_eq!((self.rename(id, "passed").await, self.delete(id).await), (1, 1));
            slowest = slowest.max(begun.elapsed());
        }
        slowest
    }
}

/// Takes a database back to the schema of 0.1.0.
async fn take_back(server: &Server) {
    for name in
        ["000007_count_changes", "000006_remember_deletions", "000005_describe_tasks", "000004_index_open_tasks"]
    {
        let taken = server.database().migrate_down().await.unwrap();
        assert!(taken.as_ref().is_some_and(|taken| taken.ends_with(name)), "{taken:?}");
    }
}

async fn an_older_database_is_brought_up_to_date_beside_older_servers_and_taken_back(server: Server) {
    take_back(&server).await;
    let older = Older::on(&server.direct()).await;
    for n in 0..50 {
        older.create(&format!("old {n:02}")).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..if server.url().starts_with("sqlite") { 1 } else { 3 })
        .map(|_| {
            let (url, stop) = (server.direct(), Arc::clone(&stop));
            tokio::spawn(async move { Older::on(&url).await.work(stop).await })
        })
        .collect();
    sleep(Duration::from_millis(300)).await;
    let made = server.database().migrate_up().await.unwrap();
    assert_eq!(made.len(), 4, "{made:?}");
    sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        let slowest = worker.await.expect("no statement of an older server fails");
        assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    }
    // What was there is there, and empty in what is new.
    let alice = server.user("alice");
    let tasks = alice.list("?sort=created_at&limit=100").await.data(200);
    let tasks = tasks.as_array().unwrap();
    assert_eq!(tasks.len(), 50);
    for (n, task) in tasks.iter().enumerate() {
        let expected = whole(format!("old {n:02}"), false);
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(task[name], *value);
        }
    }
    // In the feed they come once, and then what changes.
    let mut copy = Copy::default();
    assert_eq!(copy.catch_up(&alice, 7).await.iter().sum::<usize>(), 50);
    copy.is_right(&alice).await;
    assert_eq!(copy.catch_up(&alice, 7).await, [0]);
    // The two versions side by side.
    let mine = alice.patch(id(&tasks[0]), json!({ "due_date": "2028-02-29", "tags": ["x"] })).await.data(200);
    let uuid = |task: &Value| id(task).parse::<Uuid>().unwrap();
    assert_eq!(older.rename(uuid(&mine), "renamed").await, 1);
    let renamed = alice.get(id(&mine)).await.data(200);
    assert_eq!(
        (&renamed["title"], &renamed["tags"], &renamed["version"]),
        (&json!("renamed"), &json!(["x"]), &json!(3))
    );
    assert_eq!(alice.list("?q=RENAMED").await.data(200), json!([renamed]));
    assert_eq!(older.delete(uuid(&mine)).await, 1);
    alice.get(id(&mine)).await.problem(404, "task-not-found");
    let draft = json!({ "id": id(&mine), "title": "again" });
    let taken = alice.post(draft).await.problem(409, "task-id-taken");
    assert!(taken["current"].is_null(), "what an older server deletes is remembered");
    assert_eq!(copy.catch_up(&alice, 100).await, [1]);
    copy.is_right(&alice).await;
    let own = alice.post(json!({ "id": Uuid::now_v7(), "title": "own" })).await.data(201);
    // And back, with the tasks.
    take_back(&server).await;
    let titles = older.titles().await;
    assert_eq!((titles.len(), titles.last().map(String::as_str)), (50, Some("own")));
    assert_eq!(older.rename(uuid(&own), "of 0.1.0").await, 1);
    older.db.close().await.unwrap();
}

/// A migration that is killed, at whatever time, has made each change as a whole or not at all; the next goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_killed_is_gone_on_with() {
    let Some(server) = Server::on_postgres().await else { return };
    if crate::postgres::is_pooled() {
        return;
    }
    let url = server.direct();
    for after in (0..80).step_by(8) {
        take_back(&server).await;
        let older = Older::on(&url).await;
        let task = older.create("kept").await;
        let mut killed = 0;
        let pending = async || server.database().migrate_status().await.unwrap().pending.len();
        while killed < 3 && pending().await > 0 {
            let mut program = Command::new(env!("CARGO_BIN_EXE_tasks-server"))
                .args(["migrate", "up"])
                .env_clear()
                .env("DATABASE_URL", &url)
                .current_dir(std::env::temp_dir())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            sleep(Duration::from_millis(after + killed * 5)).await;
            program.kill().unwrap();
            program.wait().unwrap();
            assert_eq!(older.rename(task, &format!("kept {killed}")).await, 1, "nobody else waits");
            killed += 1;
        }
        migrate(&url).await;
        assert_eq!(pending().await, 0);
        assert_eq!(older.delete(task).await, 1);
        older.db.close().await.unwrap();
    }
    let task = server.user("alice").post(json!({ "title": "x", "tags": ["y"] })).await.data(201);
    assert_eq!(server.user("alice").all().await, [task]);
}
