use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_service::Service;

use super::future::ResponseFuture;
use crate::{
    call::{CallGuard, CodexRequest},
    event::Recorder,
};

/// The service that [`TimingLayer`](super::TimingLayer) makes.
#[derive(Clone, Debug)]
pub struct TimingService<S> {
    inner: S,
    recorder: Arc<Recorder>,
}

impl<S> TimingService<S> {
    pub(super) fn new(inner: S, recorder: Arc<Recorder>) -> Self {
        Self { inner, recorder }
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

impl<S, R> Service<R> for TimingService<S>
where
    S: Service<R>,
    R: CodexRequest,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    /// An error of readiness comes before there is a call, so it makes no event.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: R) -> Self::Future {
        let call = self.recorder.enabled().then(|| {
            let (operation, name) = (request.operation(), request.name());
            request.context_mut().open(&self.recorder, operation, name)
        });
        let mut guard = CallGuard::new(call);
        let inner = guard.observe(|| self.inner.call(request));
        ResponseFuture::new(inner, guard)
    }
}
