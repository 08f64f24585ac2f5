//! The calls of a sink's events.

use std::time::SystemTime;

use codex_telemetry::{Event, EventKind, Operation, Originator, Outcome, event::names};
use opentelemetry::Value;

/// The terminal events of calls, in the order of their starts.
pub(crate) struct Calls {
    pub(crate) turns: Vec<Event>,
    pub(crate) tools: Vec<Event>,
}

impl Calls {
    /// Checks that each tool call is inside of its turn's call. The checked sink has the checks of starts and
    /// ends.
    pub(crate) fn new(events: &[Event]) -> Self {
        let ends = |operation| {
            let starts = events
                .iter()
                .filter(|event| event.kind() == EventKind::Start && event.operation() == operation);
            let end = |start: &Event| {
                let mut ends = events.iter().filter(|event| event.kind().is_terminal());
                ends.find(|end| end.span_id() == start.span_id()).cloned()
            };
            starts.filter_map(end).collect::<Vec<_>>()
        };
        let calls = Self {
            turns: ends(Operation::Turn),
            tools: ends(Operation::Tool),
        };
        let count = 2 * (calls.turns.len() + calls.tools.len());
        assert_eq!(
            events.len(),
            count,
            "a call of another operation, or an open one"
        );
        for tool in &calls.tools {
            calls.check_tool(tool);
        }
        calls
    }

    fn check_tool(&self, tool: &Event) {
        let turn = self
            .turns
            .iter()
            .find(|turn| Some(turn.span_id()) == tool.parent_span_id())
            .unwrap_or_else(|| panic!("{tool:?} is in no turn"));
        assert_eq!(tool.trace_id(), turn.trace_id());
        assert_eq!(tool.originator(), turn.originator());
        assert_eq!(tool.thread_id(), turn.thread_id());
        let within =
            |event: &Event| -> (SystemTime, SystemTime) { (event.start_time(), event.time()) };
        let ((tool_start, tool_end), (turn_start, turn_end)) = (within(tool), within(turn));
        assert!(turn_start <= tool_start, "{tool:?} started before its turn");
        assert!(tool_end <= turn_end, "{tool:?} ended after its turn");
    }

    /// Returns the only turn.
    pub(crate) fn turn(&self) -> &Event {
        let [turn] = &self.turns[..] else {
            panic!("{} turns", self.turns.len());
        };
        assert_eq!(turn.originator(), Some(&Originator::Sdk));
        turn
    }

    /// Returns the only tool call.
    pub(crate) fn tool(&self) -> &Event {
        let [tool] = &self.tools[..] else {
            panic!("{} tool calls", self.tools.len());
        };
        tool
    }
}

/// Asserts that a call succeeded, without an error class and without standard error.
pub(crate) fn assert_ok(event: &Event) {
    assert_eq!(event.outcome(), Some(Outcome::Ok), "{event:?}");
    assert_eq!(event.kind(), EventKind::Stop);
    assert_eq!(event.error_class(), None);
    assert_eq!(event.attribute(names::STDERR_TAIL), None);
}

/// Returns a numeric attribute of a call.
pub(crate) fn number(event: &Event, key: &str) -> Option<i64> {
    match event.attribute(key)? {
        Value::I64(number) => Some(*number),
        other => panic!("{key} is {other:?}"),
    }
}
