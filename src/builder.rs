use tower::{ServiceBuilder, layer::util::Stack};

use crate::{
    error_class::ErrorClassLayer, event::Originator, originator::OriginatorLayer, sink::Sink,
    timing::TimingLayer,
};

/// Adds the crate's layers to tower's [`ServiceBuilder`] by a method each.
///
/// ```
/// use codex_telemetry::{MemorySink, Originator, ServiceBuilderExt, turn::{TurnError, TurnService}};
/// use tower::ServiceBuilder;
///
/// let service = ServiceBuilder::new()
///     .originator(Originator::Sdk)
///     .timing(MemorySink::new())
///     .error_class(TurnError::classification)
///     .service(TurnService::new());
/// # let _ = service;
/// ```
pub trait ServiceBuilderExt<L>: Sized {
    /// Says who asked, on requests that do not say so themselves; see [`OriginatorLayer`].
    fn originator(self, originator: Originator) -> ServiceBuilder<Stack<OriginatorLayer, L>>;

    /// Times calls and hands their events to `sink`; see [`TimingLayer`].
    fn timing(self, sink: impl Sink + 'static) -> ServiceBuilder<Stack<TimingLayer, L>>;

    /// Writes why a call failed on the call; see [`ErrorClassLayer`].
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
