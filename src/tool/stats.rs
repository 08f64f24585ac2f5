use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::event::ErrorClass;

/// The statistics of one tool: the counts and latencies of its finished calls.
///
/// [`ToolService::stats`](super::ToolService::stats) returns one for each tool. With the feature
/// `json` it can be serialized, with latencies in milliseconds: `last_latency_ms`,
/// `total_latency_ms`.
///
/// ```
/// use codex_telemetry::{
///     ErrorClass,
///     tool::{ToolCall, ToolError, ToolService, ToolSpec, tool_fn},
/// };
/// use serde_json::json;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let double = tool_fn(|number: i64, _context| async move { Ok::<_, ToolError>(2 * number) });
/// let tools = ToolService::builder().tool(ToolSpec::new("double", "Doubles it"), double).build()?;
/// tools.clone().oneshot(ToolCall::new("double", json!(21))).await?;
/// let _ = tools.clone().oneshot(ToolCall::new("double", json!("seven"))).await;
///
/// let double = &tools.stats()["double"];
/// assert_eq!((double.success, double.failure), (1, 1));
/// assert_eq!(double.last_error_class, Some(ErrorClass::InvalidArguments));
/// assert!(double.last_latency <= Some(double.total_latency));
/// # Ok(())
/// # }
/// ```
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

/// The stats of one tool, shared by its callers.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedStats(Arc<Mutex<ToolStats>>);

/// A drop guard that counts one call of a tool exactly once.
///
/// A guard that is dropped before [`finish`](Self::finish) counts the call as cancelled.
#[derive(Debug)]
pub(super) struct StatsGuard {
    stats: SharedStats,
    // Tokio's `Instant` follows the paused clock of a test. It needs no runtime.
    started: Instant,
    finished: bool,
}

// === impl ToolStats ===

impl ToolStats {
    fn record(&mut self, failure: Option<ErrorClass>, latency: Duration) {
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

// === impl SharedStats ===

impl SharedStats {
    pub(super) fn lock(&self) -> MutexGuard<'_, ToolStats> {
        // No foreign code runs under the lock, so a poisoned lock still guards consistent stats.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the guard of a call that starts now.
    pub(super) fn start(&self) -> StatsGuard {
        StatsGuard {
            stats: self.clone(),
            started: Instant::now(),
            finished: false,
        }
    }
}

// === impl StatsGuard ===

impl StatsGuard {
    /// Counts the call: as a success, or as a failure of the given class. Only the first call counts.
    pub(super) fn finish(&mut self, failure: Option<ErrorClass>) {
        if !std::mem::replace(&mut self.finished, true) {
            let latency = self.started.elapsed();
            self.stats.lock().record(failure, latency);
        }
    }
}

impl Drop for StatsGuard {
    fn drop(&mut self) {
        self.finish(Some(ErrorClass::Cancelled));
    }
}
