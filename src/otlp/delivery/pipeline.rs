use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    rc::{Rc, Weak},
    sync::{Arc, MutexGuard},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    buffer::{Buffer, BufferLimits},
    health::Health,
    shared::{Shared, SignalCounters},
    stats::SignalStats,
    totals::Requests,
};
use crate::{
    error::catch_panic,
    event::Event,
    otlp::{
        config::{Limits, Signal},
        export::{ExportOutcome, Problem, REJECTED},
    },
};

const BUFFER_FULL: &str = "the buffer is full: the receiver is slower than the calls";

/// The pipeline of one signal: the records that wait for their export, and its progress. Only the export
/// thread uses it.
///
/// Records are acknowledged in the order in which they were received: each is exported, failed or
/// filtered then.
pub(crate) struct Pipeline {
    pub(super) signal: Signal,
    pub(super) shared: Arc<Shared>,
    pub(super) limits: Limits,
    buffer: RefCell<Buffer>,
    received: Cell<u64>,
    acknowledged: Cell<u64>,
    /// The failed records that no answer has reported.
    unreported: Cell<u64>,
    checkpoints: RefCell<Vec<Weak<Checkpoint>>>,
    is_due: Notify,
    progress: Notify,
    /// Somebody waits for the records, so retries come sooner.
    pub(super) flush_requested: Notify,
    health: RefCell<Health>,
    /// Of metrics alone.
    pub(super) requests: Requests,
}

/// What a flush or a shutdown waits for in one pipeline: the first `target` records.
pub(crate) struct Checkpoint {
    pub(crate) pipeline: Rc<Pipeline>,
    target: u64,
    /// Those that failed since the request.
    failed: Cell<u64>,
}

// === impl Pipeline ===

impl Pipeline {
    pub(crate) fn new(signal: Signal, shared: &Arc<Shared>, limits: Limits) -> Rc<Self> {
        let batch = limits.batch(signal);
        Rc::new(Self {
            signal,
            shared: Arc::clone(shared),
            limits,
            buffer: RefCell::new(Buffer::new(BufferLimits {
                capacity: batch.queue_capacity,
                bytes: limits.queue_bytes / 3,
                batch_size: batch.batch_size,
                // Half: sizes are estimated.
                batch_bytes: limits.message_bytes / 2,
            })),
            received: Cell::default(),
            acknowledged: Cell::default(),
            unreported: Cell::default(),
            checkpoints: RefCell::default(),
            is_due: Notify::new(),
            progress: Notify::new(),
            flush_requested: Notify::new(),
            health: RefCell::new(Health::new(signal)),
            requests: Requests::default(),
        })
    }

    pub(crate) fn signal(&self) -> Signal {
        self.signal
    }

    /// Returns how long records wait for a batch to fill.
    pub(crate) fn schedule_delay(&self) -> Duration {
        self.limits.batch(self.signal).schedule_delay
    }

    /// Buffers an event. If the buffer is full, drops the event and counts it as failed.
    pub(crate) fn push(&self, event: Event) {
        if self.buffer.borrow_mut().push(event) {
            self.receive();
            return;
        }
        // Not acknowledged: that would acknowledge an older record instead.
        self.unreported.update(|unreported| unreported + 1);
        // The problem of the receiver, if there is one, is why the buffer is full.
        let problem = self.counters().problem.clone();
        let text = problem.as_deref().unwrap_or(BUFFER_FULL).to_owned();
        let error_type = "queue_full".into();
        self.fail(1, Problem { text, error_type });
    }

    /// Counts a record that is not in the buffer: metrics are in their instruments.
    pub(crate) fn receive(&self) {
        self.received.update(|received| received + 1);
    }

    /// Exports the full batches of the buffer, or everything if it is time to.
    pub(crate) fn wake(&self, is_time: bool) {
        let mut buffer = self.buffer.borrow_mut();
        if is_time || buffer.has_batch() {
            buffer.make_due();
            self.is_due.notify_one();
        }
    }

    /// Returns whether no records wait for a batch to fill.
    pub(crate) fn is_idle(&self) -> bool {
        self.buffer.borrow().is_due()
    }

