//! How long the tests of a room may take: short runs beside others, or as long and as heavy as the promises are worded.

use std::time::Duration;

/// Whether the tests may take long, and the machine is quiet and the program optimized.
pub(crate) fn is_long() -> bool {
    ["EDGE", "FAULTS"].into_iter().any(|room| std::env::var(room).is_ok_and(|value| value == "long"))
}

/// So many, or in short runs so few.
pub(crate) fn scaled<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
