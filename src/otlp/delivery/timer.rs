use std::{convert::Infallible, mem::ManuallyDrop, thread, time::Duration};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    time::{Timeout, timeout},
};

/// A clock for futures on any executor, which may have none. One thread runs it until it is dropped.
///
/// The export thread cannot do it: an exporter may block it past a deadline.
pub(super) struct Timer {
    runtime: Handle,
    _stop: oneshot::Sender<Infallible>,
}

// === impl Timer ===

impl Timer {
    /// Returns `None` if the thread cannot be started.
    pub(super) fn start() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_time().build().ok()?;
        let (stop, stopped) = oneshot::channel();
        let timer = Self {
            runtime: runtime.handle().clone(),
            _stop: stop,
        };
        let thread = thread::Builder::new().name("codex-telemetry-timer".to_owned());
        // Not dropped if there is no thread: the drop of a runtime panics in async code.
        let runtime = ManuallyDrop::new(runtime);
        let run = move || {
            let _ = ManuallyDrop::into_inner(runtime).block_on(stopped);
        };
        thread.spawn(run).ok().map(|_| timer)
    }

    /// Limits the time of a future.
    pub(super) fn limit<F: Future>(&self, limit: Duration, future: F) -> Timeout<F> {
        let _runtime = self.runtime.enter();
        timeout(limit, future)
    }
}
