use tower::{ServiceBuilder, layer::util::Stack};

use crate::{
    error_class::ErrorClassLayer, event::Originator, originator::OriginatorLayer, sink::Sink,
    timing::TimingLayer,
};

/// Adds a method for each of the crate's layers to tower's [`ServiceBuilder`].
///
/// ```
/// use codex_telemetry::{Call, ErrorClass, MemorySink, Operation, Originator, ServiceBuilderExt};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sink = MemorySink::new();
/// let service = ServiceBuilder::new()
///     .originator(Originator::Sdk)
///     .timing(sink.clone())
///     .error_class(|_: &&str| ErrorClass::Overloaded)
///     .service(service_fn(|_: Call<()>| async { Err::<(), _>("sold out") }));
///
/// let _ = service.oneshot(Call::new(Operation::Custom("tickets.buy"), ())).await;
/// let failed = &sink.events()[1];
/// assert_eq!(failed.originator(), Some(&Originator::Sdk));
/// assert_eq!(failed.error_class(), Some(ErrorClass::Overloaded));
/// # }
/// ```
pub trait ServiceBuilderExt<L>: Sized {
    /// Sets the originator of requests that have none; see [`OriginatorLayer`].
    fn originator(self, originator: Originator) -> ServiceBuilder<Stack<OriginatorLayer, L>>;

    /// Times each call and emits its events to `sink`; see [`TimingLayer`].
    fn timing(self, sink: impl Sink + 'static) -> ServiceBuilder<Stack<TimingLayer, L>>;

    /// Classifies the error of each call; see [`ErrorClassLayer`].
    fn error_class<C>(self, classifier: C) -> ServiceBuilder<Stack<ErrorClassLayer<C>, L>>;
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {
    fn originator(self, originator: Originator) -> ServiceBuilder<Stack<OriginatorLayer, L>> {
        self.layer(OriginatorLayer::new(originator))
    }

    fn timing(self, sink: impl Sink + 'static) -> ServiceBuilder<Stack<TimingLayer, L>> {
        self.layer(TimingLayer::new(sink))
    }

    fn error_class<C>(self, classifier: C) -> ServiceBuilder<Stack<ErrorClassLayer<C>, L>> {
        self.layer(ErrorClassLayer::new(classifier))
    }
}
