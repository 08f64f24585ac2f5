use std::time::Duration;

use crate::event::ErrorClass;

/// What became of the calls of one tool so far.
///
/// Read by [`ToolService::stats`](super::ToolService::stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolStats {
    /// How many calls gave an output.
    pub success: u64,
    /// How many calls gave an error, or were dropped before they gave anything.
    pub failure: u64,
    /// Why the newest failure failed; a later success leaves it standing.
    pub last_error_class: Option<ErrorClass>,
    /// How long the newest call took.
    pub last_latency: Option<Duration>,
    /// How long all calls took together.
    pub total_latency: Duration,
}

impl ToolStats {
    pub(super) fn count(&mut self, failure: Option<ErrorClass>, latency: Duration) {
        match failure {
            None => self.success += 1,
            Some(class) => {
                self.failure += 1;
                self.last_error_class = Some(class);
            }
        }
        self.last_latency = Some(latency);
        self.total_latency = self.total_latency.saturating_add(latency);
    }
}
