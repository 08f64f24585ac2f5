use std::{
    borrow::Cow,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{KeyValue, SpanId, StringValue, TraceId, Value};

use super::{
    Annotations, CallIds, Classification, ErrorClass, EventKind, Operation, Originator, Outcome,
    Phase, Phases, Record, RecordHandle, Severity, attributes::Attributes, record_pool,
};

/// The start or the end of a call, as a [`Sink`](crate::Sink) receives it.
///
/// Every call has two events. Both share one record, so an event is two words in size and cheap to clone
/// and to send to another thread. A start event shows what was known at the start, even when it is read
/// after the call has ended.
///
/// ```
/// use codex_telemetry::{Call, Clock, EventKind, MemorySink, Operation, Outcome, TimingLayer};
/// use std::time::{Duration, UNIX_EPOCH};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ()> {
/// let sink = MemorySink::new();
/// let (clock, manual) = Clock::manual(UNIX_EPOCH);
/// let timing = TimingLayer::with_clock(sink.clone(), clock);
/// let service = timing.layer(service_fn(|call: Call<()>| {
///     call.context.record("rows", 12);
///     call.context.add_event("half of it");
///     manual.advance(Duration::from_secs(2));
///     async { Ok::<_, ()>(()) }
/// }));
/// let call = Call::new(Operation::Custom("billing.sync"), ()).with_name("nightly");
/// service.oneshot(call).await?;
///
/// let [start, stop] = &sink.events()[..] else { panic!("a call has two events") };
/// assert_eq!((start.kind(), stop.kind()), (EventKind::Start, EventKind::Stop));
/// assert_eq!(stop.operation(), Operation::Custom("billing.sync"));
/// assert_eq!(stop.call_name(), Some("nightly"));
/// assert_eq!((start.outcome(), stop.outcome()), (None, Some(Outcome::Ok)));
///
/// // The same call, at two points in time.
/// assert_eq!(start.span_id(), stop.span_id());
/// assert_eq!(stop.start_time(), start.time());
/// assert_eq!(stop.duration(), Some(Duration::from_secs(2)));
///
/// // What was recorded on the call.
/// assert_eq!(stop.attribute("rows"), Some(&12.into()));
/// assert_eq!((start.attributes().len(), stop.attributes().len()), (0, 1));
/// assert_eq!(stop.span_events()[0].name, "half of it");
/// assert_eq!((stop.dropped_attributes(), stop.dropped_span_events()), (0, 0));
/// // It is no turn.
/// assert!(stop.phases().is_none() && stop.agent_name().is_none());
/// # Ok(())
/// # }
/// ```
///
/// A call that failed, with what its context says of it:
///
/// ```
/// use codex_telemetry::{
///     Call, CallContext, Classification, ErrorClass, MemorySink, Operation, Originator, Severity,
///     TimingLayer,
/// };
/// use std::time::Duration;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sink = MemorySink::new();
/// let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| async move {
///     let error = Classification::from(ErrorClass::RateLimit)
///         .with_message("too many requests")
///         .with_retry_after(Some(Duration::from_secs(2)));
///     call.context.classify(error);
///     Err::<(), _>("too many requests")
/// }));
/// let context = CallContext::new()
///     .with_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None)
///     .with_originator(Originator::Sdk)
///     .with_thread_id("thread-7")
///     .with_turn_id("turn-1")
///     .with_call_id("call-3")
///     .with_attempt(2);
/// let _ = service.oneshot(Call::new(Operation::Tool, ()).with_context(context)).await;
///
/// let failed = &sink.events()[1];
/// assert_eq!(failed.name(), "codex.tool.exception");
/// assert_eq!(failed.severity(), Severity::Warn);
/// assert_eq!(failed.error_class(), Some(ErrorClass::RateLimit));
/// assert_eq!(failed.error_message(), Some("too many requests"));
/// assert_eq!(failed.retry_after(), Some(Duration::from_secs(2)));
///
/// assert_eq!(failed.originator(), Some(&Originator::Sdk));
/// assert_eq!((failed.thread_id(), failed.turn_id()), (Some("thread-7"), Some("turn-1")));
/// assert_eq!((failed.call_id(), failed.attempt()), (Some("call-3"), 2));
///
/// assert_eq!(failed.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
/// assert!(failed.is_sampled() && failed.has_remote_parent());
/// assert_eq!(failed.parent_span_id().map(|id| id.to_string()).as_deref(), Some("b7ad6b7169203331"));
/// # }
/// ```
#[derive(Clone)]
pub struct Event {
    /// `None` for a start event.
    outcome: Option<Outcome>,
    /// `None` only while the event is dropped.
    record: Option<RecordHandle>,
}

const DROPPED: &str = "an event has its record until it is dropped";

// === impl Event ===

impl Event {
    #[inline]
    pub(crate) fn start(record: RecordHandle) -> Self {
        Self {
            outcome: None,
            record: Some(record),
        }
    }

    /// The terminal event of a record that has ended.
    #[inline]
    pub(crate) fn terminal(record: RecordHandle, outcome: Outcome) -> Self {
        Self {
            outcome: Some(outcome),
            record: Some(record),
        }
    }

    /// Returns the handle of the record.
    #[inline]
    pub(crate) fn into_record(mut self) -> RecordHandle {
        match self.record.take() {
            Some(record) => record,
            None => unreachable!("{DROPPED}"),
        }
    }

    #[cfg(test)]
    pub(super) fn handle(&self) -> &RecordHandle {
        self.record.as_ref().expect(DROPPED)
    }

    #[inline]
    fn record(&self) -> &Record {
        match &self.record {
            Some(record) => record,
            None => unreachable!("{DROPPED}"),
        }
    }

    /// Returns the event's name, such as `codex.turn.stop`.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        self.operation().event_name(self.kind())
    }

    /// Returns which point of the call the event reports.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> EventKind {
        self.outcome.map_or(EventKind::Start, Outcome::event_kind)
    }

    /// Returns the kind of work that the call did.
    #[must_use]
    #[inline]
    pub fn operation(&self) -> Operation {
        self.record().operation
    }

    /// Returns the name of the tool or the agent that was called.
    #[must_use]
    #[inline]
    pub fn call_name(&self) -> Option<&str> {
        self.record().name.as_ref().map(StringValue::as_str)
    }

    /// Returns the name of the agent that makes the call: of the turn itself, or of the innermost turn of this
    /// process that the call belongs to.
    #[must_use]
    pub fn agent_name(&self) -> Option<&str> {
        self.record().agent.as_ref().map(|agent| &***agent)
    }

    /// Returns when the event happened, by the wall clock.
    ///
    /// A service may learn late that a call has begun or ended, such as a model response. Its event is then emitted
    /// late, with the earlier time: sort events by time where their order matters.
    ///
    /// The time of a terminal event is the start time plus the duration, unless the machine was suspended or
    /// the wall clock was set forward meanwhile: [`Clock`](crate::Clock) has the details.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        UNIX_EPOCH + self.time_since_epoch()
    }

    /// Returns when the event happened: the time since the Unix epoch.
    #[inline]
    pub(crate) fn time_since_epoch(&self) -> Duration {
        let start = self.record().began.wall.since_epoch();
        let Some(took) = self.duration() else {
            return start;
        };
        let suspension = self.annotations().map_or(0, |of| of.suspension);
        start + took + Duration::from_nanos(suspension)
    }

    /// Returns when the call began, by the wall clock.
    #[must_use]
    pub fn start_time(&self) -> SystemTime {
        self.record().began.wall.to_system()
    }

    /// Returns how long the call took, by the monotonic clock; `None` for a start event.
    #[must_use]
    #[inline]
    pub fn duration(&self) -> Option<Duration> {
        self.outcome.map(|_| self.record().duration())
    }

    /// Returns how the call ended; `None` for a start event.
    #[must_use]
    #[inline]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// Returns how much attention the event needs.
    ///
    /// | event | severity |
    /// |---|---|
    /// | start, stop | [`Info`](Severity::Info) |
    /// | exception: cancelled | [`Info`](Severity::Info) |
    /// | exception: error | [`Warn`](Severity::Warn) |
    /// | exception: panic | [`Error`](Severity::Error) |
    #[must_use]
    #[inline]
    pub fn severity(&self) -> Severity {
        match self.outcome {
            None | Some(Outcome::Ok | Outcome::Cancelled) => Severity::Info,
            Some(Outcome::Error) => Severity::Warn,
            Some(Outcome::Panic) => Severity::Error,
        }
    }

    /// Returns the class of the error, the cancellation or the panic that ended the call.
    ///
    /// `None` for an error that no classifier has seen.
    #[must_use]
    #[inline]
    pub fn error_class(&self) -> Option<ErrorClass> {
        match self.outcome? {
            Outcome::Ok => None,
            Outcome::Error => Some(self.classification()?.class),
            Outcome::Cancelled => Some(ErrorClass::Cancelled),
            Outcome::Panic => Some(ErrorClass::Panic),
        }
    }

    /// Returns the text of the error, if the classifier provided it.
    #[must_use]
    #[inline]
    pub fn error_message(&self) -> Option<&str> {
        self.classification()?.message.as_deref()
    }

    /// Returns how long to wait before a retry, if the error says so.
    #[must_use]
    #[inline]
    pub fn retry_after(&self) -> Option<Duration> {
        self.classification()?.retry_after
    }

    /// Returns who made the request.
    #[must_use]
    #[inline]
    pub fn originator(&self) -> Option<&Originator> {
        self.annotations()
            .and_then(|annotations| annotations.originator.as_ref())
            .or(self.record().originator.as_ref())
    }

    /// Returns the id of the call's trace.
    #[must_use]
    #[inline]
    pub fn trace_id(&self) -> TraceId {
        self.record().trace_id
    }

    /// Returns the id of the call's span.
    #[must_use]
    #[inline]
    pub fn span_id(&self) -> SpanId {
        self.record().span_id
    }

    /// Returns the id of the parent span.
    #[must_use]
    #[inline]
    pub fn parent_span_id(&self) -> Option<SpanId> {
        let parent = self.record().parent_span_id;
        (parent != SpanId::INVALID).then_some(parent)
    }

    /// Returns whether the trace is sampled.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.record().flags.is_sampled()
    }

    /// Returns the id of the Codex thread.
    #[must_use]
    #[inline]
    pub fn thread_id(&self) -> Option<&str> {
        self.id(|ids| ids.thread_id.as_ref())
    }

    /// Returns the id of the turn.
    #[must_use]
    #[inline]
    pub fn turn_id(&self) -> Option<&str> {
        self.id(|ids| ids.turn_id.as_ref())
    }

    /// Returns the id of the tool call.
    #[must_use]
    #[inline]
    pub fn call_id(&self) -> Option<&str> {
        self.id(|ids| ids.call_id.as_ref())
    }

    /// Returns the number of the attempt, from 1.
    #[must_use]
    #[inline]
    pub fn attempt(&self) -> u32 {
        self.record().attempt
    }

    /// Returns the attributes that layers and services recorded; empty for a start event.
    ///
    /// Each key is in the list once, with its latest value, in the order in which the keys were first
    /// recorded. [`CallContext::record`](crate::CallContext::record) has the limits.
    #[must_use]
    #[inline]
    pub fn attributes(&self) -> &[KeyValue] {
        self.annotations()
            .map_or(&[], |annotations| annotations.attributes.as_slice())
    }

    /// Returns the latest value of one attribute.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        let mut attributes = self.attributes().iter();
        Some(&attributes.find(|kv| kv.key.as_str() == key)?.value)
    }

    /// Returns where the time of a turn went; `None` for a start event, and for a call that is no turn of one of the
    /// crate's services. A [`TurnRequest`](crate::turn::TurnRequest) that fails or is cancelled before its service has it
    /// was in [`Phase::Wait`].
    ///
    /// The phases add up to [`duration`](Self::duration). Each is an attribute as well. Of several
    /// [`TimingLayer`](crate::TimingLayer)s around a turn, each has them: those outside of a retry with all attempts and
    /// the pauses between them.
    #[must_use]
    #[inline]
    pub fn phases(&self) -> Option<&Phases> {
        self.annotations()?.phases.as_deref()
    }

    /// Returns whether the call has not ended yet.
    pub(crate) fn is_open(&self) -> bool {
        self.record().is_open()
    }

    /// Returns how long the call has been open until now; `None` if it has ended.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.record().age()
    }

    /// Returns the originator as it is known now.
    pub(crate) fn current_originator(&self) -> Option<Originator> {
        self.record().current_originator()
    }

    /// Returns the ids as they are known now.
    pub(crate) fn current_ids(&self) -> Option<Arc<CallIds>> {
        self.record().current_ids()
    }

    /// Returns the phase that a turn is in now; `None` if its call has ended.
    pub(crate) fn phase(&self) -> Option<Phase> {
        #[cfg(all(feature = "turn", unix))]
        return self.record().phase();
        #[cfg(not(all(feature = "turn", unix)))]
        None
    }

    /// Returns the contents that services recorded: messages, and arguments and results of tools. They may be
    /// confidential.
    ///
    /// Empty for a start event, and unless a sink of the call
    /// [captures content](crate::Sink::captures_content). Other sinks of the same
    /// [`FanOut`](crate::FanOut) then see it as well: a sink that shows events must not show it unasked.
    /// `Debug`, the JSON form and the log records do not have it.
    ///
    /// ```
    /// use codex_telemetry::{Call, MemorySink, Operation, TimingLayer, event::names};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ()> {
    /// let sink = MemorySink::capturing_content();
    /// let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<&'static str>| async move {
    ///     call.context.record_content(names::TOOL_CALL_RESULT, || call.request.to_owned());
    ///     Ok::<_, ()>(())
    /// }));
    /// service.oneshot(Call::new(Operation::Tool, "rain in Oslo")).await?;
    ///
    /// let stop = &sink.events()[1];
    /// assert_eq!(stop.content()[0].value.as_str(), "rain in Oslo");
    /// assert!(stop.attributes().is_empty() && !format!("{stop:?}").contains("rain"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn content(&self) -> &[KeyValue] {
        self.content_attributes()
            .map_or(&[], |content| content.as_slice())
    }

    /// Returns how often an attribute or a content was recorded that the call does not keep.
    #[must_use]
    #[inline]
    pub fn dropped_attributes(&self) -> u32 {
        let dropped = self
            .annotations()
            .map_or(0, |annotations| annotations.attributes.dropped());
        let content = self.content_attributes().map_or(0, Attributes::dropped);
        dropped.saturating_add(content)
    }

    /// Returns the first 128 span events of the call; empty for a start event.
    #[must_use]
    #[inline]
    pub fn span_events(&self) -> &[opentelemetry::trace::Event] {
        self.annotations()
            .map_or(&[], |annotations| &annotations.span_events)
    }

    /// Returns how many span events the call had beyond those that it keeps.
    #[must_use]
    #[inline]
    pub fn dropped_span_events(&self) -> u32 {
        self.annotations()
            .map_or(0, |annotations| annotations.dropped_span_events)
    }

    /// Returns the value of `error.type` on spans, metrics and log records: the class, or the conventions'
    /// `_OTHER` for an error whose class is unknown.
    #[cfg(feature = "otlp")]
    pub(crate) fn error_type(&self) -> Option<&'static str> {
        match (self.kind(), self.error_class()) {
            (EventKind::Start | EventKind::Stop, _) => None,
            (EventKind::Exception, None | Some(ErrorClass::Other)) => Some("_OTHER"),
            (EventKind::Exception, Some(class)) => Some(class.as_str()),
        }
    }

    /// Returns about how many bytes the event holds, in memory and in a request.
    #[cfg(feature = "otlp")]
    #[inline]
    pub(crate) fn estimated_size(&self) -> usize {
        /// Half a record with its name and ids: a call has two events.
        const PLAIN: usize = 256;
        PLAIN + self.annotations().map_or(0, Annotations::estimated_size)
    }

    /// Returns the context of the call's own span.
    #[cfg(feature = "otlp")]
    pub(crate) fn span_context(&self) -> opentelemetry::trace::SpanContext {
        self.record().span_context()
    }

    /// Returns whether the parent span is in another process.
    #[must_use]
    pub fn has_remote_parent(&self) -> bool {
        self.record().remote_parent().is_some_and(|parent| {
            parent.is_remote() && Some(parent.span_id()) == self.parent_span_id()
        })
    }

    /// Returns what was written on the call; `None` for a start event, however late it is read.
    #[inline]
    fn annotations(&self) -> Option<&Annotations> {
        self.outcome.and_then(|_| self.record().annotations())
    }

    #[inline]
    fn content_attributes(&self) -> Option<&Attributes> {
        self.annotations()?.content.as_deref()
    }

    /// Returns the classification of an error that ended the call. One that is left from a failed attempt
    /// of a call that then succeeded or was cancelled does not count.
    #[inline]
    fn classification(&self) -> Option<&Classification> {
        match self.outcome? {
            Outcome::Error => self.annotations()?.classification.as_ref(),
            Outcome::Ok | Outcome::Cancelled | Outcome::Panic => None,
        }
    }

    #[inline]
    fn id(&self, of: impl Fn(&CallIds) -> Option<&StringValue>) -> Option<&str> {
        let set_later = self.annotations().and_then(|it| it.ids.as_deref());
        let ids = set_later.or(self.record().ids.as_deref())?;
        of(ids).map(StringValue::as_str)
    }
}

/// The last event gives the record back to the pool.
impl Drop for Event {
    #[inline]
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            record_pool::release(record);
        }
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
