//! Durations and times as numbers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns a duration in milliseconds, rounded only once: 9 µs are 0.009 ms exactly.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

pub(super) fn unix_nanos(time: SystemTime) -> u64 {
    saturating_nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(in crate::event) fn saturating_nanos(duration: Duration) -> u64 {
    // 2^64 nanoseconds are 584 years.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
