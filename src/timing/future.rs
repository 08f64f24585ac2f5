//! The future of [`TimingService`](super::TimingService).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use crate::{call::CallGuard, event::Outcome};

pin_project! {
    /// The future of [`TimingService`](super::TimingService).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it drops the inner future and then ends its call as cancelled.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        // Declared before the guard, so that it is dropped first: calls that it opened within this
        // one end before this one does.
        #[pin]
        inner: F,
        guard: CallGuard,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, guard: CallGuard) -> Self {
        Self { inner, guard }
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (inner, guard) = (this.inner, this.guard);
        let result = ready!(guard.observe(|| inner.poll(cx)));
        guard.close(match &result {
            Ok(_) => Outcome::Ok,
            Err(_) => Outcome::Error,
        });
        Poll::Ready(result)
    }
}
