use std::fmt;

use opentelemetry::{TraceFlags, TraceId};

use super::{Clock, Event};

/// What a call needs of its surroundings: where its events go, and what time it is there.
pub(crate) struct Recorder<E: ?Sized = dyn Emit> {
    pub(crate) clock: Clock,
    out: E,
}

/// The way out for events. The record of a call, which has one while the call is open, knows nothing of
/// sinks: [`sink`](crate::sink) has the one implementation.
pub(crate) trait Emit: Send + Sync {
    /// Whether events are wanted now.
    fn enabled(&self) -> bool;

    /// Whether the trace of a call that is about to begin is sampled; `None` leaves it to the parent.
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool>;

    fn emit(&self, event: Event);
}

// === impl Recorder ===

impl<E> Recorder<E> {
    pub(crate) fn new(clock: Clock, out: E) -> Self {
        Self { clock, out }
    }
}

impl Recorder {
    #[inline]
    pub(crate) fn enabled(&self) -> bool {
        self.out.enabled()
    }

    /// The trace flags of a call that is about to begin.
    #[inline]
    pub(crate) fn flags(&self, trace_id: TraceId, parent: Option<TraceFlags>) -> TraceFlags {
        let parent = parent.map(|flags| flags.is_sampled());
        let sampled = self.out.sample(trace_id, parent);
        TraceFlags::default().with_sampled(sampled.or(parent).unwrap_or(true))
    }

    #[inline]
    pub(crate) fn emit(&self, event: Event) {
        self.out.emit(event);
    }
}

impl<E: ?Sized> fmt::Debug for Recorder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
