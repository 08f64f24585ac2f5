use std::{
    fs,
    sync::{
        OnceLock,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

/// How long the counter is trusted before the system's clock is read again, in nanoseconds.
const LIFETIME: u64 = 1_000_000;

/// The longest that a reading of the system's clock may take, in nanoseconds. The thread was preempted in a longer one.
const MAX_READING: u64 = 500;

/// The share by which the counter is taken to be slower than it is, so that it is never ahead of the system's clock,
/// which a time server may slow down: 244 millionths, a quarter of a microsecond in a [`LIFETIME`].
const MARGIN: u64 = 4096;

/// The bits of [`Rate::nanos_per_tick`] after the point.
const FRACTION: u32 = 32;

/// The monotonic clock of the system, extrapolated by the processor's counter.
///
/// To read the counter takes half as long as to read the clock, or less. It is only good for a short time: virtual machines
/// move, and rates are estimates. So the system's clock is read again after a millisecond. Whatever the counter does, a time
/// is never wrong by more than that.
pub(super) struct Counter {
    source: quanta::Clock,
    reading: Reading,
}

/// The last reading of the system's clock.
struct Reading {
    rate: Rate,
    /// The counter just after it.
    ticks: AtomicU64,
    /// The clock minus the counter, both in nanoseconds; wraps around.
    offset: AtomicU64,
    /// A thread is about to renew it.
    is_renewed: AtomicBool,
}

#[derive(Clone, Copy)]
struct Rate {
    nanos_per_tick: u64,
    /// [`LIFETIME`] in ticks.
    lifetime: u64,
    /// [`MAX_READING`] in ticks.
    max_reading: u64,
}

// === impl Counter ===

impl Counter {
    /// Returns `None` if the kernel does not use the counter for its own clock, or has none: then it may run at another
    /// rate on each core.
    pub(super) fn new() -> Option<Self> {
        /// Calibrated once in a process, which takes a millisecond.
        static SOURCE: OnceLock<Option<quanta::Clock>> = OnceLock::new();
        let source = SOURCE.get_or_init(|| is_trusted().then(quanta::Clock::new));
        let source = source.clone()?;
        let rate = Rate::of(&source)?;
        let reading = Reading::new(rate, source.raw());
        Some(Self { source, reading })
    }

    /// Returns the nanoseconds of the system's clock, which `system` reads.
    #[inline]
    pub(super) fn now(&self, system: impl FnOnce() -> u64) -> u64 {
        let ticks = self.source.raw();
        self.reading.at(ticks, system, || self.source.raw())
    }
}

fn is_trusted() -> bool {
    const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let current = fs::read_to_string(CURRENT).unwrap_or_default();
    matches!(current.trim_end(), "tsc" | "arch_sys_counter")
}

// === impl Reading ===

impl Reading {
    /// Returns one that is too old.
    fn new(rate: Rate, ticks: u64) -> Self {
        Self {
            rate,
            ticks: AtomicU64::new(ticks.wrapping_sub(rate.lifetime + 1)),
            offset: AtomicU64::new(0),
            is_renewed: AtomicBool::new(false),
        }
    }

    #[inline]
    fn at(&self, ticks: u64, system: impl FnOnce() -> u64, again: impl FnOnce() -> u64) -> u64 {
        // A counter that was set back is far ahead, because the difference wraps around.
        if ticks.wrapping_sub(self.ticks.load(Acquire)) > self.rate.lifetime {
            return self.renew(ticks, system, again);
        }
        let nanos = self.rate.nanos(ticks);
        nanos.wrapping_add(self.offset.load(Relaxed))
    }

    #[cold]
    fn renew(&self, before: u64, system: impl FnOnce() -> u64, again: impl FnOnce() -> u64) -> u64 {
        // One thread at a time: an earlier reading that replaces a later one would set the time back.
        if self.is_renewed.swap(true, Acquire) {
            return system();
        }
        let now = system();
        let after = again();
        // Otherwise the next call tries again.
        if after.wrapping_sub(before) <= self.rate.max_reading {
            let offset = now.wrapping_sub(self.rate.nanos(after));
            self.offset.store(offset, Relaxed);
            self.ticks.store(after, Release);
        }
        self.is_renewed.store(false, Release);
        now
    }
}

// === impl Rate ===

impl Rate {
    /// Returns `None` if the counter stands still.
    fn of(source: &quanta::Clock) -> Option<Self> {
        const TICKS: u64 = 1 << 40;
        Self::new(TICKS, source.delta_as_nanos(0, TICKS))
    }

    /// Returns the rate of a counter that makes so many ticks, of which there may be 2^40, in so many nanoseconds.
    fn new(ticks: u64, nanos: u64) -> Option<Self> {
        let ratio =
            |a: u64, b: u64, shift: u32| u64::try_from((u128::from(a) << shift) / u128::from(b));
        if nanos == 0 {
            return None;
        }
        let nanos_per_tick = ratio(nanos, ticks, FRACTION).ok()?;
        let ticks_in =
            |time: u64| u64::try_from(u128::from(time) * u128::from(ticks) / u128::from(nanos));
        Some(Self {
            nanos_per_tick: nanos_per_tick - nanos_per_tick / MARGIN,
            lifetime: ticks_in(LIFETIME).ok()?,
            max_reading: ticks_in(MAX_READING).ok()?,
        })
    }

    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only differences count, and they wrap around"
    )]
    fn nanos(self, ticks: u64) -> u64 {
        ((u128::from(ticks) * u128::from(self.nanos_per_tick)) >> FRACTION) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, thread, time::Instant};

    use super::*;

    const MICRO: u64 = 1_000;
    const MILLI: u64 = 1_000_000;

    /// A counter of three ticks in a nanosecond, and a clock that stands still unless it is set.
    struct Rig {
        reading: Reading,
        system: Cell<u64>,
        readings: Cell<u32>,
    }

    impl Rig {
        /// One whose clock was read at this many ticks.
        fn read_at(ticks: u64) -> Self {
            let rate = Rate::new(3_000, 1_000).unwrap();
            let rig = Self {
                reading: Reading::new(rate, ticks),
                system: Cell::new(0),
                readings: Cell::new(0),
            };
            rig.at(ticks);
            assert_eq!(rig.readings.take(), 1);
            rig
        }

        fn at(&self, ticks: u64) -> u64 {
            self.at_slowly(ticks, 0)
        }

        /// The reading of the clock, if there is one, takes this many ticks.
        fn at_slowly(&self, ticks: u64, takes: u64) -> u64 {
            let system = || {
                self.readings.set(self.readings.get() + 1);
                self.system.get()
            };
            self.reading.at(ticks, system, || ticks + takes)
        }
    }

    #[test]
    fn the_counter_goes_on_from_the_last_reading_and_not_ahead_of_the_clock() {
        let rig = Rig::read_at(70);
        for nanos in [0, 1, 1_000, MILLI] {
            let now = rig.at(70 + 3 * nanos);
            assert!(now <= nanos, "{now} after {nanos} ns");
            assert!(nanos - now <= nanos / 4096 + 2, "{now} after {nanos} ns");
        }
        assert_eq!(rig.readings.get(), 0);
    }

    #[test]
    fn the_clock_is_read_after_a_millisecond() {
        let rig = Rig::read_at(70);
        rig.system.set(5 * MILLI);
        assert_eq!(rig.at(70 + 3 * MILLI + 1), 5 * MILLI);
        assert_eq!(rig.readings.get(), 1);
        let next = rig.at(70 + 3 * MILLI + 301);
        assert!((5 * MILLI + 99..=5 * MILLI + 100).contains(&next), "{next}");
        assert_eq!(rig.readings.get(), 1);
    }

    #[test]
    fn the_clock_is_read_if_the_counter_was_set_back_or_jumped() {
        for ticks in [0, 69, 1 << 40, u64::MAX] {
            let rig = Rig::read_at(70);
            rig.system.set(100);
            assert_eq!(rig.at(ticks), 100, "{ticks}");
            assert_eq!(rig.at(ticks), 100, "{ticks}");
            assert_eq!(rig.readings.get(), 1, "{ticks}");
        }
    }

    #[test]
    fn a_reading_during_which_the_thread_was_preempted_is_not_kept() {
        let rig = Rig::read_at(70);
        rig.system.set(9 * MILLI);
        assert_eq!(rig.at_slowly(27 * MILLI, 1_501), 9 * MILLI);
        assert_eq!(rig.at_slowly(27 * MILLI, 1_500), 9 * MILLI);
        assert_eq!(rig.readings.get(), 2);
        rig.at(27 * MILLI + 1_503);
        assert_eq!(rig.readings.get(), 2);
    }

    #[test]
    fn while_a_thread_reads_the_clock_others_read_it_for_themselves_and_keep_nothing() {
        let rig = Rig::read_at(70);
        rig.system.set(9 * MILLI);
        let another_thread_then_a_long_pause = || {
            assert_eq!(rig.at(27 * MILLI + 30), 9 * MILLI);
            28 * MILLI
        };
        let system = || rig.system.get();
        let now = rig
            .reading
            .at(27 * MILLI, system, another_thread_then_a_long_pause);
        assert_eq!((now, rig.readings.take()), (9 * MILLI, 1));
        rig.at(27 * MILLI + 60);
        assert_eq!(rig.readings.get(), 1, "nothing was kept");
    }

    #[test]
    fn a_counter_that_stands_still_has_no_rate() {
        assert!(Rate::new(1 << 40, 0).is_none());
    }

    #[test]
    fn the_counter_of_this_machine_does_not_go_back_by_a_microsecond_and_agrees_with_its_clock() {
        // Where the kernel does not trust it, there is nothing to test.
        let Some(counter) = Counter::new() else {
            return;
        };
        let base = Instant::now();
        let system = || u64::try_from(base.elapsed().as_nanos()).unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    // Over some tens of milliseconds.
                    for _ in 0..300_000 {
                        let before = system();
                        let now = counter.now(system);
                        let after = system();
                        assert!(now + MICRO >= last, "{now} after {last}");
                        // A time server may change the rate of the clock meanwhile.
                        assert!(now + MILLI >= before && now <= after + MILLI);
                        last = now;
                    }
                });
            }
        });
    }
}
