use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use opentelemetry::SpanId;
use serde_json::Value;

use crate::checked::CallTracker;

/// The events that a program has written to its file.
pub(crate) struct Events {
    all: Vec<Value>,
}

impl Events {
    /// Reads a file, which is there once the program has begun.
    pub(crate) fn read(path: &Path) -> Self {
        let text = match path.exists() {
            true => fs::read_to_string(path).unwrap(),
            false => String::new(),
        };
        let lines = text.lines();
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        Self {
            all: lines.map(parse).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns those after the first ones.
    pub(crate) fn after(mut self, count: usize) -> Self {
        self.all.drain(..count);
        self
    }

    /// Panics unless every call has one start and one end.
    pub(crate) fn check(&self) {
        let id = |event: &Value, key: &str| SpanId::from_hex(event[key].as_str()?).ok();
        let mut tracker = CallTracker::default();
        for event in &self.all {
            let span = id(event, "span_id").unwrap();
            if is_end(event) {
                tracker.end(span, event.to_string());
            } else {
                tracker.start(span, id(event, "parent_span_id"), event.to_string());
            }
        }
        tracker.check(&BTreeSet::new());
    }

    /// Returns the ends of the calls.
    pub(crate) fn ends(&self) -> impl Iterator<Item = &Value> {
        self.all.iter().filter(|event| is_end(event))
    }

    /// Returns the ends of the calls of an operation.
    pub(crate) fn ends_of(&self, operation: &str) -> Vec<&Value> {
        self.ends()
            .filter(|event| operation_of(event) == operation)
            .collect()
    }

    /// Returns the ends of the calls of a trace, by their span ids.
    pub(crate) fn in_trace(&self, trace: &str) -> BTreeMap<&str, &Value> {
        let of_trace = self.ends().filter(|event| event["trace_id"] == trace);
        of_trace
            .map(|event| (event["span_id"].as_str().unwrap(), event))
            .collect()
    }
}

/// Returns the name of an event without its last part.
pub(crate) fn operation_of(event: &Value) -> &str {
    let name = event["event"].as_str().unwrap();
    name.rsplit_once('.').unwrap().0
}

fn is_end(event: &Value) -> bool {
    !event["event"].as_str().unwrap().ends_with(".start")
}
