use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_layer::Layer;
use tower_service::Service;

use super::{TimingLayer, future::ResponseFuture};
use crate::{
    call::{CallGuard, CodexRequest},
    event::{Clock, Emitter},
    sink::Sink,
};

/// The service of [`TimingLayer`].
///
/// ```
/// use codex_telemetry::{Call, Clock, MemorySink, Operation, timing::TimingService};
/// use std::time::{Duration, UNIX_EPOCH};
/// use tower::{Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ()> {
/// let sink = MemorySink::new();
/// let add = service_fn(|call: Call<u32>| async move { Ok::<_, ()>(call.request + 1) });
/// let call = |number| Call::new(Operation::Custom("add"), number);
///
/// let mut service = TimingService::new(add, sink.clone());
/// assert_eq!(service.ready().await?.call(call(41)).await?, 42);
/// assert_eq!(sink.take().len(), 2);
/// // Calls of the inner service have no events.
/// assert_eq!(service.get_mut().call(call(1)).await?, 2);
/// assert_eq!(service.get_ref().clone().oneshot(call(2)).await?, 3);
/// assert!(sink.events().is_empty());
///
/// // With a clock for tests.
/// let (clock, manual) = Clock::manual(UNIX_EPOCH);
/// let service = TimingService::with_clock(service.into_inner(), sink.clone(), clock);
/// manual.advance(Duration::from_secs(60));
/// service.oneshot(call(3)).await?;
/// assert_eq!(sink.events()[0].time(), UNIX_EPOCH + Duration::from_secs(60));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TimingService<S> {
    pub(super) inner: S,
    pub(super) emitter: Arc<Emitter>,
}

impl<S> TimingService<S> {
    /// Returns a service that emits the events of its calls to `sink`.
    pub fn new(inner: S, sink: impl Sink + 'static) -> Self {
        TimingLayer::new(sink).layer(inner)
    }

    /// Returns a service with a given clock, such as a manual one for a test.
    pub fn with_clock(inner: S, sink: impl Sink + 'static, clock: Clock) -> Self {
        TimingLayer::with_clock(sink, clock).layer(inner)
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

impl<S, R> Service<R> for TimingService<S>
where
    S: Service<R>,
    R: CodexRequest,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    /// Emits no event: an error here comes before there is a call.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: R) -> Self::Future {
        let interest = self.emitter.interest();
        let call = (!interest.is_none()).then(|| {
            let (operation, name) = (request.operation(), request.name());
            let context = request.context_mut();
            context.open(&self.emitter, interest, operation, name)
        });
        let mut guard = CallGuard::new(call);
        let inner = guard.observe(|| self.inner.call(request));
        ResponseFuture::new(inner, guard)
    }
}
