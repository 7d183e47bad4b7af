//! `tasks-server migrate role`: the role that a server runs with on PostgreSQL, and what it may not do.

use reqwest::Method;
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::client::{Client, id, whole};
use crate::postgres;
use crate::process::{Running, run, text};

/// A session of the tests' own.
struct Session(PgConnection);

impl Session {
    async fn at(url: &str) -> Self {
        Self(PgConnection::connect(url).await.unwrap())
    }

    /// Runs statements; the code of the error, if they fail.
    async fn run(&mut self, statements: &str) -> Result<(), String> {
        let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut self.0).await;
        done.map(drop).map_err(|e| e.as_database_error().unwrap().code().unwrap().into_owned())
    }

    /// The first column of an answer.
    async fn texts(&mut self, query: &str) -> Vec<String> {
        let rows = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(&mut self.0).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// The owner's direct URL of a database of its own, and a folder to run in.
async fn empty() -> Option<(String, tempfile::TempDir)> {
    let url = postgres::empty_database().await?;
    Some((postgres::direct(&url).unwrap(), tempfile::tempdir().unwrap()))
}

/// The URL of this role, straight to the database.
fn as_role(owner: &str, role: &str) -> String {
    let role = percent_encoding::utf8_percent_encode(role, percent_encoding::NON_ALPHANUMERIC);
    owner.replacen("//tasks@", &format!("//{role}@"), 1)
}

/// Every operation.
async fn use_it(alice: &Client) {
    for n in 0..3 {
        let once = async || {
            let call = alice.on(Method::POST, "").header("idempotency-key", &format!("key-{n}"));
            call.json(&json!({ "title": "once" })).send().await.data(201)
        };
        let task = once().await;
        assert_eq!(once().await, task);
        alice.get(id(&task)).await.data(200);
        alice.put(id(&task), whole("x", false)).await.data(200);
        alice.patch(id(&task), json!({ "title": "y" })).await.data(200);
        alice.complete(id(&task), None).await.data(200);
        assert!(alice.all().await.iter().any(|found| found["id"] == task["id"]));
        alice.list("?is_completed=true").await.data(200);
        assert_eq!(alice.delete(id(&task)).await.status, 204);
        let bulk = async |operation: &str, body| {
            let call = alice.on(Method::POST, &format!("/bulk-{operation}")).json(&body);
            call.header("idempotency-key", &format!("key-{n}")).send().await
        };
        let made = bulk("create", json!({ "tasks": [{ "title": "a" }, { "title": "b" }] })).await.data(201);
        let tasks: Vec<_> = made.as_array().unwrap().iter().map(|task| json!({ "id": task["id"] })).collect();
        bulk("complete", json!({ "tasks": tasks })).await.data(200);
        bulk("complete", json!({ "tasks": tasks })).await.data(200);
        for _ in 0..2 {
            assert_eq!(bulk("delete", json!({ "tasks": tasks })).await.status, 204);
        }
    }
}

#[tokio::test]
async fn a_server_works_with_a_role_that_may_do_nothing_else() {
    const ROLE: &str = "The server's \"own\" Role";
    const QUOTED: &str = "\"The server's \"\"own\"\" Role\"";
    let Some((owner, folder)) = empty().await else { return };
    let migrate = |arguments: &[&str]| {
        let output = run(folder.path(), &[&["migrate"], arguments].concat(), &[("DATABASE_URL", &owner)]);
        (output.status.success(), text(&output))
    };
    let (is_made, said) = migrate(&["role", ROLE]);
    assert!(!is_made && said.contains("tasks-server migrate up"), "{said}");
    migrate(&["up"]);
    let mut look = Session::at(&owner).await;
    look.run("CREATE TABLE other (id int); CREATE SCHEMA app; CREATE TABLE app.users (id int)").await.unwrap();

    let (is_made, said) = migrate(&["role", ROLE]);
    assert!(is_made && said.contains(&format!("made       {QUOTED}\n")), "{said}");
    assert!(said.contains(&format!("\\password {QUOTED}")) && said.contains("DATABASE_SCHEMA"), "{said}");
    let rights = "SELECT relname || relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
            AND relacl IS NOT NULL AND relname <> 'other'
        UNION ALL SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public'
        UNION ALL SELECT datacl::text FROM pg_database WHERE datname = current_database()
        UNION ALL SELECT defaclacl::text FROM pg_default_acl
        UNION ALL SELECT s.setconfig::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
            WHERE datname = current_database()
        UNION ALL SELECT r::text FROM pg_roles r WHERE rolname LIKE '%own%' ORDER BY 1";
    let before = look.texts(rights).await;
    let (is_made, said) = migrate(&["role", ROLE]);
    assert!(is_made && said.contains(&format!("current    {QUOTED}\n")), "{said}");
    let after = look.texts(rights).await;
    assert!(after.len() >= 9 && after == before, "the second time changed something: {before:?} {after:?}");

    let url = as_role(&owner, ROLE);
    let database = [("DATABASE_URL", url.as_str())];
    let server = Running::start(folder.path(), &database);
    use_it(&server.client("me", server.token.clone())).await;
    server.stop();
    assert!(run(folder.path(), &["purge"], &database).status.success());
    assert!(run(folder.path(), &["epoch", "new"], &database).status.success());

    let mut role = Session::at(&url).await;
    for (setting, limit) in
        [("statement_timeout", "15s"), ("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "10s")]
    {
        assert_eq!(role.texts(&format!("SHOW {setting}")).await, [limit], "{setting}");
    }
    for denied in [
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "DROP TABLE tasks",
        "ALTER TABLE tasks ADD COLUMN mine int",
        "ALTER TABLE tasks DISABLE TRIGGER ALL",
        "CREATE INDEX mine ON tasks (title)",
        "TRUNCATE tasks",
        "INSERT INTO seaql_migrations VALUES ('x', 1)",
        "UPDATE seaql_migrations SET applied_at = 0",
        "DELETE FROM seaql_migrations",
        "SELECT * FROM other",
        "SELECT * FROM app.users",
        "CREATE ROLE mine",
        "GRANT SELECT ON tasks TO PUBLIC",
    ] {
        // Without the right to grant, PostgreSQL only warns.
        let expected = if denied.starts_with("GRANT") { Ok(()) } else { Err("42501".to_owned()) };
        assert_eq!(role.run(denied).await, expected, "{denied}");
    }
    let ours =
        look.texts("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'other' ORDER BY 1");
    let seen = "SELECT table_name::text FROM information_schema.tables
        WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    assert_eq!(role.texts(seen).await, ours.await, "it sees each table of the server and no other");

    // What was granted by hand is taken back where it is ours to take, and told where it is not.
    look.run(&format!(
        "GRANT ALL ON seaql_migrations, tasks, other TO {QUOTED}; GRANT CREATE ON SCHEMA public TO {QUOTED}"
    ))
    .await
    .unwrap();
    let (_, said) = migrate(&["role", ROLE]);
    assert!(
        said.contains("it may create tables") && said.contains("1 other tables or views, such as public.other"),
        "{said}"
    );
    look.run(&format!("REVOKE ALL ON other FROM {QUOTED}; REVOKE CREATE ON SCHEMA public FROM {QUOTED}"))
        .await
        .unwrap();
    assert_eq!(look.texts(rights).await, before);

    // A server whose schema is behind says so, whoever it runs as; and what is made anew is open to the role.
    migrate(&["down"]);
    let refused = run(folder.path(), &[], &database);
    assert!(!refused.status.success() && text(&refused).contains("tasks-server migrate up"), "{}", text(&refused));
    let refused = run(folder.path(), &["migrate", "up"], &database);
    assert!(!refused.status.success() && text(&refused).contains("DATABASE_URL_UNPOOLED"), "{}", text(&refused));
    while migrate(&["down"]).1.contains("taken back") {}
    assert!(migrate(&["up"]).0);
    let server = Running::start(folder.path(), &database);
    use_it(&server.client("me", server.token.clone())).await;
    server.stop();
}

#[tokio::test]
async fn a_right_that_is_missing_is_503_and_the_log_names_the_command() {
    let Some((owner, folder)) = empty().await else { return };
    let direct = [("DATABASE_URL", owner.as_str())];
    run(folder.path(), &["migrate", "up"], &direct);
    run(folder.path(), &["migrate", "role", "tasks_poor"], &direct);
    let mut look = Session::at(&owner).await;
    let url = as_role(&owner, "tasks_poor");
    let server = Running::start(folder.path(), &[("DATABASE_URL", url.as_str())]);
    let alice = server.client("me", server.token.clone());
    let task = alice.create("x").await;
    look.run("REVOKE DELETE ON tasks FROM tasks_poor").await.unwrap();
    alice.delete(id(&task)).await.problem(503, "unavailable");
    assert!(run(folder.path(), &["migrate", "role", "tasks_poor"], &direct).status.success());
    assert_eq!(alice.delete(id(&task)).await.status, 204);
    let log = server.stop();
    assert!(log.contains("42501") && log.contains("tasks-server migrate role"), "{log}");
    look.run("REVOKE ALL ON seaql_migrations FROM tasks_poor").await.unwrap();
    let server = Running::start(folder.path(), &[("DATABASE_URL", url.as_str())]);
    server.client("me", server.token.clone()).list("").await.problem(503, "unavailable");
    let log = server.stop();
    assert!(log.contains("tasks-server migrate role"), "{log}");
}

#[tokio::test]
async fn who_may_not_make_roles_is_told_what_to_ask_for() {
    let Some((admin, folder)) = empty().await else { return };
    let mut look = Session::at(&admin).await;
    let setup = "CREATE ROLE tasks_plain LOGIN; DO $$ BEGIN EXECUTE
        format('GRANT CREATE ON DATABASE %I TO tasks_plain', current_database()); END $$";
    look.run(setup).await.unwrap();
    let url = as_role(&admin, "tasks_plain");
    let owner = [("DATABASE_URL", url.as_str()), ("DATABASE_SCHEMA", "its own")];
    assert!(run(folder.path(), &["migrate", "up"], &owner).status.success());
    let refused = run(folder.path(), &["migrate", "role", "tasks_Asked"], &owner);
    let said = text(&refused);
    assert!(!refused.status.success() && said.contains("CREATE ROLE \"tasks_Asked\" LOGIN; ALTER ROLE"), "{said}");
    assert!(!said.contains("grant"), "{said}");
    look.run(said.split('`').nth(1).unwrap()).await.unwrap();
    let made = run(folder.path(), &["migrate", "role", "tasks_Asked"], &owner);
    assert!(made.status.success() && text(&made).contains("current    \"tasks_Asked\""), "{}", text(&made));
    let role = as_role(&admin, "tasks_Asked");
    let server = Running::start(folder.path(), &[("DATABASE_URL", role.as_str()), ("DATABASE_SCHEMA", "its own")]);
    use_it(&server.client("me", server.token.clone())).await;
    server.stop();

    // Neither of these roles gives rights on tables: one is to be held to less, the other owns none.
    for (of, name, why) in [(&url, "tasks_plain", "another name"), (&role, "tasks_more", "DATABASE_URL_UNPOOLED")] {
        let variables = [("DATABASE_URL", of.as_str()), ("DATABASE_SCHEMA", "its own")];
        let refused = run(folder.path(), &["migrate", "role", name], &variables);
        assert!(!refused.status.success() && text(&refused).contains(why), "{}", text(&refused));
    }
    assert_eq!(look.texts("SELECT rolname::text FROM pg_roles WHERE rolname = 'tasks_more'").await, [] as [String; 0]);
}

#[test]
fn sqlite_has_no_roles() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run(folder.path(), &["migrate", "role", "tasks_server"], &[("DATABASE_URL", "sqlite://tasks.db")]);
    assert!(!refused.status.success() && text(&refused).contains("PostgreSQL"), "{}", text(&refused));
}
