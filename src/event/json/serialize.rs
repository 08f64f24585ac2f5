use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::{Array, KeyValue, SpanId, StringValue, TraceId, Value, trace};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::members::{Key, Members, describe};
use crate::event::{Event, EventKind, Operation, Originator, Phase, Phases, millis};

/// One flat object. An unknown value is absent, never null.
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = Map(serializer.serialize_map(None)?);
        describe(self, &mut map)?;
        map.0.end()
    }
}

/// The name.
impl Serialize for Originator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The milliseconds of each phase that can be told, by names such as `wait_ms`.
impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (phase, duration) in self.iter() {
            map.serialize_entry(&format_args!("{phase}_ms"), &millis(duration))?;
        }
        if let Some(last) = self.last() {
            map.serialize_entry("last", &last)?;
        }
        if let Some(first) = self.time_to_first_token() {
            map.serialize_entry("time_to_first_token_ms", &millis(first))?;
        }
        map.end()
    }
}

/// Passes the members of an event to a serializer.
struct Map<M>(M);

impl<M: SerializeMap> Map<M> {
    fn entry(&mut self, key: Key, value: &(impl Serialize + ?Sized)) -> Result<(), M::Error> {
        self.0.serialize_entry(key.name(), value)
    }
}

impl<M: SerializeMap> Members for Map<M> {
    type Error = M::Error;

    fn text(&mut self, key: Key, text: &str) -> Result<(), M::Error> {
        self.entry(key, text)
    }

    fn plain(&mut self, key: Key, text: &str) -> Result<(), M::Error> {
        self.entry(key, text)
    }

    fn event_name(
        &mut self,
        key: Key,
        operation: Operation,
        kind: EventKind,
    ) -> Result<(), M::Error> {
        self.entry(key, &operation.event_name(kind))
    }

    fn time(&mut self, key: Key, time: Duration) -> Result<(), M::Error> {
        let time = humantime::format_rfc3339_micros(UNIX_EPOCH + time);
        self.entry(key, &format_args!("{time}"))
    }

    fn millis(&mut self, key: Key, duration: Duration) -> Result<(), M::Error> {
        self.entry(key, &millis(duration))
    }

    fn number(&mut self, key: Key, number: u32) -> Result<(), M::Error> {
        self.entry(key, &number)
    }

    fn trace_id(&mut self, key: Key, id: TraceId) -> Result<(), M::Error> {
        self.entry(key, &format_args!("{id}"))
    }

    fn span_id(&mut self, key: Key, id: SpanId) -> Result<(), M::Error> {
        self.entry(key, &format_args!("{id}"))
    }

    fn attributes(&mut self, key: Key, attributes: &[KeyValue]) -> Result<(), M::Error> {
        self.entry(key, &Attributes(attributes))
    }

    fn phases(&mut self, key: Key, phases: &Phases) -> Result<(), M::Error> {
        self.entry(key, &Changes(phases.changes()))
    }

    fn span_events(&mut self, key: Key, events: &[trace::Event]) -> Result<(), M::Error> {
        self.entry(key, &SpanEvents(events))
    }
}

/// When a turn entered its phases, after its start.
pub(super) struct Changes<'a>(pub(super) &'a [(Duration, Phase)]);

impl Serialize for Changes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(at, phase)| Change {
            phase: phase.as_str(),
            start_ms: millis(*at),
        }))
    }
}

#[derive(serde::Serialize)]
struct Change {
    phase: &'static str,
    start_ms: f64,
}

pub(super) struct SpanEvents<'a>(pub(super) &'a [trace::Event]);

impl Serialize for SpanEvents<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(SpanEvent))
    }
}

struct SpanEvent<'a>(&'a trace::Event);

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
        if dropped > 0 {
            map.serialize_entry("dropped_attributes", &dropped)?;
        }
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

pub(super) struct JsonValue<'a>(pub(super) &'a Value);

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
