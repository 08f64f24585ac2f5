//! The future of [`ErrorClassService`](super::ErrorClassService).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::Classify;
use crate::event::Record;

pin_project! {
    /// The future of [`ErrorClassService`](super::ErrorClassService).
    ///
    /// # Cancel safety
    ///
    /// As safe as the inner future, which it drops; it writes nothing then.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C> {
        #[pin]
        inner: F,
        // The call to write on; `None` when nobody records.
        open: Option<Arc<Record>>,
        classifier: C,
    }
}

impl<F, C> ResponseFuture<F, C> {
    pub(super) fn new(inner: F, open: Option<Arc<Record>>, classifier: C) -> Self {
        Self {
            inner,
            open,
            classifier,
        }
    }
}

impl<F, C, T, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classify<E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        if let (Err(error), Some(open)) = (&result, this.open) {
            open.classify(this.classifier.classify(error));
        }
        Poll::Ready(result)
    }
}

impl<F: fmt::Debug, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
