use std::sync::Arc;

use opentelemetry::TraceId;

use crate::event::{Event, Interest};

/// A receiver of events.
///
/// All calls of a stack share one sink. The layers call it on the thread on which the call starts or
/// ends.
///
/// ```
/// use codex_telemetry::{Event, Interest, Sink, TimingLayer};
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
///
/// struct CountCalls(AtomicUsize);
///
/// impl Sink for CountCalls {
///     fn interest(&self) -> Interest {
///         Interest::ENDS
///     }
///
///     fn emit(&self, _: Event) {
///         self.0.fetch_add(1, Relaxed);
///     }
/// }
///
/// let layer = TimingLayer::new(CountCalls(0.into()));
/// # let _ = layer;
/// ```
///
/// # Panics
///
/// A sink should not panic. If it does, it is detached: it receives no further events, one warning is
/// logged, and the calls continue as if the sink were off. A program that aborts on panic still
/// aborts.
pub trait Sink: Send + Sync {
    /// Receives an event. This must not block, because the caller of the service waits for it.
    ///
    /// A sink may receive events that it does not want: the end of a call that started while it wanted ends, and any
    /// event that another sink of the same [`FanOut`](crate::FanOut) wants.
    fn emit(&self, event: Event);

    /// Receives a start event. The default implementation passes a clone to [`emit`](Self::emit).
    ///
    /// A sink that keeps no start events implements this as well: to look at an event is cheaper than to clone it,
    /// which counts a reference and counts it off again.
    fn emit_start(&self, event: &Event) {
        self.emit(event.clone());
    }

    /// Returns which events the sink wants now.
    ///
    /// The layers ask once, when a call starts. If the answer is [`Interest::NONE`], the sink is off: they read no clock,
    /// allocate nothing and create no ids for that call. A start event that is not wanted is not made. A call that started
    /// while the sink wanted ends emits its terminal event in any case.
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    /// Returns whether to sample the trace of a call that is about to start.
    ///
    /// `None` follows the parent's decision, or samples the trace if there is no parent. The decision
    /// is part of the call's trace context and is passed on to what the call starts. It does not
    /// affect events: the sink receives them for sampled and unsampled traces.
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        let _ = (trace_id, parent_sampled);
        None
    }

    /// Returns whether the sink wants the contents of messages and of tool calls: prompts, answers, arguments
    /// and results. They may be confidential.
    ///
    /// A service asks whenever it has a content, and `is_sampled` says whether the trace of its call is sampled. If
    /// the answer is `false`, which is the default, the content is neither copied nor serialized.
    /// [`Event::content`] returns it.
    fn captures_content(&self, is_sampled: bool) -> bool {
        let _ = is_sampled;
        false
    }
}

/// A sink that is off.
impl Sink for () {
    fn emit(&self, _: Event) {}

    fn emit_start(&self, _: &Event) {}

    fn interest(&self) -> Interest {
        Interest::NONE
    }
}

impl<F> Sink for F
where
    F: Fn(Event) + Send + Sync,
{
    fn emit(&self, event: Event) {
        self(event);
    }
}

/// `None` is a sink that is off.
impl<S: Sink> Sink for Option<S> {
    fn emit(&self, event: Event) {
        if let Some(sink) = self {
            sink.emit(event);
        }
    }

    fn emit_start(&self, event: &Event) {
        if let Some(sink) = self {
            sink.emit_start(event);
        }
    }

    fn interest(&self) -> Interest {
        self.as_ref().map_or(Interest::NONE, Sink::interest)
    }

    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        self.as_ref()?.sample(trace_id, parent_sampled)
    }

    fn captures_content(&self, is_sampled: bool) -> bool {
        self.as_ref()
            .is_some_and(|sink| sink.captures_content(is_sampled))
    }
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn emit(&self, event: Event) {
        (**self).emit(event);
    }

    fn emit_start(&self, event: &Event) {
        (**self).emit_start(event);
    }

    fn interest(&self) -> Interest {
        (**self).interest()
    }

    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        (**self).sample(trace_id, parent_sampled)
    }

    fn captures_content(&self, is_sampled: bool) -> bool {
        (**self).captures_content(is_sampled)
    }
}
