//! What is left of a file with many traces.

use codex_telemetry::ErrorClass;
use opentelemetry::TraceId;
use serde_json::Value;

use crate::lines::{Call, timeline};

/// Three traces of 10, 30 and 20 milliseconds.
fn three_traces() -> Vec<Value> {
    let turn = |trace, name| Call::new("codex.turn", 1).in_trace(trace).named(name);
    let tool = Call::new("codex.tool", 2).in_trace(2).inside(1).at(5);
    vec![
        turn(1, "first").with("thread_id", "a").ok(10),
        turn(2, "second").with("thread_id", "b").open(),
        tool.with("error_class", "rate_limit").failed("error", 5),
        turn(2, "second").with("thread_id", "b").ok(30),
        turn(3, "third").with("thread_id", "b").ok(20),
    ]
}

/// Returns the names of the turns in a timeline.
fn turns(text: &str) -> Vec<&str> {
    let turns = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("codex.turn "));
    turns.filter_map(|turn| turn.split(' ').next()).collect()
}

#[test]
fn of_trace_keeps_the_trace_with_the_id() {
    let all = timeline(&three_traces());
    assert_eq!(turns(&all.to_string()), ["first", "second", "third"]);
    let id = TraceId::from_hex(&format!("{:032x}", 2)).unwrap();
    assert_eq!(turns(&all.of_trace(id).to_string()), ["second"]);
}

#[test]
fn of_thread_keeps_the_traces_with_a_call_of_the_thread() {
    let kept = timeline(&three_traces()).of_thread("b").to_string();
    assert_eq!(turns(&kept), ["second", "third"]);
}

#[test]
fn of_class_keeps_the_whole_trace_of_a_call_that_ended_with_the_class() {
    let kept = timeline(&three_traces())
        .of_class(ErrorClass::RateLimit)
        .to_string();
    assert_eq!(turns(&kept), ["second"]);
    assert!(
        kept.contains("codex.tool") && kept.contains("rate_limit"),
        "{kept}"
    );
    let none = timeline(&three_traces()).of_class(ErrorClass::Timeout);
    assert!(none.is_empty());
    assert_eq!(none.to_string(), "(no events)\n");
}

#[test]
fn slowest_keeps_the_longest_traces_the_longest_first() {
    let all = timeline(&three_traces());
    assert_eq!(
        turns(&all.clone().slowest(2).to_string()),
        ["second", "third"]
    );
    assert_eq!(
        turns(&all.clone().slowest(9).to_string()),
        ["second", "third", "first"]
    );
    assert!(all.slowest(0).is_empty());
}

#[test]
fn filters_apply_together() {
    let kept = timeline(&three_traces())
        .of_thread("b")
        .slowest(1)
        .to_string();
    assert_eq!(turns(&kept), ["second"]);
}
