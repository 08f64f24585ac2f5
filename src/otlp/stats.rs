use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{config::Signal, queue::Queue};

/// The counters of an [`OtlpSink`](super::OtlpSink), by signal.
///
/// With the feature `json` it implements `serde::Serialize`.
///
/// ```
/// use codex_telemetry::{OtlpConfig, OtlpSink, otlp::Signal};
///
/// let config = OtlpConfig::builder().signals([Signal::Traces]).build()?;
/// let sink = OtlpSink::start(config);
/// // … calls are made …
/// let traces = sink.stats().traces;
/// assert_eq!(traces.accepted, traces.exported + traces.failed + traces.pending());
/// println!("{}", sink.stats());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Spans: one for each call that ended in a sampled trace.
    pub traces: SignalStats,
    /// Measurements: one for each event. Metrics are exported as cumulative totals, so one successful
    /// export delivers all measurements before it.
    pub metrics: SignalStats,
    /// Log records: one for each event.
    pub logs: SignalStats,
}

/// The counters of one signal. A signal that is not exported has zeros.
///
/// `accepted = exported + failed + pending` holds at every moment. A dropped record was never accepted.
///
/// With the feature `json` it implements `serde::Serialize`, including [`pending`](Self::pending).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalStats {
    /// Records that the queue accepted.
    pub accepted: u64,
    /// Records that the receiver accepted.
    pub exported: u64,
    /// Records that the receiver rejected, or that could not be delivered.
    pub failed: u64,
    /// Records that were dropped because the queue was full or the sink was shut down.
    pub dropped: u64,
}

/// The counters of the export thread. The queue has the others.
#[derive(Debug)]
pub(super) struct Counters {
    /// In the order of [`Signal::ALL`].
    signals: [SignalCounters; 3],
    /// Locked while pending records are counted as failed, so that each is counted once.
    pub(super) closing: Mutex<()>,
}

/// The counters of one signal.
#[derive(Debug)]
pub(super) struct SignalCounters {
    /// Where the signal is exported to; `None` if it is not exported.
    destination: Option<String>,
    exported: AtomicU64,
    failed: AtomicU64,
    problems: Mutex<Problems>,
}

#[derive(Debug, Default)]
struct Problems {
    /// The latest problem, until an export succeeds.
    latest: Option<Arc<str>>,
    /// The latest problem by which records failed. A later success does not clear it.
    latest_fatal: Option<Arc<str>>,
}

// === impl Stats ===

impl Stats {
    pub(super) fn new(queue: &Queue, counters: &Counters) -> Self {
        // Before the counters of the queue: a record is accepted before it is exported.
        let exports = Signal::ALL.map(|signal| (signal, counters.of(signal).counts()));
        let (accepted, dropped) = queue.counts();
        let [traces, metrics, logs] = exports.map(|(signal, (exported, failed))| {
            if !counters.of(signal).is_enabled() {
                return SignalStats::default();
            }
            SignalStats {
                accepted: accepted.of(signal),
                exported,
                failed,
                dropped: dropped.of(signal),
            }
        });
        Self {
            traces,
            metrics,
            logs,
        }
    }

    /// Returns the counters of one signal.
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
        for (index, signal) in Signal::ALL.into_iter().enumerate() {
            let SignalStats {
                accepted,
                exported,
                failed,
                dropped,
            } = self.of(signal);
            let separator = if index == 0 { "" } else { "; " };
            write!(
                f,
                "{separator}{signal}: {accepted} accepted, {exported} exported, {failed} failed, \
                 {dropped} dropped"
            )?;
        }
        Ok(())
    }
}

// === impl SignalStats ===

impl SignalStats {
    /// Returns the number of accepted records that are neither exported nor failed yet.
    #[must_use]
    pub const fn pending(&self) -> u64 {
        self.accepted
            .saturating_sub(self.exported)
            .saturating_sub(self.failed)
    }
}

#[cfg(feature = "json")]
impl serde::Serialize for SignalStats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        let mut stats = serializer.serialize_struct("SignalStats", 5)?;
        stats.serialize_field("accepted", &self.accepted)?;
        stats.serialize_field("exported", &self.exported)?;
        stats.serialize_field("failed", &self.failed)?;
        stats.serialize_field("dropped", &self.dropped)?;
        stats.serialize_field("pending", &self.pending())?;
        stats.end()
    }
}

// === impl Counters ===

impl Counters {
    /// `destination` returns where a signal is exported to, if it is.
    pub(super) fn new(destination: impl Fn(Signal) -> Option<String>) -> Self {
        Self {
            signals: Signal::ALL.map(|signal| SignalCounters {
                destination: destination(signal),
                exported: AtomicU64::new(0),
                failed: AtomicU64::new(0),
                problems: Mutex::default(),
            }),
            closing: Mutex::new(()),
        }
    }

    pub(super) const fn of(&self, signal: Signal) -> &SignalCounters {
        let [traces, metrics, logs] = &self.signals;
        match signal {
            Signal::Traces => traces,
            Signal::Metrics => metrics,
            Signal::Logs => logs,
        }
    }
}

// === impl SignalCounters ===

impl SignalCounters {
    pub(super) fn is_enabled(&self) -> bool {
        self.destination.is_some()
    }

    /// Counts exported records.
    pub(super) fn exported(&self, count: u64) {
        self.exported.fetch_add(count, Relaxed);
    }

    /// Counts failed records and keeps the reason.
    pub(super) fn failed(&self, count: u64, problem: &str) {
        self.failed.fetch_add(count, Relaxed);
        let problem: Arc<str> = problem.into();
        let mut problems = self.problems();
        problems.latest_fatal = Some(Arc::clone(&problem));
        problems.latest = Some(problem);
    }

    /// Sets or clears the latest problem. An export that will be retried is a problem as well.
    pub(super) fn set_problem(&self, problem: Option<&str>) {
        self.problems().latest = problem.map(Arc::from);
    }

    pub(super) fn problem(&self) -> Option<Arc<str>> {
        self.problems().latest.clone()
    }

    /// Returns why this many records failed and are pending.
    pub(super) fn reason(&self, failed: u64, pending: u64) -> Option<Arc<str>> {
        let problems = self.problems();
        let fatal = problems.latest_fatal.clone().filter(|_| failed > 0);
        let latest = problems.latest.clone().or(fatal);
        latest.or_else(|| {
            let destination = self.destination.as_ref().filter(|_| pending > 0)?;
            Some(format!("{destination}: no response yet").into())
        })
    }

    fn counts(&self) -> (u64, u64) {
        (self.exported.load(Relaxed), self.failed.load(Relaxed))
    }

    fn problems(&self) -> MutexGuard<'_, Problems> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
