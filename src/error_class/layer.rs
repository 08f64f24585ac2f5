use std::fmt;

use tower_layer::Layer;

use super::ErrorClassService;

/// Writes the failure mode of an error on the open call, and passes the error on unchanged.
///
/// It writes on the call that is open when the request comes by: put it inside of
/// [`TimingLayer`](crate::TimingLayer), and outside of layers that make errors of their own, such as a
/// timeout. Outside of every `TimingLayer` no call is open yet, and it does nothing.
///
/// The newest word on a call counts, so of several layers the outermost decides, which sees the error
/// that the caller sees. What is written of an attempt that fails is forgotten when the call ends well,
/// but stays when a layer further out makes the call fail and nobody classifies that.
///
/// ```
/// use codex_telemetry::{Call, ErrorClass, ErrorClassLayer, MemorySink, Operation, TimingLayer};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sink = MemorySink::new();
/// let service = ServiceBuilder::new()
///     .layer(TimingLayer::new(sink.clone()))
///     .layer(ErrorClassLayer::new(|status: &u16| match status {
///         401 | 403 => ErrorClass::Unauthorized,
///         429 => ErrorClass::RateLimit,
///         _ => ErrorClass::ServerError,
///     }))
///     .service(service_fn(|call: Call<u16>| async move { Err::<(), u16>(call.request) }));
///
/// // The caller gets the service's own error.
/// let answer = service.oneshot(Call::new(Operation::Custom("fetch"), 429)).await;
/// assert_eq!(answer, Err(429));
/// assert_eq!(sink.events()[1].error_class(), Some(ErrorClass::RateLimit));
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct ErrorClassLayer<C> {
    classifier: C,
}

impl<C> ErrorClassLayer<C> {
    /// Returns a layer that asks `classifier`, a [`Classify`](super::Classify) of the inner service's
    /// error.
    pub const fn new(classifier: C) -> Self {
        Self { classifier }
    }
}

impl<S, C: Clone> Layer<S> for ErrorClassLayer<C> {
    type Service = ErrorClassService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        ErrorClassService::new(inner, self.classifier.clone())
    }
}

impl<C> fmt::Debug for ErrorClassLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A classifier is a closure as a rule, which has nothing to show.
        f.debug_struct("ErrorClassLayer").finish_non_exhaustive()
    }
}
