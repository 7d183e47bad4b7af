//! What one row, or one statement, may do to the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::length::{is_long, millis, scaled, seconds};
use crate::load::{Tally, User, paced};
use crate::look::Look;
use crate::parts::{Base, turn};
use crate::scene::Scene;
use crate::server::Server;

/// How long a request may wait for a row that somebody else holds, with some room for a busy machine.
const REFUSED_WITHIN: Duration = millis(5_500);

/// Holds a row, as somebody beside the server may, until it is dropped or committed.
async fn hold(base: &Base, id: &str) -> Look {
    let holder = base.look().await;
    holder.run(&format!("BEGIN; SELECT 1 FROM tasks WHERE id = '{id}' FOR UPDATE")).await;
    holder
}

/// Each kind of change of one task.
async fn change(user: &User, id: &str, kind: usize) {
    match kind % 6 {
        0 => user.patch(id, "changed").await,
        1 => user.put(id, "changed").await,
        2 => user.complete(id).await,
        3 => user.delete(id).await,
        4 => user.bulk_complete(&[id]).await,
        _ => user.bulk_delete(&[id]).await,
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_locked_row_is_refused_in_time_and_never_happens() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let server = Server::on(&base.role("").await).await;
    let (look, tally) = (base.look().await, Tally::default());
    let alice = server.user("alice", &tally);
    let id = alice.counted(&Tally::default()).made("held").await;
    let holder = hold(&base, &id).await;
    // All at once, so that they queue behind each other too; and one after the other.
    join_all((0..6).map(|kind| change(&alice, &id, kind))).await;
    for kind in 0..scaled(1, 6) {
        change(&alice, &id, kind).await;
    }
    println!("{tally}");
    sleep(millis(500)).await;
    let waiting = look.waiting().await;
    holder.run("COMMIT").await;
    sleep(seconds(2)).await;
    let row = look.rows(&format!("SELECT title, is_completed, version FROM tasks WHERE id = '{id}'")).await;
    assert_eq!(row, [["held", "f", "1"]], "what was refused has happened");
    assert_eq!(tally.failures(), tally.len(), "{tally}");
    tally.assert_honest(&[409]);
    assert!(tally.slowest() < REFUSED_WITHIN, "{tally}");
    assert_eq!(waiting, 0, "sessions still wait for the row");
    assert_eq!(alice.complete(&id).await.status, 200, "the row is free");
}

/// Where a cancel takes longer than an answer may wait for it, it goes on behind the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_far_from_the_database_never_happens_either() {
    let _turn = turn().await;
    let Some(Scene { base, relay, server: _server, user: alice, id, tally }) = Scene::new().await else { return };
    let look = base.look().await;
    for kind in [3, 0] {
        let holder = hold(&base, &id).await;
        // There and back takes longer than the request to cancel may keep the answer waiting.
        relay.delay(millis(400));
        change(&alice, &id, kind).await;
        sleep(seconds(3)).await;
        assert_eq!(look.waiting().await, 0, "a session still waits for the row");
        holder.run("COMMIT").await;
        relay.delay(millis(0));
        sleep(seconds(1)).await;
    }
    println!("{tally}");
    let rows = look.rows("SELECT title, version FROM tasks").await;
    assert_eq!(rows, [["x", "1"]], "what was refused has happened");
    assert_eq!(tally.failures(), 2, "{tally}");
    tally.assert_honest(&[]);
}

