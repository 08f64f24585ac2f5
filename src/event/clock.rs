use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long the wall clock is extrapolated from the monotonic one before it is read again.
const ANCHOR_FOR: u64 = 1_000_000_000;

/// The clock that calls are timed by: the system's, or one that a test moves.
///
/// Durations come from the monotonic clock. The wall clock is read once a second and extrapolated
/// between, which spares a call one of its three clock reads; a step of the wall clock is therefore
/// seen at most a second late, and never changes a duration.
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

/// Moves a manual [`Clock`].
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
    /// When `anchor` was last taken, in nanoseconds since `base`.
    anchored: AtomicU64,
}

#[derive(Debug)]
struct Manual {
    /// The wall clock at the start, in nanoseconds since the Unix epoch.
    anchor: u64,
    elapsed: AtomicU64,
}

/// A moment on a [`Clock`]'s monotonic axis, in nanoseconds since its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

// === impl Clock ===

impl Clock {
    /// Returns the system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(Arc::new(System {
            base: Instant::now(),
            anchor: AtomicU64::new(unix_nanos(SystemTime::now())),
            anchored: AtomicU64::new(0),
        })))
    }

    /// Returns a clock that stands at `start`, which is not before 1970, and the [`ManualClock`] that moves it.
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

    /// The wall clock at `tick`, a moment that was read just now.
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
        // Threads may race to take a new anchor: each writes a right one, so either will do.
        if tick.0.saturating_sub(self.anchored.load(Relaxed)) > ANCHOR_FOR {
            self.take_anchor();
        }
        self.anchor.load(Relaxed)
    }

    #[cold]
    fn take_anchor(&self) {
        let elapsed = saturating_nanos(self.base.elapsed());
        let wall = unix_nanos(SystemTime::now());
        self.anchor.store(wall.saturating_sub(elapsed), Relaxed);
        self.anchored.store(elapsed, Relaxed);
    }
}

// === impl ManualClock ===

impl ManualClock {
    /// Moves the clock forward, as far as the year 2554.
    pub fn advance(&self, by: Duration) {
        let by = saturating_nanos(by);
        let moved = |elapsed: u64| Some(elapsed.saturating_add(by));
        // Cannot fail: there is always a time to move to.
        let _ = self.0.elapsed.fetch_update(Relaxed, Relaxed, moved);
    }
}

// === impl Tick ===

impl Tick {
    #[inline]
    /// In nanoseconds.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment of the wall clock, in nanoseconds since the Unix epoch: half the size of `SystemTime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WallTime(u64);

// === impl WallTime ===

impl WallTime {
    pub(crate) fn to_system(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0)
    }
}

/// A duration as events tell it. One rounding alone, so that 9 µs are 0.009 ms and nothing more.
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
            let told = clock.wall(clock.now()).to_system();
            let after = SystemTime::now();
            let slack = Duration::from_millis(5);
            assert!(told + slack >= before && told <= after + slack);
        }
    }

    #[test]
    fn an_anchor_older_than_a_second_is_taken_anew() {
        let system = System {
            base: Instant::now(),
            anchor: AtomicU64::new(0),
            anchored: AtomicU64::new(0),
        };
        assert_eq!(system.anchor_at(Tick(ANCHOR_FOR)), 0);
        let anew = system.anchor_at(Tick(ANCHOR_FOR + 1));
        assert!(anew > 1_600_000_000 * 1_000_000_000);
    }
}
