use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::{Arc, MutexGuard},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::shared::{Shared, SignalCounters};
use crate::{
    event::Event,
    otlp::{
        config::Signal,
        export::{ExportOutcome, Problem},
    },
};

/// The `error.type` of records that a receiver rejected while it accepted others.
pub(super) const REJECTED: &str = "rejected";
const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(30);
/// The longest delay that a receiver can ask for. A longer one would outlast most programs.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The pipeline of one signal: the buffer of records that wait for their export, and its progress. Only
/// the export thread uses it.
///
/// Records are acknowledged in the order in which they were received: each is exported or failed then.
pub(crate) struct Pipeline {
    signal: Signal,
    shared: Arc<Shared>,
    buffer: RefCell<VecDeque<Event>>,
    capacity: usize,
    received: Cell<u64>,
    acknowledged: Cell<u64>,
    /// The acknowledged records that failed.
    failed: Cell<u64>,
    /// The records that were not received because the buffer was full.
    dropped: Cell<u64>,
    /// The failed and dropped records that a flush has reported.
    reported: Cell<u64>,
    buffered: Notify,
    progress: Notify,
    /// Somebody waits for the records, so retries come sooner.
    flush_requested: Notify,
}

impl Pipeline {
    pub(crate) fn new(signal: Signal, shared: &Arc<Shared>, capacity: usize) -> Rc<Self> {
        Rc::new(Self {
            signal,
            shared: Arc::clone(shared),
            buffer: RefCell::default(),
            capacity,
            received: Cell::default(),
            acknowledged: Cell::default(),
            failed: Cell::default(),
            dropped: Cell::default(),
            reported: Cell::default(),
            buffered: Notify::new(),
            progress: Notify::new(),
            flush_requested: Notify::new(),
        })
    }

    pub(crate) fn signal(&self) -> Signal {
        self.signal
    }

    /// Buffers an event. If the buffer is full, drops the event and counts it as failed.
    pub(crate) fn push(&self, event: Event) {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.len() < self.capacity {
            buffer.push_back(event);
            self.receive();
        } else {
            // Not acknowledged: that would acknowledge an older record instead.
            self.dropped.update(|dropped| dropped + 1);
            let problem = Problem {
                text: "the buffer is full: the receiver is slower than the calls".to_owned(),
                error_type: "queue_full".into(),
            };
            self.counters().fail(1, problem);
        }
    }

    /// Counts a record that is not in the buffer: metrics are in their instruments.
    pub(crate) fn receive(&self) {
        self.received.update(|received| received + 1);
    }

    /// Wakes the export after a number of events were pushed.
    pub(crate) fn wake(&self) {
        self.buffered.notify_one();
    }

