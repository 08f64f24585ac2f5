use tower::{ServiceBuilder, layer::util::Stack};

use crate::{
    error_class::ErrorClassLayer, event::Originator, originator::OriginatorLayer, sink::Sink,
    timing::TimingLayer,
};

/// Adds a method for each of the crate's layers to tower's [`ServiceBuilder`].
///
/// ```
/// use codex_telemetry::{MemorySink, Originator, ServiceBuilderExt, turn::{TurnError, CodexExec}};
/// use tower::ServiceBuilder;
///
/// let service = ServiceBuilder::new()
///     .originator(Originator::Sdk)
///     .timing(MemorySink::new())
///     .error_class(TurnError::classification)
///     .service(CodexExec::new());
/// # let _ = service;
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
