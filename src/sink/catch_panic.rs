use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use opentelemetry::TraceId;

use super::Sink;
use crate::event::{Emit, Event, Interest};

/// A sink that catches the panics of the sink within, which it detaches at the first one.
pub(crate) struct CatchPanic<S> {
    sink: S,
    detached: AtomicBool,
}

impl<S> CatchPanic<S> {
    pub(crate) fn new(sink: S) -> Self {
        Self {
            sink,
            detached: AtomicBool::new(false),
        }
    }

    /// Calls `f` with the sink; returns `None` and detaches the sink if `f` panics.
    #[inline]
    fn catch<T>(&self, f: impl FnOnce(&S) -> T) -> Option<T> {
        // Unwind safe, because a detached sink is not used again.
        match catch_unwind(AssertUnwindSafe(|| f(&self.sink))) {
            Ok(value) => Some(value),
            Err(payload) => {
                self.detach();
                // The payload's destructor could panic as well.
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
                     calls are not affected; the panic message names the source line to fix"
                );
            });
            // The subscriber may panic here too, if it is what panicked in the sink.
            #[cfg(feature = "tracing")]
            std::mem::forget(warned);
        }
    }
}

impl<S: Sink> Emit for CatchPanic<S> {
    #[inline]
    fn interest(&self) -> Interest {
        if self.detached.load(Relaxed) {
            return Interest::NONE;
        }
        self.catch(Sink::interest).unwrap_or(Interest::NONE)
    }

    #[inline]
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        self.catch(|sink| sink.sample(trace_id, parent_sampled))?
    }

    fn captures_content(&self, is_sampled: bool) -> bool {
        let captures = || self.catch(|sink| sink.captures_content(is_sampled));
        !self.detached.load(Relaxed) && captures().unwrap_or(false)
    }

    #[inline]
    fn emit_start(&self, event: &Event) {
        if !self.detached.load(Relaxed) {
            self.catch(|sink| sink.emit_start(event));
        }
    }

    #[inline]
    fn emit(&self, event: Event) {
        if !self.detached.load(Relaxed) {
            self.catch(|sink| sink.emit(event));
        }
    }
}
