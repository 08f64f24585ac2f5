use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use opentelemetry::{
    InstrumentationScope, Value,
    logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity},
};
use opentelemetry_sdk::logs::{LogBatch, SdkLogRecord, SdkLogger, SdkLoggerProvider};

use super::{names, span};
use crate::event::{Event, EventKind};

/// Makes log records of events, one of each.
pub(super) struct LogRecords {
    /// Only to make records: the SDK has no other way. It has no processor and emits nothing.
    logger: SdkLogger,
    scope: InstrumentationScope,
}

impl LogRecords {
    pub(super) fn new(scope: InstrumentationScope) -> Self {
        Self {
            logger: SdkLoggerProvider::builder().build().logger(names::SCOPE),
            scope,
        }
    }

    pub(super) fn record(&self, event: &Event) -> SdkLogRecord {
        let mut record = self.logger.create_log_record();
        let name = for_ever(event.name());
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
        record.add_attributes(
            span::attributes(event)
                .into_iter()
                .filter(|attribute| {
                    message.is_none() || attribute.key.as_str() != names::ERROR_MESSAGE
                })
                .map(|attribute| (attribute.key, any_value(attribute.value))),
        );
        if let Some(message) = message {
            record.add_attribute(names::ERROR_MESSAGE, message.to_owned());
        }
        record
    }

    /// Runs `export` on the records as the SDK's exporters take them.
    pub(super) async fn batch<T>(
        &self,
        records: &[SdkLogRecord],
        export: impl AsyncFnOnce(LogBatch<'_>) -> T,
    ) -> T {
        let scoped: Vec<_> = records.iter().map(|record| (record, &self.scope)).collect();
        export(LogBatch::new(&scoped)).await
    }
}

/// An event's name as long-lived as the SDK wants it. That of an application's own operation is made at
/// run time and kept from then on: there are no more of them than operations in its source, times three.
fn for_ever(name: Cow<'static, str>) -> &'static str {
    static KEPT: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let name = match name {
        Cow::Borrowed(name) => return name,
        Cow::Owned(name) => name,
    };
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    if let Some(name) = kept.get(name.as_str()) {
        return name;
    }
    let name = &*name.leak();
    kept.insert(name);
    name
}

fn any_value(value: Value) -> AnyValue {
    match value {
        Value::Bool(value) => value.into(),
        Value::I64(value) => value.into(),
        Value::F64(value) => value.into(),
        Value::String(value) => AnyValue::String(value),
        Value::Array(array) => any_list(array),
        other => AnyValue::String(other.as_str().into_owned().into()),
    }
}

fn any_list(array: opentelemetry::Array) -> AnyValue {
    use opentelemetry::Array;
    match array {
        Array::Bool(values) => values.into_iter().collect(),
        Array::I64(values) => values.into_iter().collect(),
        Array::F64(values) => values.into_iter().collect(),
        Array::String(values) => values.into_iter().collect(),
        other => AnyValue::String(other.to_string().into()),
    }
}
