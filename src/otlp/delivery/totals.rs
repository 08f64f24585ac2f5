//! The export of metrics: totals or deltas, at an interval and at the end.

use std::cell::Cell;

use tokio::time::sleep;

use super::{backoff::Backoff, pipeline::Pipeline};
use crate::otlp::{config::Signal, export::ExportOutcome};

/// Which exports of metrics were requested and have ended.
#[derive(Default)]
pub(super) struct Requests {
    requested: Cell<u64>,
    /// The last request whose metrics were collected after it, and were exported or rejected.
    completed: Cell<u64>,
    /// The counts of the other signals in the latest export.
    exported_counts: Cell<u64>,
}

impl Pipeline {
    /// Exports metrics for ever: at each interval, and when an export is requested.
    ///
    /// Totals are collected anew for each attempt, so each export includes what earlier ones did not
    /// deliver. A delta is collected once and sent until the receiver accepts or rejects it; meanwhile the
    /// instruments add up the next one. So neither loses a measurement unless an export is rejected, and
    /// both are retried without a limit of age.
    pub(crate) async fn export_metrics<C>(
        &self,
        is_delta: bool,
        collect: impl Fn() -> Result<C, String>,
        export: impl AsyncFn(&C) -> ExportOutcome,
    ) {
        let Requests {
            requested,
            completed,
            exported_counts,
        } = &self.requests;
        loop {
            if requested == completed {
                tokio::select! {
                    () = sleep(self.limits.metric_interval) => {}
                    () = self.flush_requested.notified() => {}
                }
            }
            if self.received() == 0 && requested == completed {
                continue;
            }
            let mut backoff = Backoff::new();
            let mut held = None;
            loop {
                let (request, counts, count, collection) = held.take().unwrap_or_else(|| {
                    let count = self.pending(self.received());
                    (requested.get(), self.other_counts(), count, collect())
                });
                let outcome = match &collection {
                    Ok(collection) => {
                        let limit = self.limits.metric_timeout;
                        self.attempt(count, limit, export(collection)).await
                    }
                    Err(problem) => ExportOutcome::Rejected(problem.clone().into()),
                };
                match outcome {
                    ExportOutcome::Retryable {
                        problem,
                        retry_after,
                    } => {
                        self.on_retry(&problem);
                        backoff.wait(retry_after, None, &self.flush_requested).await;
                        if is_delta {
                            held = Some((request, counts, count, collection));
                        }
                        continue;
                    }
                    ExportOutcome::Accepted {
                        rejected: 0,
                        problem,
                    } => {
                        exported_counts.set(counts);
                        self.settle_accepted(count, 0, problem);
                    }
                    // The receiver does not say which data points it rejected, and they are not
                    // measurements. So none of the measurements counts as exported.
                    ExportOutcome::Accepted { rejected, problem } => {
                        let problem = problem.unwrap_or_default();
                        let problem = format!("{problem} ({rejected} data points were rejected)");
                        self.settle_accepted(count, count, Some(problem));
                    }
                    ExportOutcome::Rejected(problem) | ExportOutcome::TooLarge(problem) => {
                        self.settle(count, count, Some(problem));
                    }
                }
                completed.set(request);
                self.notify_progress();
                break;
            }
        }
    }

    /// Exports metrics, unless the latest export has everything: all measurements, and the counts of the
    /// other signals, which the sink exports as metrics as well.
    pub(crate) async fn export_latest_metrics(&self) {
        let Requests {
            requested,
            completed,
            exported_counts,
        } = &self.requests;
        let pending = self.pending(self.received());
        if pending == 0 && exported_counts.get() == self.other_counts() {
            return;
        }
        let request = requested.get() + 1;
        requested.set(request);
        self.flush_requested.notify_one();
        self.progress(|_| completed.get() >= request).await;
    }

    /// Returns a number that changes with the counts of the other signals.
    fn other_counts(&self) -> u64 {
        let stats = self.shared.stats();
        let others = [Signal::Traces, Signal::Logs].map(|signal| stats.of(signal));
        let counts = others.map(|of| of.exported + of.failed + of.filtered + of.dropped);
        counts.iter().sum()
    }
}
