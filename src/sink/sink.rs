use std::sync::Arc;

use opentelemetry::TraceId;

use crate::event::Event;

/// A receiver of events.
///
/// All calls of a stack share one sink. The layers call it on the thread on which the call starts or
/// ends.
///
/// ```
/// use codex_telemetry::{Event, Sink, TimingLayer};
/// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
///
/// struct CountCalls(AtomicUsize);
///
/// impl Sink for CountCalls {
///     fn emit(&self, event: Event) {
///         if event.kind().is_terminal() {
///             self.0.fetch_add(1, Relaxed);
///         }
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
/// logged, and the calls continue as if the sink were disabled. A program that aborts on panic still
/// aborts.
pub trait Sink: Send + Sync {
    /// Receives an event. This must not block, because the caller of the service waits for it.
    ///
    /// A disabled sink may still receive events: the end of a call that started while it was enabled,
    /// and any event that another sink of the same [`FanOut`](crate::FanOut) wants.
    fn emit(&self, event: Event);

    /// Returns whether the sink wants events now.
    ///
    /// The layers ask once, when a call starts. If the answer is `false`, they read no clock, allocate
    /// nothing and create no ids for that call. A call that started while the sink was enabled emits
    /// its terminal event in any case.
    fn enabled(&self) -> bool {
        true
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

/// A disabled sink.
impl Sink for () {
    fn emit(&self, _: Event) {}

    fn enabled(&self) -> bool {
        false
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

/// `None` is a disabled sink.
impl<S: Sink> Sink for Option<S> {
    fn emit(&self, event: Event) {
        if let Some(sink) = self {
            sink.emit(event);
        }
    }

    fn enabled(&self) -> bool {
        self.as_ref().is_some_and(Sink::enabled)
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

    fn enabled(&self) -> bool {
        (**self).enabled()
    }

    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        (**self).sample(trace_id, parent_sampled)
    }

    fn captures_content(&self, is_sampled: bool) -> bool {
        (**self).captures_content(is_sampled)
    }
}
