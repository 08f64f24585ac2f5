use std::{future::pending, rc::Rc};

use tokio::time::{Instant, sleep_until};

use super::{handle::FOR_EVER, pipeline::Pipeline};

/// When the records of each pipeline are exported at the latest.
pub(super) struct Schedule(Vec<(Rc<Pipeline>, Instant)>);

// === impl Schedule ===

impl Schedule {
    pub(super) fn new(pipelines: &[Rc<Pipeline>]) -> Self {
        let due = |pipeline: &Rc<Pipeline>| (Rc::clone(pipeline), due(pipeline));
        Self(pipelines.iter().map(due).collect())
    }

    /// Waits until the next pipeline is due.
    pub(super) async fn next(&self) {
        match self.0.iter().map(|(_, due)| *due).min() {
            Some(next) => sleep_until(next).await,
            None => pending().await,
        }
    }

    /// Wakes the pipelines that are due, and those with a full batch.
    pub(super) fn wake(&mut self) {
        let now = Instant::now();
        for (pipeline, due_at) in &mut self.0 {
            let is_due = now >= *due_at;
            pipeline.wake(is_due);
            if is_due {
                *due_at = due(pipeline);
            }
        }
    }
}

/// Returns when records that come now are due.
fn due(pipeline: &Pipeline) -> Instant {
    let now = Instant::now();
    now.checked_add(pipeline.schedule_delay())
        .unwrap_or(now + FOR_EVER)
}
