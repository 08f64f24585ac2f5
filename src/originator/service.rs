use std::task::{Context, Poll};

use tower_service::Service;

use crate::{call::CodexRequest, event::Originator};

/// The service of [`OriginatorLayer`](super::OriginatorLayer).
#[derive(Clone, Debug)]
pub struct OriginatorService<S> {
    pub(super) inner: S,
    pub(super) originator: Originator,
    pub(super) overrides: bool,
}

impl<S> OriginatorService<S> {
    /// Returns a service that sets `originator` on requests that have none.
    pub const fn new(inner: S, originator: Originator) -> Self {
        Self {
            inner,
            originator,
            overrides: false,
        }
    }

    /// Returns a service that sets `originator` on every request, in place of any that it has.
    pub const fn always(inner: S, originator: Originator) -> Self {
        Self {
            inner,
            originator,
            overrides: true,
        }
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
            .attribute_to(&self.originator, self.overrides);
        self.inner.call(request)
    }
}
