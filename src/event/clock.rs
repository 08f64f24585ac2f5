use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long the wall clock is extrapolated before it is read again, in nanoseconds.
const ANCHOR_LIFETIME: u64 = 1_000_000_000;

/// The clock that times calls: the system's, or a manual one for tests.
///
/// Durations come from the monotonic clock. The wall clock is read once a second and extrapolated in
/// between, which saves one of three clock reads for each call. So an event shows a change of the wall
/// clock up to a second late. Durations never show it.
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
///     manual.advance(Duration::from_secs(3));
///     async { Ok::<_, ()>(()) }
/// }));
/// service.oneshot(Call::new(Operation::Custom("nap"), ())).await.unwrap();
/// assert_eq!(sink.events()[1].duration(), Some(Duration::from_secs(3)));
/// # }
/// ```
#[derive(Clone)]
pub struct Clock(Source);

/// The handle that advances a manual [`Clock`].
///
/// ```
/// use codex_telemetry::Clock;
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let (clock, manual) = Clock::manual(UNIX_EPOCH);
/// manual.advance(Duration::from_millis(250));
/// # let _ = clock;
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Manual>);

#[derive(Clone)]
enum Source {
    System(Arc<System>),
    Manual(Arc<Manual>),
}

struct System {
    base: Instant,
    /// The wall clock at `base`, in nanoseconds since the Unix epoch.
    anchor: AtomicU64,
    /// When `anchor` was last read, in nanoseconds since `base`.
    anchored: AtomicU64,
}

#[derive(Debug)]
struct Manual {
    /// The wall clock at the start, in nanoseconds since the Unix epoch.
    anchor: u64,
    elapsed: AtomicU64,
}

/// A monotonic time, in nanoseconds since the base of its [`Clock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

/// A time of the wall clock, in nanoseconds since the Unix epoch: half the size of `SystemTime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WallTime(u64);

// === impl Clock ===

impl Clock {
    /// Returns the clock of the system.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(Arc::new(System {
            base: Instant::now(),
            anchor: AtomicU64::new(unix_nanos(SystemTime::now())),
            anchored: AtomicU64::new(0),
        })))
    }

    /// Returns a clock that stands still at `start`, and the handle that advances it.
    ///
    /// A `start` before 1970 is taken for 1970.
    #[must_use]
    pub fn manual(start: SystemTime) -> (Self, ManualClock) {
        let manual = Arc::new(Manual {
            anchor: unix_nanos(start),
            elapsed: AtomicU64::new(0),
        });
        (
            Self(Source::Manual(Arc::clone(&manual))),
            ManualClock(manual),
        )
    }

    #[inline]
    pub(crate) fn now(&self) -> Tick {
        Tick(match &self.0 {
            Source::System(system) => saturating_nanos(system.base.elapsed()),
            Source::Manual(manual) => manual.elapsed.load(Relaxed),
        })
    }

    /// Returns the wall clock at `tick`, which the caller has just read.
    #[inline]
    pub(crate) fn wall(&self, tick: Tick) -> WallTime {
        let anchor = match &self.0 {
            Source::System(system) => system.anchor_at(tick),
            Source::Manual(manual) => manual.anchor,
        };
        WallTime(anchor.saturating_add(tick.0))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System(_) => "Clock::System",
            Source::Manual(_) => "Clock::Manual",
        })
    }
}

impl System {
    #[inline]
    fn anchor_at(&self, tick: Tick) -> u64 {
        // Threads may race to read a new anchor. Each of them stores a valid one.
        if tick.0.saturating_sub(self.anchored.load(Relaxed)) > ANCHOR_LIFETIME {
            self.renew_anchor();
        }
        self.anchor.load(Relaxed)
    }

    #[cold]
    fn renew_anchor(&self) {
        let elapsed = saturating_nanos(self.base.elapsed());
        let wall = unix_nanos(SystemTime::now());
        self.anchor.store(wall.saturating_sub(elapsed), Relaxed);
        self.anchored.store(elapsed, Relaxed);
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
}

// === impl Tick ===

impl Tick {
    /// Returns the nanoseconds since `earlier`.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

// === impl WallTime ===

impl WallTime {
    pub(crate) fn to_system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0)
    }
}

/// Returns a duration in milliseconds, rounded only once: 9 µs are 0.009 ms exactly.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

fn unix_nanos(time: SystemTime) -> u64 {
    saturating_nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn saturating_nanos(duration: Duration) -> u64 {
    // 2^64 nanoseconds are 584 years.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extrapolated_wall_clock_agrees_with_the_system() {
        let clock = Clock::system();
        for _ in 0..3 {
            let before = SystemTime::now();
            let read = clock.wall(clock.now()).to_system();
            let after = SystemTime::now();
            let slack = Duration::from_millis(5);
            assert!(read + slack >= before && read <= after + slack);
        }
    }

    #[test]
    fn an_anchor_that_is_older_than_a_second_is_renewed() {
        let system = System {
            base: Instant::now(),
            anchor: AtomicU64::new(0),
            anchored: AtomicU64::new(0),
        };
        assert_eq!(system.anchor_at(Tick(ANCHOR_LIFETIME)), 0);
        let renewed = system.anchor_at(Tick(ANCHOR_LIFETIME + 1));
        assert!(renewed > 1_600_000_000 * 1_000_000_000);
    }
}
