use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Instant, SystemTime},
};

#[cfg(target_os = "linux")]
use super::counter::Counter;
use super::{
    ManualClock, Tick, WallTime,
    anchor::{Anchor, Reading},
    manual_clock::Manual,
    nanos::{saturating_nanos, unix_nanos},
};

/// By how much a call's end by the wall clock has to be later than its start plus its duration to count, in
/// nanoseconds. A smaller difference is one of the clocks' rates.
const MIN_SUSPENSION: u64 = 1_000_000_000;

/// The clock that times calls: the system's, or a manual one for tests.
///
/// Durations come from the monotonic clock. The wall clock is extrapolated by it, for a millisecond at most,
/// which saves one of three clock reads where calls are many. So an event shows a change of the wall clock up to
/// a millisecond late. On Linux, if the kernel's own clock is the counter of the processor, the monotonic clock is
/// extrapolated by that counter, for a millisecond at most, and is behind the system's by a quarter of a microsecond at
/// most. The first clock of a process then takes a millisecond to calibrate.
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

#[derive(Clone)]
enum Source {
    System(Arc<System>),
    Manual(Arc<Manual>),
}

struct System {
    base: Instant,
    /// `None` if it is not to be trusted.
    #[cfg(target_os = "linux")]
    counter: Option<Counter>,
    anchor: Anchor,
}

// === impl Clock ===

impl Clock {
    /// Returns the clock of the system.
    ///
    /// Several layers can share one clock:
    ///
    /// ```
    /// use codex_telemetry::{Call, Clock, MemorySink, Operation, TimingLayer};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ()> {
    /// let sink = MemorySink::new();
    /// let clock = Clock::system();
    /// let service = ServiceBuilder::new()
    ///     .layer(TimingLayer::with_clock(sink.clone(), clock.clone()))
    ///     .layer(TimingLayer::with_clock(sink.clone(), clock))
    ///     .service(service_fn(|_: Call<()>| async { Ok::<_, ()>(()) }));
    /// service.oneshot(Call::new(Operation::Custom("sync"), ())).await?;
    ///
    /// let [_, _, inner, outer] = &sink.events()[..] else { panic!("two calls have four events") };
    /// assert!(inner.duration() <= outer.duration());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(Arc::new(System {
            base: Instant::now(),
            #[cfg(target_os = "linux")]
            counter: Counter::new(),
            anchor: Anchor::new(unix_nanos(SystemTime::now())),
        })))
    }

    /// Returns a clock that stands still at `start`, and the handle that advances it.
    ///
    /// A `start` before 1970 is taken for 1970.
    #[must_use]
    pub fn manual(start: SystemTime) -> (Self, ManualClock) {
        let manual = Arc::new(Manual::new(unix_nanos(start)));
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
        let system = || saturating_nanos(self.base.elapsed());
        #[cfg(target_os = "linux")]
        if let Some(counter) = &self.counter {
            return counter.now(system);
        }
        system()
    }

    fn read(&self) -> Reading {
        Reading {
            wall: unix_nanos(SystemTime::now()),
            after: Tick(self.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
}
