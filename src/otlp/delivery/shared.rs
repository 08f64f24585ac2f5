use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    queue::Queue,
    stats::{SignalStats, Stats},
};
use crate::otlp::config::Signal;

/// What the handles of a sink and its export thread share.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    /// In the order of [`Signal::ALL`].
    signals: [Mutex<SignalCounters>; 3],
}

/// What became of the records of one signal that the queue accepted.
#[derive(Default)]
pub(crate) struct SignalCounters {
    /// Where the signal is exported to; `None` if it is not exported.
    destination: Option<String>,
    pub(crate) exported: u64,
    /// The spans of traces that were not sampled, and have been kept because of a failure.
    pub(crate) kept: u64,
    failed: u64,
    /// The latest problem, until an export succeeds. An export that will be retried has one as well.
    pub(crate) problem: Option<Arc<str>>,
    /// The latest problem by which records failed. A later success does not clear it.
    fatal_problem: Option<Arc<str>>,
}

// === impl Shared ===

impl Shared {
    /// `destination` returns where a signal is exported to, if it is.
    pub(crate) fn new(queue: Queue, destination: impl Fn(Signal) -> Option<String>) -> Self {
        Self {
            queue,
            signals: Signal::ALL.map(|signal| {
                Mutex::new(SignalCounters {
                    destination: destination(signal),
                    ..SignalCounters::default()
                })
            }),
        }
    }

    pub(crate) fn counters(&self, signal: Signal) -> MutexGuard<'_, SignalCounters> {
        let counters = self.signals[signal as usize].lock();
        counters.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> Stats {
        // Before the counters of the queue: a record is accepted before it is exported.
        let exports = Signal::ALL.map(|signal| {
            let counters = self.counters(signal);
            (
                counters.is_enabled(),
                counters.kept,
                counters.exported,
                counters.failed,
            )
        });
        let (accepted, dropped) = self.queue.counts();
        let [traces, metrics, logs] = Signal::ALL.map(|signal| {
            let (is_enabled, kept, exported, failed) = exports[signal as usize];
            if !is_enabled {
                return SignalStats::default();
            }
            let accepted = accepted.of(signal) + kept;
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
    pub(crate) fn fail_pending(&self, reason: &str) {
        self.queue.close();
        let (accepted, _) = self.queue.counts();
        for signal in Signal::ALL {
            // Locked throughout, so that each record is counted once.
            let mut counters = self.counters(signal);
            let accepted = accepted.of(signal) + counters.kept;
            let pending = accepted.saturating_sub(counters.exported + counters.failed);
            if pending > 0 && counters.is_enabled() {
                let problem = counters.problem.clone();
                counters.fail(pending, problem.unwrap_or_else(|| reason.into()));
            }
        }
    }
}

// === impl SignalCounters ===

impl SignalCounters {
    pub(crate) fn is_enabled(&self) -> bool {
        self.destination.is_some()
    }

    /// Counts failed records and keeps the reason.
    pub(crate) fn fail(&mut self, count: u64, problem: impl Into<Arc<str>>) {
        let problem = problem.into();
        self.failed += count;
        self.fatal_problem = Some(Arc::clone(&problem));
        self.problem = Some(problem);
    }

    /// Returns why this many records failed and are pending.
    pub(crate) fn reason(&self, failed: u64, pending: u64) -> Option<Arc<str>> {
        let fatal = self.fatal_problem.clone().filter(|_| failed > 0);
        let problem = self.problem.clone().or(fatal);
        problem.or_else(|| {
            let destination = self.destination.as_ref().filter(|_| pending > 0)?;
            Some(format!("{destination}: no response yet").into())
        })
    }
}
