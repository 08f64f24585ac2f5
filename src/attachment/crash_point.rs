//! Points at which the tests kill the process, to see what a kill leaves behind.
//!
//! Outside of the crate's own tests, a crash point does nothing.

#[cfg(not(test))]
pub(super) const fn crash_point(_: &str) {}

/// Kills the process at the point whose number is in the environment. The first point has number 1.
#[cfg(test)]
pub(super) fn crash_point(name: &str) {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    static REACHED: AtomicUsize = AtomicUsize::new(0);

    let Ok(number) = std::env::var(super::checks::CRASH_AT) else {
        return;
    };
    if (REACHED.fetch_add(1, SeqCst) + 1).to_string() == number {
        super::checks::crash(name);
    }
}
