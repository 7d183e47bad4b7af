//! What an attack begins with, and what is seen beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{interval, sleep, sleep_until};

use crate::length::{millis, scaled, seconds};
use crate::load::{Tally, User};
use crate::server::{Server, TITLE};

/// How much memory an attack may make the server use, in KiB.
const GROWTH: usize = 64 * 1024;

/// Whether it is about the million requests.
pub(crate) fn is_soak() -> bool {
    std::env::var("EDGE").is_ok_and(|value| value == "soak")
}

/// A server with a good user who has a task.
pub(crate) struct Scene {
    pub(crate) server: Server,
    token: String,
    id: String,
}

/// What was seen beside an attack.
pub(crate) struct Seen<T> {
    /// What the attackers saw.
    pub(crate) outcome: T,
    /// The good requests, which only read.
    pub(crate) reads: Tally,
    /// The good requests that write.
    pub(crate) writes: Tally,
    /// How much more memory the server used at most, in KiB.
    pub(crate) grown: usize,
}

/// The good user, with connections of their own: those at rest do not count among an attack's.
fn good(address: &str, token: &str, tally: &Tally) -> User {
    let http = reqwest::Client::builder().tls_certs_only([]).pool_max_idle_per_host(4).timeout(seconds(60));
    User::new(&http.build().unwrap(), address, "good", token, tally)
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these settings.
    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        let server = Server::with(variables).await;
        let token = server.token("good");
        let user = good(&server.address(), &token, &Tally::default());
        let id = user.made(TITLE).await;
        // Memory that any server of some use has.
        for _ in 0..20 {
            user.get(&id).await;
            user.create(TITLE).await;
        }
        Self { server, token, id }
    }

    /// An attack, with ten good requests a second beside it, until it is over.
    pub(crate) async fn under<T>(&self, attack: impl Future<Output = T>) -> Seen<T> {
        let (reads, writes) = (Tally::default(), Tally::default());
        let (address, token, id) = (self.server.address(), self.token.clone(), self.id.clone());
        let (reading, writing, is_over) = (reads.clone(), writes.clone(), Arc::new(AtomicBool::new(false)));
        let until = Arc::clone(&is_over);
        // On a thread of their own: they shall wait for the server, and not for a thousand attackers of this program.
        let good = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let reading = good(&address, &token, &reading);
            let writing = reading.counted(&writing);
            runtime.block_on(async {
                let (mut ticks, mut all) = (interval(millis(100)), JoinSet::new());
                for count in 0.. {
                    ticks.tick().await;
                    if until.load(Ordering::Relaxed) {
                        break;
                    }
                    let (reading, writing, id) = (reading.clone(), writing.clone(), id.clone());
                    all.spawn(async move {
                        if count % 5 == 4 {
                            writing.create(TITLE).await
                        } else {
                            reading.get(&id).await
                        };
                    });
                }
                all.join_all().await;
            });
        });
        self.server.forget_peak();
        let (before, worked, began) = (self.server.memory(), self.server.worked(), Instant::now());
        let outcome = attack.await;
        // However fast it is over: ten requests are to be seen.
        sleep_until((began + seconds(1)).into()).await;
        let load = self.server.worked().saturating_sub(worked).as_secs_f64() / began.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        tokio::task::spawn_blocking(|| good.join().unwrap()).await.unwrap();
        let grown = self.server.peak().saturating_sub(before);
        println!("{grown} KiB more, load {load:.2}, reads: {reads}, writes: {writes}");
        Seen { outcome, reads, writes, grown }
    }

    /// Waits until the server has closed all connections but a few: how many are open after this time.
    pub(crate) async fn open(&self, before: usize, within: Duration) -> usize {
        let began = Instant::now();
        loop {
            let open = self.server.descriptors().saturating_sub(before);
            // Those of the good requests, and of the database.
            if open <= 8 || began.elapsed() > within {
                println!("{open} are open after {:?}", began.elapsed());
                return if open <= 8 { 0 } else { open };
            }
            sleep(millis(200)).await;
        }
    }
}

impl<T> Seen<T> {
    /// It was bounded in memory, and nobody else has noticed anything.
    #[track_caller]
    pub(crate) fn assert_bounded(&self) {
        self.assert_grown(GROWTH);
        self.assert_served();
    }

    #[track_caller]
    pub(crate) fn assert_grown(&self, most: usize) {
        assert!(self.grown < most, "{} KiB more, of {most} KiB at most", self.grown);
    }

    /// The good requests were answered, nearly all in 100 ms. In short runs, where twenty tests of a slow program share the
    /// machine, most of them, at some time.
    #[track_caller]
    pub(crate) fn assert_served(&self) {
        for tally in [&self.reads, &self.writes] {
            assert!(tally.len() > 0, "nothing was asked");
            assert!(tally.failures() <= scaled(tally.len() / 4, 0), "{tally}");
            assert!(tally.quantile(scaled(0.5, 0.99)) < scaled(seconds(5), millis(100)), "{tally}");
        }
    }
}
