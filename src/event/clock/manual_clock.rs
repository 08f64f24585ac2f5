use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use super::nanos::{saturating_nanos, unix_nanos};

/// The handle that advances a manual [`Clock`](crate::Clock).
///
/// ```
/// use codex_telemetry::{Call, Clock, MemorySink, Operation, TimingLayer};
/// use std::time::{Duration, UNIX_EPOCH};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ()> {
/// let sink = MemorySink::new();
/// let (clock, manual) = Clock::manual(UNIX_EPOCH);
/// let layer = TimingLayer::with_clock(sink.clone(), clock);
/// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, ()>(()) }));
///
/// manual.advance(Duration::from_secs(60));
/// service.oneshot(Call::new(Operation::Custom("nap"), ())).await?;
/// assert_eq!(sink.events()[0].time(), UNIX_EPOCH + Duration::from_secs(60));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(pub(super) Arc<Manual>);

#[derive(Debug)]
pub(super) struct Manual {
    /// The wall clock minus `elapsed`, in nanoseconds since the Unix epoch.
    pub(super) anchor: AtomicU64,
    pub(super) elapsed: AtomicU64,
}

// === impl Manual ===

impl Manual {
    pub(super) fn new(wall: u64) -> Self {
        Self {
            anchor: AtomicU64::new(wall),
            elapsed: AtomicU64::new(0),
        }
    }
}

// === impl ManualClock ===

impl ManualClock {
    /// Advances the clock, to the year 2554 at most.
    pub fn advance(&self, by: Duration) {
        let by = saturating_nanos(by);
        let advanced = |elapsed: u64| Some(elapsed.saturating_add(by));
        // Cannot fail: the closure always returns a value.
        let _ = self.0.elapsed.fetch_update(Relaxed, Relaxed, advanced);
    }

    /// Sets the wall clock, as a person or a time server does. The monotonic clock, which measures durations,
    /// does not notice it.
    ///
    /// A time that is too early is taken for the earliest that the clock can show: 1970, plus what it has been
    /// [advanced](Self::advance) by.
    ///
    /// ```
    /// use codex_telemetry::{Call, Clock, MemorySink, Operation, TimingLayer};
    /// use std::time::{Duration, SystemTime, UNIX_EPOCH};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sink = MemorySink::new();
    /// let now = SystemTime::now();
    /// let (clock, manual) = Clock::manual(now);
    /// let service = TimingLayer::with_clock(sink.clone(), clock).layer(service_fn(|_: Call<()>| {
    ///     manual.set_wall(UNIX_EPOCH);
    ///     manual.advance(Duration::from_secs(2));
    ///     async { Ok::<_, ()>(()) }
    /// }));
    /// service.oneshot(Call::new(Operation::Custom("nap"), ())).await.unwrap();
    /// assert_eq!(sink.events()[1].time(), now + Duration::from_secs(2));
    /// # }
    /// ```
    pub fn set_wall(&self, to: SystemTime) {
        let elapsed = self.0.elapsed.load(Relaxed);
        let anchor = unix_nanos(to).saturating_sub(elapsed);
        self.0.anchor.store(anchor, Relaxed);
    }

    /// Suspends the machine: the wall clock advances, and the monotonic clock, which measures durations,
    /// stands still.
    ///
    /// ```
    /// use codex_telemetry::{Call, Clock, MemorySink, Operation, TimingLayer};
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sink = MemorySink::new();
    /// let (clock, manual) = Clock::manual(UNIX_EPOCH);
    /// let service = TimingLayer::with_clock(sink.clone(), clock).layer(service_fn(|_: Call<()>| {
    ///     manual.advance(Duration::from_secs(2));
    ///     manual.suspend(Duration::from_secs(3600));
    ///     async { Ok::<_, ()>(()) }
    /// }));
    /// service.oneshot(Call::new(Operation::Custom("nap"), ())).await.unwrap();
    /// let end = &sink.events()[1];
    /// assert_eq!(end.duration(), Some(Duration::from_secs(2)));
    /// assert_eq!(end.time(), UNIX_EPOCH + Duration::from_secs(3602));
    /// # }
    /// ```
    pub fn suspend(&self, by: Duration) {
        let by = saturating_nanos(by);
        let later = |anchor: u64| Some(anchor.saturating_add(by));
        // Cannot fail: the closure always returns a value.
        let _ = self.0.anchor.fetch_update(Relaxed, Relaxed, later);
    }
}
