use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    config::Signal,
    queue::Queue,
    stats::{SignalStats, Stats},
};

/// What the handles of a sink and its export thread share.
pub(super) struct Shared {
    pub(super) queue: Queue,
    /// In the order of [`Signal::ALL`].
    signals: [SignalCounters; 3],
}

/// What became of the records of one signal.
pub(super) struct SignalCounters {
    /// Where the signal is exported to; `None` if it is not exported.
    destination: Option<String>,
    exports: Mutex<Exports>,
}

#[derive(Default)]
struct Exports {
    exported: u64,
    failed: u64,
    /// The latest problem, until an export succeeds.
    problem: Option<Arc<str>>,
    /// The latest problem by which records failed. A later success does not clear it.
    fatal_problem: Option<Arc<str>>,
}

// === impl Shared ===

impl Shared {
    /// `destination` returns where a signal is exported to, if it is.
    pub(super) fn new(queue: Queue, destination: impl Fn(Signal) -> Option<String>) -> Self {
        Self {
            queue,
            signals: Signal::ALL.map(|signal| SignalCounters {
                destination: destination(signal),
                exports: Mutex::default(),
            }),
        }
    }

    pub(super) fn counters(&self, signal: Signal) -> &SignalCounters {
        &self.signals[signal as usize]
    }

    pub(super) fn stats(&self) -> Stats {
        // Before the counters of the queue: a record is accepted before it is exported.
        let exports = self.signals.each_ref().map(|counters| {
            let exports = counters.exports();
            (exports.exported, exports.failed)
        });
        let (accepted, dropped) = self.queue.counts();
        let [traces, metrics, logs] = Signal::ALL.map(|signal| {
            if !self.counters(signal).is_enabled() {
                return SignalStats::default();
            }
            let (exported, failed) = exports[signal as usize];
            let accepted = accepted.of(signal);
            SignalStats {
                accepted,
                exported,
                failed,
                dropped: dropped.of(signal),
                pending: accepted.saturating_sub(exported + failed),
            }
        });
        Stats {
            traces,
            metrics,
            logs,
        }
    }

    /// Closes the queue and counts pending records as failed. They are not exported any more.
    pub(super) fn fail_pending(&self, reason: &str) {
        self.queue.close();
        let (accepted, _) = self.queue.counts();
        for signal in Signal::ALL {
            let counters = self.counters(signal);
            // Locked throughout, so that each record is counted once.
            let mut exports = counters.exports();
            let pending = accepted
                .of(signal)
                .saturating_sub(exports.exported + exports.failed);
            if pending > 0 && counters.is_enabled() {
                let problem = exports.problem.clone();
                exports.fail(pending, problem.unwrap_or_else(|| reason.into()));
            }
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
        self.exports().exported += count;
    }

    /// Counts failed records and keeps the reason.
    pub(super) fn failed(&self, count: u64, problem: &str) {
        self.exports().fail(count, problem.into());
    }

    /// Sets or clears the latest problem. An export that will be retried is a problem as well.
    pub(super) fn set_problem(&self, problem: Option<&str>) {
        self.exports().problem = problem.map(Arc::from);
    }

    pub(super) fn problem(&self) -> Option<Arc<str>> {
        self.exports().problem.clone()
    }

    /// Returns why this many records failed and are pending.
    pub(super) fn reason(&self, failed: u64, pending: u64) -> Option<Arc<str>> {
        let exports = self.exports();
        let fatal = exports.fatal_problem.clone().filter(|_| failed > 0);
        let problem = exports.problem.clone().or(fatal);
        problem.or_else(|| {
            let destination = self.destination.as_ref().filter(|_| pending > 0)?;
            Some(format!("{destination}: no response yet").into())
        })
    }

    fn exports(&self) -> MutexGuard<'_, Exports> {
        self.exports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Exports ===

impl Exports {
    fn fail(&mut self, count: u64, problem: Arc<str>) {
        self.failed += count;
        self.fatal_problem = Some(Arc::clone(&problem));
        self.problem = Some(problem);
    }
}
