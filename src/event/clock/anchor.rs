use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Tick;

/// How long the wall clock is extrapolated before it is read again, in nanoseconds.
///
/// A call that is more than this after the one before pays for a reading of the wall clock; a program that
/// makes many calls reads it a thousand times a second.
const ANCHOR_LIFETIME: u64 = 1_000_000;

/// The longest that a reading of both clocks may take, in nanoseconds. The thread was preempted in a longer
/// one, between the clocks.
const MAX_READING: u64 = 100_000;

/// How often the clocks are read until a reading counts.
const MAX_READINGS: u32 = 3;

/// The distance of the wall clock from the monotonic one.
pub(super) struct Anchor {
    /// The wall clock at the base of the monotonic clock, in nanoseconds since the Unix epoch.
    wall: AtomicU64,
    /// The tick at which `wall` was read.
    tick: AtomicU64,
}

/// A reading of the wall clock, in nanoseconds since the Unix epoch, and the tick after it.
pub(super) struct Reading {
    pub(super) wall: u64,
    pub(super) after: Tick,
}

// === impl Anchor ===

impl Anchor {
    pub(super) fn new(wall: u64) -> Self {
        Self {
            wall: AtomicU64::new(wall),
            tick: AtomicU64::new(0),
        }
    }

    /// Returns the wall clock at the base of the monotonic clock, as known at `tick`, which the caller has
    /// just read.
    #[inline]
    pub(super) fn at(&self, tick: Tick, read: impl FnMut() -> Reading) -> u64 {
        // Threads may race to renew the anchor. Each of them stores a valid one.
        if tick.0.saturating_sub(self.tick.load(Relaxed)) > ANCHOR_LIFETIME {
            self.renew(tick, read);
        }
        self.wall.load(Relaxed)
    }

    /// Reads the wall clock between `before`, which is now, and the tick after it.
    #[cold]
    fn renew(&self, mut before: Tick, mut read: impl FnMut() -> Reading) {
        for _ in 0..MAX_READINGS {
            let Reading { wall, after } = read();
            let took = after.since(before);
            if took <= MAX_READING {
                let tick = before.0 + took / 2;
                self.wall.store(wall.saturating_sub(tick), Relaxed);
                self.tick.store(tick, Relaxed);
                return;
            }
            before = after;
        }
        // The next call tries again. A wrong anchor would put calls before their parents.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_anchor_is_read_again_after_a_millisecond() {
        let anchor = Anchor::new(7);
        let read = || unreachable!("it is young enough");
        assert_eq!(anchor.at(Tick(ANCHOR_LIFETIME), read), 7);

        // The machine slept: the wall clock has advanced, and the monotonic one has not.
        let (now, hours) = (ANCHOR_LIFETIME + 1, 8 * 3_600 * 1_000_000_000);
        let read = || Reading {
            wall: hours + now,
            after: Tick(now),
        };
        assert_eq!(anchor.at(Tick(now), read), hours);
    }

    #[test]
    fn a_reading_during_which_the_thread_was_preempted_does_not_count() {
        // The wall clock is ahead by the number of the reading. All but reading `good` take too long.
        let anchored = |good: u64| {
            let mut now = ANCHOR_LIFETIME + 1;
            let mut readings = 0;
            let anchor = Anchor::new(7);
            anchor.at(Tick(now), || {
                readings += 1;
                now += if readings == good { 0 } else { MAX_READING + 1 };
                Reading {
                    wall: now + readings,
                    after: Tick(now),
                }
            })
        };
        assert_eq!(anchored(1), 1);
        assert_eq!(anchored(3), 3);
        // The old one, until the next call.
        assert_eq!(anchored(4), 7);
    }
}