/// Transactions that wait for a row in vain are no sign that the database is gone: the sessions of others stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_that_wait_for_a_row_end_no_session_of_others() {
    let _turn = turn().await;
    let Some(Scene { base, relay, server, user: alice, id, tally }) = Scene::new().await else { return };
    let holder = hold(&base, &id).await;
    let begun = Instant::now();
    let waiting = async {
        // The third waits for the share of the first two before it waits for the row.
        for _ in 0..2 {
            join_all((0..6).map(|_| change(&alice, &id, 4))).await;
        }
    };
    let others = async {
        let bob = server.user("bob", &Tally::default());
        let mut opened = Vec::new();
        while begun.elapsed() < seconds(7) {
            bob.list("").await;
            opened.push(relay.accepted());
            sleep(millis(50)).await;
        }
        opened
    };
    let ((), opened) = tokio::join!(waiting, others);
    holder.run("COMMIT").await;
    println!("{tally}, connections {opened:?}");
    tally.assert_honest(&[409]);
    assert_eq!(tally.failures(), tally.len(), "{tally}");
    let (first, last) = (opened.first().unwrap(), opened.last().unwrap());
    // One that is given up is closed, and it is cancelled on one of its own; more are those of others, opened anew.
    assert!((last - first) * 2 <= tally.len() * 3, "{} connections for {} transactions", last - first, tally.len());
}

/// Where a role has few connections, a user who waits for a row has fewer of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_a_locked_row_leave_others_a_session_where_there_are_few() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let server = Server::on(&base.role("CONNECTION LIMIT 3").await).await;
    let (alices, tally) = (Tally::default(), Tally::default());
    let (alice, bob) = (server.user("alice", &alices), server.user("bob", &tally));
    let id = alice.counted(&Tally::default()).made("held").await;
    // The server has met the limit.
    let crowd: Vec<_> = (0..10).map(|n| server.user(&format!("other-{n}"), &Tally::default())).collect();
    for _ in 0..3 {
        join_all(crowd.iter().map(|user| user.create("x"))).await;
    }
    let holder = hold(&base, &id).await;
    let end = Instant::now() + seconds(6);
    let writers = join_all((0..8).map(|_| async {
        while Instant::now() < end {
            alice.patch(&id, "changed").await;
        }
    }));
    let others = async {
        while Instant::now() < end {
            bob.create("x").await;
            bob.list("").await;
            sleep(millis(20)).await;
        }
    };
    tokio::join!(writers, others);
    holder.run("COMMIT").await;
    println!("alice: {alices}; bob: {tally}");
    tally.assert_well();
    assert!(tally.slowest() < seconds(2), "{tally}");
    alices.assert_honest(&[409]);
}

/// The server ends while a write waits for a row, far from its database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_hangs_when_the_server_ends_never_happens() {
    let _turn = turn().await;
    let Some(scene) = Scene::with(&[("SHUTDOWN_GRACE_SECONDS", "1")]).await else { return };
    let Scene { base, relay, mut server, user: alice, id, .. } = scene;
    let holder = hold(&base, &id).await;
    relay.delay(millis(150));
    let write = tokio::spawn({
        let (alice, id) = (alice.clone(), id.clone());
        async move { alice.patch(&id, "changed").await.status }
    });
    sleep(millis(500)).await;
    server.ask_to_end();
    let started = Instant::now();
    while server.ended().is_none() {
        assert!(started.elapsed() < seconds(5), "it does not end");
        sleep(millis(10)).await;
    }
    assert_eq!(write.await.unwrap(), 503);
    sleep(millis(500)).await;
    holder.run("COMMIT").await;
    sleep(seconds(1)).await;
    let row = base.look().await.rows(&format!("SELECT title, version FROM tasks WHERE id = '{id}'")).await;
    assert_eq!(row, [["x", "1"]], "what was refused has happened");
}

/// Other users, each with a task.
struct Others {
    users: Arc<Vec<(User, String)>>,
    tally: Tally,
}

impl Others {
    async fn at(server: &Server) -> Self {
        let tally = Tally::default();
        let names: Vec<_> = (0..20).map(|n| format!("other-{n}")).collect();
        let users = names.iter().map(|name| server.user(name, &tally));
        let made = users.map(async |user| {
            let id = user.counted(&Tally::default()).made("x").await;
            (user, id)
        });
        Self { users: Arc::new(join_all(made).await), tally }
    }

