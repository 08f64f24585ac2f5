use std::fmt;

use opentelemetry::{TraceFlags, TraceId};

use super::{Clock, Event, Interest, id::RANDOM_TRACE_ID};

/// Times calls and emits their events: a clock, and the output that takes the events.
pub(crate) struct Emitter {
    pub(crate) clock: Clock,
    /// Boxed, so that the handle of an emitter is one word.
    output: Box<dyn Emit>,
}

/// Takes events.
///
/// The record of an open call holds an emitter, and this module must not know of sinks:
/// [`sink`](crate::sink) has the implementation.
pub(crate) trait Emit: Send + Sync {
    /// Returns which events are wanted now.
    fn interest(&self) -> Interest;

    /// Returns whether to sample the trace of a call that is about to begin. `None` leaves it to the
    /// parent.
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool>;

    /// Returns whether the contents of messages and of tool calls are wanted.
    fn captures_content(&self, is_sampled: bool) -> bool;

    fn emit_start(&self, event: &Event);

    fn emit(&self, event: Event);
}

// === impl Emitter ===

impl Emitter {
    pub(crate) fn new(clock: Clock, output: impl Emit + 'static) -> Self {
        Self {
            clock,
            output: Box::new(output),
        }
    }

    #[inline]
    pub(crate) fn interest(&self) -> Interest {
        self.output.interest()
    }

    /// Returns the trace flags of a call that is about to begin.
    #[inline]
    pub(crate) fn flags(&self, trace_id: TraceId, parent: Option<TraceFlags>) -> TraceFlags {
        // A trace without a parent has an id of ours.
        let random = parent.unwrap_or(RANDOM_TRACE_ID) & RANDOM_TRACE_ID;
        let parent = parent.map(|flags| flags.is_sampled());
        let sampled = self.output.sample(trace_id, parent);
        random.with_sampled(sampled.or(parent).unwrap_or(true))
    }

    pub(crate) fn captures_content(&self, is_sampled: bool) -> bool {
        self.output.captures_content(is_sampled)
    }

    #[inline]
    pub(crate) fn emit_start(&self, event: &Event) {
        self.output.emit_start(event);
    }

    #[inline]
    pub(crate) fn emit(&self, event: Event) {
        self.output.emit(event);
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
