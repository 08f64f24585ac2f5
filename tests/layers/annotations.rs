//! What layers and services write on the open call is on its terminal event, and only there.

use codex_telemetry::{CallContext, ErrorClass, Originator, OriginatorLayer, TimingLayer};
use opentelemetry::KeyValue;
use tower::{Layer, ServiceBuilder};

use crate::{checked::MemorySink, support::*};

#[test]
fn a_start_event_that_is_read_late_says_only_what_was_known_at_the_start() {
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
fn an_attribute_that_is_recorded_again_has_its_newest_value() {
    let (service, sink) = timed(shows(|context| {
        context.record("tokens", 7);
        context.record("other", "text");
        context.clone().record("tokens", 8);
    }));
    assert_eq!(call(service, request()), Ok(42));

    let end = only(&sink);
    assert_eq!(end.attribute("tokens"), Some(&8.into()));
    assert_eq!(end.attributes().len(), 3);
}

#[test]
fn a_late_id_replaces_the_one_that_came_with_the_request_and_leaves_the_others() {
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
fn what_is_written_after_the_end_is_lost_and_the_context_says_so() {
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
fn what_is_written_after_the_end_is_not_kept_in_memory() {
    let mut kept = None;
    let (service, sink) = timed(shows(|context| kept = Some(context.clone())));
    assert_eq!(call(service, request()), Ok(42));

    let kept = kept.expect("the service was called");
    let value: std::sync::Arc<str> = "large".into();
    let weak = std::sync::Arc::downgrade(&value);
    kept.record("body", opentelemetry::StringValue::from(value));
    assert!(weak.upgrade().is_none(), "it lives on in {kept:?}");
    assert!(only(&sink).attributes().is_empty());
}

#[test]
fn a_conversion_of_the_callers_may_itself_write_on_the_call() {
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
    // On a thread of its own, as the failure that this looks for is a call that never returns.
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
fn notes_of_an_inner_call_are_not_on_the_outer_one() {
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

/// The originators on the start and the end of a call through `layer`, outside of the timing layer.
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
fn an_originator_layer_names_the_originator_on_both_events() {
    let told = originators(&OriginatorLayer::new(Originator::Cli), CallContext::new());
    assert_eq!(told, [Some(Originator::Cli), Some(Originator::Cli)]);
}

#[test]
fn a_request_that_names_its_originator_keeps_it() {
    let context = CallContext::new().with_originator(Originator::Sdk);
    let told = originators(&OriginatorLayer::new(Originator::Cli), context);
    assert_eq!(told, [Some(Originator::Sdk), Some(Originator::Sdk)]);
}

#[test]
fn a_layer_that_always_names_its_originator_overrides_the_request() {
    let context = CallContext::new().with_originator(Originator::Sdk);
    let told = originators(&OriginatorLayer::always(Originator::Cli), context);
    assert_eq!(told, [Some(Originator::Cli), Some(Originator::Cli)]);
}

#[test]
fn of_two_originator_layers_the_outer_one_counts_unless_the_inner_one_is_always() {
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
fn an_originator_layer_inside_of_the_timing_layer_is_on_the_terminal_event_alone() {
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
