use std::time::Duration;

use tokio::time::Instant;

use super::stats::SignalStats;
use crate::otlp::config::Signal;

/// The least time between two warnings of one kind.
const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// Whether the records of one signal are delivered. It logs each change.
///
/// There is at most one warning a minute. So a receiver that fails now and then is summed up, and does not
/// fill the log.
pub(super) struct Health {
    signal: Signal,
    state: State,
    last_warning: Option<Instant>,
    /// The changes to bad since the last warning.
    failures: u64,
}

#[derive(Clone, Copy)]
enum State {
    Good,
    /// The records are not delivered.
    Bad {
        since: Instant,
        /// The failed and the dropped records before.
        lost: (u64, u64),
        is_logged: bool,
    },
}

/// Logs the events that the queue drops.
#[derive(Default)]
pub(super) struct DropLog {
    /// The dropped events that are logged.
    logged: u64,
    last_warning: Option<Instant>,
}

// === impl Health ===

impl Health {
    pub(super) fn new(signal: Signal) -> Self {
        Self {
            signal,
            state: State::Good,
            last_warning: None,
            failures: 0,
        }
    }

    /// Notes a failed attempt, after which `failed` records are lost and counted.
    pub(super) fn on_failure(
        &mut self,
        problem: &str,
        failed: u64,
        stats: impl FnOnce() -> SignalStats,
    ) {
        if let State::Bad {
            is_logged: true, ..
        } = self.state
        {
            return;
        }
        let (now, stats) = (Instant::now(), stats());
        let (since, lost) = match self.state {
            State::Bad { since, lost, .. } => (since, lost),
            State::Good => {
                self.failures += 1;
                (now, (stats.failed - failed, stats.dropped))
            }
        };
        let is_logged = may_warn(&mut self.last_warning, now);
        self.state = State::Bad {
            since,
            lost,
            is_logged,
        };
        if is_logged {
            let times = match std::mem::take(&mut self.failures) {
                0 | 1 => String::new(),
                times => format!("; {times} failures since the last warning"),
            };
            let SignalStats {
                pending,
                failed,
                dropped,
                ..
            } = stats;
            tracing::warn!(
                target: "codex_telemetry",
                "OTLP {} are not delivered: {problem} ({pending} pending, {failed} failed, \
                 {dropped} dropped{times})",
                self.signal
            );
        }
    }

    /// Notes a successful export.
    pub(super) fn on_success(&mut self, stats: impl FnOnce() -> SignalStats) {
        let state = std::mem::replace(&mut self.state, State::Good);
        if let State::Bad {
            since,
            lost: (failed, dropped),
            is_logged: true,
        } = state
        {
            let stats = stats();
            tracing::info!(
                target: "codex_telemetry",
                "OTLP {} are delivered again, after {:.1?}; lost meanwhile: {} failed, {} dropped",
                self.signal,
                since.elapsed(),
                stats.failed - failed,
                stats.dropped - dropped
            );
        }
    }
}

// === impl DropLog ===

impl DropLog {
    /// Notes how many events the queue has dropped in total.
    pub(super) fn on_dropped(&mut self, total: u64) {
        if total > self.logged && may_warn(&mut self.last_warning, Instant::now()) {
            let dropped = total - self.logged;
            self.logged = total;
            tracing::warn!(
                target: "codex_telemetry",
                "the queue of the OTLP sink was full and dropped {dropped} events, {total} in total"
            );
        }
    }
}

/// Returns whether a warning may be logged, and notes it.
fn may_warn(last_warning: &mut Option<Instant>, now: Instant) -> bool {
    let may_warn = last_warning.is_none_or(|last| now - last >= MIN_INTERVAL);
    if may_warn {
        *last_warning = Some(now);
    }
    may_warn
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tokio::time::advance;
    use tracing::subscriber::{DefaultGuard, set_default};

    use super::*;

    /// The lines that this thread logs.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn start() -> (Self, DefaultGuard) {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .without_time()
                .with_target(false)
                .with_ansi(false)
                .with_writer(move || writer.clone());
            let guard = set_default(subscriber.finish());
            (log, guard)
        }

        /// Takes the lines so far.
        fn take(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(|line| line.trim().to_owned()).collect()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stats(failed: u64) -> impl FnOnce() -> SignalStats {
        move || SignalStats {
            failed,
            dropped: 1,
            pending: 7,
            ..SignalStats::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_change_is_logged_once_with_the_counts() {
        let (log, _guard) = Log::start();
        let mut health = Health::new(Signal::Logs);
        health.on_success(stats(0));
        assert!(log.take().is_empty(), "it was good");
        for _ in 0..100 {
            health.on_failure("h: no route", 2, stats(2));
            advance(Duration::from_secs(30)).await;
        }
        let warning =
            "WARN OTLP logs are not delivered: h: no route (7 pending, 2 failed, 1 dropped)";
        assert_eq!(log.take(), [warning]);
        health.on_success(stats(9));
        health.on_success(stats(9));
        let message = "INFO OTLP logs are delivered again, after 3000.0s; lost meanwhile: 9 failed, \
                       0 dropped";
        assert_eq!(log.take(), [message]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_fails_now_and_then_is_summed_up() {
        let (log, _guard) = Log::start();
        let mut health = Health::new(Signal::Traces);
        for _ in 0..300 {
            health.on_failure("no", 0, stats(0));
            health.on_success(stats(0));
            advance(Duration::from_secs(1)).await;
        }
        let lines = log.take();
        assert_eq!(
            lines.len(),
            10,
            "a warning and a message each minute: {lines:?}"
        );
        let summed_up = "60 failures since the last warning";
        assert!(lines[2].contains(summed_up), "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_within_the_minute_is_logged_when_it_lasts() {
        let (log, _guard) = Log::start();
        let mut health = Health::new(Signal::Traces);
        health.on_failure("first", 0, stats(0));
        health.on_success(stats(0));
        assert_eq!(log.take().len(), 2);
        health.on_failure("second", 0, stats(0));
        assert!(log.take().is_empty());
        advance(MIN_INTERVAL).await;
        health.on_failure("second", 0, stats(0));
        assert_eq!(log.take().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn drops_are_logged_once_a_minute_with_their_sum() {
        let (log, _guard) = Log::start();
        let mut drops = DropLog::default();
        drops.on_dropped(0);
        assert!(log.take().is_empty());
        drops.on_dropped(3);
        drops.on_dropped(10);
        let lines = log.take();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].ends_with("dropped 3 events, 3 in total"),
            "{lines:?}"
        );
        advance(MIN_INTERVAL).await;
        drops.on_dropped(12);
        let lines = log.take();
        assert!(
            lines[0].ends_with("dropped 9 events, 12 in total"),
            "{lines:?}"
        );
        advance(MIN_INTERVAL).await;
        drops.on_dropped(12);
        assert!(log.take().is_empty(), "there are no new ones");
    }
}
