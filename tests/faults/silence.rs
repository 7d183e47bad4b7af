//! Connections that go silent: nothing comes any more, and nothing says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::length::{millis, seconds};
use crate::load::{Reply, crowd};
use crate::parts::turn;
use crate::scene::Scene;

impl Scene {
    /// Sixteen clients, half of whose requests are writes.
    async fn crowd(&self, time: Duration) {
        let (user, id) = (Arc::new(self.user.clone()), self.id.clone());
        crowd(16, time, move |client| {
            let (user, id) = (Arc::clone(&user), id.clone());
            async move {
                if client % 2 == 0 {
                    user.get(&id).await
                } else {
                    user.create("y").await
                };
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_connections_that_go_silent_are_given_up_in_time() {
    let _turn = turn().await;
    let Some(scene) = Scene::new().await else { return };
    let mut silenced = Instant::now();
    tokio::join!(scene.crowd(seconds(7)), async {
        sleep(seconds(1)).await;
        silenced = Instant::now();
        scene.relay.silence();
    });
    println!("{}", scene.tally);
    scene.tally.assert_honest(&[]);
    let after = scene.tally.since(silenced);
    let recovery = after.recovery(silenced).expect("no success any more");
    assert!(recovery < seconds(5), "no success for {recovery:?}: {after}");
    // Those that had waited are answered by now, and there are as many connections as before.
    let again = Instant::now();
    scene.crowd(seconds(1)).await;
    let whole = scene.tally.since(again);
    whole.assert_well();
    assert!(whole.slowest() < seconds(1), "{whole}");
    assert_eq!(scene.server.probe("/readyz").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_go_silent_just_after_use_are_given_up_in_time() {
    let _turn = turn().await;
    let Some(scene) = Scene::new().await else { return };
    let reads = || join_all((0..10).map(|_| scene.user.get(&scene.id)));
    reads().await;
    sleep(millis(100)).await;
    scene.relay.silence();
    let silenced = Instant::now();
    reads().await;
    println!("{}", scene.tally);
    let after = scene.tally.since(silenced);
    // A read can be asked again on another connection.
    after.assert_well();
    assert!(after.slowest() < seconds(5), "{after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_went_silent_cost_less_than_a_second() {
    let _turn = turn().await;
    let Some(scene) = Scene::new().await else { return };
    for count in [1, 16] {
        scene.crowd(millis(300)).await;
        sleep(seconds(2)).await;
        scene.relay.silence();
        let silenced = Instant::now();
        join_all((0..count).map(|_| scene.user.get(&scene.id))).await;
        join_all((0..count).map(|_| scene.user.create("z"))).await;
        let after = scene.tally.since(silenced);
        println!("{count} at once: {after}");
        after.assert_well();
        assert!(after.slowest() < seconds(1), "{after}");
    }
}

/// A database that is far away, but well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_link_fails_nothing() {
    let _turn = turn().await;
    let Some(scene) = Scene::new().await else { return };
    scene.relay.delay(millis(150));
    scene.crowd(seconds(2)).await;
    println!("{}", scene.tally);
    scene.tally.assert_well();
}

/// All connections end, and for a moment new ones are lost on the way: whoever waits is not kept by those that were lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_lost_while_it_is_made_keeps_nobody() {
    let _turn = turn().await;
    let Some(scene) = Scene::new().await else { return };
    scene.relay.hold();
    scene.relay.cut();
    let asked = Instant::now();
    let reads = join_all((0..8).map(|_| scene.user.get(&scene.id)));
    let writes = join_all((0..8).map(|_| scene.user.create("y")));
    let (reads, writes, ()) = tokio::join!(reads, writes, async {
        sleep(millis(300)).await;
        scene.relay.silence();
        scene.relay.forward();
    });
    println!("{}", scene.tally);
    assert!(reads.iter().chain(&writes).all(Reply::is_well), "{}", scene.tally);
    assert!(asked.elapsed() < seconds(5), "{:?}", asked.elapsed());
    scene.tally.assert_honest(&[]);
}
