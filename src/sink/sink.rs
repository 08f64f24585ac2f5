use std::sync::Arc;

use opentelemetry::TraceId;

use crate::event::{Event, Interest};

/// A receiver of events.
///
/// All calls of a stack share one sink. The layers call it on the thread on which the call starts or
/// ends.
///
/// ```
/// use codex_telemetry::{Call, Event, Interest, Operation, Sink, TimingLayer};
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering::Relaxed}};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// /// Counts the calls that have ended.
/// #[derive(Default)]
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
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ()> {
/// // An `Arc` of a sink is a sink, and so are a closure over `Event` and an `Option` of a sink.
/// let calls = Arc::new(CountCalls::default());
/// let layer = TimingLayer::new(Arc::clone(&calls));
/// let service = layer.layer(service_fn(|_: Call<()>| async { Ok::<_, ()>(()) }));
/// service.oneshot(Call::new(Operation::Custom("sync"), ())).await?;
/// assert_eq!(calls.0.load(Relaxed), 1);
/// # Ok(())
/// # }
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
    ///
    /// ```
    /// use codex_telemetry::{Event, Sink};
    /// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    ///
    /// /// Counts the calls that are active.
    /// struct Active(AtomicUsize);
    ///
    /// impl Sink for Active {
    ///     fn emit_start(&self, _: &Event) {
    ///         self.0.fetch_add(1, Relaxed);
    ///     }
    ///
    ///     fn emit(&self, event: Event) {
    ///         if event.kind().is_terminal() {
    ///             self.0.fetch_sub(1, Relaxed);
    ///         }
    ///     }
    /// }
    ///
    /// # use codex_telemetry::{Call, Operation, TimingLayer};
    /// # use tower::{Layer, Service, service_fn};
    /// # let active = std::sync::Arc::new(Active(0.into()));
    /// # let layer = TimingLayer::new(active.clone());
    /// # let mut service = layer.layer(service_fn(|_: Call<()>| std::future::pending::<Result<(), ()>>()));
    /// let response = service.call(Call::new(Operation::Custom("sync"), ()));
    /// assert_eq!(active.0.load(Relaxed), 1);
    /// drop(response);
    /// assert_eq!(active.0.load(Relaxed), 0);
    /// ```
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
    ///
    /// ```
    /// use codex_telemetry::{CallContext, Event, Sink, TimingLayer};
    /// use opentelemetry::TraceId;
    ///
    /// /// Samples every trace, also those that other programs do not.
    /// struct All;
    ///
    /// impl Sink for All {
    ///     fn emit(&self, _: Event) {}
    ///
    ///     fn sample(&self, _: TraceId, _: Option<bool>) -> Option<bool> {
    ///         Some(true)
    ///     }
    /// }
    ///
    /// # use codex_telemetry::{Call, Operation};
    /// # use tower::{Layer, ServiceExt, service_fn};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ()> {
    /// let service = TimingLayer::new(All).layer(service_fn(|call: Call<()>| async move {
    ///     Ok::<_, ()>(call.context.traceparent())
    /// }));
    /// let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    /// let context = CallContext::new().with_traceparent(unsampled, None);
    /// let passed_on = service.oneshot(Call::new(Operation::Tool, ()).with_context(context)).await?;
    /// assert!(passed_on.is_some_and(|parent| parent.ends_with("-01")));
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// ```
    /// use codex_telemetry::{Event, Sink};
    ///
    /// /// Prints what the model was asked and answered, of the traces that are kept.
    /// struct Transcript;
    ///
    /// impl Sink for Transcript {
    ///     fn emit(&self, event: Event) {
    ///         for content in event.content() {
    ///             println!("{}: {}", content.key, content.value);
    ///         }
    ///     }
    ///
    ///     fn captures_content(&self, is_sampled: bool) -> bool {
    ///         is_sampled
    ///     }
    /// }
    ///
    /// assert!(Transcript.captures_content(true));
    /// // Sinks capture none unless they say so.
    /// assert!(!codex_telemetry::MemorySink::new().captures_content(true));
    /// ```
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
