use std::{
    borrow::Cow,
    cell::Cell,
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry::{
    Array, KeyValue, Value,
    logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity as OtlpSeverity},
};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};

use super::{
    attributes::{add_attributes, exception_type, is_failure, limit, message},
    names,
    processor::{Processors, RecordView},
};
use crate::{
    event::{Event, EventKind, Severity},
    otlp::config::{AttributeLimits, Limits, LogSelection, Signal},
};

/// Converts events to log records.
pub(crate) struct LogRecords {
    /// Only creates records, for which the SDK has no other way. It has no processor and emits nothing.
    logger: SdkLogger,
    limits: AttributeLimits,
    processors: Arc<Processors>,
    /// An empty list, whose memory each record uses for its attributes before they are the SDK's.
    attributes: Cell<Vec<KeyValue>>,
}

impl LogRecords {
    pub(crate) fn new(limits: &Limits, processors: Arc<Processors>) -> Self {
        Self {
            logger: SdkLoggerProvider::builder().build().logger(names::SCOPE),
            limits: limits.logs.attributes,
            processors,
            attributes: Cell::default(),
        }
    }

    /// Returns the log record of an event; `None` if a processor drops the record.
    pub(crate) fn record(&self, event: &Event) -> Option<SdkLogRecord> {
        let name = intern(event.name());
        let mut attributes = self.attributes.take();
        add_attributes(event, &mut attributes);
        let mut view = RecordView {
            event,
            signal: Signal::Logs,
            name: name.into(),
            message: message(event),
            attributes,
            span_events: Vec::new(),
        };
        if let Some(kind) = exception_type(event) {
            // Recorded values do not replace these attributes either.
            view.remove_attribute(names::EXCEPTION_MESSAGE);
            view.set_first(names::EXCEPTION_TYPE, kind);
        }
        if !self.processors.keep(&mut view) {
            return None;
        }
        if let Some(message) = view.message.take().filter(|_| is_failure(event)) {
            view.set_first(names::EXCEPTION_MESSAGE, message);
        }
        // A log record of the SDK has no count of what was removed.
        limit(&mut view.attributes, self.limits);

        let time = event.time();
        let mut record = self.logger.create_log_record();
        record.set_event_name(name);
        record.set_body(AnyValue::from(name));
        record.set_timestamp(time);
        record.set_observed_timestamp(time);
        record.set_severity_number(severity(event.severity()));
        record.set_severity_text(event.severity().as_str());
        let span = event.span_context();
        record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
        for attribute in view.attributes.drain(..) {
            record.add_attribute(attribute.key, any_value(attribute.value));
        }
        self.attributes.set(view.attributes);
        Some(record)
    }
}

fn severity(severity: Severity) -> OtlpSeverity {
    match severity {
        Severity::Info => OtlpSeverity::Info,
        Severity::Warn => OtlpSeverity::Warn,
        Severity::Error => OtlpSeverity::Error,
    }
}

/// Returns whether an event has a log record. [`LogSelection::None`] also disables the signal.
pub(crate) fn is_selected(event: &Event, selection: LogSelection) -> bool {
    match (selection, event.kind()) {
        (LogSelection::All, _) | (LogSelection::Ends, EventKind::Stop) => true,
        (LogSelection::Ends | LogSelection::Exceptions, EventKind::Exception) => true,
        (LogSelection::Ends | LogSelection::Exceptions | LogSelection::None, _) => false,
    }
}

/// Returns an event's name with the static lifetime that the SDK requires. The name of a custom operation
/// is created at run time and then kept: there are three for each such operation in the source.
fn intern(name: Cow<'static, str>) -> &'static str {
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let name = match name {
        Cow::Borrowed(name) => return name,
        Cow::Owned(name) => name,
    };
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    if let Some(name) = names.get(name.as_str()) {
        return name;
    }
    let name = &*name.leak();
    names.insert(name);
    name
}

fn any_value(value: Value) -> AnyValue {
    match value {
        Value::Bool(value) => value.into(),
        Value::I64(value) => value.into(),
        Value::F64(value) => value.into(),
        Value::String(value) => AnyValue::String(value),
        Value::Array(Array::Bool(values)) => values.into_iter().collect(),
        Value::Array(Array::I64(values)) => values.into_iter().collect(),
        Value::Array(Array::F64(values)) => values.into_iter().collect(),
        Value::Array(Array::String(values)) => values.into_iter().collect(),
        other => AnyValue::String(other.as_str().into_owned().into()),
    }
}