    /// Asks for an early export or retry of everything, if there are pending records.
    pub(crate) fn request_flush(&self) {
        self.wake(true);
        if self.pending(self.received.get()) > 0 {
            self.flush_requested.notify_one();
        }
    }

    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Returns how many of the first `target` records are not acknowledged yet.
    pub(super) fn pending(&self, target: u64) -> u64 {
        target.saturating_sub(self.acknowledged.get())
    }

    pub(super) fn unreported(&self) -> u64 {
        self.unreported.get()
    }

    /// Takes failed records that no answer has reported, to report them.
    pub(super) fn take_unreported(&self, count: u64) -> u64 {
        self.unreported.update(|unreported| unreported - count);
        count
    }

    /// Gives failed records back, because nobody has received the answer.
    pub(super) fn put_unreported(&self, count: u64) {
        self.unreported.update(|unreported| unreported + count);
    }

    /// Waits until `is_done` returns true, which it does after some progress.
    pub(super) async fn progress(&self, is_done: impl Fn(&Self) -> bool) {
        loop {
            let progress = self.progress.notified();
            if is_done(self) {
                return;
            }
            progress.await;
        }
    }

    /// Waits for the next batch that is due.
    pub(super) async fn next_batch(&self) -> Vec<Event> {
        loop {
            let batch = self.buffer.borrow_mut().take_batch();
            if !batch.is_empty() {
                return batch;
            }
            self.is_due.notified().await;
        }
    }

    /// Counts records as in flight, until they are settled: also between two attempts to export them.
    pub(super) fn begin_export(&self, count: u64) {
        self.counters().inflight = count;
    }

    /// Runs one attempt to export records. A panic is a rejection: a custom exporter may panic, and
    /// the pipeline goes on.
    pub(super) async fn attempt(
        &self,
        limit: Duration,
        export: impl Future<Output = ExportOutcome>,
    ) -> ExportOutcome {
        let started = Instant::now();
        let outcome = reject_panic(async {
            let outcome = timeout(limit, export).await;
            outcome.unwrap_or_else(|_| ExportOutcome::Retryable {
                problem: Problem {
                    text: format!("the exporter did not finish within {limit:?}"),
                    error_type: "timeout".into(),
                },
                retry_after: None,
            })
        });
        let outcome = outcome.await;
        let error_type = match &outcome {
            ExportOutcome::Accepted { rejected: 0, .. } => None,
            ExportOutcome::Accepted { .. } => Some(REJECTED),
            ExportOutcome::Rejected(problem)
            | ExportOutcome::TooLarge(problem)
            | ExportOutcome::Retryable { problem, .. } => Some(&*problem.error_type),
        };
        let duration = started.elapsed();
        self.shared.on_export(self.signal, duration, error_type);
        outcome
    }

    /// Counts and acknowledges the records of the last attempt to export them. `rejected` of them failed.
    pub(super) fn settle(&self, count: u64, rejected: u64, problem: Option<Problem>) {
        let mut counters = self.counters();
        counters.exported += count - rejected;
        counters.inflight = counters.inflight.saturating_sub(count);
        drop(counters);
        match problem {
            Some(problem) if rejected > 0 => self.fail(rejected, problem),
            problem => {
                self.counters().problem = problem.map(|problem| problem.text.into());
                self.health.borrow_mut().on_success(|| self.stats());
            }
        }
        self.acknowledge(count, rejected);
    }

    /// Counts and acknowledges records that were accepted, except for some that the receiver rejected.
    pub(super) fn settle_accepted(&self, count: u64, rejected: u64, problem: Option<String>) {
        let problem = problem.map(|text| Problem {
            text,
            error_type: REJECTED.into(),
        });
        self.settle(count, rejected, problem);
    }

    /// Acknowledges records that were left out of their batch.
    pub(super) fn settle_filtered(&self, count: u64) {
        self.counters().filtered += count;
        self.acknowledge(count, 0);
    }

    /// Keeps the problem of an attempt that will be retried.
    pub(super) fn on_retry(&self, problem: &Problem) {
        self.counters().problem = Some(problem.text.as_str().into());
        self.on_failure(&problem.text, 0);
    }

