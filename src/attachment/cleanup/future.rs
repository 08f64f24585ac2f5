//! The future of [`CleanupService`](super::CleanupService).

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{CleanupReport, sweep::Progress};
use crate::{
    attachment::{CleanupError, blocking::BlockingTask},
    call::CallContext,
    event::names,
};

/// The response future of [`CleanupService`](super::CleanupService).
///
/// # Cancel safety
///
/// Dropping the future records what was removed so far and stops the sweep at the next batch.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    task: BlockingTask<Result<(), CleanupError>>,
    progress: Arc<Progress>,
    /// `None` once the counts are recorded.
    context: Option<CallContext>,
}

// === impl ResponseFuture ===

impl ResponseFuture {
    pub(super) fn new(
        task: BlockingTask<Result<(), CleanupError>>,
        progress: Arc<Progress>,
        context: CallContext,
    ) -> Self {
        Self {
            task,
            progress,
            context: Some(context),
        }
    }

    fn record(&mut self) {
        let Some(context) = self.context.take() else {
            return;
        };
        let report = self.progress.report();
        for (key, count) in [
            (names::CLEANUP_REMOVED, report.removed),
            (names::CLEANUP_KEPT, report.kept),
            (names::CLEANUP_FAILED, report.failed),
            (names::CLEANUP_BYTES, report.removed_bytes),
        ] {
            context.record(key, i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

impl Future for ResponseFuture {
    type Output = Result<CleanupReport, CleanupError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.task).poll(cx));
        // Recorded here and not on drop, because the layers can close the call before the drop.
        self.record();
        result??;
        Poll::Ready(Ok(std::mem::take(&mut *self.progress.report())))
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        self.record();
    }
}
