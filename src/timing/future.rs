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
    /// ```
    /// use codex_telemetry::{Call, MemorySink, Operation, Outcome, TimingLayer, timing};
    /// use std::future::{Pending, pending};
    /// use tower::{Layer, Service, service_fn};
    ///
    /// let sink = MemorySink::new();
    /// let layer = TimingLayer::new(sink.clone());
    /// let mut service = layer.layer(service_fn(|_: Call<()>| pending::<Result<(), ()>>()));
    ///
    /// let operation = Operation::Custom("wait");
    /// let response: timing::future::ResponseFuture<Pending<_>> = service.call(Call::new(operation, ()));
    /// assert_eq!(sink.events().len(), 1);
    /// drop(response);
    /// assert_eq!(sink.find(operation, Outcome::Cancelled).len(), 1);
    /// ```
    ///
    /// # Cancel safety
    ///
    /// When it is dropped before it completes, it drops the inner future and then ends its call as cancelled.
    ///
    /// # Panics
    ///
    /// When it is polled after it has completed.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        // `None` after completion. The inner future is dropped before the call ends: here because the field
        // comes before the guard, and in `poll` by hand. So its child calls end first, and the terminal event
        // has what it writes when it is dropped, as it is by a timeout.
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
            None => panic!("`timing::future::ResponseFuture` polled after completion"),
        }));
        guard.observe(|| inner.set(None));
        match &result {
            Ok(_) => guard.answered(),
            Err(_) => guard.end(Outcome::Error),
        }
        Poll::Ready(result)
    }
}
