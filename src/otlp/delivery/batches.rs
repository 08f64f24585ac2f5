//! The export of spans and log records, batch by batch.

use tokio::time::Instant;

use super::{backoff::Backoff, pipeline::Pipeline};
use crate::{event::Event, otlp::export::ExportOutcome};

/// After this many attempts, the halves of a batch are exported instead, and theirs after one attempt: the
/// receiver may be too slow for the whole, or fail because of one record.
const ATTEMPTS: u32 = 3;

/// How the parts of one batch are retried.
struct Retry {
    backoff: Backoff,
    /// How many attempts a part has before it is split.
    attempts: u32,
    deadline: Option<Instant>,
}

/// What became of a part of a batch.
enum Part {
    /// All its records are exported or failed.
    Settled,
    /// Its halves are to be exported.
    Split,
}

impl Pipeline {
    /// Exports the buffer for ever, batch by batch. `convert` returns `None` for an event that is not to be
    /// exported; it is called once for each event.
    pub(crate) async fn export_events<R>(
        &self,
        convert: impl Fn(Event) -> Option<R>,
        export: impl AsyncFn(&[R]) -> ExportOutcome,
    ) {
        loop {
            let events = self.next_batch().await;
            let count = events.len();
            let mut records = Vec::with_capacity(count);
            records.extend(events.into_iter().filter_map(&convert));
            let filtered = count - records.len();
            if !records.is_empty() {
                self.begin_export(as_count(records.len()));
                self.export_batch(&records, &export).await;
            }
            // After the others: a flush waits for the whole batch then, and not for too little.
            self.settle_filtered(as_count(filtered));
        }
    }

