use opentelemetry::{Array, KeyValue, StringValue, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Event, millis};

/// One flat object; what is unknown is absent, never null.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", &self.name())?;
        let time = humantime::format_rfc3339_micros(self.time());
        map.serialize_entry("time", &format_args!("{time}"))?;
        if let Some(duration) = self.duration() {
            map.serialize_entry("duration_ms", &millis(duration))?;
        }
        optional(&mut map, "outcome", self.outcome().map(|o| o.as_str()))?;
        optional(
            &mut map,
            "error_class",
            self.error_class().map(|c| c.as_str()),
        )?;
        optional(&mut map, "error_message", self.error_message())?;
        if let Some(wait) = self.retry_after() {
            map.serialize_entry("retry_after_ms", &millis(wait))?;
        }
        optional(
            &mut map,
            "originator",
            self.originator().map(|o| o.as_str()),
        )?;
        map.serialize_entry("trace_id", &format_args!("{}", self.trace_id()))?;
        map.serialize_entry("span_id", &format_args!("{}", self.span_id()))?;
        if let Some(parent) = self.parent_span_id() {
            map.serialize_entry("parent_span_id", &format_args!("{parent}"))?;
        }
        optional(&mut map, "name", self.call_name())?;
        optional(&mut map, "thread_id", self.thread_id())?;
        optional(&mut map, "turn_id", self.turn_id())?;
        optional(&mut map, "call_id", self.call_id())?;
        map.serialize_entry("attempt", &self.attempt())?;
        if !self.attributes().is_empty() {
            map.serialize_entry("attributes", &Attributes(self.attributes()))?;
        }
        if !self.span_events().is_empty() {
            let events: Vec<_> = self.span_events().iter().map(SpanEvent).collect();
            map.serialize_entry("span_events", &events)?;
        }
        map.end()
    }
}

fn optional<M: SerializeMap>(map: &mut M, key: &str, value: Option<&str>) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(key, value),
        None => Ok(()),
    }
}

struct SpanEvent<'a>(&'a opentelemetry::trace::Event);

impl Serialize for SpanEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.0.name)?;
        let time = humantime::format_rfc3339_micros(self.0.timestamp);
        map.serialize_entry("time", &format_args!("{time}"))?;
        if !self.0.attributes.is_empty() {
            map.serialize_entry("attributes", &Attributes(&self.0.attributes))?;
        }
        map.end()
    }
}

struct Attributes<'a>(&'a [KeyValue]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (i, kv) in self.0.iter().enumerate() {
            // A key may be recorded again; an object holds it once, with its newest value.
            if !self.0[i + 1..].iter().any(|later| later.key == kv.key) {
                map.serialize_entry(kv.key.as_str(), &JsonValue(&kv.value))?;
            }
        }
        map.end()
    }
}

struct JsonValue<'a>(&'a Value);

impl Serialize for JsonValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I64(value) => serializer.serialize_i64(*value),
            Value::F64(value) => Float(*value).serialize(serializer),
            Value::String(value) => serializer.serialize_str(value.as_str()),
            Value::Array(Array::Bool(values)) => values.serialize(serializer),
            Value::Array(Array::I64(values)) => values.serialize(serializer),
            Value::Array(Array::F64(values)) => {
                serializer.collect_seq(values.iter().copied().map(Float))
            }
            Value::Array(Array::String(values)) => {
                serializer.collect_seq(values.iter().map(StringValue::as_str))
            }
            other => serializer.collect_str(other),
        }
    }
}

struct Float(f64);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // JSON has no such numbers, and would write null. The texts are those of protobuf's JSON form.
        match self.0 {
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            number if number.is_nan() => serializer.serialize_str("NaN"),
            number => serializer.serialize_f64(number),
        }
    }
}
