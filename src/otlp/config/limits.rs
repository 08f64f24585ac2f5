use std::time::Duration;

use super::flaw::Flaw;

/// More would not be a queue but the program's memory.
const MAX_COUNT: usize = 1 << 20;
/// The standard's largest number, 24 days; a clock can still be moved by it.
const MAX_MILLIS: u64 = (1 << 31) - 1;

/// How long one request may take, unless it is said.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How much is held back, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) queue_capacity: usize,
    pub(super) batch_size: usize,
    pub(super) schedule_delay: Duration,
    pub(super) metric_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The standard's 2048 counts spans. This one counts events, two a call, and a call that ran
            // tools brings theirs all at once. A place costs 16 bytes while it is empty.
            queue_capacity: 16_384,
            batch_size: 512,
            schedule_delay: Duration::from_secs(5),
            metric_interval: Duration::from_secs(60),
        }
    }
}

pub(super) fn parse_count(text: &str) -> Result<usize, Flaw> {
    check_count(text.parse().unwrap_or(0))
}

pub(super) fn check_count(count: usize) -> Result<usize, Flaw> {
    if (1..=MAX_COUNT).contains(&count) {
        Ok(count)
    } else {
        Err("no whole number from 1 to 1048576".into())
    }
}

pub(super) fn parse_millis(text: &str) -> Result<Duration, Flaw> {
    check_duration(Duration::from_millis(text.parse().unwrap_or(0)))
        .map_err(|_| "no whole number of milliseconds from 1 to 2147483647".into())
}

pub(super) fn check_duration(duration: Duration) -> Result<Duration, Flaw> {
    if !duration.is_zero() && duration <= Duration::from_millis(MAX_MILLIS) {
        Ok(duration)
    } else {
        Err("zero, or longer than 2147483647 ms".into())
    }
}
