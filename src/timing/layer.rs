use std::sync::Arc;

use tower_layer::Layer;

use super::TimingService;
use crate::{
    event::{Clock, Recorder},
    sink::{CatchPanic, Sink},
};

/// Opens a call for each request, times it, and hands its start and its end to a sink.
///
/// Put it outside of what should be timed, and outside of
/// [`ErrorClassLayer`](crate::ErrorClassLayer), which writes on the call that this layer opens. One
/// inside another (around each attempt of a retry, or around a tool inside a turn) makes a child
/// call.
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
#[derive(Clone, Debug)]
pub struct TimingLayer {
    recorder: Arc<Recorder>,
}

impl TimingLayer {
    /// Returns a layer that hands events to `sink`; its services share it.
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self::with_clock(sink, Clock::system())
    }

    /// Returns a layer that times by a given clock, such as one that a test moves.
    pub fn with_clock(sink: impl Sink + 'static, clock: Clock) -> Self {
        Self {
            recorder: Arc::new(Recorder::new(clock, CatchPanic::new(sink))),
        }
    }
}

impl<S> Layer<S> for TimingLayer {
    type Service = TimingService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TimingService::new(inner, Arc::clone(&self.recorder))
    }
}
