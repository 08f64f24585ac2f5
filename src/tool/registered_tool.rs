use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::time::Instant;
use tower::util::BoxCloneSyncService;

use super::{ToolCall, ToolOutput, ToolStats};
use crate::{error::BoxError, event::ErrorClass};

pub(super) type BoxTool = BoxCloneSyncService<ToolCall, ToolOutput, BoxError>;

/// A tool of the registry with the state that all of its callers share.
#[derive(Debug)]
pub(super) struct RegisteredTool {
    pub(super) name: Arc<str>,
    service: BoxTool,
    enabled: AtomicBool,
    stats: Mutex<ToolStats>,
}

/// A drop guard that counts one call of a tool exactly once.
///
/// A guard that is dropped before [`finish`](Self::finish) counts the call as cancelled.
#[derive(Debug)]
pub(super) struct StatsGuard {
    tool: Arc<RegisteredTool>,
    // Tokio's `Instant` follows the paused clock of a test. It needs no runtime.
    started: Instant,
    finished: bool,
}

// === impl RegisteredTool ===

impl RegisteredTool {
    pub(super) fn new(name: Arc<str>, service: BoxTool) -> Self {
        Self {
            name,
            service,
            enabled: AtomicBool::new(true),
            stats: Mutex::default(),
        }
    }

    /// Returns a clone of the service. The caller must drive it to readiness: clones do not share it.
    pub(super) fn service(&self) -> BoxTool {
        self.service.clone()
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    pub(super) fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Relaxed);
    }

    pub(super) fn stats(&self) -> MutexGuard<'_, ToolStats> {
        // No foreign code runs under the lock, so a poisoned lock still guards consistent stats.
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl StatsGuard ===

impl StatsGuard {
    pub(super) fn new(tool: Arc<RegisteredTool>) -> Self {
        Self {
            tool,
            started: Instant::now(),
            finished: false,
        }
    }

    pub(super) fn tool(&self) -> &Arc<str> {
        &self.tool.name
    }

    /// Counts the call: as a success, or as a failure of the given class. Only the first call counts.
    pub(super) fn finish(&mut self, failure: Option<ErrorClass>) {
        if !std::mem::replace(&mut self.finished, true) {
            let latency = self.started.elapsed();
            self.tool.stats().record(failure, latency);
        }
    }
}

impl Drop for StatsGuard {
    fn drop(&mut self) {
        self.finish(Some(ErrorClass::Cancelled));
    }
}
