//! JSON lines as `JsonLinesSink` writes them.

use std::time::{Duration, UNIX_EPOCH};

use codex_telemetry::{Phase, Timeline};
use serde_json::{Map, Value, json};

pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// 2026-01-02T03:04:05Z.
const START: Duration = Duration::from_secs(1_767_323_045);

/// Returns the timeline of these lines, all of which it has read.
#[track_caller]
pub(crate) fn timeline(lines: &[Value]) -> Timeline {
    let timeline = Timeline::from_json_lines(text(lines).as_bytes()).unwrap();
    assert_eq!(timeline.skipped_lines(), 0, "{lines:#?}");
    timeline
}

pub(crate) fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A call of which a test writes the lines. Times are in milliseconds.
#[derive(Clone)]
pub(crate) struct Call {
    operation: &'static str,
    fields: Map<String, Value>,
    start: u64,
}

// === impl Call ===

impl Call {
    /// A root call of the trace [`TRACE`].
    pub(crate) fn new(operation: &'static str, span: u64) -> Self {
        let call = Self {
            operation,
            fields: Map::new(),
            start: 0,
        };
        let call = call.with("trace_id", TRACE).with("attempt", 1);
        call.with("span_id", format!("{span:016x}"))
    }

    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    pub(crate) fn in_trace(self, trace: u128) -> Self {
        self.with("trace_id", format!("{trace:032x}"))
    }

    pub(crate) fn inside(self, parent: u64) -> Self {
        self.with("parent_span_id", format!("{parent:016x}"))
    }

    pub(crate) fn named(self, name: &str) -> Self {
        self.with("name", name)
    }

    pub(crate) fn at(mut self, start: u64) -> Self {
        self.start = start;
        self
    }

    /// Sets the phases of a turn, in their order.
    pub(crate) fn with_phases(self, phases: &[(Phase, f64)]) -> Self {
        let mut attributes = Map::new();
        let mut changes = Vec::new();
        let mut at = 0.0;
        for (phase, millis) in phases {
            changes.push(json!({"phase": phase.as_str(), "start_ms": at}));
            at += millis;
            let sum = attributes.get(phase.attribute()).and_then(Value::as_f64);
            let sum = sum.unwrap_or_default() + millis;
            attributes.insert(phase.attribute().to_owned(), sum.into());
        }
        if let Some((last, _)) = phases.last() {
            attributes.insert("codex.turn.phase".to_owned(), last.as_str().into());
        }
        self.with("attributes", attributes).with("phases", changes)
    }

    pub(crate) fn open(&self) -> Value {
        let mut fields = self.fields.clone();
        fields.retain(|key, _| key != "phases" && key != "attributes");
        let is_start = fields.insert(
            "event".to_owned(),
            format!("{}.start", self.operation).into(),
        );
        assert!(is_start.is_none());
        fields.insert("time".to_owned(), time(self.start).into());
        fields.into()
    }

    pub(crate) fn ok(&self, took: u64) -> Value {
        self.end("stop", "ok", took)
    }

    /// Returns the end with this outcome, which is not `ok`.
    pub(crate) fn failed(&self, outcome: &str, took: u64) -> Value {
        self.end("exception", outcome, took)
    }

    fn end(&self, kind: &str, outcome: &str, took: u64) -> Value {
        let mut fields = self.fields.clone();
        let event = format!("{}.{kind}", self.operation);
        fields.insert("event".to_owned(), event.into());
        fields.insert("time".to_owned(), time(self.start + took).into());
        fields.insert("duration_ms".to_owned(), took.into());
        fields.insert("outcome".to_owned(), outcome.into());
        fields.into()
    }
}

fn time(millis: u64) -> String {
    let time = UNIX_EPOCH + START + Duration::from_millis(millis);
    humantime::format_rfc3339_micros(time).to_string()
}

/// A turn in all phases, with calls of every outcome inside, one of them open.
pub(crate) fn every_kind() -> Vec<Value> {
    let turn = Call::new("codex.turn", 1).named("reviewer");
    let turn = turn.with("error_class", "cancelled").with_phases(&[
        (Phase::Wait, 100.0),
        (Phase::Startup, 200.0),
        (Phase::Model, 250.5),
        (Phase::Retry, 99.5),
        (Phase::Model, 50.0),
        (Phase::Tools, 150.0),
        (Phase::Other, 50.0),
        (Phase::Approval, 100.0),
    ]);
    let inside = |operation, span| Call::new(operation, span).inside(1);
    vec![
        inside("codex.chat", 2).named("gpt").at(300).ok(250),
        inside("codex.tool", 3).named("shell").at(700).ok(100),
        inside("codex.tool", 4)
            .named("search")
            .at(750)
            .with("error_class", "rate_limit")
            .failed("error", 100),
        inside("codex.tool", 5)
            .named("crash")
            .at(800)
            .with("error_class", "panic")
            .failed("panic", 20),
        inside("codex.tool", 6).named("publish").at(850).open(),
        Call::new("codex.approval", 7)
            .named("publish")
            .inside(6)
            .at(900)
            .with("error_class", "cancelled")
            .failed("cancelled", 100),
        turn.failed("cancelled", 1000),
    ]
}
