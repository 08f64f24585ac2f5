use std::{
    fmt,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{Classify, future::ResponseFuture};
use crate::call::CodexRequest;

/// The service of [`ErrorClassLayer`](super::ErrorClassLayer).
///
/// ```
/// use codex_telemetry::{
///     Call, ErrorClass, MemorySink, Operation, TimingLayer, error_class::ErrorClassService,
/// };
/// use tower::{Layer, Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let buy = service_fn(|_: Call<()>| async { Err::<(), _>("sold out") });
/// let call = || Call::new(Operation::Custom("buy"), ());
/// let mut classified = ErrorClassService::new(buy, |_: &&str| ErrorClass::Overloaded);
/// // The error is the inner service's, classified or not.
/// assert_eq!(classified.get_mut().call(call()).await, Err("sold out"));
/// assert_eq!(classified.get_ref().clone().oneshot(call()).await, Err("sold out"));
///
/// // Within a call that is timed, its class is recorded.
/// let sink = MemorySink::new();
/// let service = TimingLayer::new(sink.clone()).layer(classified);
/// assert_eq!(service.clone().oneshot(call()).await, Err("sold out"));
/// assert_eq!(sink.events()[1].error_class(), Some(ErrorClass::Overloaded));
///
/// let unclassified = TimingLayer::new(sink.clone()).layer(service.into_inner().into_inner());
/// assert_eq!(unclassified.oneshot(call()).await, Err("sold out"));
/// assert_eq!(sink.events()[3].error_class(), None);
/// # }
/// ```
#[derive(Clone)]
pub struct ErrorClassService<S, C> {
    inner: S,
    classifier: C,
}

impl<S, C> ErrorClassService<S, C> {
    /// Returns a service that classifies with `classifier`, a [`Classify`] of the inner service's error.
    pub const fn new(inner: S, classifier: C) -> Self {
        Self { inner, classifier }
    }

    /// Returns the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service for changes.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service without this one.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, R> Service<R> for ErrorClassService<S, C>
where
    S: Service<R>,
    C: Classify<S::Error> + Clone,
    R: CodexRequest,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        // A request whose call is not recorded pays for no clone of the classifier.
        let open = request.context().open_record();
        let open = open.map(|record| (record.clone(), self.classifier.clone()));
        ResponseFuture::new(self.inner.call(request), open)
    }
}

impl<S: fmt::Debug, C> fmt::Debug for ErrorClassService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorClassService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
