use std::sync::Arc;

use opentelemetry::{KeyValue, StringValue, trace::SpanContext};

use super::{CallGuard, OpenCall, traceparent};
use crate::event::{Classification, Identity, Opening, Operation, Originator, Record, Recorder};

/// What rides in every request: who asked, the ids it belongs to, its attempt, its parent span, and
/// the call that is open for it.
///
/// It is cheap to clone. A clone writes on the same open call.
///
/// ```
/// use codex_telemetry::{CallContext, Originator};
///
/// let context = CallContext::new()
///     .with_originator(Originator::Cli)
///     .with_thread_id("0199a213-81c0")
///     .with_attempt(2);
/// assert_eq!(context.originator(), Some(&Originator::Cli));
/// assert!(!context.is_recording());
/// context.record("queue.depth", 3); // no call is open: nothing happens
/// ```
#[derive(Clone, Debug)]
pub struct CallContext {
    open: Option<OpenCall>,
    originator: Option<Originator>,
    /// Shared and copied on write: requests move through every layer by value, so they stay small.
    identity: Option<Arc<Identity>>,
    attempt: u32,
}

// === impl CallContext ===

impl CallContext {
    /// Returns a context that knows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            open: None,
            originator: None,
            identity: None,
            attempt: 1,
        }
    }

    /// Returns the context for a request that is made on behalf of this one.
    ///
    /// It inherits originator, thread and turn, and its call will be a child of the one that is open
    /// here. Call id and attempt are not inherited.
    #[must_use]
    pub fn child(&self) -> Self {
        let known = match &self.open {
            Some(call) => call.record().identity_now(),
            None => self.identity.clone(),
        };
        let identity = known.map(|mut ids| {
            if ids.call_id.is_some() {
                Arc::make_mut(&mut ids).call_id = None;
            }
            ids
        });
        Self {
            open: self.open.clone(),
            originator: self.originator().cloned(),
            identity,
            attempt: 1,
        }
    }

    /// Sets who asked.
    #[must_use]
    pub fn with_originator(mut self, originator: Originator) -> Self {
        self.originator = Some(originator);
        self
    }

    /// Sets the id of the Codex thread.
    #[must_use]
    pub fn with_thread_id(mut self, id: impl Into<StringValue>) -> Self {
        self.identity_mut().thread_id = Some(id.into());
        self
    }

    /// Sets the id of the turn.
    #[must_use]
    pub fn with_turn_id(mut self, id: impl Into<StringValue>) -> Self {
        self.identity_mut().turn_id = Some(id.into());
        self
    }

    /// Sets the id of the tool call.
    #[must_use]
    pub fn with_call_id(mut self, id: impl Into<StringValue>) -> Self {
        self.identity_mut().call_id = Some(id.into());
        self
    }

    /// Sets which attempt at the same work this is, from 1; 0 is taken for 1.
    #[must_use]
    pub const fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = if attempt == 0 { 1 } else { attempt };
        self
    }

    /// Sets the span that the request comes from; an invalid one is no parent.
    ///
    /// Within an open call that call is the parent, and this changes nothing.
    #[must_use]
    pub fn with_parent(mut self, parent: SpanContext) -> Self {
        if self.open.is_none() {
            self.identity_mut().parent = parent.is_valid().then_some(parent);
        }
        self
    }

    /// Sets the span that the request comes from, by its
    /// [`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header) and `tracestate`.
    ///
    /// A text that is no traceparent is no parent, as the specification asks of a receiver. Within an
    /// open call that call is the parent, and this changes nothing.
    ///
    /// ```
    /// use codex_telemetry::CallContext;
    ///
    /// let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    /// let context = CallContext::new().with_traceparent(parent, None);
    /// assert_eq!(context.traceparent().as_deref(), Some(parent));
    /// assert_eq!(CallContext::new().with_traceparent("garbage", None).traceparent(), None);
    /// ```
    #[must_use]
    pub fn with_traceparent(mut self, traceparent: &str, tracestate: Option<&str>) -> Self {
        if self.open.is_none() {
            self.identity_mut().parent = traceparent::parse(traceparent, tracestate);
        }
        self
    }

    /// Returns who asked.
    #[must_use]
    pub fn originator(&self) -> Option<&Originator> {
        self.originator.as_ref()
    }

    /// Returns the id of the Codex thread that came with the request.
    #[must_use]
    pub fn thread_id(&self) -> Option<&str> {
        let id = self.identity.as_ref()?.thread_id.as_ref()?;
        Some(id.as_str())
    }

    /// Returns the id of the turn that came with the request.
    #[must_use]
    pub fn turn_id(&self) -> Option<&str> {
        let id = self.identity.as_ref()?.turn_id.as_ref()?;
        Some(id.as_str())
    }

    /// Returns the id of the tool call.
    #[must_use]
    pub fn call_id(&self) -> Option<&str> {
        let id = self.identity.as_ref()?.call_id.as_ref()?;
        Some(id.as_str())
    }

    /// Returns which attempt this is, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns the span that work done for this request belongs to: the open call's, or else the
    /// parent that came with the request.
    #[must_use]
    pub fn span_context(&self) -> Option<SpanContext> {
        match &self.open {
            Some(call) => Some(call.record().span_context()),
            None => self.identity.as_ref()?.parent.clone(),
        }
    }

    /// Returns [`span_context`](Self::span_context) as the text of a `traceparent` header or variable.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.span_context().map(|span| traceparent::format(&span))
    }

    /// Returns the text of the `tracestate` header or variable that goes with
    /// [`traceparent`](Self::traceparent).
    #[must_use]
    pub fn tracestate(&self) -> Option<String> {
        let state = self.span_context()?.trace_state().header();
        (!state.is_empty()).then_some(state)
    }

    /// Returns whether a call is open, so that what is recorded reaches an event.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.open_record().is_some()
    }

    /// Records an attribute on the open call.
    ///
    /// See [`names`](crate::event::names) for the keys that the crate's services use.
    pub fn record(
        &self,
        key: impl Into<opentelemetry::Key>,
        value: impl Into<opentelemetry::Value>,
    ) {
        if let Some(record) = self.open_record() {
            let attribute = KeyValue::new(key, value);
            record.note(|notes| notes.attributes.push(attribute));
        }
    }

    /// Records a moment within the open call, such as a retry, by a name for people to read.
    pub fn add_event(&self, name: impl Into<String>) {
        if let Some(call) = &self.open {
            call.add_event(name);
        }
    }

    /// Records why the open call will have failed; the newest word counts, and only if the call
    /// ends by an error.
    pub fn classify(&self, why: impl Into<Classification>) {
        if let Some(record) = self.open_record() {
            record.classify(why.into());
        }
    }

    /// Records the id of the Codex thread on the open call, once it is known.
    pub fn record_thread_id(&self, id: impl Into<StringValue>) {
        if let Some(record) = self.open_record() {
            let id = id.into();
            record.learn(|ids| ids.thread_id = Some(id));
        }
    }

    /// Records the id of the turn on the open call, once it is known.
    pub fn record_turn_id(&self, id: impl Into<StringValue>) {
        if let Some(record) = self.open_record() {
            let id = id.into();
            record.learn(|ids| ids.turn_id = Some(id));
        }
    }

    /// Opens a call within the open one, for work that a service observes rather than asks of another
    /// service; inert while no call is open.
    pub fn open_child(
        &self,
        operation: Operation,
        name: Option<StringValue>,
        call_id: Option<StringValue>,
    ) -> CallGuard {
        let call = self.open.as_ref();
        CallGuard::new(call.and_then(|call| call.open_child(operation, name, call_id)))
    }

    /// Makes `originator` the one who asked: of a request that names none, or of any when `always`.
    #[inline]
    pub(crate) fn attribute_to(&mut self, originator: &Originator, always: bool) {
        if self.originator.is_some() && !always {
            return;
        }
        // A call that is open already has begun without it.
        if let Some(record) = self.open_record() {
            record.note(|notes| notes.originator = Some(originator.clone()));
        }
        self.originator = Some(originator.clone());
    }

    /// Opens a call for the request that this context rides in, within the one that is open now.
    pub(crate) fn open(
        &mut self,
        recorder: &Arc<Recorder>,
        operation: Operation,
        name: Option<StringValue>,
    ) -> OpenCall {
        let outer = self.open.take();
        let opening = Opening {
            operation,
            name,
            originator: self.originator.clone(),
            identity: self.identity.clone(),
            attempt: self.attempt,
        };
        let parent = outer.as_ref().map(|call| &**call.record());
        let call = OpenCall::open(recorder, opening, parent);
        self.open = Some(call.clone());
        call
    }

    /// The record to write on, while its call has not ended: a context may outlive its call by far.
    #[inline]
    pub(crate) fn open_record(&self) -> Option<&Arc<Record>> {
        let record = self.open.as_ref().map(OpenCall::record)?;
        record.is_open().then_some(record)
    }

    fn identity_mut(&mut self) -> &mut Identity {
        Arc::make_mut(self.identity.get_or_insert_default())
    }
}

impl Default for CallContext {
    fn default() -> Self {
        Self::new()
    }
}
