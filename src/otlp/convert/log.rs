use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use opentelemetry::{
    Array, Value,
    logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity},
};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};

use super::{names, span};
use crate::{
    event::{Event, EventKind},
    otlp::config::LogSelection,
};

/// Converts events to log records.
pub(crate) struct LogRecords {
    /// Only creates records, for which the SDK has no other way. It has no processor and emits nothing.
    logger: SdkLogger,
}

impl LogRecords {
    pub(crate) fn new() -> Self {
        Self {
            logger: SdkLoggerProvider::builder().build().logger(names::SCOPE),
        }
    }

    /// Returns the log record of an event; `None` if it is not to be exported.
    #[expect(clippy::unnecessary_wraps, reason = "a processor can drop a record")]
    pub(crate) fn record(&self, event: &Event) -> Option<SdkLogRecord> {
        let mut record = self.logger.create_log_record();
        let name = intern(event.name());
        record.set_event_name(name);
        record.set_body(AnyValue::from(name));
        record.set_timestamp(event.time());
        record.set_observed_timestamp(event.time());
        let (severity, text) = match event.kind() {
            EventKind::Exception => (Severity::Warn, "WARN"),
            EventKind::Start | EventKind::Stop => (Severity::Info, "INFO"),
        };
        record.set_severity_number(severity);
        record.set_severity_text(text);
        let span = event.span_context();
        record.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
        let message = event.error_message();
        for attribute in span::attributes(event) {
            if message.is_none() || attribute.key.as_str() != names::ERROR_MESSAGE {
                record.add_attribute(attribute.key, any_value(attribute.value));
            }
        }
        if let Some(message) = message {
            record.add_attribute(names::ERROR_MESSAGE, message.to_owned());
        }
        Some(record)
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
