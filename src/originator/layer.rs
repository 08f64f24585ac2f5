use tower_layer::Layer;

use super::OriginatorService;
use crate::event::Originator;

/// Says who asked, on each request that does not say so itself.
///
/// Put it outside of [`TimingLayer`](crate::TimingLayer), so that both events of a call say who
/// asked. Inside of it, the start has gone out before, and only the terminal event does.
///
/// ```
/// use codex_telemetry::{Originator, OriginatorLayer};
///
/// let layer = OriginatorLayer::new(Originator::Sdk);
/// # let _ = layer;
/// ```
#[derive(Clone, Debug)]
pub struct OriginatorLayer {
    originator: Originator,
    always: bool,
}

impl OriginatorLayer {
    /// Returns a layer that names `originator` on requests that name none.
    #[must_use]
    pub const fn new(originator: Originator) -> Self {
        Self {
            originator,
            always: false,
        }
    }

    /// Returns a layer that names `originator` on every request, whatever the request says.
    ///
    /// For a service whose callers' word does not count.
    #[must_use]
    pub const fn always(originator: Originator) -> Self {
        Self {
            originator,
            always: true,
        }
    }
}

impl<S> Layer<S> for OriginatorLayer {
    type Service = OriginatorService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OriginatorService::new(inner, self.originator.clone(), self.always)
    }
}
