//! The future of [`ErrorClassService`](super::ErrorClassService).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::Classify;
use crate::event::RecordHandle;

pin_project! {
    /// The future of [`ErrorClassService`](super::ErrorClassService).
    ///
    /// ```
    /// use codex_telemetry::{Call, ErrorClass, ErrorClassLayer, Operation, error_class};
    /// use std::future::{Ready, ready};
    /// use tower::{Layer, Service, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// type Answer = Result<(), &'static str>;
    /// type Classifier = fn(&&'static str) -> ErrorClass;
    ///
    /// let layer = ErrorClassLayer::new((|_| ErrorClass::Overloaded) as Classifier);
    /// let mut service = layer.layer(service_fn(|_: Call<()>| ready(Answer::Err("sold out"))));
    /// // The future can be a field or an associated type: it needs no box.
    /// let response: error_class::future::ResponseFuture<Ready<Answer>, Classifier> =
    ///     service.call(Call::new(Operation::Custom("buy"), ()));
    /// assert_eq!(response.await, Err("sold out"));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// When it is dropped before it completes, it drops the inner future and classifies nothing.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, C> {
        #[pin]
        inner: F,
        // The call to write on, and the classifier for it. `None` if the call is not recorded.
        open: Option<(RecordHandle, C)>,
    }
}

impl<F, C> ResponseFuture<F, C> {
    pub(super) fn new(inner: F, open: Option<(RecordHandle, C)>) -> Self {
        Self { inner, open }
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
        if let (Err(error), Some((record, classifier))) = (&result, this.open) {
            record.classify(classifier.classify(error));
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
