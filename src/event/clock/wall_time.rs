use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(any(test, all(feature = "turn", unix)))]
use super::nanos::saturating_nanos;

/// A time of the wall clock, in nanoseconds since the Unix epoch: half the size of `SystemTime`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WallTime(pub(super) u64);

// === impl WallTime ===

impl WallTime {
    /// Returns the time that is some time earlier.
    #[cfg(any(test, all(feature = "turn", unix)))]
    #[inline]
    pub(crate) fn before(self, ago: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(ago)))
    }

    pub(crate) fn to_system(self) -> SystemTime {
        UNIX_EPOCH + self.since_epoch()
    }

    #[inline]
    pub(crate) fn since_epoch(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}
