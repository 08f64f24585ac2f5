//! The terminal event shows what layers and services write on the open call, and the start event does not.

use codex_telemetry::{
    CallContext, ErrorClass, Operation, Originator, OriginatorLayer, TimingLayer,
};
use opentelemetry::KeyValue;
use tower::{Layer, ServiceBuilder};

use crate::{checked::MemorySink, support::*};

#[test]
fn a_start_event_that_is_read_late_shows_only_what_was_known_at_the_start() {
    let (service, sink) = timed(shows_and_refuses(|context| {
        context.record("tokens", 7);
        context.add_event("retry");
        context.record_thread_id("thread");
        context.record_turn_id("turn");
        context.classify(ErrorClass::RateLimit);
    }));
    assert_eq!(call(service, request()), Err(Refused));

    let start = sink.events().remove(0);
    assert!(start.attributes().is_empty() && start.span_events().is_empty());
    assert_eq!(start.attribute("tokens"), None);
    assert_eq!((start.thread_id(), start.turn_id()), (None, None));
    assert_eq!((start.outcome(), start.duration()), (None, None));
    assert_eq!(start.error_class(), None);
    assert_eq!(start.time(), start.start_time());

    let end = only(&sink);
    assert_eq!(end.attributes(), [KeyValue::new("tokens", 7)]);
    assert_eq!(end.span_events()[0].name, "retry");
    assert_eq!(end.thread_id(), Some("thread"));
    assert_eq!(end.turn_id(), Some("turn"));
    assert_eq!(end.error_class(), Some(ErrorClass::RateLimit));
}

#[test]
fn an_attribute_that_is_recorded_twice_has_its_last_value() {
    let (service, sink) = timed(shows(|context| {
        context.record("tokens", 7);
        context.record("other", "text");
        context.clone().record("tokens", 8);
    }));
    assert_eq!(call(service, request()), Ok(42));

    let end = only(&sink);
    assert_eq!(end.attribute("tokens"), Some(&8.into()));
    assert_eq!(end.attributes().len(), 2);
}

#[test]
fn an_id_that_is_set_during_the_call_replaces_the_requests_and_keeps_the_others() {
    let (service, sink) = timed(shows(|context| context.record_thread_id("new")));
    let context = CallContext::new()
        .with_thread_id("old")
        .with_turn_id("turn")
        .with_call_id("call");
    assert_eq!(call(service, request_with(context)), Ok(42));

    let start = sink.events().remove(0);
    assert_eq!(start.thread_id(), Some("old"));
    let end = only(&sink);
    assert_eq!(end.thread_id(), Some("new"));
    assert_eq!(end.turn_id(), Some("turn"));
    assert_eq!(end.call_id(), Some("call"));
}

#[test]
fn a_context_whose_call_has_ended_records_nothing() {
    let mut kept = None;
    let (service, sink) = timed(shows(|context| {
        assert!(context.is_recording());
        kept = Some(context.clone());
    }));
    assert_eq!(call(service, request()), Ok(42));

    let kept = kept.expect("the service was called");
    assert!(!kept.is_recording());
    kept.record("tokens", 7);
    kept.add_event("too late");
    kept.record_thread_id("too late");
    kept.classify(ErrorClass::Other);

    let end = only(&sink);
    assert!(end.attributes().is_empty() && end.span_events().is_empty());
    assert_eq!(end.thread_id(), None);
    assert_eq!(kept.child().thread_id(), None);
}

#[test]
fn an_attribute_that_is_recorded_after_the_end_is_dropped() {
    let mut kept = None;
    let (service, sink) = timed(shows(|context| kept = Some(context.clone())));
    assert_eq!(call(service, request()), Ok(42));

    let kept = kept.expect("the service was called");
    let value: std::sync::Arc<str> = "large".into();
    let weak = std::sync::Arc::downgrade(&value);
    kept.record("body", opentelemetry::StringValue::from(value));
    assert!(weak.upgrade().is_none(), "still referenced by {kept:?}");
    assert!(only(&sink).attributes().is_empty());
}

#[test]
fn a_conversion_of_a_value_may_itself_record() {
    struct Usage(CallContext);
    impl From<Usage> for opentelemetry::Value {
        fn from(usage: Usage) -> Self {
            usage.0.record("input", 3);
            7.into()
        }
    }
    impl From<Usage> for opentelemetry::StringValue {
        fn from(usage: Usage) -> Self {
            usage.0.record("input", 4);
            "thread".into()
        }
    }

    let (done, watch) = std::sync::mpsc::channel();
    // On another thread, because a failure would be a deadlock.
    std::thread::spawn(move || {
        let (service, sink) = timed(shows(|context| {
            context.record("total", Usage(context.clone()));
            context.record_thread_id(Usage(context.clone()));
            context.record_turn_id(Usage(context.clone()));
        }));
        done.send((call(service, request()), only(&sink)))
    });
    let (answer, end) = watch
        .recv_timeout(std::time::Duration::from_secs(10))
        .expect("the call hangs");
    assert_eq!(answer, Ok(42));
    assert_eq!(end.attribute("total"), Some(&7.into()));
    assert_eq!(end.attribute("input"), Some(&4.into()));
    assert_eq!(end.thread_id(), Some("thread"));
}

