//! `DATABASE_SCHEMA`: the tables beside those of others.

use std::collections::BTreeSet;

use crate::load::{Tally, User};
use crate::look::Look;
use crate::parts::{empty, migrated};
use crate::program::Program;
use crate::server::Server;

/// Another application's tables, by the names of ours.
const OTHERS: &str = "
CREATE TABLE users (name text PRIMARY KEY); INSERT INTO users VALUES ('theirs');
CREATE TABLE tasks (what text); INSERT INTO tasks VALUES ('theirs');
";
const THEIR_HISTORY: &str = "
CREATE TABLE seaql_migrations (version varchar PRIMARY KEY, applied_at bigint NOT NULL);
INSERT INTO seaql_migrations VALUES ('m20200101_000001_theirs', 1);
";

/// All tables and indexes, with their schemas.
async fn relations(look: &Look) -> BTreeSet<String> {
    let query = "SELECT relnamespace::regnamespace || '.' || relname FROM pg_class
        WHERE relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";
    look.rows(query).await.into_iter().map(|row| row[0].clone()).collect()
}

/// What the others have.
async fn theirs(look: &Look) -> Vec<Vec<String>> {
    look.rows("SELECT name FROM public.users UNION ALL SELECT what FROM public.tasks").await
}

/// Uses operations of each kind.
async fn every_kind_of_operation_works(user: &User) {
    let id = user.made("one").await;
    let keyed = user.create_once("two", "a-key").await;
    assert_eq!(user.create_once("two", "a-key").await.id(), keyed.id());
    let many = user.bulk_create(&["three".to_owned(), "four".to_owned()]).await;
    assert!(many.is_well(), "{}", many.body);
    for reply in [user.patch(&id, "first").await, user.complete(&id).await, user.bulk_complete(&[keyed.id()]).await] {
        assert!(reply.is_well(), "{} {}", reply.status, reply.body);
    }
    assert!(user.delete(&id).await.is_well());
    let all = user.list("?is_completed=false").await;
    assert_eq!(all.body["data"].as_array().unwrap().len(), 2, "{}", all.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_others_are_left_alone_and_the_setting_is_named() {
    for others in [OTHERS.to_owned(), OTHERS.to_owned() + THEIR_HISTORY] {
        let Some(url) = empty("") else { return };
        let look = Look::at(&url).await;
        look.run(&others).await;
        let before = relations(&look).await;
        Program::at(&url).migrates().refused("DATABASE_SCHEMA");
        assert_eq!(relations(&look).await, before);
        Program::at(&url).with("LISTEN", "127.0.0.1:0").run(&[]).refused("schema");
        assert_eq!((relations(&look).await, theirs(&look).await.len()), (before, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_in_a_schema_beside_the_tables_of_others() {
    let Some(url) = empty("") else { return };
    let look = Look::at(&url).await;
    look.run(&(OTHERS.to_owned() + THEIR_HISTORY)).await;
    let before = relations(&look).await;
    for schema in ["tasks_own", "My \"own\" Schema", "Größe"] {
        let program = Program::at(&url).with("DATABASE_SCHEMA", schema);
        assert_eq!(program.migrates().well().matches("applied").count(), 7);
        assert!(program.migrates().well().contains("up to date"));
        assert!(!program.asks().well().contains("pending"));
        let server = Server::with(&program.variables()).await;
        every_kind_of_operation_works(&server.user("alice", &Tally::default())).await;
        program.run(&["purge"]).well();
        let added: Vec<_> = relations(&look).await.difference(&before).cloned().collect();
        assert!(!added.iter().any(|name| name.starts_with("public.")), "{added:?}");
    }
    assert_eq!(theirs(&look).await, [["theirs"], ["theirs"]]);
    // Taken back, the schemas are empty but for the history.
    let program = Program::at(&url).with("DATABASE_SCHEMA", "My \"own\" Schema");
    (0..7).for_each(|_| drop(program.run(&["migrate", "down"]).well()));
    let left = look.number("SELECT count(*) FROM pg_tables WHERE schemaname = 'My \"own\" Schema'").await;
    assert_eq!((left, theirs(&look).await.len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_two_schemas_of_one_database_do_not_see_each_others_tasks() {
    let Some(url) = empty("") else { return };
    let tally = Tally::default();
    let mut servers = Vec::new();
    for schema in ["one", "two"] {
        let program = Program::at(&url).with_all(&[("DATABASE_SCHEMA", schema), ("MIGRATE_ON_START", "true")]);
        servers.push(Server::with(&program.variables()).await);
    }
    let [one, two] = [0, 1].map(|at| servers[at].user("alice", &tally));
    let id = one.made("of the first").await;
    assert_eq!(two.get(&id).await.status, 404);
    assert_eq!(two.list("").await.body["data"], serde_json::json!([]));
    let other = two.made("of the second").await;
    assert_eq!(one.list("").await.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(one.get(&other).await.status, 404);
}

/// As 0.1.0 left them, without the changes that came after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_an_earlier_version_move_into_a_schema() {
    let Some(url) = migrated() else { return };
    let program = Program::at(&url);
    let server = Server::with(&program.variables()).await;
    let id = server.user("alice", &Tally::default()).made("before").await;
    drop(server);
    (0..4).for_each(|_| drop(program.run(&["migrate", "down"]).well()));
    let look = Look::at(&url).await;
    let tables = ["users", "tasks", "idempotency_keys", "seaql_migrations"];
    let moves = tables.map(|table| format!("ALTER TABLE {table} SET SCHEMA app"));
    look.run(&format!("CREATE SCHEMA app; {}", moves.join("; "))).await;
    let program = program.with("DATABASE_SCHEMA", "app");
    assert!(program.migrates().well().contains("m20261128_000004"));
    let server = Server::with(&program.variables()).await;
    let user = server.user("alice", &Tally::default());
    assert_eq!(user.get(&id).await.body["data"]["title"], "before");
    every_kind_of_operation_works(&server.user("bob", &Tally::default())).await;
}

/// The trigger finds the deletions where the tasks are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_this_version_move_too() {
    let Some(url) = migrated() else { return };
    let look = Look::at(&url).await;
    let tables = ["users", "tasks", "idempotency_keys", "deletions", "seaql_migrations"];
    let moves = tables.map(|table| format!("ALTER TABLE {table} SET SCHEMA app"));
    look.run(&format!("CREATE SCHEMA app; {}", moves.join("; "))).await;
    let program = Program::at(&url).with("DATABASE_SCHEMA", "app");
    let server = Server::with(&program.variables()).await;
    every_kind_of_operation_works(&server.user("bob", &Tally::default())).await;
    assert!(look.number("SELECT count(*) FROM app.deletions").await > 0);
    // Taken back by one change, too.
    program.run(&["migrate", "down"]).well();
    look.run("DELETE FROM app.tasks").await;
    (0..6).for_each(|_| drop(program.run(&["migrate", "down"]).well()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_the_roles_search_path_leads_to_are_told_with_their_schema() {
    let Some(url) = empty("") else { return };
    let look = Look::at(&url).await;
    Program::at(&url).with("DATABASE_SCHEMA", "elsewhere").migrates().well();
    let name = url.rsplit('/').next().unwrap();
    look.run(&format!("ALTER DATABASE {name} SET search_path TO elsewhere, public")).await;
    let before = relations(&look).await;
    let program = Program::at(&url).with("LISTEN", "127.0.0.1:0");
    let told = "the tables are in the schema elsewhere, not in public: set DATABASE_SCHEMA=elsewhere";
    program.fails(told);
    program.run(&[]).refused(told);
    program.clone().with("MIGRATE_ON_START", "true").run(&[]).refused(told);
    assert_eq!(relations(&look).await, before);
    program.with("DATABASE_SCHEMA", "elsewhere").connects();
}

#[test]
fn sqlite_has_no_schemas() {
    for arguments in [["migrate", "up"].as_slice(), &["migrate", "status"], &[]] {
        let program =
            Program::at("sqlite://tasks.db").with_all(&[("DATABASE_SCHEMA", "own"), ("LISTEN", "127.0.0.1:0")]);
        program.run(arguments).refused("DATABASE_SCHEMA is for PostgreSQL");
    }
}
