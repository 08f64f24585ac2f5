//! Child calls, and calls with a parent span in another process.

use codex_telemetry::{Call, CallContext, Event, Operation, Originator, Outcome, TimingLayer};
use tower::{Layer, ServiceBuilder, ServiceExt};

use crate::{checked::MemorySink, support::*};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Asserts that the inner call, which ended first, is a child of the outer one, and returns both.
#[track_caller]
fn assert_parent_and_child(ended: &[Event]) -> [&Event; 2] {
    let [inner, outer] = ended else {
        panic!("not two calls: {ended:#?}");
    };
    assert_eq!(inner.trace_id(), outer.trace_id());
    assert_eq!(inner.parent_span_id(), Some(outer.span_id()));
    assert_ne!(inner.span_id(), outer.span_id());
    [inner, outer]
}

#[test]
fn a_timing_layer_inside_of_another_one_opens_a_child_call() {
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .layer(TimingLayer::new(sink.clone()))
        .service(answers());
    let context = CallContext::new()
        .with_originator(Originator::Sdk)
        .with_thread_id("thread")
        .with_turn_id("turn");
    assert_eq!(call(service, request_with(context)), Ok(42));

    let ended = ended(&sink);
    let [inner, outer] = assert_parent_and_child(&ended);
    assert_eq!(outer.parent_span_id(), None);
    assert_eq!(inner.originator(), Some(&Originator::Sdk));
    assert_eq!(inner.thread_id(), Some("thread"));
    assert_eq!(inner.turn_id(), Some("turn"));
}

#[tokio::test]
async fn a_request_with_a_child_context_opens_a_child_call() {
    let (tool, sink) = timed(answers());
    let turn = TimingLayer::new(sink.clone()).layer(tower::service_fn(move |call: Call<()>| {
        call.context.record_thread_id("learned");
        tool.clone().oneshot(request_with(call.context.child()))
    }));
    let context = CallContext::new()
        .with_originator(Originator::Cli)
        .with_turn_id("turn")
        .with_call_id("mine")
        .with_attempt(3);
    let answer = turn
        .oneshot(Call::new(Operation::Turn, ()).with_context(context))
        .await;
    assert_eq!(answer, Ok(42));

    let ended = ended(&sink);
    let [inner, outer] = assert_parent_and_child(&ended);
    assert_eq!(outer.operation(), Operation::Turn);
    assert_eq!((outer.call_id(), outer.attempt()), (Some("mine"), 3));
    assert_eq!((inner.call_id(), inner.attempt()), (None, 1));
    assert_eq!(inner.originator(), Some(&Originator::Cli));
    assert_eq!(inner.turn_id(), Some("turn"));
    assert_eq!(inner.thread_id(), Some("learned"));
}

#[test]
fn the_calls_of_a_turn_have_its_agent() {
    let sink = MemorySink::new();
    let turns = TimingLayer::new(sink.clone()).layer(shows(|context| {
        let tool = context.open_child(Operation::Tool, Some("shell".into()), None);
        tool.open_child(Operation::Approval, None, None).finish();
        let helper = tool.open_child(Operation::Turn, Some("helper".into()), None);
        helper.open_child(Operation::Tool, None, None).finish();
        helper.finish();
        let unnamed = tool.open_child(Operation::Turn, None, None);
        unnamed.open_child(Operation::Tool, None, None).finish();
        unnamed.finish();
        tool.finish();
    }));
    let turn = Call::new(Operation::Turn, ()).with_name("reviewer");
    assert_eq!(call(turns, turn), Ok(42));

    let ended = ended(&sink);
    let agents: Vec<_> = ended.iter().map(Event::agent_name).collect();
    let (reviewer, helper) = (Some("reviewer"), Some("helper"));
    // The approval, the tool of the helper, the helper, that of the unnamed agent, that agent, the tool, the
    // turn.
    assert_eq!(
        agents,
        [reviewer, helper, helper, None, None, reviewer, reviewer]
    );
}

#[test]
fn a_call_outside_of_a_turn_has_no_agent() {
    let (service, sink) = timed(answers());
    let context = CallContext::new().with_traceparent(PARENT, None);
    assert_eq!(call(service, request_with(context)), Ok(42));
    assert_eq!(only(&sink).agent_name(), None);
}

