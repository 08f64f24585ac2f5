use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{KeyValue, SpanId, StringValue, TraceId, Value};

use super::{
    Classification, ErrorClass, EventKind, Operation, Originator, Outcome,
    record::{Identity, Notes, Record},
};

/// One moment of one call: what reaches a [`Sink`](crate::Sink).
///
/// Every call has two events, its start and its end. An event is two words and cheap to clone and to
/// send to another thread; both events of a call share its facts. A start event keeps to what was
/// known at the start, however late it is read.
///
/// ```
/// use codex_telemetry::{Call, EventKind, MemorySink, Operation, Outcome, TimingLayer};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sink = MemorySink::new();
/// let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| async move {
///     call.context.record("rows", 12);
///     Ok::<_, ()>(())
/// }));
/// let call = Call::new(Operation::Custom("billing.sync"), ()).with_name("nightly");
/// service.oneshot(call).await.unwrap();
///
/// let [start, stop] = &sink.events()[..] else { panic!("a call has two events") };
/// assert_eq!((start.kind(), stop.kind()), (EventKind::Start, EventKind::Stop));
/// assert_eq!(start.span_id(), stop.span_id());
/// assert_eq!(stop.call_name(), Some("nightly"));
/// assert_eq!(stop.outcome(), Some(Outcome::Ok));
/// assert_eq!(stop.attribute("rows"), Some(&12.into()));
/// # }
/// ```
#[derive(Clone)]
pub struct Event {
    /// `None` on a start event.
    outcome: Option<Outcome>,
    record: Arc<Record>,
}

impl Event {
    #[inline]
    pub(crate) fn start(record: Arc<Record>) -> Self {
        Self {
            outcome: None,
            record,
        }
    }

    /// The terminal event of a record that has ended.
    #[inline]
    pub(crate) fn terminal(record: Arc<Record>, outcome: Outcome) -> Self {
        Self {
            outcome: Some(outcome),
            record,
        }
    }

