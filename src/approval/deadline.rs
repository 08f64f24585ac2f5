use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

pin_project! {
    /// A future with a deadline that its output has to be read before.
    ///
    /// Not tokio's `Timeout`, which polls the future first: after the deadline it still returns the output
    /// of a future that has become ready. Here the clock decides, before and after each poll.
    pub(super) struct Deadline<F> {
        #[pin]
        inner: F,
        #[pin]
        sleep: Sleep,
    }
}

/// The deadline passed without an output.
pub(super) struct Elapsed;

// === impl Deadline ===

impl<F> Deadline<F> {
    /// Starts the time now.
    pub(super) fn new(after: Duration, inner: F) -> Self {
        Self {
            inner,
            sleep: sleep(after),
        }
    }
}

impl<F: Future> Future for Deadline<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The clock and not the timer, which may report its end late.
        let deadline = this.sleep.deadline();
        let has_passed = || Instant::now() >= deadline;
        if has_passed() {
            return Poll::Ready(Err(Elapsed));
        }
        match this.inner.poll(cx) {
            Poll::Ready(_) if has_passed() => Poll::Ready(Err(Elapsed)),
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => this.sleep.poll(cx).map(|()| Err(Elapsed)),
        }
    }
}