    /// Asks for an early export or retry, if there are pending records.
    pub(crate) fn request_flush(&self) {
        if self.pending(self.received.get()) > 0 {
            self.flush_requested.notify_one();
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.get()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.get()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    /// Returns how many of the first `target` records are not acknowledged yet.
    pub(crate) fn pending(&self, target: u64) -> u64 {
        target.saturating_sub(self.acknowledged.get())
    }

    /// Returns the number of failed and dropped records that no flush has reported.
    pub(crate) fn unreported(&self) -> u64 {
        (self.failed.get() + self.dropped.get()).saturating_sub(self.reported.get())
    }

    pub(crate) fn report(&self, failed: u64) {
        self.reported.update(|reported| reported + failed);
    }

    /// Waits until the first `target` records are acknowledged.
    pub(crate) async fn acknowledged(&self, target: u64) {
        loop {
            let progress = self.progress.notified();
            if self.pending(target) == 0 {
                return;
            }
            progress.await;
        }
    }

    /// Exports the buffer for ever, batch by batch.
    pub(crate) async fn export_events(
        &self,
        batch_size: usize,
        export: impl AsyncFn(&[Event]) -> ExportOutcome,
    ) {
        loop {
            let batch = self.next_batch(batch_size).await;
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            self.retry(|| count, || export(&batch)).await;
        }
    }

    /// Exports cumulative totals for ever: at each interval, and when a flush is requested. Each export
    /// includes what earlier ones did not deliver, so measurements fail only when an export is rejected.
    pub(crate) async fn export_totals(
        &self,
        interval: Duration,
        export: impl AsyncFn() -> ExportOutcome,
    ) {
        loop {
            tokio::select! {
                () = sleep(interval) => {}
                () = self.flush_requested.notified() => {}
            }
            if self.received() == 0 {
                continue;
            }
            let export = async || match export().await {
                // The receiver rejects data points, which are not measurements: they are reported and
                // not counted.
                ExportOutcome::Accepted {
                    rejected,
                    problem: Some(problem),
                } => ExportOutcome::Accepted {
                    rejected: 0,
                    problem: Some(format!("{problem} ({rejected} data points)")),
                },
                outcome => outcome,
            };
            self.retry(|| self.pending(self.received()), export).await;
        }
    }

    /// Retries an export until it is accepted or rejected. Before each attempt, `count` returns the number
    /// of its records.
    async fn retry(&self, count: impl Fn() -> u64, export: impl AsyncFn() -> ExportOutcome) {
        let mut delay = FIRST_DELAY;
        loop {
            let count = count();
            self.counters().inflight = count;
            let started = Instant::now();
            let outcome = catch_panic(export()).await;
            self.counters().inflight = 0;
            let error_type = match &outcome {
                ExportOutcome::Accepted { rejected: 0, .. } => None,
                ExportOutcome::Accepted { .. } => Some(REJECTED),
                ExportOutcome::Rejected(problem)
                | ExportOutcome::TooLarge(problem)
                | ExportOutcome::Retryable { problem, .. } => Some(&*problem.error_type),
            };
            self.shared
                .on_export(self.signal, started.elapsed(), error_type);
            let failed = match outcome {
                ExportOutcome::Retryable {
                    problem,
                    retry_after,
                } => {
                    self.counters().problem = Some(problem.text.into());
                    delay = self.wait_before_retry(delay, retry_after).await;
                    continue;
                }
                ExportOutcome::Accepted { rejected, problem } => {
                    let rejected = rejected.min(count);
                    let mut counters = self.counters();
                    counters.exported += count - rejected;
                    match problem {
                        Some(text) if rejected > 0 => {
                            let error_type = REJECTED.into();
                            counters.fail(rejected, Problem { text, error_type });
                        }
                        problem => counters.problem = problem.map(Into::into),
                    }
                    rejected
                }
                ExportOutcome::Rejected(problem) | ExportOutcome::TooLarge(problem) => {
                    self.counters().fail(count, problem);
                    count
                }
            };
            self.acknowledged.update(|sum| sum + count);
            self.failed.update(|sum| sum + failed);
            self.progress.notify_waiters();
            return;
        }
    }

    fn counters(&self) -> MutexGuard<'_, SignalCounters> {
        self.shared.counters(self.signal)
    }

    async fn next_batch(&self, size: usize) -> Vec<Event> {
        loop {
            {
                let mut buffer = self.buffer.borrow_mut();
                let count = buffer.len().min(size);
                if count > 0 {
                    return buffer.drain(..count).collect();
                }
            }
            self.buffered.notified().await;
        }
    }

    /// Waits before a retry, and returns the delay before the next one. Waits as long as the receiver
    /// asked for, or else for `delay` plus or minus 20 %, so that many programs do not retry at once. A
    /// flush request shortens `delay`, but not what the receiver asked for.
    async fn wait_before_retry(&self, delay: Duration, retry_after: Option<Duration>) -> Duration {
        let next = (delay * 2).min(MAX_DELAY);
        // A receiver that asks for no delay gets the usual one, so that it is not overloaded.
        if let Some(retry_after) = retry_after.filter(|after| !after.is_zero()) {
            sleep(retry_after.min(MAX_RETRY_AFTER)).await;
            return next;
        }
        let deadline = Instant::now() + delay.mul_f64(0.8 + 0.4 * fastrand::f64());
        tokio::select! {
            () = sleep_until(deadline) => next,
            () = self.flush_requested.notified() => {
                // Not at once: a receiver that is down would be called in a busy loop.
                sleep_until(deadline.min(Instant::now() + FIRST_DELAY)).await;
                FIRST_DELAY
            }
        }
    }
}

/// Runs an export. A panic is a rejection: a custom exporter may panic, and the pipeline goes on.
async fn catch_panic(export: impl Future<Output = ExportOutcome>) -> ExportOutcome {
    let mut export = pin!(export);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| export.as_mut().poll(context)));
        polled.unwrap_or_else(|panic| {
            let problem = format!("the exporter panicked: {}", panic_message(&*panic));
            Poll::Ready(ExportOutcome::Rejected(problem.into()))
        })
    })
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    message
        .or_else(|| panic.downcast_ref().copied())
        .unwrap_or("no message")
}
