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
    ///
    /// # Panics
    ///
    /// When polled after it was done.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        // `None` once it is done. It goes before the call ends, here and by standing before the guard,
        // so that what it opened within the call ends first, and what it writes on its way out (a
        // timeout answers while the service it gave up on is still there) is on the event.
        #[pin]
        inner: Option<F>,
        guard: CallGuard,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn new(inner: F, guard: CallGuard) -> Self {
        Self {
            inner: Some(inner),
            guard,
        }
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
        let (mut inner, guard) = (this.inner, this.guard);
        let result = ready!(guard.observe(|| match inner.as_mut().as_pin_mut() {
            Some(inner) => inner.poll(cx),
            None => panic!("`timing::future::ResponseFuture` polled after it was done"),
        }));
        guard.observe(|| inner.set(None));
        guard.close(match &result {
            Ok(_) => Outcome::Ok,
            Err(_) => Outcome::Error,
        });
        Poll::Ready(result)
    }
}
