use std::sync::Arc;

use opentelemetry::TraceId;

use crate::event::Event;

/// Takes the events of calls.
///
/// A sink is shared by every call of a stack and called from whichever thread a call ends on.
///
/// ```
/// use codex_telemetry::{Event, Sink, TimingLayer};
///
/// struct Count(std::sync::atomic::AtomicUsize);
///
/// impl Sink for Count {
///     fn emit(&self, event: Event) {
///         if event.kind().is_terminal() {
///             self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         }
///     }
/// }
///
/// let layer = TimingLayer::new(Count(0.into()));
/// # let _ = layer;
/// ```
///
/// # Panics
///
/// A sink should not panic. One that does is detached: it gets no further event, one warning is
/// emitted, and the calls go on as if it were off. (A program that aborts on panic aborts here too.)
pub trait Sink: Send + Sync {
    /// Takes one event. It must not block: the caller of a service waits for it.
    ///
    /// A sink that is not enabled may still be called, for a call that began before or because
    /// another sink beside it wants the event.
    fn emit(&self, event: Event);

    /// Returns whether events are wanted now.
    ///
    /// Asked once at the start of each call. While it is `false` a layer reads no clock, allocates
    /// nothing and makes no ids; a call that began enabled is told to its end.
    fn enabled(&self) -> bool {
        true
    }

    /// Returns whether the trace of a call that is about to begin is sampled; `None` leaves it to the
    /// parent, and to `true` where there is none.
    ///
    /// The answer stands in the call's trace context, so what is called downstream is told the same.
    /// Events come either way.
    fn sample(&self, trace_id: TraceId, parent_sampled: Option<bool>) -> Option<bool> {
        let _ = (trace_id, parent_sampled);
        None
    }
}

/// Off.
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

/// `None` is off.
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
}
