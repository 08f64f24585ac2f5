use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{
    config::Signal,
    queue::{Queue, Tally},
};

/// What became of everything that was handed to the sink, by signal.
///
/// ```
/// use codex_telemetry::{OtlpConfig, OtlpSink, otlp::Signal};
///
/// let config = OtlpConfig::builder().signals([Signal::Traces]).build()?;
/// let sink = OtlpSink::start(config);
/// // … calls are made …
/// let traces = sink.stats().traces;
/// assert_eq!(traces.accepted, traces.exported + traces.failed);
/// println!("{}", sink.stats());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Spans: one for each call that ended in a sampled trace.
    pub traces: SignalStats,
    /// Measurements: one for each event. They are exported as running totals, so that one export that
    /// succeeds delivers what those before it did not.
    pub metrics: SignalStats,
    /// Log records: one for each event.
    pub logs: SignalStats,
}

/// What became of one signal's records. A signal that is off counts nothing.
///
/// `accepted = exported + failed + pending`, at every moment; what was dropped was never accepted, or
/// was accepted and then had to make room: then it counts as failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalStats {
    /// Records that were taken in.
    pub accepted: u64,
    /// Records that the receiver took.
    pub exported: u64,
    /// Records that the receiver refused, or that could not be brought to it.
    pub failed: u64,
    /// Records that were not taken in, because the queue was full.
    pub dropped: u64,
}

/// The counters of the export thread; the queue has those of the callers.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) traces: Account,
    pub(super) metrics: Account,
    pub(super) logs: Account,
    /// Held while the books are closed: what is left is booked once.
    pub(super) closing: Mutex<()>,
}

/// One signal's part.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) on: bool,
    /// Where the signal goes.
    to: String,
    exported: AtomicU64,
    failed: AtomicU64,
    problems: Mutex<Problems>,
}

#[derive(Debug, Default)]
struct Problems {
    /// The last one that was not made good since.
    last: Option<Arc<str>>,
    /// The last one by which records failed, which nothing makes good.
    fatal: Option<Arc<str>>,
}

// === impl Stats ===

impl Stats {
    pub(super) fn new(queue: &Queue, books: &Books) -> Self {
        // The export thread's counters first: what it has counted was accepted before.
        let traces = books.traces.counts();
        let metrics = books.metrics.counts();
        let logs = books.logs.counts();
        let (accepted, dropped) = queue.tallies();
        let of = |account: &Account, (exported, failed), count: fn(&Tally) -> u64| {
            if !account.on {
                return SignalStats::default();
            }
            SignalStats {
                accepted: count(&accepted),
                exported,
                failed,
                dropped: count(&dropped),
            }
        };
        Self {
            traces: of(&books.traces, traces, |tally| tally.spans),
            metrics: of(&books.metrics, metrics, |tally| tally.events),
            logs: of(&books.logs, logs, |tally| tally.events),
        }
    }

    /// Returns the part of one signal.
    #[must_use]
    pub const fn of(&self, signal: Signal) -> SignalStats {
        match signal {
            Signal::Traces => self.traces,
            Signal::Metrics => self.metrics,
            Signal::Logs => self.logs,
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, signal) in Signal::ALL.into_iter().enumerate() {
            let SignalStats {
                accepted,
                exported,
                failed,
                dropped,
            } = self.of(signal);
            let comma = if at == 0 { "" } else { "; " };
            write!(
                f,
                "{comma}{signal}: {accepted} accepted, {exported} exported, {failed} failed, \
                 {dropped} dropped"
            )?;
        }
        Ok(())
    }
}

impl SignalStats {
    /// Returns how many records are still under way.
    #[must_use]
    pub const fn pending(&self) -> u64 {
        self.accepted
            .saturating_sub(self.exported)
            .saturating_sub(self.failed)
    }
}

// === impl Books ===

impl Books {
    pub(super) const fn of(&self, signal: Signal) -> &Account {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
        }
    }
}

// === impl Account ===

impl Account {
    /// The account of a signal that goes to `to`, if it is on.
    pub(super) fn new(to: Option<String>) -> Self {
        Self {
            on: to.is_some(),
            to: to.unwrap_or_default(),
            ..Self::default()
        }
    }

    pub(super) fn exported(&self, count: u64) {
        self.exported.fetch_add(count, Relaxed);
    }

    pub(super) fn failed(&self, count: u64, problem: &str) {
        self.failed.fetch_add(count, Relaxed);
        let problem: Arc<str> = problem.into();
        let mut problems = self.problems();
        problems.fatal = Some(Arc::clone(&problem));
        problems.last = Some(problem);
    }

    /// Notes why an export went wrong, also one that is tried again.
    pub(super) fn problem(&self, problem: &str) {
        self.problems().last = Some(problem.into());
    }

    pub(super) fn well(&self) {
        self.problems().last = None;
    }

    pub(super) fn last_problem(&self) -> Option<Arc<str>> {
        self.problems().last.clone()
    }

    /// Why so many records failed, and so many are still under way.
    pub(super) fn why(&self, failed: u64, pending: u64) -> Option<Arc<str>> {
        let problems = self.problems();
        let fatal = problems.fatal.clone().filter(|_| failed > 0);
        let silence = || format!("{}: no answer so far", self.to).into();
        problems
            .last
            .clone()
            .or(fatal)
            .or_else(|| (pending > 0).then(silence))
    }

    fn counts(&self) -> (u64, u64) {
        (self.exported.load(Relaxed), self.failed.load(Relaxed))
    }

    fn problems(&self) -> MutexGuard<'_, Problems> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
