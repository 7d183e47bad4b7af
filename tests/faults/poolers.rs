//! Poolers: no statement in another's place, and every operation through each of them.

use std::sync::Arc;
use std::sync::Mutex;

use futures_util::future::join_all;
use sqlx::{Connection, PgConnection};

use crate::length::{scaled, seconds};
use crate::load::{Tally, crowd};
use crate::look::Look;
use crate::parts::{Base, turn};
use crate::people::People;
use crate::pgbouncer::{BY_SESSION, FOLLOWING, Kind, PgBouncer, UNAWARE, UNFOLLOWED};
use crate::server::Server;

/// A pooler before a database.
async fn pooled(kind: Kind) -> Option<(Base, PgBouncer, String)> {
    let base = Base::new().await?;
    let pooler = PgBouncer::start(kind, &base.cluster)?;
    let url = pooler.url(&base.name);
    Some((base, pooler, url))
}

async fn server(base: &Base, url: &str) -> Server {
    Server::with(&[("DATABASE_URL", url), ("DATABASE_URL_UNPOOLED", &base.url())]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_never_delete_behind_a_pooler_that_knows_no_statements() {
    reads_never_delete(UNAWARE.lenient(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_never_delete_behind_a_pooler_that_two_servers_share() {
    reads_never_delete(UNAWARE.lenient(), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_never_delete_behind_a_pooler_that_does_not_follow() {
    reads_never_delete(UNFOLLOWED.lenient(), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_never_delete_behind_a_pooler_that_follows() {
    reads_never_delete(FOLLOWING, 2).await;
}

/// Ten clients read tasks that nobody deletes beside deletions, with their version, of others.
async fn reads_never_delete(kind: Kind, count: usize) {
    let _turn = turn().await;
    let Some((base, _pooler, url)) = pooled(kind).await else { return };
    let direct = Server::on(&base.url()).await;
    let alice = direct.user("alice", &Tally::default());
    let (mut kept, mut doomed) = (Vec::new(), Vec::new());
    for n in 0..scaled(100, 400) {
        let id = alice.made(&format!("task {n}")).await;
        if n % 4 == 0 { kept.push(id) } else { doomed.push(id) }
    }
    let servers = join_all((0..count).map(|_| server(&base, &url))).await;
    let tally = Tally::default();
    let users: Arc<Vec<_>> = Arc::new(servers.iter().map(|server| server.user("alice", &tally)).collect());
    let (kept, doomed) = (Arc::new(kept), Arc::new(Mutex::new(doomed)));
    let stays = Arc::clone(&kept);
    crowd(10, scaled(seconds(3), seconds(20)), move |client| {
        let (users, kept, doomed) = (Arc::clone(&users), Arc::clone(&stays), Arc::clone(&doomed));
        async move {
            let user = &users[client % users.len()];
            for id in kept.iter().skip(client).step_by(5) {
                user.get(id).await;
            }
            user.list("?limit=5").await;
            let next = doomed.lock().unwrap().pop();
            if let Some(id) = next {
                user.delete_version(&id, "\"1\"").await;
            }
        }
    })
    .await;
    let stored = base.look().await.tasks().await;
    let left = kept.iter().filter(|id| stored.contains_key(*id)).count();
    assert_eq!(left, kept.len(), "tasks that nobody deleted are gone; {tally}");
    tally.assert_well();
}

/// The control: were statements named by counting, these poolers would run them in each other's place, so that the tests
/// above would see it.
#[tokio::test]
async fn a_read_that_is_named_by_counting_deletes_behind_a_pooler_that_does_not_follow() {
    let _turn = turn().await;
    for (kind, does_harm) in [(UNAWARE.lenient(), true), (UNFOLLOWED.lenient(), true), (FOLLOWING, false)] {
        let Some((base, _pooler, url)) = pooled(kind).await else { return };
        let look = base.look().await;
        look.run("CREATE TABLE things AS SELECT n FROM generate_series(1, 100) n").await;
        // Two clients, each of which counts its statements from one, and a third that has the one session meanwhile.
        let [mut one, mut other, mut third] = [client(&url).await, client(&url).await, client(&url).await];
        let delete = "DELETE FROM things WHERE n = $1";
        sqlx::query(delete).bind(0).execute(&mut one).await.unwrap();
        sqlx::raw_sql("BEGIN").execute(&mut third).await.unwrap();
        let read = "SELECT n FROM things WHERE n = $1";
        sqlx::query(read).bind(0).execute(&mut other).await.unwrap();
        sqlx::raw_sql("COMMIT").execute(&mut third).await.unwrap();
        for n in 1..=100 {
            let _ = sqlx::query(read).bind(n).execute(&mut other).await;
        }
        let left = look.number("SELECT count(*) FROM things").await;
        assert_eq!(left < 100, does_harm, "{}: {left} of 100 are left", kind.name);
    }
}

async fn client(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_works_behind_a_pooler_that_knows_no_statements() {
    every_operation_works(UNAWARE.lenient()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_works_behind_a_pooler_of_sessions() {
    every_operation_works(BY_SESSION.lenient()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_works_behind_a_pooler_that_follows() {
    every_operation_works(FOLLOWING).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_works_behind_a_pooler_that_does_not_follow() {
    every_operation_works(UNFOLLOWED.lenient()).await;
}

/// Sixteen clients use every operation, many tasks at once in changing numbers too.
async fn every_operation_works(kind: Kind) {
    let _turn = turn().await;
    let Some((base, _pooler, url)) = pooled(kind).await else { return };
    let (one, other) = (server(&base, &url).await, server(&base, &url).await);
    let tally = Tally::default();
    let people = People::at(&[&one, &other], 16, &tally);
    people.work(scaled(seconds(4), seconds(60))).await;
    println!("{}: {tally}", kind.name);
    tally.assert_well();
    people.assert_truth(&base.look().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_connects_through_a_pooler_that_takes_no_startup_parameters() {
    let _turn = turn().await;
    // None of these is told to ignore any.
    for kind in [UNAWARE, BY_SESSION, UNFOLLOWED] {
        let Some((base, _pooler, url)) = pooled(kind).await else { return };
        let server = server(&base, &url).await;
        let reply = server.user("alice", &Tally::default()).create("x").await;
        assert_eq!(reply.status, 201, "{}: {}", kind.name, server.log());
        assert_eq!(Look::at(&base.url()).await.tasks().await.len(), 1);
    }
}
