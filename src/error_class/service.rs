use std::{
    fmt,
    task::{Context, Poll},
};

use tower_service::Service;

use super::{Classify, future::ResponseFuture};
use crate::call::CodexRequest;

/// The service of [`ErrorClassLayer`](super::ErrorClassLayer).
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
