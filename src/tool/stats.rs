use std::time::Duration;

use crate::event::ErrorClass;

/// The statistics of one tool: the counts and latencies of its finished calls.
///
/// [`ToolService::stats`](super::ToolService::stats) returns one for each tool. With the feature
/// `json` it can be serialized, with latencies in milliseconds: `last_latency_ms`,
/// `total_latency_ms`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolStats {
    /// The number of calls that returned an output.
    pub success: u64,
    /// The number of calls that returned an error or were dropped before they returned.
    pub failure: u64,
    /// The class of the latest failure. A later success does not reset it.
    pub last_error_class: Option<ErrorClass>,
    /// The latency of the latest call.
    pub last_latency: Option<Duration>,
    /// The sum of the latencies of all calls.
    pub total_latency: Duration,
}

// === impl ToolStats ===

impl ToolStats {
    pub(super) fn record(&mut self, failure: Option<ErrorClass>, latency: Duration) {
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

#[cfg(feature = "json")]
impl serde::Serialize for ToolStats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        use crate::event::millis;

        let mut stats = serializer.serialize_struct("ToolStats", 5)?;
        stats.serialize_field("success", &self.success)?;
        stats.serialize_field("failure", &self.failure)?;
        let class = self.last_error_class.map(ErrorClass::as_str);
        stats.serialize_field("last_error_class", &class)?;
        stats.serialize_field("last_latency_ms", &self.last_latency.map(millis))?;
        stats.serialize_field("total_latency_ms", &millis(self.total_latency))?;
        stats.end()
    }
}
