//! How long a request waits for the database, for those who ask. Where nobody does, it costs a look.

use std::cell::Cell;
use std::time::{Duration, Instant};

tokio::task_local! {
    static SPENT: Cell<Duration>;
}

/// What `work` gives, and how much of its time was the database's.
pub(crate) async fn watch<T>(work: impl Future<Output = T>) -> (T, Duration) {
    SPENT.scope(Cell::default(), async { (work.await, SPENT.with(Cell::get)) }).await
}

/// Counts the time of `work` as the database's.
pub(crate) async fn spend<T>(work: impl Future<Output = T>) -> T {
    if SPENT.try_with(|_| ()).is_err() {
        return work.await;
    }
    let begun = Instant::now();
    let outcome = work.await;
    let _ = SPENT.try_with(|spent| spent.set(spent.get() + begun.elapsed()));
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_spent_under_watch_is_counted() {
        const PART: Duration = Duration::from_millis(2);
        assert_eq!(spend(async { 1 }).await, 1);
        let (two, spent) = watch(async {
            std::thread::sleep(PART * 20);
            spend(async { std::thread::sleep(PART) }).await;
            spend(async { std::thread::sleep(PART) }).await;
            2
        })
        .await;
        assert_eq!(two, 2);
        // What is not under it took ten times as long.
        assert!((PART * 2..PART * 20).contains(&spent), "{spent:?}");
    }
}
