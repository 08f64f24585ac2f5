use opentelemetry::{Array, KeyValue, StringValue, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Event, Originator, Phases, millis};

/// One flat object. An unknown value is absent, never null.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", &self.name())?;
        let time = humantime::format_rfc3339_micros(self.time());
        map.serialize_entry("time", &format_args!("{time}"))?;
        map.serialize_entry("severity", &self.severity())?;
        optional(&mut map, "duration_ms", self.duration().map(millis))?;
        optional(&mut map, "outcome", self.outcome())?;
        optional(&mut map, "error_class", self.error_class())?;
        optional(&mut map, "error_message", self.error_message())?;
        optional(&mut map, "retry_after_ms", self.retry_after().map(millis))?;
        optional(&mut map, "originator", self.originator())?;
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
        if let Some(phases) = self.phases() {
            let changes = phases.changes().iter().map(|(at, phase)| Change {
                phase: phase.as_str(),
                start_ms: millis(*at),
            });
            map.serialize_entry("phases", &Vec::from_iter(changes))?;
        }
        if !self.span_events().is_empty() {
            let events: Vec<_> = self.span_events().iter().map(SpanEvent).collect();
            map.serialize_entry("span_events", &events)?;
        }
        let count = |dropped| (dropped > 0).then_some(dropped);
        optional(
            &mut map,
            "dropped_attributes",
            count(self.dropped_attributes()),
        )?;
        optional(
            &mut map,
            "dropped_span_events",
            count(self.dropped_span_events()),
        )?;
        map.end()
    }
}

/// The name.
impl Serialize for Originator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

fn optional<M: SerializeMap>(
    map: &mut M,
    key: &str,
    value: Option<impl Serialize>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, &value))
}

/// The milliseconds of each phase that can be told, by names such as `wait_ms`.
impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (phase, duration) in self.iter() {
            map.serialize_entry(&format_args!("{phase}_ms"), &millis(duration))?;
        }
        optional(&mut map, "last", self.last())?;
        let first = self.time_to_first_token().map(millis);
        optional(&mut map, "time_to_first_token_ms", first)?;
        map.end()
    }
}

/// When a turn entered a phase.
#[derive(serde::Serialize)]
struct Change {
    phase: &'static str,
    /// After the start of the turn.
    start_ms: f64,
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
        let dropped = self.0.dropped_attributes_count;
        optional(
            &mut map,
            "dropped_attributes",
            (dropped > 0).then_some(dropped),
        )?;
        map.end()
    }
}

struct Attributes<'a>(&'a [KeyValue]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for kv in self.0 {
            map.serialize_entry(kv.key.as_str(), &JsonValue(&kv.value))?;
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
        // JSON has no such numbers: serde_json would write null. Protobuf's JSON encoding has these texts.
        match self.0 {
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            number if number.is_nan() => serializer.serialize_str("NaN"),
            number => serializer.serialize_f64(number),
        }
    }
}
