use tower_layer::Layer;

use super::OriginatorService;
use crate::event::Originator;

/// Sets the [`Originator`] of each request that has none.
///
/// Put it outside of [`TimingLayer`](crate::TimingLayer), so that both events of a call have the originator.
/// Inside of it, only the terminal event has it, because the start is emitted before.
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
