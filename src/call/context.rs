use std::sync::Arc;

use opentelemetry::{KeyValue, StringValue, trace::SpanContext};

use super::{CallGuard, OpenCall, traceparent};
use crate::event::{
    CallIds, CallStart, Classification, Emitter, Interest, Operation, Originator, RecordHandle,
    Ticket,
};
#[cfg(all(feature = "turn", unix))]
use crate::event::{PhaseClock, WaitForApproval};

/// The context of a request: its originator, ids, attempt and parent span, and the call that is open for
/// it.
///
/// A context is cheap to clone. A clone writes on the same open call.
///
/// ```
/// use codex_telemetry::{CallContext, Originator};
///
/// let context = CallContext::new()
///     .with_originator(Originator::Cli)
///     .with_thread_id("0199a213-81c0")
///     .with_turn_id("turn-1")
///     .with_call_id("call-3")
///     .with_attempt(2);
/// assert_eq!(context.thread_id(), Some("0199a213-81c0"));
/// assert!(!context.is_recording());
/// context.record("queue.depth", 3); // Does nothing: no call is open.
///
/// // For a request that is made on behalf of this one.
/// let child = context.child();
/// assert_eq!(child.originator(), Some(&Originator::Cli));
/// assert_eq!((child.turn_id(), context.turn_id()), (Some("turn-1"), Some("turn-1")));
/// assert_eq!((child.call_id(), context.call_id()), (None, Some("call-3")));
/// assert_eq!((child.attempt(), context.attempt()), (1, 2));
/// ```
///
/// Within a call, a service writes on the context of its request:
///
/// ```
/// use codex_telemetry::{Call, ErrorClass, MemorySink, Operation, TimingLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sink = MemorySink::new();
/// let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| async move {
///     let context = call.context;
///     // The service learns the ids while it works.
///     context.record_thread_id("thread-7");
///     context.record_turn_id("turn-1");
///     context.record("rows", 12);
///     context.add_event("connection lost");
///     context.open_child(Operation::Tool, Some("rollback".into()), None).finish();
///     context.classify(ErrorClass::Transport);
///     assert!(context.is_recording() && !context.captures_content());
///     Err::<(), _>("connection lost")
/// }));
/// let _ = service.oneshot(Call::new(Operation::Custom("sync"), ())).await;
///
/// let failed = sink.events().pop().expect("a call has ended");
/// assert_eq!((failed.thread_id(), failed.turn_id()), (Some("thread-7"), Some("turn-1")));
/// assert_eq!(failed.error_class(), Some(ErrorClass::Transport));
/// assert_eq!(failed.span_events()[0].name, "connection lost");
/// let tool = &sink.events()[1];
/// assert_eq!(tool.parent_span_id(), Some(failed.span_id()));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CallContext {
    open: Option<OpenCall>,
    originator: Option<Originator>,
    /// Shared and copied on write: requests move through every layer by value, so they stay small.
    ids: Option<Arc<CallIds>>,
    attempt: u32,
    /// Whether the open call is that of another request, on whose behalf this one is made.
    is_child: bool,
    /// Whether the request is one for the crate's turn services, which measure the phases of turns.
    #[cfg(all(feature = "turn", unix))]
    has_phases: bool,
}

// === impl CallContext ===

