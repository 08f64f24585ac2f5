use std::{
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::task::{JoinHandle, spawn_blocking};

use super::AttachmentError;

/// A task on a blocking thread. Dropping it cancels the task.
///
/// It fails with [`AttachmentError::Interrupted`] if the runtime shuts down before the task starts.
#[derive(Debug)]
#[must_use = "a dropped task is cancelled"]
pub(super) struct BlockingTask<T> {
    handle: JoinHandle<Result<T, AttachmentError>>,
    token: CancellationToken,
}

/// Reports to a [`BlockingTask`]'s thread that the task was cancelled.
#[derive(Clone, Debug, Default)]
pub(super) struct CancellationToken(Arc<AtomicBool>);

// === impl BlockingTask ===

impl<T: Send + 'static> BlockingTask<T> {
    pub(super) fn spawn(
        run: impl FnOnce(&CancellationToken) -> Result<T, AttachmentError> + Send + 'static,
    ) -> Self {
        let token = CancellationToken::default();
        let clone = token.clone();
        Self {
            handle: spawn_blocking(move || run(&clone)),
            token,
        }
    }
}

impl<T> Future for BlockingTask<T> {
    type Output = Result<T, AttachmentError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let joined = ready!(Pin::new(&mut self.handle).poll(cx));
        Poll::Ready(joined.unwrap_or_else(|error| match error.try_into_panic() {
            // The caller sees the panic as if the task had run on its own thread.
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(AttachmentError::Interrupted),
        }))
    }
}

impl<T> Drop for BlockingTask<T> {
    fn drop(&mut self) {
        self.token.0.store(true, Relaxed);
        // A task that still waits for a thread never starts.
        self.handle.abort();
    }
}

// === impl CancellationToken ===

impl CancellationToken {
    /// Returns an error if the task was cancelled.
    pub(super) fn check(&self) -> Result<(), AttachmentError> {
        match self.0.load(Relaxed) {
            true => Err(AttachmentError::Interrupted),
            false => Ok(()),
        }
    }
}
