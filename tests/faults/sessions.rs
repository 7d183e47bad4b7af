//! Sessions that end, and a schema that changes, under load.

use std::sync::Arc;

use tokio::time::sleep;

use crate::length::{millis, scaled, seconds};
use crate::load::{Sample, Tally, crowd};
use crate::parts::{Base, turn};
use crate::people::People;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_fails_when_all_sessions_are_ended_each_second() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let server = Server::on(&base.url()).await;
    let (look, tally) = (base.look().await, Tally::default());
    let people = People::at(&[&server], 16, &tally);
    let end = async {
        for _ in 0..scaled(12, 60) {
            sleep(seconds(1)).await;
            look.terminate().await;
        }
    };
    tokio::join!(people.work(scaled(seconds(13), seconds(61))), end);
    println!("{tally}");
    tally.only(Sample::is_read).assert_well();
    tally.assert_honest(&[]);
    people.assert_truth(&look).await;
}

/// Everything goes on while these changes are made in turn.
async fn nothing_fails_while(changes: &[&'static str], pause: std::time::Duration) {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let (one, other) = (Server::on(&base.url()).await, Server::on(&base.url()).await);
    let (look, tally) = (base.look().await, Tally::default());
    let people = People::at(&[&one, &other], 16, &tally);
    let time = scaled(seconds(6), seconds(30));
    let work = tokio::spawn({
        let people = people.clone();
        async move { people.work(time).await }
    });
    let mut count = 0;
    for change in changes.iter().cycle() {
        sleep(pause).await;
        if work.is_finished() {
            break;
        }
        look.run(change).await;
        count += 1;
    }
    work.await.unwrap();
    println!("{count} changes: {tally}");
    assert!(count > changes.len(), "the changes hung");
    tally.assert_well();
    people.assert_truth(&look).await;
}

/// The columns that this trigger looks at keep their types.
const FREE: &str = "DROP TRIGGER IF EXISTS tasks_changed ON tasks";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_while_the_type_of_the_title_changes() {
    nothing_fails_while(
        &[FREE, "ALTER TABLE tasks ALTER title TYPE varchar(200)", "ALTER TABLE tasks ALTER title TYPE text"],
        scaled(millis(200), millis(700)),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_while_the_type_of_the_version_changes() {
    nothing_fails_while(
        &[FREE, "ALTER TABLE tasks ALTER version TYPE integer", "ALTER TABLE tasks ALTER version TYPE bigint"],
        scaled(millis(200), millis(700)),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_while_columns_and_indexes_come_and_go() {
    nothing_fails_while(
        &[
            "ALTER TABLE tasks ADD note text",
            "CREATE INDEX CONCURRENTLY tasks_note ON tasks (user_id, note)",
            "VACUUM ANALYZE tasks",
            "DROP INDEX CONCURRENTLY tasks_note",
            "ALTER TABLE tasks DROP note",
        ],
        millis(250),
    )
    .await;
}

/// A role may have fewer connections than the pool wants.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_over_the_limit_of_the_role_wait() {
    let _turn = turn().await;
    let Some(base) = Base::new().await else { return };
    let server = Server::on(&base.role("CONNECTION LIMIT 3").await).await;
    let tally = Tally::default();
    let user = Arc::new(server.user("alice", &tally));
    let id = Server::on(&base.url()).await.user("alice", &tally).made("x").await;
    crowd(40, scaled(seconds(3), seconds(20)), move |_| {
        let (user, id) = (Arc::clone(&user), id.clone());
        async move {
            user.get(&id).await;
        }
    })
    .await;
    println!("{tally}");
    tally.assert_well();
}
