//! The future of [`CleanupService`](super::CleanupService).

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{CleanupError, CleanupReport, sweep::Progress};
use crate::{attachment::blocking::Work, call::CallContext, event::names};

/// The future of [`CleanupService`](super::CleanupService).
///
/// # Cancel safety
///
/// Dropped before it is done, it records what was swept so far and stops the sweep at the next batch.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    work: Work<Result<(), CleanupError>>,
    progress: Arc<Progress>,
    /// Gone once the counts are recorded.
    context: Option<CallContext>,
}

// === impl ResponseFuture ===

impl ResponseFuture {
    pub(super) fn new(
        work: Work<Result<(), CleanupError>>,
        progress: Arc<Progress>,
        context: CallContext,
    ) -> Self {
        Self {
            work,
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
        let result = ready!(Pin::new(&mut self.work).poll(cx));
        // Now, not when this is dropped: by then the layers have closed the call.
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
