use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

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

/// By how much a call's end by the wall clock has to be later than its start plus its duration to count, in
/// nanoseconds. A smaller difference is one of the clocks' rates.
const MIN_SUSPENSION: u64 = 1_000_000_000;

/// The clock that times calls: the system's, or a manual one for tests.
///
/// Durations come from the monotonic clock. The wall clock is extrapolated by it, for a millisecond at most,
/// which saves one of three clock reads where calls are many. So an event shows a change of the wall clock up to
/// a millisecond late.
///
/// While a machine is suspended, its wall clock goes on and, on most systems, its monotonic clock stands
/// still. A call that was open meanwhile begins and ends at the right times, and its duration is without
/// the suspension, in which neither the call nor a timeout made progress. So its span is longer than its
/// duration. The same holds for a wall clock that is set forward by more than a second. A clock that is set
/// back does not change the times of a call that is open: neither its end nor its span events are before its
/// start.
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
    anchor: Anchor,
}

/// The distance of the wall clock from the monotonic one.
struct Anchor {
    /// The wall clock at the base of the monotonic clock, in nanoseconds since the Unix epoch.
    wall: AtomicU64,
    /// The tick at which `wall` was read.
    tick: AtomicU64,
}

/// A reading of the wall clock, in nanoseconds since the Unix epoch, and the tick after it.
struct Reading {
    wall: u64,
    after: Tick,
}

#[derive(Debug)]
struct Manual {
    /// The wall clock minus `elapsed`, in nanoseconds since the Unix epoch.
    anchor: AtomicU64,
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
            anchor: Anchor::new(unix_nanos(SystemTime::now())),
        })))
    }

    /// Returns a clock that stands still at `start`, and the handle that advances it.
    ///
    /// A `start` before 1970 is taken for 1970.
    #[must_use]
    pub fn manual(start: SystemTime) -> (Self, ManualClock) {
        let manual = Arc::new(Manual {
            anchor: AtomicU64::new(unix_nanos(start)),
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
            Source::System(system) => system.elapsed(),
            Source::Manual(manual) => manual.elapsed.load(Relaxed),
        })
    }

    /// Returns the wall clock at `tick`, which the caller has just read.
    #[inline]
    pub(crate) fn wall(&self, tick: Tick) -> WallTime {
        let anchor = match &self.0 {
            Source::System(system) => system.anchor.at(tick, || system.read()),
            Source::Manual(manual) => manual.anchor.load(Relaxed),
        };
        WallTime(anchor.saturating_add(tick.0))
    }

    /// Returns by how many nanoseconds the wall clock is ahead at `tick`, which the caller has just read, of a
    /// start plus the time since then: how long the machine was suspended. 0 if the difference is small, so that most
    /// calls end at their start plus their duration exactly.
    #[inline]
    pub(crate) fn suspension(&self, start: WallTime, duration: u64, tick: Tick) -> u64 {
        let ahead = self.wall(tick).0.saturating_sub(start.0);
        let ahead = ahead.saturating_sub(duration);
        if ahead > MIN_SUSPENSION { ahead } else { 0 }
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
    fn elapsed(&self) -> u64 {
        saturating_nanos(self.base.elapsed())
    }

    fn read(&self) -> Reading {
        Reading {
            wall: unix_nanos(SystemTime::now()),
            after: Tick(self.elapsed()),
        }
    }
}

// === impl Anchor ===

impl Anchor {
    fn new(wall: u64) -> Self {
        Self {
            wall: AtomicU64::new(wall),
            tick: AtomicU64::new(0),
        }
    }

    /// Returns the wall clock at the base of the monotonic clock, as known at `tick`, which the caller has
    /// just read.
    #[inline]
    fn at(&self, tick: Tick, read: impl FnMut() -> Reading) -> u64 {
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

// === impl WallTime ===

impl WallTime {
    /// Returns the time that is some time earlier.
    #[cfg(any(test, all(feature = "turn", unix)))]
    #[inline]
    pub(crate) fn before(self, ago: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(ago)))
    }

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

pub(super) fn saturating_nanos(duration: Duration) -> u64 {
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
