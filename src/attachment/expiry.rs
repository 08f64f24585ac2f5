use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2200-01-01 and 2201-01-01: after any time to live that is meant, before what ext4 (2446), XFS
/// (2486) and APFS (2262) can hold.
const INFINITE: u64 = 7_258_118_400;
const PERSISTENT: u64 = 7_289_654_400;

/// How long an attachment is to live.
///
/// It is kept as the file's modification time. Whoever copies a store has to copy the times as well
/// (`cp -p`), or everything in the copy has expired.
///
/// ```
/// use codex_telemetry::attachment::Ttl;
/// use std::time::Duration;
///
/// assert_eq!(Ttl::default(), Ttl::For(Duration::from_secs(24 * 60 * 60)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// For a time from now, up to the year 2200.
    For(Duration),
    /// Until everything is cleaned up.
    Infinite,
    /// Through a cleanup of everything as well.
    Persistent,
}

/// When an attachment may be removed.
///
/// A later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expiry {
    /// From this time on.
    At(SystemTime),
    /// When everything is cleaned up.
    Infinite,
    /// Never.
    Persistent,
}

/// The times of one file system that stand for [`Expiry::Infinite`] and [`Expiry::Persistent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Horizon {
    infinite: SystemTime,
    persistent: SystemTime,
}

// === impl Ttl ===

impl Default for Ttl {
    /// A day.
    fn default() -> Self {
        Self::For(DAY)
    }
}

impl From<Duration> for Ttl {
    fn from(time: Duration) -> Self {
        Self::For(time)
    }
}

// === impl Expiry ===

impl Expiry {
    /// Returns whether a cleanup at `now` removes the attachment.
    #[must_use]
    pub fn has_passed(self, now: SystemTime) -> bool {
        matches!(self, Self::At(time) if time <= now)
    }
}

// === impl Horizon ===

impl Horizon {
    /// The time to set on a file, to learn from what it becomes how far the file system reaches.
    pub(super) fn probe() -> SystemTime {
        at(PERSISTENT)
    }

    /// Returns the horizon of a file system on which [`probe`](Self::probe) became `held`.
    ///
    /// `None` when it became no time in the future. Older XFS and ext4 end in January 2038: there the
    /// last two days stand for what has no end.
    pub(super) fn of(held: SystemTime, now: SystemTime) -> Option<Self> {
        let persistent = held.min(at(PERSISTENT));
        let infinite = persistent.checked_sub(DAY)?.min(at(INFINITE));
        (infinite > now).then_some(Self {
            infinite,
            persistent,
        })
    }

    /// Returns when an attachment expires that is staged `now`.
    pub(super) fn expiry(&self, ttl: Ttl, now: SystemTime) -> Expiry {
        // The last moment that is not taken for the beginning of infinity.
        let last = self.infinite - Duration::from_secs(1);
        match ttl {
            Ttl::For(time) => Expiry::At(now.checked_add(time).unwrap_or(last).min(last)),
            Ttl::Infinite => Expiry::Infinite,
            Ttl::Persistent => Expiry::Persistent,
        }
    }

    /// Returns the expiry that a modification time stands for.
    pub(super) fn read(&self, modified: SystemTime) -> Expiry {
        if modified >= self.persistent {
            Expiry::Persistent
        } else if modified >= self.infinite {
            Expiry::Infinite
        } else {
            Expiry::At(modified)
        }
    }

    /// Returns the modification time that stands for an expiry.
    pub(super) fn write(&self, expiry: Expiry) -> SystemTime {
        match expiry {
            Expiry::At(time) => time,
            Expiry::Infinite => self.infinite,
            Expiry::Persistent => self.persistent,
        }
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        at(1_800_000_000)
    }

    #[test]
    fn what_is_written_is_read_back_on_file_systems_that_end_late_or_early() {
        let y2038 = at(u64::from(i32::MAX.unsigned_abs()));
        for held in [at(PERSISTENT), y2038] {
            let horizon = Horizon::of(held, now()).unwrap();
            for ttl in [
                Ttl::For(Duration::ZERO),
                Ttl::default(),
                Ttl::For(Duration::MAX),
                Ttl::Infinite,
                Ttl::Persistent,
            ] {
                let expiry = horizon.expiry(ttl, now());
                assert!(horizon.write(expiry) <= held, "{ttl:?}");
                assert_eq!(horizon.read(horizon.write(expiry)), expiry, "{ttl:?}");
            }
        }
    }

    #[test]
    fn a_longer_life_is_a_greater_expiry_and_a_later_time() {
        let horizon = Horizon::of(at(PERSISTENT), now()).unwrap();
        let lives = [
            Ttl::For(Duration::ZERO),
            Ttl::default(),
            Ttl::For(Duration::MAX),
            Ttl::Infinite,
            Ttl::Persistent,
        ];
        for pair in lives.windows(2) {
            let [short, long] = [pair[0], pair[1]].map(|ttl| horizon.expiry(ttl, now()));
            assert!(short < long && horizon.write(short) < horizon.write(long));
        }
    }

    #[test]
    fn a_file_system_without_a_future_has_no_horizon() {
        assert_eq!(Horizon::of(now(), now()), None);
        assert_eq!(Horizon::of(UNIX_EPOCH, now()), None);
    }
}
