//! The calls that a sink's events tell of.

use std::time::SystemTime;

use codex_telemetry::{Event, EventKind, Operation, Originator, Outcome, event::names};
use opentelemetry::Value;

/// The terminal events of calls, in the order of their starts.
pub(crate) struct Calls {
    pub(crate) turns: Vec<Event>,
    pub(crate) tools: Vec<Event>,
}

impl Calls {
    /// Checks what holds for all calls of all tests: one start and then one terminal event for each;
    /// every tool call inside a turn's call.
    pub(crate) fn new(events: &[Event]) -> Self {
        let mut calls = Self {
            turns: Vec::new(),
            tools: Vec::new(),
        };
        for start in events
            .iter()
            .filter(|event| event.kind() == EventKind::Start)
        {
            let of_call: Vec<_> = events
                .iter()
                .filter(|event| event.span_id() == start.span_id())
                .collect();
            let [first, last] = of_call[..] else {
                panic!("a call has {} events: {of_call:?}", of_call.len());
            };
            assert_eq!(first.kind(), EventKind::Start, "{first:?} came first");
            assert!(last.kind().is_terminal(), "{last:?} came last");
            assert_eq!(first.trace_id(), last.trace_id());
            match last.operation() {
                Operation::Turn => calls.turns.push(last.clone()),
                Operation::Tool => calls.tools.push(last.clone()),
                other => panic!("a call of {other}"),
            }
        }
        let told = 2 * (calls.turns.len() + calls.tools.len());
        assert_eq!(events.len(), told, "a terminal event came without a start");
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
        assert!(turn_start <= tool_start, "{tool:?} began before its turn");
        assert!(tool_end <= turn_end, "{tool:?} ended after its turn");
    }

    /// The turn of a test that made one.
    pub(crate) fn turn(&self) -> &Event {
        let [turn] = &self.turns[..] else {
            panic!("{} turns", self.turns.len());
        };
        assert_eq!(turn.originator(), Some(&Originator::Sdk));
        turn
    }

    /// The tool call of a test whose turns made one.
    pub(crate) fn tool(&self) -> &Event {
        let [tool] = &self.tools[..] else {
            panic!("{} tool calls", self.tools.len());
        };
        tool
    }
}

/// Asserts that a call ended well, with nothing to explain.
pub(crate) fn assert_ok(event: &Event) {
    assert_eq!(event.outcome(), Some(Outcome::Ok), "{event:?}");
    assert_eq!(event.kind(), EventKind::Stop);
    assert_eq!(event.error_class(), None);
    assert_eq!(event.attribute(names::STDERR_TAIL), None);
}

/// A numeric attribute of a call.
pub(crate) fn number(event: &Event, key: &str) -> Option<i64> {
    match event.attribute(key)? {
        Value::I64(number) => Some(*number),
        other => panic!("{key} is {other:?}"),
    }
}