impl CallContext {
    /// Returns an empty context.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            open: None,
            originator: None,
            ids: None,
            attempt: 1,
            is_child: false,
            #[cfg(all(feature = "turn", unix))]
            has_phases: false,
        }
    }

    /// Returns the context of an open call.
    pub(crate) fn of_open(open: Option<OpenCall>) -> Self {
        let record = open.as_ref().map(OpenCall::record);
        Self {
            originator: record.and_then(|record| record.current_originator()),
            ids: record.and_then(|record| record.current_ids()),
            attempt: 1,
            is_child: true,
            #[cfg(all(feature = "turn", unix))]
            has_phases: false,
            open,
        }
    }

    /// Returns the context for a request that is made on behalf of this one.
    ///
    /// Its call will be a child of the open call. It inherits the originator, the thread id and the turn id,
    /// and neither the call id nor the attempt.
    #[must_use]
    pub fn child(&self) -> Self {
        let mut ids = match &self.open {
            Some(call) => call.record().current_ids(),
            None => self.ids.clone(),
        };
        if let Some(ids) = ids.as_mut()
            && (ids.call_id.is_some() || ids.ticket.is_some())
        {
            let ids = Arc::make_mut(ids);
            ids.call_id = None;
            ids.ticket = None;
        }
        Self {
            open: self.open.clone(),
            originator: self.originator().cloned(),
            ids,
            attempt: 1,
            is_child: true,
            #[cfg(all(feature = "turn", unix))]
            has_phases: false,
        }
    }

    /// Sets who makes the request.
    #[must_use]
    pub fn with_originator(mut self, originator: Originator) -> Self {
        self.originator = Some(originator);
        self
    }

    /// Sets the id of the Codex thread.
    #[must_use]
    pub fn with_thread_id(mut self, id: impl Into<StringValue>) -> Self {
        self.ids_mut().thread_id = Some(id.into());
        self
    }

    /// Sets the id of the turn.
    #[must_use]
    pub fn with_turn_id(mut self, id: impl Into<StringValue>) -> Self {
        self.ids_mut().turn_id = Some(id.into());
        self
    }

    /// Sets the id of the tool call.
    #[must_use]
    pub fn with_call_id(mut self, id: impl Into<StringValue>) -> Self {
        self.ids_mut().call_id = Some(id.into());
        self
    }

    /// Sets the number of the attempt, from 1. 0 is taken for 1.
    #[must_use]
    pub const fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = if attempt == 0 { 1 } else { attempt };
        self
    }

    /// Sets the parent span. An invalid one is ignored.
    ///
    /// Does nothing while a call is open: that call is the parent.
    ///
    /// ```
    /// use codex_telemetry::CallContext;
    /// use opentelemetry::{SpanId, TraceFlags, TraceId, trace::{SpanContext, TraceState}};
    ///
    /// // The span of a program that is instrumented otherwise, such as by `tracing`.
    /// let span = SpanContext::new(
    ///     TraceId::from(0x0af7_6519),
    ///     SpanId::from(0xb7ad_6b71),
    ///     TraceFlags::SAMPLED,
    ///     false,
    ///     TraceState::default(),
    /// );
    /// let context = CallContext::new().with_parent(span.clone());
    /// assert_eq!(context.span_context(), Some(span));
    /// ```
    #[must_use]
    pub fn with_parent(mut self, parent: SpanContext) -> Self {
        if self.open.is_none() {
            self.ids_mut().parent = parent.is_valid().then_some(parent);
        }
        self
    }

    /// Sets the parent span by its
    /// [`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header) and `tracestate`.
    ///
    /// An invalid `traceparent` is ignored, as the specification requires. Does nothing while a call is open:
    /// that call is the parent.
    ///
    /// ```
    /// use codex_telemetry::CallContext;
    ///
    /// // The headers of a request that arrives, and those of one that leaves.
    /// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// let context = CallContext::new().with_traceparent(parent, Some("vendor=7"));
    /// assert_eq!(context.traceparent().as_deref(), Some(parent));
    /// assert_eq!(context.tracestate().as_deref(), Some("vendor=7"));
    /// assert_eq!(CallContext::new().with_traceparent("invalid", None).traceparent(), None);
    /// ```
    #[must_use]
    pub fn with_traceparent(mut self, traceparent: &str, tracestate: Option<&str>) -> Self {
        if self.open.is_none() {
            self.ids_mut().parent = traceparent::parse(traceparent, tracestate);
        }
        self
    }

    /// Returns who makes the request.
    #[must_use]
    pub fn originator(&self) -> Option<&Originator> {
        self.originator.as_ref()
    }

    /// Returns the id of the Codex thread, as the request has it.
    #[must_use]
    pub fn thread_id(&self) -> Option<&str> {
        Some(self.ids.as_ref()?.thread_id.as_ref()?.as_str())
    }

    /// Returns the id of the turn, as the request has it.
    #[must_use]
    pub fn turn_id(&self) -> Option<&str> {
        Some(self.ids.as_ref()?.turn_id.as_ref()?.as_str())
    }

    /// Returns the id of the tool call.
    #[must_use]
    pub fn call_id(&self) -> Option<&str> {
        Some(self.ids.as_ref()?.call_id.as_ref()?.as_str())
    }

    /// Returns the number of the attempt, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns the span to propagate: the open call's, or else the parent span of the request.
    #[must_use]
    pub fn span_context(&self) -> Option<SpanContext> {
        match &self.open {
            Some(call) => Some(call.record().span_context()),
            None => self.ids.as_ref()?.parent.clone(),
        }
    }

    /// Returns [`span_context`](Self::span_context) as a `traceparent`, for a header or an environment
    /// variable.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.span_context().map(|span| traceparent::format(&span))
    }

    /// Returns the `tracestate` that belongs to [`traceparent`](Self::traceparent).
    #[must_use]
    pub fn tracestate(&self) -> Option<String> {
        let state = self.span_context()?.trace_state().header();
        (!state.is_empty()).then_some(state)
    }

    /// Returns whether a call is open.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.open_record().is_some()
    }

    /// Records an attribute on the open call. Of two with the same key, the later value counts.
    ///
    /// | what a call keeps | limit | beyond it |
    /// |---|--:|---|
    /// | attributes | 128, besides the [phases](crate::Phases) of a turn | dropped, and counted in [`Event::dropped_attributes`](crate::Event::dropped_attributes) |
    /// | bytes of a key | 256 | the attribute is dropped and counted |
    /// | bytes of a text, or of all texts in an array | 16 KiB | cut at a character boundary, with `…` at the end |
    /// | elements of an array | 128 | cut |
    /// | bytes of the name or of an id | 256 | cut; the request keeps it whole |
    ///
    /// The keys that the services use are in [`names`](crate::event::names).
    pub fn record(
        &self,
        key: impl Into<opentelemetry::Key>,
        value: impl Into<opentelemetry::Value>,
    ) {
        if let Some(record) = self.open_record() {
            record.set_attribute(key, value);
        }
    }

    /// Records a content on the open call: a message, or arguments or a result of a tool.
    ///
    /// It may be confidential, so it is kept apart from attributes, and only if a sink
    /// [captures content](crate::Sink::captures_content). Otherwise, and while no call is open, `content` does
    /// not run. Of two contents with the same key, the later one counts. A text over 64 KiB is cut at a character
    /// boundary, with `…` at the end.
    ///
    /// ```
    /// use codex_telemetry::{Call, MemorySink, Operation, TimingLayer, event::names};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sink = MemorySink::capturing_content();
    /// let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<&'static str>| async move {
    ///     call.context.record_content(names::TOOL_CALL_ARGUMENTS, || call.request.to_owned());
    ///     Ok::<_, ()>(())
    /// }));
    /// service.oneshot(Call::new(Operation::Tool, "Oslo")).await.unwrap();
    /// assert_eq!(sink.events()[1].content()[0].value, "Oslo".into());
    /// assert_eq!(sink.events()[1].attributes(), []);
    /// # }
    /// ```
    pub fn record_content(
        &self,
        key: impl Into<opentelemetry::Key>,
        content: impl FnOnce() -> String,
    ) {
        if let Some(record) = self.open_record() {
            record.set_content(key, content);
        }
    }

    /// Returns whether a call is open and a sink of it captures content.
    #[must_use]
    pub fn captures_content(&self) -> bool {
        self.open_record()
            .is_some_and(|record| record.captures_content())
    }

    /// Adds a span event to the open call, such as a retry. The name is for people to read.
    ///
    /// A call keeps the first 128 span events; [`Event::dropped_span_events`](crate::Event::dropped_span_events)
    /// counts the others. A name over 4 KiB is cut.
    pub fn add_event(&self, name: impl Into<String>) {
        self.add_event_with(name, []);
    }

    /// Adds a span event with attributes to the open call.
    ///
    /// The limits of [`record`](Self::record) apply to each event. What they drop is counted in the event's
    /// `dropped_attributes_count`. While no call is open, the iterator is not used.
    ///
    /// ```
    /// use codex_telemetry::{Call, MemorySink, Operation, TimingLayer};
    /// use opentelemetry::KeyValue;
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sink = MemorySink::new();
    /// let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| async move {
    ///     call.context.add_event_with("cache miss", [KeyValue::new("cache.size", 12)]);
    ///     Ok::<_, ()>(())
    /// }));
    /// service.oneshot(Call::new(Operation::Tool, ())).await.unwrap();
    /// let end = &sink.events()[1];
    /// assert_eq!(end.span_events()[0].attributes, [KeyValue::new("cache.size", 12)]);
    /// # }
    /// ```
    pub fn add_event_with(
        &self,
        name: impl Into<String>,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) {
        if let Some(record) = self.open_record() {
            record.add_span_event(name.into(), attributes);
        }
    }

    /// Sets the classification of the open call, which its terminal event shows if it ends with an error.
    ///
    /// The last classification counts.
    pub fn classify(&self, classification: impl Into<Classification>) {
        if let Some(record) = self.open_record() {
            record.classify(classification.into());
        }
    }

    /// Sets the thread id of the open call, for a service that learns it during the call.
    pub fn record_thread_id(&self, id: impl Into<StringValue>) {
        if let Some(record) = self.open_record() {
            let id = id.into();
            record.set_ids(|ids| ids.thread_id = Some(id));
        }
    }

    /// Sets the turn id of the open call, for a service that learns it during the call.
    pub fn record_turn_id(&self, id: impl Into<StringValue>) {
        if let Some(record) = self.open_record() {
            let id = id.into();
            record.set_ids(|ids| ids.turn_id = Some(id));
        }
    }

    /// Opens a child of the open call, for work that the service observes and does not pass on to another
    /// service. Does nothing while no call is open.
    pub fn open_child(
        &self,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> CallGuard {
        let call = self.open.as_ref();
        CallGuard::new(call.and_then(|call| call.open_child(operation, name, call_id)))
    }

    /// Opens a child of the open call that began some time ago, for work that the service learns of late.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn open_child_since(
        &self,
        ago: std::time::Duration,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> CallGuard {
        let call = self.open.as_ref();
        CallGuard::new(call.and_then(|call| call.open_child_since(ago, operation, name, call_id)))
    }

    /// Keeps the open call open after the service has answered, until the returned guard ends it.
    ///
    /// This is for a response that is a stream. [`TimingLayer`](crate::TimingLayer) ends a call when the
    /// response arrives, which is before the body of a stream. With the guard in the body, the call ends with
    /// the body: as the guard says, or as cancelled when the body is dropped before its end.
    ///
    /// Take the guard last, when nothing can fail any more before the answer: a guard that the service drops
    /// ends the call as cancelled. Of several `TimingLayer`s only the innermost one's call is kept open. The
    /// guard does nothing while no call is open, or if the call is kept open already.
    ///
    /// ```
    /// use codex_telemetry::{Call, CallGuard, MemorySink, Operation, Outcome, TimingLayer};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// /// A response whose chunks arrive later.
    /// struct Body { chunks: std::vec::IntoIter<&'static str>, guard: Option<CallGuard> }
    ///
    /// impl Iterator for Body {
    ///     type Item = &'static str;
    ///
    ///     fn next(&mut self) -> Option<&'static str> {
    ///         let chunk = self.chunks.next();
    ///         if chunk.is_none() && let Some(guard) = self.guard.take() {
    ///             guard.finish();
    ///         }
    ///         chunk
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sink = MemorySink::new();
    /// let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| async move {
    ///     let chunks = vec!["to", "be"].into_iter();
    ///     Ok::<_, ()>(Body { chunks, guard: Some(call.context.keep_open()) })
    /// }));
    ///
    /// let body = service.oneshot(Call::new(Operation::Turn, ())).await.unwrap();
    /// assert_eq!(sink.events().len(), 1, "the call is still open");
    /// assert_eq!(body.count(), 2);
    /// assert_eq!(sink.find(Operation::Turn, Outcome::Ok).len(), 1);
    /// # }
    /// ```
    pub fn keep_open(&self) -> CallGuard {
        let call = self.open.as_ref();
        CallGuard::new(call.filter(|call| call.record().keep_open()).cloned())
    }

    /// Sets the originator of a request that has none, or of any request if `overrides`.
    // Not inlined: the compiler would then take the request apart, and the processor would wait for its pieces.
    #[inline(never)]
    pub(crate) fn attribute_to(&mut self, originator: &Originator, overrides: bool) {
        if self.originator.is_some() && !overrides {
            return;
        }
        // A call that is open has begun without it.
        if let Some(record) = self.open_record() {
            record.annotate(|annotations| annotations.originator = Some(originator.clone()));
        }
        self.originator = Some(originator.clone());
    }

    /// Opens a call for this context's request, as a child of the call that is open now.
    pub(crate) fn open(
        &mut self,
        emitter: &Arc<Emitter>,
        interest: Interest,
        operation: Operation,
        name: Option<StringValue>,
    ) -> OpenCall {
        let outer = self.open.take();
        let ticket = self.take_ticket();
        #[cfg(all(feature = "turn", unix))]
        let (outer, same) = match outer {
            Some(outer) if self.is_within(&outer, operation) => (None, Some(outer.into_record())),
            outer => (outer, None),
        };
        let start = CallStart {
            operation,
            name,
            originator: self.originator.clone(),
            ids: self.ids.clone(),
            attempt: self.attempt,
            #[cfg(all(feature = "turn", unix))]
            outer: same,
            #[cfg(all(feature = "turn", unix))]
            has_phases: self.has_phases,
        };
        let parent = outer.as_ref().map(|call| &**call.record());
        let agent = ticket.as_ref().and_then(Ticket::agent);
        let call = OpenCall::open(emitter, interest, start, parent, agent);
        if let Some(ticket) = &ticket {
            ticket.opened(call.record());
        }
        self.is_child = false;
        self.open = Some(call.clone());
        call
    }

    /// Returns whether a call is opened for the turn, or for the tool, of the call around it.
    #[cfg(all(feature = "turn", unix))]
    #[inline]
    fn is_within(&self, outer: &OpenCall, operation: Operation) -> bool {
        match operation {
            Operation::Turn => !self.is_child && outer.record().operation == Operation::Turn,
            // Also one that a tool calls in its turn.
            Operation::Tool => outer.record().operation == Operation::Tool,
            _ => false,
        }
    }

    /// Has the calls of this request tell the phases of a turn.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn with_phases(mut self) -> Self {
        self.has_phases = true;
        self
    }

    /// Returns the context for a request that is made on behalf of this one, and given to a stack of the program.
    ///
    /// It has no open call: nothing that the stack writes goes on this one. The call that the stack opens for the request,
    /// if any, is a child of this one, and known by the ticket.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn with_ticket_of_child(&self, attributes: Vec<KeyValue>) -> (Self, Ticket) {
        let open = self.open.as_ref().map(|call| &**call.record());
        let ticket = Ticket::new(open, attributes);
        let mut context = self.child();
        let parent = self.span_context();
        context.open = None;
        let ids = context.ids_mut();
        ids.parent = parent;
        ids.ticket = Some(ticket.clone());
        (context, ticket)
    }

    /// Returns the clock of the phases of the turn that this request is.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn begin_phases(&self) -> Arc<PhaseClock> {
        PhaseClock::begin(self.open_record().map(|record| &**record))
    }

    /// Notes that the turn whose tool this request calls waits for an approval. `None` if it is in no turn.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn wait_for_approval(&self) -> Option<WaitForApproval> {
        let ticket = self.ids.as_ref().and_then(|ids| ids.ticket.as_ref());
        match ticket {
            // The stack has opened no call yet, or opens none.
            Some(ticket) => ticket.wait_for_approval(),
            None => self.open_record()?.wait_for_approval(),
        }
    }

    #[inline]
    fn take_ticket(&mut self) -> Option<Ticket> {
        let ids = self.ids.as_mut()?;
        // Without one, which is the rule, the ids are not copied.
        ids.ticket.as_ref()?;
        Arc::make_mut(ids).ticket.take()
    }

    /// Returns the record to write on, unless its call has ended: a context may outlive its call.
    #[inline]
    pub(crate) fn open_record(&self) -> Option<&RecordHandle> {
        let record = self.open.as_ref().map(OpenCall::record)?;
        record.is_open().then_some(record)
    }

    fn ids_mut(&mut self) -> &mut CallIds {
        Arc::make_mut(self.ids.get_or_insert_default())
    }
}

impl Default for CallContext {
    fn default() -> Self {
        Self::new()
    }
}
