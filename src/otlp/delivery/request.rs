use std::{rc::Rc, sync::Arc};

use tokio::time::{Instant, timeout_at};

use super::{
    pipeline::{Checkpoint, Pipeline},
    shared::Shared,
    undelivered::Undelivered,
};
use crate::otlp::config::Signal;

/// A command from a handle of the sink.
pub(crate) struct Command {
    pub(crate) purpose: Purpose,
    pub(crate) deadline: std::time::Instant,
    /// Returns whether the caller still waited.
    pub(crate) respond: Respond,
}

/// Answers a command.
pub(crate) type Respond = Box<dyn FnOnce(Result<(), Undelivered>) -> bool + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reports what failed since the command.
    Flush,
    /// Reports also the earlier failures that were not reported.
    Shutdown,
}

/// A flush or a shutdown in progress.
pub(crate) struct Request {
    command: Command,
    shared: Arc<Shared>,
    awaited: Vec<Awaited>,
}

/// What a request waits for in one pipeline.
struct Awaited {
    checkpoint: Rc<Checkpoint>,
    /// Failed records before the request that no other answer has reported.
    failed_before: u64,
}

// === impl Request ===

impl Request {
    /// Begins a request. `distribute` moves the events of the queue into the pipelines.
    pub(crate) fn begin(
        command: Command,
        shared: Arc<Shared>,
        pipelines: &[Rc<Pipeline>],
        distribute: impl FnOnce(),
    ) -> Self {
        let before = pipelines.iter().map(|pipeline| pipeline.unreported());
        let before: Vec<_> = before.collect();
        distribute();
        let awaited = pipelines.iter().zip(before).map(|(pipeline, before)| {
            // A flush reports those records alone that were dropped on their way into a pipeline now.
            let kept = match command.purpose {
                Purpose::Flush => before,
                Purpose::Shutdown => 0,
            };
            Awaited {
                checkpoint: Checkpoint::new(pipeline),
                failed_before: pipeline.take_unreported(pipeline.unreported() - kept),
            }
        });
        Self {
            awaited: awaited.collect(),
            command,
            shared,
        }
    }

    /// Waits until the records are exported or failed, or until the deadline. Returns those that were not
    /// exported.
    ///
    /// Metrics are exported after the other signals, so that they include the final counts of those. They
    /// get the second half of the time, even if the others do not finish.
    pub(crate) async fn deliver(&self) -> Result<(), Undelivered> {
        let deadline: Instant = self.command.deadline.into();
        let (metrics, others): (Vec<_>, Vec<_>) = self
            .awaited
            .iter()
            .map(|awaited| &awaited.checkpoint)
            .partition(|checkpoint| checkpoint.pipeline.signal() == Signal::Metrics);
        let acknowledged = async || {
            for checkpoint in &others {
                checkpoint.pipeline.request_flush();
            }
            for checkpoint in &others {
                checkpoint.acknowledged().await;
            }
        };
        let export_metrics = async || {
            for checkpoint in &metrics {
                checkpoint.pipeline.export_latest_metrics().await;
            }
        };
        if !metrics.is_empty() {
            let half = Instant::now() + deadline.duration_since(Instant::now()) / 2;
            let _ = timeout_at(half, acknowledged()).await;
        }
        let _ = timeout_at(deadline, async {
            export_metrics().await;
            acknowledged().await;
            // Only if the others have finished in between.
            export_metrics().await;
        })
        .await;
        let mut undelivered = Undelivered::default();
        for awaited in &self.awaited {
            let signal = awaited.checkpoint.pipeline.signal();
            let pending = awaited.checkpoint.pending();
            undelivered.add(&self.shared, signal, awaited.failed(), pending);
        }
        undelivered.into_result()
    }

    /// Answers the command. If the caller has stopped waiting, another answer will report the failures.
    pub(crate) fn answer(self, delivered: Result<(), Undelivered>) {
        if !(self.command.respond)(delivered) {
            for awaited in &self.awaited {
                let pipeline = &awaited.checkpoint.pipeline;
                pipeline.put_unreported(awaited.failed());
            }
        }
    }
}

// === impl Awaited ===

impl Awaited {
    fn failed(&self) -> u64 {
        self.failed_before + self.checkpoint.failed()
    }
}
