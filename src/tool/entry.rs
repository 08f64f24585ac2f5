use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::time::Instant;
use tower::util::BoxCloneSyncService;

use super::{ToolCall, ToolOutput, ToolStats};
use crate::{error::BoxError, event::ErrorClass};

pub(super) type BoxTool = BoxCloneSyncService<ToolCall, ToolOutput, BoxError>;

/// One tool in the registry, with what is shared by all who call it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    service: BoxTool,
    enabled: AtomicBool,
    counts: Mutex<ToolStats>,
}

/// Counts one call of a tool, once: as cancelled when it is dropped, unless it was counted before.
#[derive(Debug)]
pub(super) struct Tally {
    entry: Arc<Entry>,
    // tokio's, because a test's paused clock moves it; it needs no runtime.
    started: Instant,
    counted: bool,
}

// === impl Entry ===

impl Entry {
    pub(super) fn new(name: Arc<str>, service: BoxTool) -> Self {
        Self {
            name,
            service,
            enabled: AtomicBool::new(true),
            counts: Mutex::default(),
        }
    }

    /// A tool of the caller's own: readiness is not shared between clones.
    pub(super) fn service(&self) -> BoxTool {
        self.service.clone()
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    pub(super) fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Relaxed);
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, ToolStats> {
        // No code of others runs under the lock, so what a panicking thread left is whole.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn begin(entry: Arc<Entry>) -> Self {
        Self {
            entry,
            started: Instant::now(),
            counted: false,
        }
    }

    pub(super) fn tool(&self) -> &Arc<str> {
        &self.entry.name
    }

    pub(super) fn count(&mut self, failure: Option<ErrorClass>) {
        if !std::mem::replace(&mut self.counted, true) {
            let latency = self.started.elapsed();
            self.entry.counts().count(failure, latency);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.count(Some(ErrorClass::Cancelled));
    }
}
