use tower_layer::Layer;

use super::OriginatorService;
use crate::event::Originator;

/// Sets the [`Originator`] of each request that has none.
///
/// Put it outside of [`TimingLayer`](crate::TimingLayer), so that both events of a call have the originator.
/// Inside of it, only the terminal event has it, because the start is emitted before.
///
/// ```
/// use codex_telemetry::{
///     Call, CallContext, MemorySink, Operation, Originator, OriginatorLayer, TimingLayer,
/// };
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ()> {
/// let sink = MemorySink::new();
/// let service = |layer: OriginatorLayer| {
///     ServiceBuilder::new()
///         .layer(layer)
///         .layer(TimingLayer::new(sink.clone()))
///         .service(service_fn(|_: Call<()>| async { Ok::<_, ()>(()) }))
/// };
/// let from_cli = CallContext::new().with_originator(Originator::Cli);
/// let call = Call::new(Operation::Tool, ()).with_context(from_cli);
///
/// // A request that names its originator keeps it, unless its service does not trust its callers.
/// service(OriginatorLayer::new(Originator::Sdk)).oneshot(call.clone()).await?;
/// service(OriginatorLayer::always(Originator::Sdk)).oneshot(call).await?;
/// let events = sink.events();
/// assert_eq!(events[0].originator(), Some(&Originator::Cli));
/// assert_eq!(events[2].originator(), Some(&Originator::Sdk));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OriginatorLayer {
    originator: Originator,
    overrides: bool,
}

impl OriginatorLayer {
    /// Returns a layer that sets `originator` on requests that have none.
    #[must_use]
    pub const fn new(originator: Originator) -> Self {
        Self {
            originator,
            overrides: false,
        }
    }

    /// Returns a layer that sets `originator` on every request, in place of any that it has.
    ///
    /// For a service that does not trust its callers to name themselves.
    #[must_use]
    pub const fn always(originator: Originator) -> Self {
        Self {
            originator,
            overrides: true,
        }
    }
}

impl<S> Layer<S> for OriginatorLayer {
    type Service = OriginatorService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OriginatorService {
            inner,
            originator: self.originator.clone(),
            overrides: self.overrides,
        }
    }
}