#[test]
fn a_span_event_has_the_attributes_it_was_added_with_on_whichever_call_it_is() {
    let (service, sink) = timed(shows(|context| {
        context.add_event_with("of the call", [KeyValue::new("used", 12)]);
        let child = context.open_child(Operation::Tool, None, None);
        child.add_event_with("of the child", [KeyValue::new("used", 13)]);
        child.finish();
    }));
    assert_eq!(call(service, request()), Ok(42));
    let events: Vec<_> = ended(&sink)
        .iter()
        .flat_map(|end| end.span_events().to_vec())
        .map(|event| (event.name, event.attributes))
        .collect();
    let expected = [("of the child", 13), ("of the call", 12)];
    let expected = expected.map(|(name, used)| (name.into(), vec![KeyValue::new("used", used)]));
    assert_eq!(events, expected);
}

#[test]
fn the_attributes_of_a_span_event_are_not_made_while_no_call_is_open() {
    let never = || std::iter::from_fn(|| -> Option<KeyValue> { panic!("nobody wants them") });
    CallContext::new().add_event_with("no call", never());
    let mut kept = None;
    let (service, sink) = timed(shows(|context| kept = Some(context.clone())));
    assert_eq!(call(service, request()), Ok(42));
    let kept = kept.expect("the service was called");
    kept.add_event_with("too late", never());
    assert!(only(&sink).span_events().is_empty());
}

#[test]
fn an_iterator_of_the_attributes_of_a_span_event_may_itself_record() {
    let (done, watch) = std::sync::mpsc::channel();
    // On another thread, because a failure would be a deadlock.
    std::thread::spawn(move || {
        let (service, sink) = timed(shows(|context| {
            let attributes = (0..2).map(|n| {
                context.record("inner", n);
                KeyValue::new(format!("key {n}"), n)
            });
            context.add_event_with("outer", attributes);
        }));
        done.send((call(service, request()), only(&sink)))
    });
    let (answer, end) = watch
        .recv_timeout(std::time::Duration::from_secs(10))
        .expect("the call hangs");
    assert_eq!(answer, Ok(42));
    assert_eq!(end.attribute("inner"), Some(&1.into()));
    assert_eq!(end.span_events()[0].attributes.len(), 2);
}

#[test]
fn attributes_of_an_inner_call_are_not_on_the_outer_one() {
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .layer(TimingLayer::new(sink.clone()))
        .service(shows(|context| context.record("tokens", 7)));
    assert_eq!(call(service, request()), Ok(42));

    let counts: Vec<_> = ended(&sink).iter().map(|e| e.attributes().len()).collect();
    assert_eq!(counts, [1, 0]);
}

// === originator ===

/// Returns the originators of the start and the end of a call, with `layer` outside of the timing layer.
fn originators(layer: &OriginatorLayer, context: CallContext) -> [Option<Originator>; 2] {
    let (service, sink) = timed(answers());
    assert_eq!(call(layer.layer(service), request_with(context)), Ok(42));
    let start = sink.events().remove(0);
    [
        start.originator().cloned(),
        only(&sink).originator().cloned(),
    ]
}

#[test]
fn an_originator_layer_sets_the_originator_of_both_events() {
    let both = originators(&OriginatorLayer::new(Originator::Cli), CallContext::new());
    assert_eq!(both, [Some(Originator::Cli), Some(Originator::Cli)]);
}

#[test]
fn a_request_with_an_originator_keeps_it() {
    let context = CallContext::new().with_originator(Originator::Sdk);
    let both = originators(&OriginatorLayer::new(Originator::Cli), context);
    assert_eq!(both, [Some(Originator::Sdk), Some(Originator::Sdk)]);
}

#[test]
fn a_layer_that_always_sets_its_originator_overrides_the_request() {
    let context = CallContext::new().with_originator(Originator::Sdk);
    let both = originators(&OriginatorLayer::always(Originator::Cli), context);
    assert_eq!(both, [Some(Originator::Cli), Some(Originator::Cli)]);
}

#[test]
fn of_two_originator_layers_the_outer_one_counts_unless_the_inner_one_overrides() {
    for (inner, wanted) in [
        (OriginatorLayer::new(Originator::Cli), Originator::Sdk),
        (OriginatorLayer::always(Originator::Cli), Originator::Cli),
    ] {
        let (service, sink) = timed(answers());
        let service = ServiceBuilder::new()
            .layer(OriginatorLayer::new(Originator::Sdk))
            .layer(inner)
            .service(service);
        assert_eq!(call(service, request()), Ok(42));
        assert_eq!(only(&sink).originator(), Some(&wanted));
    }
}

#[test]
fn an_originator_layer_inside_of_the_timing_layer_shows_on_the_terminal_event_only() {
    let context = CallContext::new().with_originator(Originator::Sdk);
    for (layer, context, at_start) in [
        (
            OriginatorLayer::new(Originator::Cli),
            CallContext::new(),
            None,
        ),
        (
            OriginatorLayer::always(Originator::Cli),
            context,
            Some(&Originator::Sdk),
        ),
    ] {
        let (service, sink) = timed(layer.layer(shows(|context| {
            assert_eq!(context.originator(), Some(&Originator::Cli));
            assert_eq!(context.child().originator(), Some(&Originator::Cli));
        })));
        assert_eq!(call(service, request_with(context)), Ok(42));
        assert_eq!(sink.events()[0].originator(), at_start);
        assert_eq!(only(&sink).originator(), Some(&Originator::Cli));
    }
}
