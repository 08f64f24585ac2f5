//! The export of spans and log records, batch by batch.

use tokio::time::Instant;

use super::{backoff::Backoff, pipeline::Pipeline};
use crate::{event::Event, otlp::export::ExportOutcome};

/// After this many attempts, the halves of a batch are exported instead: the receiver may be too slow for the
/// whole, or fail because of one record.
const ATTEMPTS: u32 = 3;

/// The delays and the deadline of one batch.
struct Retry {
    backoff: Backoff,
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
        convert: impl Fn(&Event) -> Option<R>,
        export: impl AsyncFn(&[R]) -> ExportOutcome,
    ) {
        loop {
            let events = self.next_batch().await;
            let records: Vec<R> = events.iter().filter_map(&convert).collect();
            let filtered = events.len() - records.len();
            drop(events);
            if !records.is_empty() {
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
            deadline: Instant::now().checked_add(self.limits.max_age),
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
        let (count, max_age) = (as_count(part.len()), self.limits.max_age);
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.attempt(count, max_age, export(part)).await {
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
                    if attempts >= ATTEMPTS && part.len() > 1 && retry_after.is_none() {
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