    /// They read and write at an even pace for so long.
    async fn work(&self, time: Duration) {
        // A program that is not optimized cannot do more beside its own tests.
        let (reads, writes) = scaled((100, 20), (1000, 200));
        let reading = paced(reads, time, |n| {
            let users = Arc::clone(&self.users);
            async move {
                let (user, id) = &users[n % users.len()];
                if n % 10 == 0 {
                    user.list("").await
                } else {
                    user.get(id).await
                };
            }
        });
        let writing = paced(writes, time, |n| {
            let users = Arc::clone(&self.users);
            async move {
                let (user, id) = &users[n % users.len()];
                if n % 2 == 0 {
                    user.create("y").await
                } else {
                    user.patch(id, &format!("x {n}")).await
                };
            }
        });
        tokio::join!(reading, writing);
    }

    /// They notice nothing. A time of 50 ms can only be held where nothing else runs; what stands in a queue behind the
    /// fault waits for seconds, so that a tenth of that tells as well.
    #[track_caller]
    fn assert_undisturbed(&self) {
        println!("others: {}", self.tally);
        self.tally.assert_well();
        assert!(self.tally.quantile(0.99) < scaled(millis(500), millis(50)), "{}", self.tally);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_locked_row_disturb_nobody_else() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let server = Server::on(&base.url()).await;
    let tally = Tally::default();
    let alice = server.user("alice", &tally);
    let id = alice.counted(&Tally::default()).made("held").await;
    let others = Others::at(&server).await;
    let holder = hold(&base, &id).await;
    let time = scaled(seconds(7), seconds(20));
    let (end, mut ready) = (Instant::now() + time, Vec::new());
    let writers = join_all((0..12).map(|kind| {
        let (alice, id) = (alice.clone(), id.clone());
        async move {
            while Instant::now() < end {
                change(&alice, &id, kind).await;
                sleep(millis(10)).await;
            }
        }
    }));
    let probes = async {
        while Instant::now() < end {
            sleep(millis(200)).await;
            let asked = Instant::now();
            ready.push((server.probe("/readyz").await, asked.elapsed()));
        }
    };
    tokio::join!(others.work(time), writers, probes);
    println!("writers: {tally}");
    holder.run("COMMIT").await;
    others.assert_undisturbed();
    tally.assert_honest(&[409]);
    assert!(tally.slowest() < REFUSED_WITHIN, "{tally}");
    assert!(ready.iter().all(|(status, took)| *status == 200 && *took < seconds(1)), "/readyz: {ready:?}");
    let row = base.look().await.rows(&format!("SELECT title, version FROM tasks WHERE id = '{id}'")).await;
    assert_eq!(row, [["held", "1"]], "what was refused has happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_statement_holds_up_nobody_else() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    // Every look at a task of this user takes two seconds.
    let slow = "CREATE FUNCTION nap(owner text) RETURNS boolean LANGUAGE plpgsql COST 100000 AS
            $$ BEGIN IF owner = 'slow' THEN PERFORM pg_sleep(2); END IF; RETURN true; END $$;
        ALTER TABLE tasks ENABLE ROW LEVEL SECURITY;
        CREATE POLICY slow ON tasks USING (nap(user_id)) WITH CHECK (true)";
    let server = Server::on(&base.role("").await).await;
    let tally = Tally::default();
    let user = server.user("slow", &tally);
    let id = user.counted(&Tally::default()).made("x").await;
    let others = Others::at(&server).await;
    let (look, time) = (base.look().await, scaled(seconds(7), seconds(20)));
    look.run(slow).await;
    look.run(
        "INSERT INTO users SELECT 'crowd-' || n, now() FROM generate_series(1, 1000) n;
        INSERT INTO tasks SELECT 'crowd-' || n, gen_random_uuid(), 'x', false, NULL, now(), now()
            FROM generate_series(1, 1000) n;
        ANALYZE tasks",
    )
    .await;
    let end = Instant::now() + scaled(seconds(5), seconds(18));
    let reading = async {
        while Instant::now() < end {
            user.get(&id).await;
        }
    };
    tokio::join!(others.work(time), reading);
    println!("slow: {tally}");
    assert!(tally.len() > 1 && tally.only(|sample| sample.took < seconds(2)).len() == 0, "it was not slow: {tally}");
    tally.assert_honest(&[]);
    assert!(!is_long() || tally.failures() == 0, "{tally}");
    others.assert_undisturbed();
}
