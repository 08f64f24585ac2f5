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

/// Work on a thread that may block, which learns when nobody waits for it any more.
#[derive(Debug)]
#[must_use = "dropped work is abandoned"]
pub(super) struct Work<T> {
    task: JoinHandle<T>,
    abandoned: Abandoned,
}

/// Whether the future of some [`Work`] was dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Abandoned(Arc<AtomicBool>);

/// The work was abandoned, or its runtime shut down before it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interrupted;

// === impl Work ===

impl<T: Send + 'static> Work<T> {
    pub(super) fn spawn(work: impl FnOnce(&Abandoned) -> T + Send + 'static) -> Self {
        let abandoned = Abandoned::default();
        let told = abandoned.clone();
        Self {
            task: spawn_blocking(move || work(&told)),
            abandoned,
        }
    }
}

impl<T> Future for Work<T> {
    type Output = Result<T, Interrupted>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.task).poll(cx)) {
            Ok(done) => Ok(done),
            Err(error) => match error.try_into_panic() {
                // A panic belongs to the call, wherever the thread was that it happened on.
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(Interrupted),
            },
        })
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        self.abandoned.0.store(true, Relaxed);
        // Work that waits for a thread need not begin.
        self.task.abort();
    }
}

// === impl Abandoned ===

impl Abandoned {
    pub(super) fn check(&self) -> Result<(), Interrupted> {
        if self.0.load(Relaxed) {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }
}
