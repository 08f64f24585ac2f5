use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    queue::Queue,
    stats::{SignalStats, Stats},
};
use crate::otlp::{
    config::{Limits, Signal},
    export::Problem,
};

/// The most export attempts that are kept until the next collection of metrics.
const MAX_EXPORTS: usize = 1024;

/// What the handles of a sink and its export thread share.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    limits: Limits,
    /// In the order of [`Signal::ALL`].
    signals: [Mutex<SignalCounters>; 3],
    exports: Mutex<Vec<Export>>,
}

/// An export attempt: its signal, its duration, and the `error.type` if it failed.
pub(crate) type Export = (Signal, Duration, Option<Cow<'static, str>>);

/// What became of the records of one signal that the queue accepted.
#[derive(Default)]
pub(crate) struct SignalCounters {
    /// Where the signal is exported to; `None` if it is not exported.
    destination: Option<String>,
    pub(crate) exported: u64,
    /// The records that were left out on purpose.
    pub(crate) filtered: u64,
    /// The records whose export has begun and not ended.
    pub(crate) inflight: u64,
    /// The spans of traces that were not sampled, and have been kept because of a failure.
    pub(crate) kept: u64,
    failed: u64,
    failed_by_type: BTreeMap<Cow<'static, str>, u64>,
    /// The latest problem, until an export succeeds. An export that will be retried has one as well.
    pub(crate) problem: Option<Arc<str>>,
    /// The latest problem by which records failed. A later success does not clear it.
    fatal_problem: Option<Arc<str>>,
}

// === impl Shared ===

impl Shared {
    /// `destination` returns where a signal is exported to, if it is.
    pub(crate) fn new(limits: Limits, destination: impl Fn(Signal) -> Option<String>) -> Self {
        // A third of the bytes each for the queue and for the buffers of spans and of log records. So a
        // receiver that hangs cannot fill the queue, on which the other signals depend.
        let (capacity, bytes) = (limits.queue_capacity(), limits.queue_bytes / 3);
        let batch_size = limits.spans.batch_size.min(limits.logs.batch_size);
        Self {
            queue: Queue::new(capacity, bytes, batch_size),
            limits,
            signals: Signal::ALL.map(|signal| {
                Mutex::new(SignalCounters {
                    destination: destination(signal),
                    ..SignalCounters::default()
                })
            }),
            exports: Mutex::default(),
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
            let counts = (counters.exported, counters.failed, counters.filtered);
            (counters.is_enabled(), counters.kept, counts)
        });
        let (accepted, dropped) = self.queue.counts();
        let [traces, metrics, logs] = Signal::ALL.map(|signal| {
            let (is_enabled, kept, (exported, failed, filtered)) = exports[signal as usize];
            if !is_enabled {
                return SignalStats::default();
            }
            let accepted = accepted.of(signal) + kept;
            SignalStats {
                accepted,
                exported,
                failed,
                filtered,
                dropped: dropped.of(signal),
                pending: accepted.saturating_sub(exported + failed + filtered),
            }
        });
        Stats {
            traces,
            metrics,
            logs,
        }
    }

    /// Returns how many records of a signal wait for their export, and how many can wait: in the queue
    /// and in the buffer of the signal.
    pub(crate) fn queue_size(&self, signal: Signal) -> (u64, u64) {
        let inflight = self.counters(signal).inflight;
        let waiting = self.stats().of(signal).pending.saturating_sub(inflight);
        let buffer = self.limits.batch(signal).queue_capacity;
        let capacity = self.limits.queue_capacity().saturating_add(buffer);
        (waiting, u64::try_from(capacity).unwrap_or(u64::MAX))
    }

    /// Keeps an export attempt for the metrics of the sink. `error_type` is `None` if it succeeded.
    pub(crate) fn on_export(&self, signal: Signal, duration: Duration, error_type: Option<&str>) {
        let mut exports = self.exports.lock().unwrap_or_else(PoisonError::into_inner);
        // Without metrics, nobody takes them.
        if exports.len() < MAX_EXPORTS {
            let error_type = error_type.map(|error_type| error_type.to_owned().into());
            exports.push((signal, duration, error_type));
        }
    }

    /// Takes the export attempts since the last call.
    pub(crate) fn take_exports(&self) -> Vec<Export> {
        std::mem::take(&mut *self.exports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Closes the queue and counts pending records as failed. They are not exported any more.
    pub(crate) fn fail_pending(&self, reason: &str) {
        self.queue.close();
        let (accepted, _) = self.queue.counts();
        for signal in Signal::ALL {
            // Locked throughout, so that each record is counted once.
            let mut counters = self.counters(signal);
            let settled = counters.exported + counters.failed + counters.filtered;
            let pending = (accepted.of(signal) + counters.kept).saturating_sub(settled);
            counters.inflight = 0;
            if pending > 0 && counters.is_enabled() {
                let text = counters.problem.as_deref().unwrap_or(reason).to_owned();
                let error_type = "shutdown".into();
                counters.fail(pending, Problem { text, error_type });
            }
        }
    }
}

// === impl SignalCounters ===

impl SignalCounters {
    pub(crate) fn is_enabled(&self) -> bool {
        self.destination.is_some()
    }

    /// Returns the number of failed records, by `error.type`.
    pub(crate) fn failed_by_type(&self) -> &BTreeMap<Cow<'static, str>, u64> {
        &self.failed_by_type
    }

    /// Counts failed records and keeps the reason.
    pub(crate) fn fail(&mut self, count: u64, problem: Problem) {
        let text: Arc<str> = problem.text.into();
        self.failed += count;
        *self.failed_by_type.entry(problem.error_type).or_default() += count;
        self.fatal_problem = Some(Arc::clone(&text));
        self.problem = Some(text);
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
