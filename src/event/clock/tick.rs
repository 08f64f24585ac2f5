#[cfg(any(test, all(feature = "turn", unix)))]
use std::time::Duration;

#[cfg(any(test, all(feature = "turn", unix)))]
use super::nanos::saturating_nanos;

/// A monotonic time, in nanoseconds since the base of its [`Clock`](crate::Clock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(pub(super) u64);

// === impl Tick ===

impl Tick {
    /// Returns the nanoseconds since `earlier`.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the tick that is some time earlier.
    #[cfg(any(test, all(feature = "turn", unix)))]
    #[inline]
    pub(crate) fn before(self, ago: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(ago)))
    }
}