    /// Logs that the records are not delivered, if that is new. `failed` of them were just counted as failed.
    pub(super) fn on_failure(&self, problem: &str, failed: u64) {
        let mut health = self.health.borrow_mut();
        health.on_failure(problem, failed, || self.stats());
    }

    fn fail(&self, count: u64, problem: Problem) {
        let text = problem.text.clone();
        self.counters().fail(count, problem);
        self.on_failure(&text, count);
    }

    fn acknowledge(&self, count: u64, failed: u64) {
        let first = self.acknowledged.get();
        self.acknowledged.set(first + count);
        // Each request that waits for the records learns of the failures, and so nobody else has to.
        let mut reported = 0;
        self.checkpoints.borrow_mut().retain(|checkpoint| {
            let Some(checkpoint) = checkpoint.upgrade() else {
                return false;
            };
            let awaited = checkpoint.target.saturating_sub(first).min(count);
            let failed = failed.min(awaited);
            checkpoint.failed.update(|sum| sum + failed);
            reported = reported.max(failed);
            true
        });
        self.put_unreported(failed - reported);
        self.progress.notify_waiters();
    }

    pub(super) fn notify_progress(&self) {
        self.progress.notify_waiters();
    }

    fn stats(&self) -> SignalStats {
        self.shared.stats().of(self.signal)
    }

    fn counters(&self) -> MutexGuard<'_, SignalCounters> {
        self.shared.counters(self.signal)
    }
}

// === impl Checkpoint ===

impl Checkpoint {
    /// Returns a checkpoint for all records that the pipeline has received.
    pub(crate) fn new(pipeline: &Rc<Pipeline>) -> Rc<Self> {
        let checkpoint = Rc::new(Self {
            pipeline: Rc::clone(pipeline),
            target: pipeline.received(),
            failed: Cell::default(),
        });
        let mut checkpoints = pipeline.checkpoints.borrow_mut();
        // Those of ended requests: an idle sink acknowledges nothing, and may be flushed for ever.
        checkpoints.retain(|checkpoint| checkpoint.strong_count() > 0);
        checkpoints.push(Rc::downgrade(&checkpoint));
        checkpoint
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.get()
    }

    pub(crate) fn pending(&self) -> u64 {
        self.pipeline.pending(self.target)
    }

    /// Waits until the records are acknowledged.
    pub(crate) async fn acknowledged(&self) {
        self.pipeline.progress(|_| self.pending() == 0).await;
    }
}

/// Runs an export. A panic is a rejection, also one of the drop of the export.
async fn reject_panic(export: impl Future<Output = ExportOutcome>) -> ExportOutcome {
    let mut export = Some(Box::pin(export));
    poll_fn(|context| {
        let polled = catch_panic(|| {
            let outcome = export.as_mut().map(|export| export.as_mut().poll(context));
            let outcome = outcome.unwrap_or(Poll::Pending);
            if outcome.is_ready() {
                export = None;
            }
            outcome
        });
        polled.unwrap_or_else(|message| {
            let problem = format!("the exporter panicked: {message}");
            Poll::Ready(ExportOutcome::Rejected(problem.into()))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::delivery::testing::{ends, pipeline, problem};

    #[test]
    fn ended_requests_leave_nothing_behind_in_an_idle_pipeline() {
        let pipeline = pipeline(Signal::Traces, Limits::default(), &[]);
        for _ in 0..1000 {
            drop(Checkpoint::new(&pipeline));
        }
        assert_eq!(pipeline.checkpoints.borrow().len(), 1);
    }

    #[test]
    fn a_full_buffer_does_not_hide_the_problem_of_the_receiver() {
        let mut limits = Limits::default();
        limits.spans.queue_capacity = 2;
        let pipeline = pipeline(Signal::Traces, limits, &ends(3));
        let latest = || pipeline.counters().problem.clone();
        assert_eq!(latest().as_deref(), Some(BUFFER_FULL));
        pipeline.on_retry(&problem("connection_error"));
        pipeline.push(ends(1).remove(0));
        let latest = latest();
        assert_eq!(latest.as_deref(), Some("the receiver: connection_error"));
        let counters = pipeline.counters();
        assert_eq!(counters.failed_by_type()["queue_full"], 2);
    }
}
