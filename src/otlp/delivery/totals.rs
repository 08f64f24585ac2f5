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
    /// The counts of the other signals in the latest export that was accepted or rejected.
    latest_counts: Cell<u64>,
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
            latest_counts,
        } = &self.requests;
        // At a random time of its own: programs that start together do not export together.
        let mut interval = self
            .limits
            .metric_interval
            .mul_f64(0.5 + 0.5 * fastrand::f64());
        loop {
            if requested == completed {
                tokio::select! {
                    () = sleep(interval) => interval = self.limits.metric_interval,
                    () = self.flush_requested.notified() => continue,
                }
            }
            if self.received() == 0 {
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
                        self.attempt(limit, export(collection)).await
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
                latest_counts.set(counts);
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
            latest_counts,
        } = &self.requests;
        let received = self.received();
        let is_latest = self.pending(received) == 0 && latest_counts.get() == self.other_counts();
        if received == 0 || is_latest {
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

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc, time::Duration};

    use futures_util::future::join_all;

    use super::*;
    use crate::otlp::{
        config::Limits,
        delivery::testing::{ACCEPTED, emit, ends, pipeline, problem, retryable},
    };

    /// Runs a pipeline of metrics until `test` ends. `receiver` gets each collection: the measurements
    /// in it, which are numbered.
    async fn run(
        is_delta: bool,
        receiver: impl AsyncFn(&Vec<u64>) -> ExportOutcome,
        test: impl AsyncFnOnce(Rc<Pipeline>),
    ) {
        let pipeline = pipeline(Signal::Metrics, Limits::default(), &[]);
        let collected = Cell::new(0);
        let collect = || {
            let first = if is_delta { collected.get() } else { 0 };
            collected.set(pipeline.received());
            Ok(Vec::from_iter(first..pipeline.received()))
        };
        tokio::select! {
            () = pipeline.export_metrics(is_delta, collect, receiver) => unreachable!(),
            () = test(Rc::clone(&pipeline)) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn programs_that_start_together_do_not_export_together() {
        let interval = Limits::default().metric_interval;
        let start = tokio::time::Instant::now();
        let exports = (0..50).map(|_| async {
            let times = RefCell::new(Vec::new());
            let receiver = async |_: &Vec<u64>| {
                times.borrow_mut().push(start.elapsed());
                ACCEPTED
            };
            run(false, receiver, async |pipeline| {
                emit(&pipeline, &ends(1));
                sleep(interval * 2).await;
            })
            .await;
            times.into_inner()
        });
        let mut first = Vec::new();
        for times in join_all(exports).await {
            assert!(
                times[0] >= interval / 2 && times[0] <= interval,
                "{times:?}"
            );
            assert_eq!(times[1].as_secs(), (times[0] + interval).as_secs());
            first.push(times[0].as_secs());
        }
        first.sort_unstable();
        assert!(first[49] - first[0] > interval.as_secs() / 4, "{first:?}");
        first.dedup();
        assert!(first.len() > 10, "{first:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_delta_that_failed_is_sent_again_and_nothing_is_lost_or_sent_twice() {
        for minutes in [1, 60] {
            let outage = sleep(Duration::from_secs(60 * minutes));
            let accepted = RefCell::new(Vec::new());
            let is_up = Cell::new(false);
            let receiver = async |delta: &Vec<u64>| {
                if !is_up.get() {
                    return retryable("connection_error");
                }
                accepted.borrow_mut().extend_from_slice(delta);
                ACCEPTED
            };
            run(true, receiver, async |pipeline| {
                emit(&pipeline, &ends(3));
                tokio::select! {
                    () = pipeline.export_latest_metrics() => panic!("the receiver is down"),
                    () = outage => {}
                }
                emit(&pipeline, &ends(2));
                is_up.set(true);
                pipeline.export_latest_metrics().await;
                let stats = pipeline.shared.stats().metrics;
                assert_eq!((stats.exported, stats.failed), (5, 0));
            })
            .await;
            assert_eq!(accepted.into_inner(), [0, 1, 2, 3, 4]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_delta_that_is_rejected_is_lost_and_counted() {
        let deltas = RefCell::new(Vec::new());
        let receiver = async |delta: &Vec<u64>| {
            deltas.borrow_mut().push(delta.clone());
            ExportOutcome::Rejected(problem("400"))
        };
        run(true, receiver, async |pipeline| {
            for count in [3, 2] {
                emit(&pipeline, &ends(count));
                pipeline.export_latest_metrics().await;
            }
            assert_eq!(pipeline.shared.stats().metrics.failed, 5);
        })
        .await;
        assert_eq!(deltas.into_inner(), [vec![0, 1, 2], vec![3, 4]]);
    }

    #[tokio::test(start_paused = true)]
    async fn totals_are_collected_anew_for_each_attempt() {
        let totals = RefCell::new(Vec::new());
        let is_up = Cell::new(false);
        let receiver = async |total: &Vec<u64>| {
            totals.borrow_mut().push(total.len());
            if is_up.get() {
                ACCEPTED
            } else {
                retryable("503")
            }
        };
        run(false, receiver, async |pipeline| {
            emit(&pipeline, &ends(3));
            tokio::select! {
                () = pipeline.export_latest_metrics() => panic!("the receiver is down"),
                () = sleep(Duration::from_secs(1)) => {}
            }
            emit(&pipeline, &ends(2));
            is_up.set(true);
            pipeline.export_latest_metrics().await;
            assert_eq!(pipeline.shared.stats().metrics.exported, 5);
        })
        .await;
        let totals = totals.into_inner();
        assert_eq!((totals.first(), totals.last()), (Some(&3), Some(&5)));
    }

    #[tokio::test(start_paused = true)]
    async fn measurements_whose_data_points_were_rejected_are_not_exported() {
        let receiver = async |_: &Vec<u64>| ExportOutcome::Accepted {
            rejected: 1,
            problem: Some("the receiver: too many series".to_owned()),
        };
        run(false, receiver, async |pipeline| {
            emit(&pipeline, &ends(3));
            pipeline.export_latest_metrics().await;
            let stats = pipeline.shared.stats().metrics;
            assert_eq!((stats.exported, stats.failed), (0, 3));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_export_of_metrics_ends_at_its_time_limit() {
        let attempts = Cell::new(0);
        let receiver = async |_: &Vec<u64>| {
            attempts.set(attempts.get() + 1);
            if attempts.get() == 1 {
                return std::future::pending().await;
            }
            ACCEPTED
        };
        run(false, receiver, async |pipeline| {
            emit(&pipeline, &ends(1));
            let started = tokio::time::Instant::now();
            pipeline.export_latest_metrics().await;
            let limit = Limits::default().metric_timeout;
            assert!(started.elapsed() >= limit, "{:?}", started.elapsed());
            assert!(started.elapsed() < limit + Duration::from_secs(1));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_exports_metrics_once_if_nothing_has_changed() {
        let attempts = Cell::new(0);
        let receiver = async |_: &Vec<u64>| {
            attempts.set(attempts.get() + 1);
            ACCEPTED
        };
        run(false, receiver, async |pipeline| {
            pipeline.export_latest_metrics().await;
            assert_eq!(attempts.get(), 0, "there is nothing");
            emit(&pipeline, &ends(1));
            pipeline.export_latest_metrics().await;
            pipeline.export_latest_metrics().await;
            assert_eq!(attempts.get(), 1);
            // The counts of another signal are metrics too.
            pipeline.shared.counters(Signal::Logs).exported += 1;
            pipeline.export_latest_metrics().await;
            assert_eq!(attempts.get(), 2);
        })
        .await;
    }
}
