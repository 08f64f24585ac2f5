//! The picture of a trace.

use std::time::Duration;

use codex_telemetry::{Call, CallContext, ErrorClass, Operation, Outcome, Timeline};

use crate::{checked::MemorySink, support::*};

/// The picture of [`three_calls`]. Its form may change: this is the one place to change with it.
const THREE_CALLS: &str = "\
trace 0af7651916cd43dd8448eb211c80319c  100.000 ms
  codex.turn              ████████████████████████████████   100.000 ms  ok
    codex.tool shell         █████████████                    40.000 ms  ok
    codex.tool search #2                  ████████            25.000 ms  rate_limit
";

/// A turn of 100 ms with a tool that answers after 40 ms and one that fails after 25 ms more.
fn three_calls() -> MemorySink {
    let sink = MemorySink::new();
    let stage = Stage::new(sink.clone());
    let after = |ms| stage.hands.advance(Duration::from_millis(ms));
    let context = CallContext::new().with_traceparent(PARENT, None);
    stage.call(turn().with_context(context), Outcome::Ok, |context| {
        after(10);
        let shell = context.open_child(Operation::Tool, Some("shell".into()), None);
        after(40);
        shell.finish();
        let tool = Call::new(Operation::Tool, ()).with_name("search");
        let again = context.child().with_attempt(2);
        stage.call(tool.with_context(again), Outcome::Error, |context| {
            context.classify(ErrorClass::RateLimit);
            after(25);
        });
        after(25);
    });
    sink
}

#[test]
fn a_trace_of_three_calls_has_a_line_and_a_bar_for_each() {
    assert_eq!(three_calls().timeline().to_string(), THREE_CALLS);
}

#[test]
fn calls_stand_in_the_order_in_which_they_began_however_their_events_come() {
    // Only the ends, and of the two tools the later one first.
    let mut events = three_calls().take();
    events.retain(|event| event.kind().is_terminal());
    events.swap(0, 1);
    assert_eq!(Timeline::new(&events).to_string(), THREE_CALLS);
}

#[test]
fn a_call_that_has_not_ended_is_shown_as_open() {
    let sink = three_calls();
    let mut events = sink.take();
    events.pop();
    let text = Timeline::new(&events).to_string();
    let turn = text.lines().nth(1).expect("a line for the turn");
    assert!(
        turn.contains("codex.turn") && turn.ends_with("(open)"),
        "{text}"
    );
}

#[test]
fn an_empty_list_says_that_it_is_empty() {
    assert_eq!(Timeline::new(&[]).to_string(), "(no events)\n");
    assert_eq!(MemorySink::new().timeline().to_string(), "(no events)\n");
}

#[test]
fn traces_stand_in_the_order_in_which_they_began_and_one_can_be_picked() {
    let sink = MemorySink::new();
    let stage = Stage::new(sink.clone());
    stage.call(turn().with_name("first"), Outcome::Ok, |_| ());
    stage.call(turn().with_name("second"), Outcome::Panic, |_| ());
    let text = sink.timeline().to_string();
    let at = |what: &str| text.find(what);
    assert!(at("first") < at("second"), "{text}");
    assert!(text.contains("panic"));

    let second = sink.events()[2].trace_id();
    let picked = sink.timeline().of_trace(second).to_string();
    assert!(!picked.contains("first") && picked.contains("second"));
}

#[test]
fn a_call_whose_parent_is_not_in_the_picture_is_a_root_of_it() {
    let events = three_calls().take();
    let turn = events[0].span_id();
    let tools: Vec<_> = events.into_iter().filter(|e| e.span_id() != turn).collect();
    let text = Timeline::new(&tools).to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(
        text.lines()
            .skip(1)
            .all(|line| line.starts_with("  codex.tool"))
    );
}

#[test]
fn a_call_that_took_no_time_is_still_seen() {
    let sink = MemorySink::new();
    Stage::new(sink.clone()).turn(Outcome::Ok);
    assert_eq!(sink.timeline().to_string().matches('█').count(), 1);
}