    /// Exports a batch, whole or in parts, until each record is exported or failed.
    async fn export_batch<R>(&self, records: &[R], export: &impl AsyncFn(&[R]) -> ExportOutcome) {
        let mut retry = Retry {
            backoff: Backoff::new(),
            attempts: ATTEMPTS,
            deadline: Instant::now().checked_add(self.limits.max_age(self.signal)),
        };
        // The first part is the last in the list. There is at most one part of each size, so a receiver that
        // has recovered gets the rest in a few requests.
        let mut parts = vec![records];
        while let Some(part) = parts.pop() {
            if let Part::Split = self.export_part(part, &mut retry, export).await {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
    }

    /// Exports a part of a batch. It is retried until the receiver accepts or rejects it, but not after the
    /// deadline of the batch. Past the deadline, each part that is left has one attempt.
    async fn export_part<R>(
        &self,
        part: &[R],
        retry: &mut Retry,
        export: &impl AsyncFn(&[R]) -> ExportOutcome,
    ) -> Part {
        let (count, max_age) = (as_count(part.len()), self.limits.max_age(self.signal));
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.attempt(max_age, export(part)).await {
                ExportOutcome::Accepted { rejected, problem } => {
                    retry.backoff = Backoff::new();
                    self.settle_accepted(count, rejected.min(count), problem);
                    return Part::Settled;
                }
                ExportOutcome::TooLarge(_) if part.len() > 1 => return Part::Split,
                ExportOutcome::Rejected(problem) | ExportOutcome::TooLarge(problem) => {
                    self.settle(count, count, Some(problem));
                    return Part::Settled;
                }
                ExportOutcome::Retryable { mut problem, .. } if retry.is_over() => {
                    problem.text = format!("{}; gave up after {max_age:?}", problem.text);
                    self.settle(count, count, Some(problem));
                    return Part::Settled;
                }
                ExportOutcome::Retryable {
                    problem,
                    retry_after,
                } => {
                    self.on_retry(&problem);
                    let backoff = &mut retry.backoff;
                    backoff
                        .wait(retry_after, retry.deadline, &self.flush_requested)
                        .await;
                    // Not if the receiver asked for the delay: halves are more requests.
                    if attempts >= retry.attempts && part.len() > 1 && retry_after.is_none() {
                        retry.attempts = 1;
                        return Part::Split;
                    }
                }
            }
        }
    }
}

// === impl Retry ===

impl Retry {
    fn is_over(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }
}

fn as_count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Duration};

    use opentelemetry::SpanId;
    use tokio::time::sleep;

    use super::*;
    use crate::otlp::{
        Signal,
        config::Limits,
        delivery::{
            stats::SignalStats,
            testing::{ACCEPTED, ends, pipeline, problem, retryable},
        },
    };

    const MAX_AGE: Duration = Duration::from_secs(300);

    /// The exports of a pipeline of spans, until all of them are acknowledged.
    struct Exported {
        /// The spans of each attempt.
        attempts: Vec<Vec<SpanId>>,
        /// The spans of the accepted attempts.
        accepted: Vec<SpanId>,
        took: Duration,
        stats: SignalStats,
        problem: String,
    }

    async fn export(
        events: &[Event],
        convert: impl Fn(&Event) -> Option<SpanId>,
        receiver: impl AsyncFn(&[SpanId]) -> ExportOutcome,
    ) -> Exported {
        assert_eq!(Limits::default().max_age, MAX_AGE);
        let pipeline = pipeline(Signal::Traces, Limits::default(), events);
        let (attempts, accepted) = (RefCell::default(), RefCell::default());
        let export = async |batch: &[SpanId]| {
            Vec::push(&mut attempts.borrow_mut(), batch.to_vec());
            let outcome = receiver(batch).await;
            if matches!(outcome, ExportOutcome::Accepted { .. }) {
                Vec::extend_from_slice(&mut accepted.borrow_mut(), batch);
            }
            outcome
        };
        let convert = |event: Event| convert(&event);
        let started = Instant::now();
        tokio::select! {
            () = pipeline.export_events(convert, export) => unreachable!(),
            () = pipeline.progress(|pipeline| pipeline.pending(pipeline.received()) == 0) => {}
        }
        let problem = pipeline.shared.counters(Signal::Traces).problem.clone();
        Exported {
            took: started.elapsed(),
            attempts: attempts.into_inner(),
            accepted: accepted.into_inner(),
            stats: pipeline.shared.stats().traces,
            problem: problem.as_deref().unwrap_or_default().to_owned(),
        }
    }

    fn ids(events: &[Event]) -> Vec<SpanId> {
        events.iter().map(Event::span_id).collect()
    }

    fn id(event: &Event) -> Option<SpanId> {
        Some(event.span_id())
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_too_large_goes_out_in_parts_and_in_order() {
        let events = ends(40);
        let exported = export(&events, id, async |batch| match batch.len() {
            ..=6 => ACCEPTED,
            _ => ExportOutcome::TooLarge(problem("413")),
        })
        .await;
        assert_eq!(exported.accepted, ids(&events));
        assert_eq!((exported.stats.exported, exported.stats.failed), (40, 0));
        assert_eq!(exported.took, Duration::ZERO, "it waited");
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_is_too_large_fails_alone() {
        let events = ends(40);
        let large = events[7].span_id();
        let exported = export(&events, id, async |batch| {
            if batch.contains(&large) {
                return ExportOutcome::TooLarge(problem("413"));
            }
            ACCEPTED
        })
        .await;
        assert_eq!((exported.stats.exported, exported.stats.failed), (39, 1));
        assert!(!exported.accepted.contains(&large));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_fails_at_its_maximum_age() {
        let exported = export(&ends(1), id, async |_| retryable("503")).await;
        assert_eq!((exported.stats.exported, exported.stats.failed), (0, 1));
        assert!(exported.took >= MAX_AGE, "{:?}", exported.took);
        assert!(exported.took < MAX_AGE + Duration::from_secs(1));
        assert_eq!(exported.problem, "the receiver: 503; gave up after 300s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_comes_back_gets_a_large_batch_in_few_requests() {
        let events = ends(512);
        let back = Instant::now() + MAX_AGE / 2;
        let exported = export(&events, id, async |_| {
            if Instant::now() < back {
                return retryable("connection_error");
            }
            ACCEPTED
        })
        .await;
        assert_eq!(exported.accepted, ids(&events));
        assert!(exported.attempts.len() < 25, "{}", exported.attempts.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_is_too_slow_for_a_batch_gets_smaller_ones() {
        let events = ends(40);
        let exported = export(&events, id, async |batch| {
            // 100 ms for each span, and a time limit of one second.
            let time = Duration::from_millis(100) * u32::try_from(batch.len()).unwrap();
            sleep(time.min(Duration::from_secs(1))).await;
            if time > Duration::from_secs(1) {
                return retryable("timeout");
            }
            ACCEPTED
        })
        .await;
        assert_eq!(exported.accepted, ids(&events));
        assert!(exported.took < MAX_AGE);
        for id in ids(&events) {
            let times = exported.attempts.iter().filter(|spans| spans.contains(&id));
            assert!(times.count() <= 5, "{:?}", exported.attempts.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_record_that_is_never_answered_does_not_hold_up_the_others() {
        let events = ends(40);
        let poison = events[20].span_id();
        let exported = export(&events, id, async |batch| {
            if batch.contains(&poison) {
                sleep(Duration::from_secs(10)).await;
                return retryable("timeout");
            }
            ACCEPTED
        })
        .await;
        assert_eq!((exported.stats.exported, exported.stats.failed), (39, 1));
        let last_attempt = Duration::from_secs(10);
        assert!(
            exported.took <= MAX_AGE + last_attempt,
            "{:?}",
            exported.took
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_exporter_that_never_finishes_is_given_up() {
        let exported = export(&ends(3), id, async |_| std::future::pending().await).await;
        assert_eq!((exported.stats.exported, exported.stats.failed), (0, 3));
        assert!(exported.took <= 2 * MAX_AGE, "{:?}", exported.took);
        let problem = exported.problem;
        assert!(problem.contains("did not finish within 300s"), "{problem}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_is_left_out_is_filtered_and_converted_once() {
        let events = ends(10);
        let converted = RefCell::new(0);
        let attempts = RefCell::new(0);
        let convert = |event: &Event| {
            *converted.borrow_mut() += 1;
            Some(event.span_id()).filter(|id| *id != events[3].span_id())
        };
        let exported = export(&events, convert, async |_| {
            *attempts.borrow_mut() += 1;
            if *attempts.borrow() < 3 {
                return retryable("503");
            }
            ACCEPTED
        })
        .await;
        assert_eq!((exported.stats.exported, exported.stats.filtered), (9, 1));
        assert_eq!((exported.stats.failed, exported.stats.pending), (0, 0));
        assert_eq!(converted.into_inner(), 10, "once, and not at each attempt");
    }
}
