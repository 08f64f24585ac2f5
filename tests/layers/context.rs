//! What a context carries, and what an event shows of it.

use codex_telemetry::{
    Call, CallContext, Classification, Event, EventKind, Originator, Outcome, TimingLayer,
};
use opentelemetry::{
    SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceState},
};
use tower::{Layer, ServiceBuilder};

use crate::{checked::MemorySink, support::*};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn span(is_remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
        SpanId::from(0xb7ad_6b71_6920_3331),
        TraceFlags::SAMPLED,
        is_remote,
        TraceState::default(),
    )
}

/// Makes a call with `context`, and returns its terminal event.
fn end(context: CallContext) -> Event {
    let (service, sink) = timed(answers());
    assert_eq!(call(service, request_with(context)), Ok(42));
    only(&sink)
}

#[test]
fn a_context_returns_what_was_set() {
    let empty = CallContext::default();
    assert_eq!((empty.originator(), empty.attempt()), (None, 1));
    let ids = (empty.thread_id(), empty.turn_id(), empty.call_id());
    assert_eq!(ids, (None, None, None));
    assert_eq!((empty.traceparent(), empty.tracestate()), (None, None));

    let full = CallContext::new()
        .with_originator(Originator::Sdk)
        .with_attempt(3)
        .with_thread_id("thread")
        .with_turn_id("turn")
        .with_call_id("call")
        .with_traceparent(TRACEPARENT, Some("vendor=1"));
    assert_eq!(
        (full.originator(), full.attempt()),
        (Some(&Originator::Sdk), 3)
    );
    let ids = (full.thread_id(), full.turn_id(), full.call_id());
    assert_eq!(ids, (Some("thread"), Some("turn"), Some("call")));
    assert_eq!(full.traceparent().as_deref(), Some(TRACEPARENT));
    assert_eq!(full.tracestate().as_deref(), Some("vendor=1"));
    assert_eq!(full.with_attempt(0).attempt(), 1);
    let without_state = CallContext::new().with_traceparent(TRACEPARENT, None);
    assert_eq!(without_state.tracestate(), None);
}

#[test]
fn both_events_show_the_context() {
    let (service, sink) = timed(answers());
    let context = CallContext::new()
        .with_originator(Originator::Sdk)
        .with_attempt(3)
        .with_thread_id("thread")
        .with_turn_id("turn")
        .with_call_id("call");
    assert_eq!(call(service, request_with(context)), Ok(42));
    for event in sink.events() {
        let ids = (event.thread_id(), event.turn_id(), event.call_id());
        assert_eq!(ids, (Some("thread"), Some("turn"), Some("call")));
        assert_eq!(event.originator(), Some(&Originator::Sdk));
        assert_eq!((event.operation(), event.attempt()), (WORK, 3));
    }
}

#[test]
fn a_call_has_a_remote_parent_only_if_its_parent_span_is_remote() {
    let remote = end(CallContext::new().with_traceparent(TRACEPARENT, None));
    assert!(remote.has_remote_parent());
    let remote = end(CallContext::new().with_parent(span(true)));
    assert!(remote.has_remote_parent());
    assert_eq!(remote.trace_id(), span(true).trace_id());
    assert_eq!(remote.parent_span_id(), Some(span(true).span_id()));

    let local = end(CallContext::new().with_parent(span(false)));
    assert!(!local.has_remote_parent());
    assert_eq!(local.parent_span_id(), Some(span(false).span_id()));
    let root = end(CallContext::new());
    assert!(!root.has_remote_parent());
    assert_eq!(root.parent_span_id(), None);
    assert!(root.is_sampled());
}

#[test]
fn a_child_call_of_a_call_with_a_remote_parent_has_a_local_one() {
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .layer(TimingLayer::new(sink.clone()))
        .service(answers());
    let context = CallContext::new().with_traceparent(TRACEPARENT, None);
    assert_eq!(call(service, request_with(context)), Ok(42));
    let remote: Vec<_> = ended(&sink).iter().map(Event::has_remote_parent).collect();
    assert_eq!(remote, [false, true]);
}

#[test]
fn an_invalid_parent_span_is_ignored() {
    let context = CallContext::new().with_parent(SpanContext::empty_context());
    assert_eq!(context.span_context(), None);
    assert_eq!(end(context).parent_span_id(), None);
}

#[test]
fn a_parent_span_is_ignored_while_a_call_is_open() {
    let sink = MemorySink::new();
    let layer = TimingLayer::new(sink.clone());
    let inner = layer.layer(answers());
    let service = ServiceBuilder::new()
        .layer(layer)
        .map_request(|call: Call<()>| {
            let context = call.context.clone().with_parent(span(true));
            call.with_context(context.with_traceparent(TRACEPARENT, None))
        })
        .service(inner);
    assert_eq!(call(service, request()), Ok(42));
    let ended = ended(&sink);
    assert_eq!(ended[0].parent_span_id(), Some(ended[1].span_id()));
    assert!(!ended[0].has_remote_parent());
}

#[test]
fn a_call_keeps_128_span_events_and_counts_the_rest() {
    let (service, sink) = timed(shows(|context| {
        (0..131).for_each(|n| context.add_event(format!("event {n}")));
    }));
    assert_eq!(call(service, request()), Ok(42));
    assert_eq!(sink.events()[0].dropped_span_events(), 0);
    let end = only(&sink);
    assert_eq!(end.span_events().len(), 128);
    assert_eq!(end.span_events()[127].name, "event 127");
    assert_eq!(end.dropped_span_events(), 3);
}

#[test]
fn long_texts_are_truncated_to_4_kib() {
    let long = "x".repeat(5000);
    let (service, sink) = timed(shows_and_refuses(|context| {
        context.add_event(long.clone());
        let class = codex_telemetry::ErrorClass::Other;
        context.classify(Classification::from(class).with_message(long.clone()));
    }));
    assert_eq!(call(service, request()), Err(Refused));
    let end = only(&sink);
    let truncated = format!("{}…", &long[..4096]);
    assert_eq!(end.span_events()[0].name, truncated);
    assert_eq!(end.error_message(), Some(truncated.as_str()));
}

#[test]
fn the_debug_form_of_an_event_names_the_call_and_leaves_out_its_attributes() {
    let (service, sink) = timed(shows_and_refuses(|context| {
        context.record("prompt", "confidential");
    }));
    let request = request().with_name("reviewer");
    assert_eq!(call(service, request), Err(Refused));
    let [start, end] = &sink.events()[..] else {
        panic!("a call has two events");
    };
    assert_eq!(start.kind(), EventKind::Start);
    let (start, span, end) = (format!("{start:?}"), end.span_id(), format!("{end:?}"));
    assert!(start.starts_with("Event { name: \"work.start\""), "{start}");
    assert!(!start.contains("outcome"), "{start}");
    for part in [
        "\"work.exception\"",
        &span.to_string(),
        "\"reviewer\"",
        &format!("{:?}", Outcome::Error),
        "duration",
    ] {
        assert!(end.contains(part), "{part} is not in {end}");
    }
    assert!(!end.contains("confidential"), "{end}");
}
