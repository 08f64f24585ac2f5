use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use opentelemetry::TraceId;

use super::Sink;
use crate::event::{Emit, Event};

/// A sink whose panics are not felt: the first one detaches it.
pub(crate) struct Guard<S> {
    detached: AtomicBool,
    sink: S,
}

impl<S> Guard<S> {
    pub(crate) fn new(sink: S) -> Self {
        Self {
            detached: AtomicBool::new(false),
            sink,
        }
    }
}

impl<S: Sink> Emit for Guard<S> {
    #[inline]
    fn enabled(&self) -> bool {
        !self.detached.load(Relaxed) && self.shielded(|sink| sink.enabled()).unwrap_or(false)
    }

    #[inline]
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        self.shielded(|sink| sink.sample(trace_id, parent_sampled))?
    }

    #[inline]
    fn emit(&self, event: Event) {
        if !self.detached.load(Relaxed) {
            self.shielded(|sink| sink.emit(event));
        }
    }
}

impl<S> Guard<S> {
    /// Runs `work` on the sink; a panic is the last thing it does.
    ///
    /// Whatever the panic left half-done inside the sink is never looked at again, which is what
    /// makes the assertion of unwind safety true.
    #[inline]
    fn shielded<T>(&self, work: impl FnOnce(&S) -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(|| work(&self.sink))) {
            Ok(done) => Some(done),
            Err(payload) => {
                self.detach();
                // Dropping a payload can panic as well, and it is nothing we own: let it be.
                std::mem::forget(payload);
                None
            }
        }
    }

    #[cold]
    fn detach(&self) {
        if !self.detached.swap(true, Relaxed) {
            #[cfg(feature = "tracing")]
            let warned = catch_unwind(|| {
                ::tracing::warn!(
                    target: "codex_telemetry",
                    "a telemetry sink panicked and is detached: its further events are lost, the \
                     calls are not affected; the panic's own message names the place to mend"
                );
            });
            // The subscriber may be what panicked in the sink, and then panics here as well.
            #[cfg(feature = "tracing")]
            std::mem::forget(warned);
        }
    }
}