#[test]
fn a_service_can_open_a_child_call_by_itself() {
    let (service, sink) = timed(shows(|context| {
        let id = Some("item_1".into());
        let guard = context.open_child(Operation::Tool, Some("shell".into()), id);
        guard.record("size", 3);
        guard.finish();
    }));
    let context = CallContext::new().with_originator(Originator::Sdk);
    assert_eq!(call(service, request_with(context)), Ok(42));

    let ended = ended(&sink);
    let [inner, _] = assert_parent_and_child(&ended);
    assert_eq!(inner.name(), "codex.tool.stop");
    assert_eq!(inner.call_name(), Some("shell"));
    assert_eq!(inner.call_id(), Some("item_1"));
    assert_eq!(inner.originator(), Some(&Originator::Sdk));
    assert_eq!(inner.attribute("size"), Some(&3.into()));
}

#[test]
fn a_child_call_ends_as_failed_or_when_dropped_as_cancelled() {
    let (service, sink) = timed(shows(|context| {
        let outer = context.open_child(Operation::Tool, None, None);
        let inner = outer.open_child(Operation::Tool, None, None);
        inner.fail(codex_telemetry::ErrorClass::ToolFailed);
        drop(outer);
    }));
    assert_eq!(call(service, request()), Ok(42));

    let ended = ended(&sink);
    assert_parent_and_child(&ended[..2]);
    assert_parent_and_child(&ended[1..]);
    let classes: Vec<_> = ended.iter().map(Event::error_class).collect();
    let named = |class: Option<codex_telemetry::ErrorClass>| class.map(|class| class.as_str());
    let classes: Vec<_> = classes.into_iter().map(named).collect();
    assert_eq!(classes, [Some("tool_failed"), Some("cancelled"), None]);
}

#[test]
fn a_call_with_a_traceparent_belongs_to_that_trace() {
    let (service, sink) = timed(shows(|context| {
        let sent = context.traceparent();
        assert!(sent.is_some_and(|text| text.contains("0af7651916cd43dd8448eb211c80319c")));
        assert_eq!(context.tracestate().as_deref(), Some("vendor=1"));
    }));
    let context = CallContext::new().with_traceparent(PARENT, Some("vendor=1"));
    assert_eq!(call(service, request_with(context)), Ok(42));

    let end = only(&sink);
    let parent = end.parent_span_id().map(|id| id.to_string());
    assert_eq!(parent.as_deref(), Some("b7ad6b7169203331"));
    assert_eq!(
        end.trace_id().to_string(),
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert!(end.is_sampled());
}

#[test]
fn child_calls_of_an_unsampled_trace_are_unsampled() {
    let (service, sink) = timed(shows(|context| {
        assert!(context.traceparent().is_some_and(|t| t.ends_with("-00")));
        context.open_child(Operation::Tool, None, None).finish();
    }));
    let unsampled = PARENT.replace("-01", "-00");
    let context = CallContext::new().with_traceparent(&unsampled, None);
    assert_eq!(call(service, request_with(context)), Ok(42));

    assert!(ended(&sink).iter().all(|event| !event.is_sampled()));
}

#[test]
fn the_span_context_of_a_service_is_that_of_its_call() {
    let mut seen = None;
    let (service, sink) = timed(shows(|context| seen = context.span_context()));
    assert_eq!(call(service, request()), Ok(42));

    let end = only(&sink);
    let seen = seen.map(|span| (span.trace_id(), span.span_id()));
    assert_eq!(seen, Some((end.trace_id(), end.span_id())));
}

#[test]
fn unrelated_calls_are_in_different_traces() {
    let (service, sink) = timed(answers());
    assert_eq!(call(service.clone(), request()), Ok(42));
    assert_eq!(call(service, request()), Ok(42));

    let ended = ended(&sink);
    assert_ne!(ended[0].trace_id(), ended[1].trace_id());
    assert_ne!(ended[0].span_id(), ended[1].span_id());
}

#[test]
fn two_stacks_do_not_affect_each_other() {
    let (ours, sink) = timed(answers());
    let (theirs, their_sink) = timed(refuses());
    assert_eq!(call(ours, request()), Ok(42));
    assert_eq!(call(theirs, request()), Err(Refused));
    assert_eq!(outcomes(&sink), [Outcome::Ok]);
    assert_eq!(outcomes(&their_sink), [Outcome::Error]);
}
