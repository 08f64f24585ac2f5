use std::{borrow::Cow, sync::Arc};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, Value,
    trace::{Event as SpanEvent, SpanKind, Status},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{
    attributes::{add_attributes, exception_type, is_failure, limit, message},
    names,
    processor::{Processors, RecordView},
};
use crate::{
    event::{Event, Operation, names as attribute},
    otlp::config::{AttributeLimits, Limits, Signal},
};

/// Converts the terminal events of calls to spans.
pub(crate) struct Spans {
    scope: InstrumentationScope,
    limits: AttributeLimits,
    max_events: usize,
    processors: Arc<Processors>,
}

impl Spans {
    pub(crate) fn new(
        scope: InstrumentationScope,
        limits: &Limits,
        processors: Arc<Processors>,
    ) -> Self {
        Self {
            scope,
            limits: limits.spans.attributes,
            max_events: limits.span_events,
            processors,
        }
    }

    /// Returns the span of a call, for its terminal event; `None` if a processor drops the span.
    pub(crate) fn span(&self, event: &Event) -> Option<SpanData> {
        let mut attributes = Vec::new();
        add_attributes(event, &mut attributes);
        for content in event.content() {
            // A key must not be there twice.
            if !attributes.iter().any(|other| other.key == content.key) {
                attributes.push(content.clone());
            }
        }
        let mut record = RecordView {
            event,
            signal: Signal::Traces,
            name: name(event),
            message: message(event),
            attributes,
            span_events: event.span_events().to_vec(),
        };
        if !self.processors.keep(&mut record) {
            return None;
        }
        let removed = limit(&mut record.attributes, self.limits);
        Some(SpanData {
            span_context: event.span_context(),
            parent_span_id: event.parent_span_id().unwrap_or(SpanId::INVALID),
            parent_span_is_remote: event.has_remote_parent(),
            span_kind: kind(event),
            start_time: event.start_time(),
            end_time: event.time(),
            dropped_attributes_count: event.dropped_attributes().saturating_add(removed),
            events: self.events(event, record.span_events, record.message.clone()),
            links: SpanLinks::default(),
            status: status(event, record.message),
            instrumentation_scope: self.scope.clone(),
            name: record.name,
            attributes: record.attributes,
        })
    }

    /// Returns the span events, and one more for a failure.
    fn events(
        &self,
        event: &Event,
        mut recorded: Vec<SpanEvent>,
        message: Option<String>,
    ) -> SpanEvents {
        for event in &mut recorded {
            let removed = limit(&mut event.attributes, self.limits);
            event.dropped_attributes_count = event.dropped_attributes_count.saturating_add(removed);
        }
        let exception = exception(event, message, self.limits);
        let count = recorded.len() + exception.iter().len();
        // The exception is the last one to be left out: it has the reason of the failure.
        recorded.truncate(self.max_events.saturating_sub(exception.iter().len()));
        recorded.extend(exception.filter(|_| self.max_events > 0));
        let removed = u32::try_from(count - recorded.len()).unwrap_or(u32::MAX);
        let mut events = SpanEvents::default();
        events.events = recorded;
        events.dropped_count = event.dropped_span_events().saturating_add(removed);
        events
    }
}

/// Returns the event that describes a failure. The conventions move exceptions to log records and keep these
/// events meanwhile: many products of traces read no other reason.
fn exception(event: &Event, message: Option<String>, limits: AttributeLimits) -> Option<SpanEvent> {
    let kind = exception_type(event).filter(|_| is_failure(event))?;
    let mut attributes = vec![KeyValue::new(names::EXCEPTION_TYPE, kind)];
    attributes.extend(message.map(|message| KeyValue::new(names::EXCEPTION_MESSAGE, message)));
    limit(&mut attributes, limits);
    Some(SpanEvent::new(
        names::EXCEPTION,
        event.time(),
        attributes,
        0,
    ))
}

fn kind(event: &Event) -> SpanKind {
    match event.operation() {
        // The agent is another process, and the model is elsewhere.
        Operation::Turn | Operation::Chat => SpanKind::Client,
        // The client is another process.
        Operation::Tool if mcp_method(event).is_some() => SpanKind::Server,
        _ => SpanKind::Internal,
    }
}

/// Returns the method of MCP by which a tool was called, if it was.
fn mcp_method(event: &Event) -> Option<Cow<'_, str>> {
    event.attribute(attribute::MCP_METHOD).map(Value::as_str)
}

fn name(event: &Event) -> Cow<'static, str> {
    let verb: Cow<'static, str> = match event.operation() {
        Operation::Turn => names::INVOKE_AGENT.into(),
        Operation::Tool => match mcp_method(event) {
            Some(method) => method.into_owned().into(),
            None => names::EXECUTE_TOOL.into(),
        },
        Operation::Chat => names::CHAT.into(),
        other => other.as_str().into(),
    };
    match event.call_name() {
        Some(name) => format!("{verb} {name}").into(),
        None => verb,
    }
}

fn status(event: &Event, message: Option<String>) -> Status {
    if is_failure(event) {
        Status::error(message.unwrap_or_default())
    } else {
        Status::Unset
    }
}
