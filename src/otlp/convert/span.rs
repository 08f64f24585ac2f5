use std::borrow::Cow;

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, Value,
    trace::{SpanKind, Status},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::names;
use crate::event::{Event, Operation, millis, names as attribute};

/// Converts the terminal events of calls to spans.
pub(crate) struct Spans {
    scope: InstrumentationScope,
}

impl Spans {
    pub(crate) fn new(scope: InstrumentationScope) -> Self {
        Self { scope }
    }

    /// Returns the span of a call, for its terminal event; `None` if the span is not to be exported.
    #[expect(clippy::unnecessary_wraps, reason = "a processor can drop a span")]
    pub(crate) fn span(&self, event: &Event) -> Option<SpanData> {
        let mut events = SpanEvents::default();
        events.events = event.span_events().to_vec();
        events.dropped_count = event.dropped_span_events();
        Some(SpanData {
            span_context: event.span_context(),
            parent_span_id: event.parent_span_id().unwrap_or(SpanId::INVALID),
            parent_span_is_remote: event.has_remote_parent(),
            span_kind: kind(event.operation()),
            name: name(event),
            start_time: event.start_time(),
            end_time: event.time(),
            attributes: attributes(event),
            dropped_attributes_count: event.dropped_attributes(),
            events,
            links: SpanLinks::default(),
            status: status(event),
            instrumentation_scope: self.scope.clone(),
        })
    }
}

fn kind(operation: Operation) -> SpanKind {
    match operation {
        // The agent is another process.
        Operation::Turn => SpanKind::Client,
        _ => SpanKind::Internal,
    }
}

fn name(event: &Event) -> Cow<'static, str> {
    let verb = match event.operation() {
        Operation::Turn => names::INVOKE_AGENT,
        Operation::Tool => names::EXECUTE_TOOL,
        other => other.as_str(),
    };
    match event.call_name() {
        Some(name) => format!("{verb} {name}").into(),
        None => verb.into(),
    }
}

fn status(event: &Event) -> Status {
    match event.error_type() {
        None => Status::Unset,
        Some(class) => Status::error(event.error_message().unwrap_or(class).to_owned()),
    }
}

/// Returns the provider of a turn's model, or Codex's default where the call does not say.
pub(crate) fn provider(event: &Event) -> Value {
    let recorded = event.attribute(attribute::PROVIDER_NAME);
    recorded.cloned().unwrap_or(names::DEFAULT_PROVIDER.into())
}

/// Returns the attributes of an event, for its span and its log record.
pub(crate) fn attributes(event: &Event) -> Vec<KeyValue> {
    let mut attributes = Attributes(Vec::with_capacity(12 + event.attributes().len()));
    match event.operation() {
        Operation::Turn => {
            attributes.set(names::OPERATION_NAME, names::INVOKE_AGENT);
            attributes.set(attribute::PROVIDER_NAME, provider(event));
            attributes.some(names::AGENT_NAME, event.call_name());
            attributes.some(names::CALL_ID, event.call_id());
        }
        Operation::Tool => {
            attributes.set(names::OPERATION_NAME, names::EXECUTE_TOOL);
            attributes.some(names::TOOL_NAME, event.call_name());
            attributes.some(names::TOOL_CALL_ID, event.call_id());
        }
        _ => attributes.some(names::CALL_ID, event.call_id()),
    }
    attributes.some(names::CONVERSATION_ID, event.thread_id());
    attributes.some(names::TURN_ID, event.turn_id());
    let originator = event.originator().map(|originator| originator.as_str());
    attributes.some(names::ORIGINATOR, originator);
    if event.attempt() > 1 {
        attributes.set(names::ATTEMPT, i64::from(event.attempt()));
    }
    if let Some(duration) = event.duration() {
        attributes.set(names::DURATION_MS, millis(duration));
    }
    let outcome = event.outcome().map(|outcome| outcome.as_str());
    attributes.some(names::OUTCOME, outcome);
    attributes.some(names::ERROR_TYPE, event.error_type());
    let fixed = attributes.0.len();
    for attribute in event.attributes() {
        // Recorded values do not replace the attributes above.
        let mut fixed = attributes.0[..fixed].iter();
        if !fixed.any(|other| other.key == attribute.key) {
            attributes.0.push(attribute.clone());
        }
    }
    attributes.0
}

struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(key, value));
    }

    fn some(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(key, value.to_owned());
        }
    }
}
