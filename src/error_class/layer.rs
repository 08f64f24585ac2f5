use tower_layer::Layer;

use super::ErrorClassService;

/// Writes the failure mode of an error on the open call, and passes the error on unchanged.
///
/// It writes on the call that is open when the request comes by: put it inside of
/// [`TimingLayer`](crate::TimingLayer). Outside of it, no call is open yet, and it does nothing. Of
/// several, the outermost has the last word: it sees the error that the caller sees.
#[derive(Clone, Copy, Debug)]
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
