use std::{fmt, sync::Arc};

use opentelemetry::{TraceFlags, TraceId};

use super::{Sink, guard::Guard};
use crate::event::{Clock, Event};

/// What an open call needs of its surroundings: where its events go, and what time it is.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Shared<dyn Sink>>);

struct Shared<S: ?Sized> {
    clock: Clock,
    sink: Guard<S>,
}

impl Recorder {
    pub(crate) fn new(sink: impl Sink + 'static, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            clock,
            sink: Guard::new(sink),
        }))
    }

    #[inline]
    pub(crate) fn enabled(&self) -> bool {
        self.0.sink.enabled()
    }

    /// The trace flags of a call that is about to begin.
    #[inline]
    pub(crate) fn flags(&self, trace_id: TraceId, parent: Option<TraceFlags>) -> TraceFlags {
        let parent = parent.map(|flags| flags.is_sampled());
        let sampled = self.0.sink.sample(trace_id, parent);
        TraceFlags::default().with_sampled(sampled.or(parent).unwrap_or(true))
    }

    #[inline]
    pub(crate) fn emit(&self, event: Event) {
        self.0.sink.emit(event);
    }

    #[inline]
    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("clock", self.clock())
            .finish_non_exhaustive()
    }
}
