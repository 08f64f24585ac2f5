use std::fmt;

use tower_layer::Layer;

use super::ErrorClassService;

/// Classifies the error of each call, and returns the error unchanged.
///
/// It writes the classification on the call that is open when the request passes. So put it inside of
/// [`TimingLayer`](crate::TimingLayer), and outside of layers that return errors of their own, such as a
/// timeout. Outside of every `TimingLayer` no call is open, and it does nothing.
///
/// The last classification of a call counts. Of several layers that is the outermost one's, which sees the
/// error that the caller gets. A call that succeeds in the end shows no classification of a failed attempt.
/// But if a layer further out fails the call and nothing classifies that error, the last attempt's
/// classification remains.
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
    /// Returns a layer that classifies with `classifier`, a [`Classify`](super::Classify) of the inner
    /// service's error.
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
        // Without the classifier, which usually is a closure.
        f.debug_struct("ErrorClassLayer").finish_non_exhaustive()
    }
}
