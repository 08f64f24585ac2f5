use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2200-01-01 and 2201-01-01, in seconds: later than any real expiry, and earlier than the last time
/// of ext4 (2446), XFS (2486) and APFS (2262).
const INFINITE: u64 = 7_258_118_400;
const PERSISTENT: u64 = 7_289_654_400;

/// The time to live of an attachment.
///
/// The expiry is stored as the file's modification time. To copy a store, copy the times as well
/// (`cp -p`). Otherwise everything in the copy has expired.
///
/// ```
/// use codex_telemetry::attachment::{AttachmentStore, Expiry, Ttl};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = AttachmentStore::open(dir)?;
/// let logo = store.stage_bytes("logo.png", "…", Ttl::Persistent).await?;
/// assert_eq!(logo.expiry, Expiry::Persistent);
///
/// // The default is a day.
/// assert_eq!(Ttl::default(), Duration::from_secs(24 * 60 * 60).into());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// For a duration from now. The expiry is at most in the year 2200.
    For(Duration),
    /// Until a [cleanup of everything](super::CleanupRequest::everything).
    Infinite,
    /// Without an end. A cleanup of everything keeps the attachment.
    Persistent,
}

/// When a sweep may remove an attachment.
///
/// A later expiry is greater. With the feature `json` it can be serialized, as an RFC 3339 time in
/// UTC, `"infinite"` or `"persistent"`.
///
/// ```
/// use codex_telemetry::attachment::Expiry;
/// use std::time::{Duration, SystemTime};
///
/// let now = SystemTime::now();
/// let in_an_hour = Expiry::At(now + Duration::from_secs(3600));
/// assert!(!in_an_hour.has_passed(now));
/// assert!(in_an_hour.has_passed(now + Duration::from_secs(3600)));
/// assert!(!Expiry::Persistent.has_passed(now));
/// // Of two stages of the same content, the later one counts.
/// assert_eq!(in_an_hour.max(Expiry::Infinite), Expiry::Infinite);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expiry {
    /// At this time or later.
    At(SystemTime),
    /// In a cleanup of everything.
    Infinite,
    /// Never.
    Persistent,
}

/// The modification times that stand for [`Expiry::Infinite`] and [`Expiry::Persistent`] on one file
/// system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeRange {
    infinite: SystemTime,
    persistent: SystemTime,
}

// === impl Ttl ===

impl Default for Ttl {
    /// Returns a day.
    fn default() -> Self {
        Self::For(DAY)
    }
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Self {
        Self::For(duration)
    }
}

// === impl Expiry ===

impl Expiry {
    /// Returns whether a sweep of expired attachments at `now` removes the attachment.
    #[must_use]
    pub fn has_passed(self, now: SystemTime) -> bool {
        matches!(self, Self::At(time) if time <= now)
    }
}

#[cfg(feature = "json")]
impl serde::Serialize for Expiry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(time) => {
                // humantime panics for times that RFC 3339 cannot express.
                let last = unix_time(INFINITE);
                let time = (*time).clamp(UNIX_EPOCH, last);
                serializer.collect_str(&humantime::format_rfc3339(time))
            }
            Self::Infinite => serializer.serialize_str("infinite"),
            Self::Persistent => serializer.serialize_str("persistent"),
        }
    }
}

// === impl TimeRange ===

impl TimeRange {
    /// Returns the time to set on a file for [`from_probe`](Self::from_probe).
    pub(super) fn probe() -> SystemTime {
        unix_time(PERSISTENT)
    }

    /// Returns the range of a file system that has stored [`probe`](Self::probe) as `stored`.
    ///
    /// Returns `None` if it cannot store a time in the future. Older XFS and ext4 end in January 2038.
    /// On these, the last two days stand for infinite and persistent.
    pub(super) fn from_probe(stored: SystemTime, now: SystemTime) -> Option<Self> {
        let persistent = stored.min(unix_time(PERSISTENT));
        let infinite = persistent.checked_sub(DAY)?.min(unix_time(INFINITE));
        (infinite > now).then_some(Self {
            infinite,
            persistent,
        })
    }

    /// Returns the expiry of an attachment that is staged at `now`.
    pub(super) fn expiry(&self, ttl: Ttl, now: SystemTime) -> Expiry {
        // The last time that does not decode as infinite.
        let last = self.infinite - Duration::from_secs(1);
        match ttl {
            Ttl::For(duration) => Expiry::At(now.checked_add(duration).unwrap_or(last).min(last)),
            Ttl::Infinite => Expiry::Infinite,
            Ttl::Persistent => Expiry::Persistent,
        }
    }

    /// Returns the expiry that a modification time stands for.
    pub(super) fn decode(&self, modified: SystemTime) -> Expiry {
        if modified >= self.persistent {
            Expiry::Persistent
        } else if modified >= self.infinite {
            Expiry::Infinite
        } else {
            Expiry::At(modified)
        }
    }

    /// Returns the modification time that stands for an expiry.
    pub(super) fn encode(&self, expiry: Expiry) -> SystemTime {
        match expiry {
            Expiry::At(time) => time,
            Expiry::Infinite => self.infinite,
            Expiry::Persistent => self.persistent,
        }
    }
}

fn unix_time(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        unix_time(1_800_000_000)
    }

    #[test]
    fn an_encoded_expiry_decodes_to_itself_on_every_file_system() {
        let y2038 = unix_time(u64::from(i32::MAX.unsigned_abs()));
        for stored in [unix_time(PERSISTENT), y2038] {
            let range = TimeRange::from_probe(stored, now()).unwrap();
            for ttl in [
                Ttl::For(Duration::ZERO),
                Ttl::default(),
                Ttl::For(Duration::MAX),
                Ttl::Infinite,
                Ttl::Persistent,
            ] {
                let expiry = range.expiry(ttl, now());
                assert!(range.encode(expiry) <= stored, "{ttl:?}");
                assert_eq!(range.decode(range.encode(expiry)), expiry, "{ttl:?}");
            }
        }
    }

    #[test]
    fn a_longer_time_to_live_is_a_greater_expiry_and_a_later_time() {
        let range = TimeRange::from_probe(unix_time(PERSISTENT), now()).unwrap();
        let ttls = [
            Ttl::For(Duration::ZERO),
            Ttl::default(),
            Ttl::For(Duration::MAX),
            Ttl::Infinite,
            Ttl::Persistent,
        ];
        for pair in ttls.windows(2) {
            let [short, long] = [pair[0], pair[1]].map(|ttl| range.expiry(ttl, now()));
            assert!(short < long && range.encode(short) < range.encode(long));
        }
    }

    #[test]
    fn a_file_system_that_cannot_store_future_times_has_no_range() {
        assert_eq!(TimeRange::from_probe(now(), now()), None);
        assert_eq!(TimeRange::from_probe(UNIX_EPOCH, now()), None);
    }
}
