//! Active calls as JSON.

use std::time::Duration;

use codex_telemetry::{ActiveCalls, CallContext, Operation, Originator};
use serde_json::json;

use crate::support::*;

#[test]
fn a_call_is_one_flat_object_without_what_is_unknown() {
    let calls = ActiveCalls::new();
    let harness = Harness::new(calls.clone());
    let context = CallContext::new()
        .with_originator(Originator::Cli)
        .with_thread_id("thread");
    let open = harness.open(turn().with_name("reviewer").with_context(context));
    open.context().record_turn_id("turn");
    harness.manual.advance(Duration::from_micros(1_250));
    let _tool = open.open_child(Operation::Tool, None, Some("call".into()));
    let snapshot = calls.snapshot();
    let [turn, tool] = &snapshot[..] else {
        panic!("two calls are active");
    };
    let trace = turn.trace_id.to_string();
    let expected = json!([
        {
            "operation": "codex.turn", "name": "reviewer", "age_ms": 1.25, "originator": "cli",
            "thread_id": "thread", "turn_id": "turn", "trace_id": trace,
            "span_id": turn.span_id.to_string(), "attempt": 1,
        },
        {
            "operation": "codex.tool", "age_ms": 0.0, "originator": "cli", "thread_id": "thread",
            "turn_id": "turn", "call_id": "call", "trace_id": trace,
            "span_id": tool.span_id.to_string(), "parent_span_id": turn.span_id.to_string(),
            "attempt": 1,
        },
    ]);
    assert_eq!(serde_json::to_value(&snapshot).unwrap(), expected);
}