    /// Returns the event's name, such as `codex.turn.stop`.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        use {EventKind as K, Operation as O};
        Cow::Borrowed(match (self.operation(), self.kind()) {
            (O::Turn, K::Start) => "codex.turn.start",
            (O::Turn, K::Stop) => "codex.turn.stop",
            (O::Turn, K::Exception) => "codex.turn.exception",
            (O::Tool, K::Start) => "codex.tool.start",
            (O::Tool, K::Stop) => "codex.tool.stop",
            (O::Tool, K::Exception) => "codex.tool.exception",
            (O::Approval, K::Start) => "codex.approval.start",
            (O::Approval, K::Stop) => "codex.approval.stop",
            (O::Approval, K::Exception) => "codex.approval.exception",
            (O::AttachmentCleanup, K::Start) => "codex.attachment.cleanup.start",
            (O::AttachmentCleanup, K::Stop) => "codex.attachment.cleanup.stop",
            (O::AttachmentCleanup, K::Exception) => "codex.attachment.cleanup.exception",
            (O::Custom(prefix), kind) => return Cow::Owned(format!("{prefix}.{kind}")),
        })
    }

    /// Returns which moment of the call this is.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self.outcome {
            None => EventKind::Start,
            Some(Outcome::Ok) => EventKind::Stop,
            Some(Outcome::Error | Outcome::Cancelled | Outcome::Panic) => EventKind::Exception,
        }
    }

    /// Returns the kind of work.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.record.operation
    }

    /// Returns the name of what was called: the tool or the agent.
    #[must_use]
    pub fn call_name(&self) -> Option<&str> {
        self.record.name.as_ref().map(StringValue::as_str)
    }

    /// Returns when this moment was, by the wall clock.
    ///
    /// The time of a terminal event is the start plus the duration, so a wall clock that was set in
    /// between does not tear the two apart.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        self.start_time() + self.duration().unwrap_or_default()
    }

    /// Returns when the call began, by the wall clock.
    #[must_use]
    pub fn start_time(&self) -> SystemTime {
        self.record.start_time.to_system()
    }

    /// Returns how long the call took, by the monotonic clock; `None` on a start event.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.outcome.map(|_| self.record.duration())
    }

    /// Returns how the call ended; `None` on a start event.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Returns the failure mode of a call that did not end well, when one was found.
    #[must_use]
    pub fn error_class(&self) -> Option<ErrorClass> {
        match self.outcome? {
            Outcome::Ok => None,
            Outcome::Error => Some(self.classification()?.class),
            Outcome::Cancelled => Some(ErrorClass::Cancelled),
            Outcome::Panic => Some(ErrorClass::Panic),
        }
    }

    /// Returns the text of the error, when the classifier rendered it.
    #[must_use]
    pub fn error_message(&self) -> Option<&str> {
        self.classification()?.message.as_deref()
    }

    /// Returns how long the failing side asked to wait before a retry.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.classification()?.retry_after
    }

    /// Returns who asked for the call.
    #[must_use]
    pub fn originator(&self) -> Option<&Originator> {
        self.notes()
            .and_then(|notes| notes.originator.as_ref())
            .or(self.record.originator.as_ref())
    }

    /// Returns the id of the trace that the call belongs to.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.record.trace_id
    }

    /// Returns the id of the call's span.
    #[must_use]
    pub fn span_id(&self) -> SpanId {
        self.record.span_id
    }

    /// Returns the id of the span that the call was made in.
    #[must_use]
    pub fn parent_span_id(&self) -> Option<SpanId> {
        let parent = self.record.parent_span_id;
        (parent != SpanId::INVALID).then_some(parent)
    }

    /// Returns whether the trace is sampled.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.record.flags.is_sampled()
    }

    /// Returns the id of the Codex thread.
    #[must_use]
    pub fn thread_id(&self) -> Option<&str> {
        self.id(|ids| ids.thread_id.as_ref())
    }

    /// Returns the id of the turn.
    #[must_use]
    pub fn turn_id(&self) -> Option<&str> {
        self.id(|ids| ids.turn_id.as_ref())
    }

    /// Returns the id of the tool call.
    #[must_use]
    pub fn call_id(&self) -> Option<&str> {
        self.id(|ids| ids.call_id.as_ref())
    }

    /// Returns which attempt at the same work this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.record.attempt
    }

    /// Returns what layers and services recorded on the call; empty on a start event.
    ///
    /// A key that was recorded twice stands here twice, the newest last.
    #[must_use]
    pub fn attributes(&self) -> &[KeyValue] {
        self.notes().map_or(&[], |notes| &notes.attributes)
    }

    /// Returns the newest value of one attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        let attributes = self.attributes().iter();
        Some(&attributes.rev().find(|kv| kv.key.as_str() == key)?.value)
    }

    /// Returns the moments that were noted within the call, the first 128 of them; empty on a start
    /// event.
    #[must_use]
    pub fn span_events(&self) -> &[opentelemetry::trace::Event] {
        self.notes().map_or(&[], |notes| &notes.span_events)
    }

    /// How many moments were noted beyond those that are kept.
    #[cfg(feature = "otlp")]
    pub(crate) fn dropped_span_events(&self) -> u32 {
        self.notes().map_or(0, |notes| notes.dropped_span_events)
    }

    /// What a span and a metric call the failure: a failed call that nobody classified is `other`.
    #[cfg(feature = "otlp")]
    pub(crate) fn error_type(&self) -> Option<&'static str> {
        match (self.kind(), self.error_class()) {
            (EventKind::Exception, class) => Some(class.unwrap_or(ErrorClass::Other).as_str()),
            (EventKind::Start | EventKind::Stop, _) => None,
        }
    }

    /// The trace context of the call's own span.
    #[cfg(feature = "otlp")]
    pub(crate) fn span_context(&self) -> opentelemetry::trace::SpanContext {
        self.record.span_context()
    }

    /// Whether the call was made in a span of another process.
    #[cfg(feature = "otlp")]
    pub(crate) fn has_remote_parent(&self) -> bool {
        let identity = self.record.identity.as_deref();
        let remote = identity.and_then(|ids| ids.parent.as_ref());
        remote.is_some_and(|parent| {
            parent.is_remote() && Some(parent.span_id()) == self.parent_span_id()
        })
    }

    /// What was noted on the call. A start event keeps to what was known at the start.
    fn notes(&self) -> Option<&Notes> {
        self.outcome.and_then(|_| self.record.notes())
    }

    /// What a classifier said of the error; an attempt that failed and was retried is no failure of the
    /// call, and one that was cancelled has not failed by what was said before.
    fn classification(&self) -> Option<&Classification> {
        match self.outcome? {
            Outcome::Error => self.notes()?.classification.as_ref(),
            Outcome::Ok | Outcome::Cancelled | Outcome::Panic => None,
        }
    }

    fn id(&self, of: impl Fn(&Identity) -> Option<&StringValue>) -> Option<&str> {
        let learned = self.notes().and_then(|notes| notes.identity.as_deref());
        let ids = learned.or(self.record.identity.as_deref())?;
        of(ids).map(StringValue::as_str)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut event = f.debug_struct("Event");
        event.field("name", &self.name());
        event.field("trace_id", &self.trace_id());
        event.field("span_id", &self.span_id());
        if let Some(name) = self.call_name() {
            event.field("call_name", &name);
        }
        if let (Some(outcome), Some(duration)) = (self.outcome(), self.duration()) {
            event.field("outcome", &outcome);
            event.field("duration", &duration);
        }
        if let Some(class) = self.error_class() {
            event.field("error_class", &class);
        }
        event.finish_non_exhaustive()
    }
}
