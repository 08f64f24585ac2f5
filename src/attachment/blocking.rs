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

/// A task on a blocking thread. Dropping it cancels the task.
#[derive(Debug)]
#[must_use = "a dropped task is cancelled"]
pub(super) struct BlockingTask<T> {
    handle: JoinHandle<T>,
    token: CancellationToken,
}

/// Reports to a [`BlockingTask`]'s thread that the task was cancelled.
#[derive(Clone, Debug, Default)]
pub(super) struct CancellationToken(Arc<AtomicBool>);

/// The error of a task that was cancelled, or whose runtime shut down before it started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interrupted;

// === impl BlockingTask ===

impl<T: Send + 'static> BlockingTask<T> {
    pub(super) fn spawn(run: impl FnOnce(&CancellationToken) -> T + Send + 'static) -> Self {
        let token = CancellationToken::default();
        let clone = token.clone();
        Self {
            handle: spawn_blocking(move || run(&clone)),
            token,
        }
    }
}

impl<T> Future for BlockingTask<T> {
    type Output = Result<T, Interrupted>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.handle).poll(cx));
        Poll::Ready(result.map_err(|error| match error.try_into_panic() {
            // The caller sees the panic as if the task had run on its own thread.
            Ok(panic) => resume_unwind(panic),
            Err(_) => Interrupted,
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
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        match self.0.load(Relaxed) {
            true => Err(Interrupted),
            false => Ok(()),
        }
    }
}
