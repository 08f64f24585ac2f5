use std::task::{Context, Poll};

use tower_service::Service;

use crate::{call::CodexRequest, event::Originator};

/// The service that [`OriginatorLayer`](super::OriginatorLayer) makes.
#[derive(Clone, Debug)]
pub struct OriginatorService<S> {
    inner: S,
    originator: Originator,
    always: bool,
}

impl<S> OriginatorService<S> {
    pub(super) fn new(inner: S, originator: Originator, always: bool) -> Self {
        Self {
            inner,
            originator,
            always,
        }
    }

    /// Returns the service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the service inside, to change.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the service inside, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R> Service<R> for OriginatorService<S>
where
    S: Service<R>,
    R: CodexRequest,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: R) -> Self::Future {
        request
            .context_mut()
            .attribute_to(&self.originator, self.always);
        self.inner.call(request)
    }
}
