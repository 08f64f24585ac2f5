use std::sync::Arc;

use tower_layer::Layer;

use super::TimingService;
use crate::{
    event::{Clock, Emitter},
    sink::{CatchPanic, Sink},
};

/// Opens a call for each request, times it, and emits its start and its end to a [`Sink`].
///
/// Put it outside of what it should time, and outside of [`ErrorClassLayer`](crate::ErrorClassLayer), which
/// writes on the call that this layer opens. A timing layer within another one, such as around each attempt
/// of a retry or around a tool within a turn, opens a child call.
///
/// ```
/// use codex_telemetry::{Call, MemorySink, Operation, TimingLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use std::convert::Infallible;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Infallible> {
/// let sink = MemorySink::new();
/// let service = ServiceBuilder::new()
///     .layer(TimingLayer::new(sink.clone()))
///     .service(service_fn(|call: Call<u32>| async move { Ok::<_, Infallible>(call.request + 1) }));
///
/// let answer = service.oneshot(Call::new(Operation::Custom("add"), 41)).await?;
/// assert_eq!(answer, 42);
///
/// let names: Vec<_> = sink.events().iter().map(|event| event.name()).collect();
/// assert_eq!(names, ["add.start", "add.stop"]);
/// # Ok(())
/// # }
/// ```
///
/// # Streams
///
/// The call ends when the response arrives. If the response is a stream, that is before its body. To time the
/// body too, the service puts the guard of
/// [`call.context.keep_open()`](crate::CallContext::keep_open) into it, and the call ends with the body.
#[derive(Clone, Debug)]
pub struct TimingLayer {
    emitter: Arc<Emitter>,
}

impl TimingLayer {
    /// Returns a layer that emits events to `sink`, which all services of the layer share.
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self::with_clock(sink, Clock::system())
    }

    /// Returns a layer with a given clock, such as a manual one for a test.
    ///
    /// ```
    /// use codex_telemetry::{Call, Clock, MemorySink, Operation, TimingLayer};
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ()> {
    /// let sink = MemorySink::new();
    /// let (clock, manual) = Clock::manual(UNIX_EPOCH);
    /// let layer = TimingLayer::with_clock(sink.clone(), clock);
    /// let service = layer.layer(service_fn(|_: Call<()>| {
    ///     manual.advance(Duration::from_secs(3));
    ///     async { Ok::<_, ()>(()) }
    /// }));
    /// service.oneshot(Call::new(Operation::Custom("nap"), ())).await?;
    /// assert_eq!(sink.events()[1].duration(), Some(Duration::from_secs(3)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_clock(sink: impl Sink + 'static, clock: Clock) -> Self {
        Self {
            emitter: Arc::new(Emitter::new(clock, CatchPanic::new(sink))),
        }
    }
}

impl<S> Layer<S> for TimingLayer {
    type Service = TimingService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TimingService {
            inner,
            emitter: Arc::clone(&self.emitter),
        }
    }
}
