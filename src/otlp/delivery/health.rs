use std::time::Duration;

use tokio::time::Instant;

use super::stats::SignalStats;
use crate::otlp::config::Signal;

/// The least time between two warnings of one signal.
const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// Whether the records of one signal are delivered, and what the log says of it.
///
/// A change to bad and the change back are logged, but at most one warning a minute. So a receiver that
/// fails now and then is summed up.
pub(super) struct Health {
    signal: Signal,
    state: State,
    last_warning: Option<Instant>,
    /// The failures since the last warning that the log does not show.
    unlogged: u64,
}

#[derive(Clone, Copy)]
enum State {
    Good,
    /// The records are not delivered.
    Bad {
        since: Instant,
        /// The failed and the dropped records at that time.
        lost: (u64, u64),
        is_logged: bool,
    },
}

// === impl Health ===

impl Health {
    pub(super) fn new(signal: Signal) -> Self {
        Self {
            signal,
            state: State::Good,
            last_warning: None,
            unlogged: 0,
        }
    }

    /// Returns the warning to log after a failed attempt, or after a loss of records.
    pub(super) fn on_failure(
        &mut self,
        problem: &str,
        stats: impl FnOnce() -> SignalStats,
    ) -> Option<String> {
        if let State::Bad {
            is_logged: true, ..
        } = self.state
        {
            return None;
        }
        let (now, stats) = (Instant::now(), stats());
        let (since, lost) = match self.state {
            State::Bad { since, lost, .. } => (since, lost),
            State::Good => {
                self.unlogged += 1;
                (now, (stats.failed, stats.dropped))
            }
        };
        let may_warn = self
            .last_warning
            .is_none_or(|last| now - last >= MIN_INTERVAL);
        self.state = State::Bad {
            since,
            lost,
            is_logged: may_warn,
        };
        if !may_warn {
            return None;
        }
        self.last_warning = Some(now);
        let times = match std::mem::take(&mut self.unlogged) {
            0 | 1 => String::new(),
            times => format!("; it failed {times} times since the last warning"),
        };
        Some(format!(
            "OTLP {} are not delivered: {problem} ({} pending, {} failed, {} dropped{times})",
            self.signal, stats.pending, stats.failed, stats.dropped
        ))
    }

    /// Returns the message to log after a successful export.
    pub(super) fn on_success(&mut self, stats: impl FnOnce() -> SignalStats) -> Option<String> {
        let state = std::mem::replace(&mut self.state, State::Good);
        let State::Bad {
            since,
            lost: (failed, dropped),
            is_logged: true,
        } = state
        else {
            return None;
        };
        let stats = stats();
        Some(format!(
            "OTLP {} are delivered again, after {:.1?}; lost meanwhile: {} failed, {} dropped",
            self.signal,
            since.elapsed(),
            stats.failed - failed,
            stats.dropped - dropped
        ))
    }
}

/// What the log says of the events that the queue drops: one warning a minute.
#[derive(Default)]
pub(super) struct DropLog {
    dropped: u64,
    last_warning: Option<Instant>,
}

// === impl DropLog ===

impl DropLog {
    /// Returns the warning to log when this many events have been dropped in total.
    pub(super) fn on_dropped(&mut self, dropped: u64) -> Option<String> {
        let now = Instant::now();
        let new = dropped - self.dropped;
        let may_warn = self
            .last_warning
            .is_none_or(|last| now - last >= MIN_INTERVAL);
        if new == 0 || !may_warn {
            return None;
        }
        self.dropped = dropped;
        self.last_warning = Some(now);
        Some(format!(
            "the queue of the OTLP sink was full and dropped {new} events, {dropped} in total; raise \
             its capacity if calls come in bursts"
        ))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn stats(failed: u64) -> impl FnOnce() -> SignalStats {
        move || SignalStats {
            failed,
            dropped: 1,
            pending: 7,
            ..SignalStats::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_logged_once_with_the_counts() {
        let mut health = Health::new(Signal::Logs);
        assert_eq!(health.on_success(stats(0)), None, "it was good");
        let warning = health.on_failure("h: no route", stats(2)).unwrap();
        assert_eq!(
            warning,
            "OTLP logs are not delivered: h: no route (7 pending, 2 failed, 1 dropped)"
        );
        for _ in 0..100 {
            advance(Duration::from_secs(30)).await;
            assert_eq!(health.on_failure("h: no route", stats(3)), None);
        }
        let message = health.on_success(stats(9)).unwrap();
        assert_eq!(
            message,
            "OTLP logs are delivered again, after 3000.0s; lost meanwhile: 7 failed, 0 dropped"
        );
        assert_eq!(health.on_success(stats(9)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_fails_now_and_then_is_summed_up() {
        let mut health = Health::new(Signal::Traces);
        let mut warnings = Vec::new();
        let mut messages = 0;
        for _ in 0..300 {
            warnings.extend(health.on_failure("no", stats(0)));
            messages += usize::from(health.on_success(stats(0)).is_some());
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!((warnings.len(), messages), (5, 5), "{warnings:?}");
        assert!(warnings[1].contains("it failed 60 times"), "{warnings:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_within_the_minute_is_logged_when_it_lasts() {
        let mut health = Health::new(Signal::Traces);
        assert!(health.on_failure("first", stats(0)).is_some());
        assert!(health.on_success(stats(0)).is_some());
        assert_eq!(health.on_failure("second", stats(0)), None);
        advance(MIN_INTERVAL).await;
        assert!(health.on_failure("second", stats(0)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn drops_are_logged_once_a_minute_with_their_sum() {
        let mut log = DropLog::default();
        assert_eq!(log.on_dropped(0), None);
        assert!(
            log.on_dropped(3)
                .unwrap()
                .contains("dropped 3 events, 3 in total")
        );
        assert_eq!(log.on_dropped(10), None);
        advance(MIN_INTERVAL).await;
        assert!(
            log.on_dropped(12)
                .unwrap()
                .contains("dropped 9 events, 12 in total")
        );
        advance(MIN_INTERVAL).await;
        assert_eq!(log.on_dropped(12), None, "no new ones");
    }
}
