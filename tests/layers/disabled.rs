//! A disabled sink costs nothing, and a call that began enabled is told to its end.
//!
//! That no clock is read cannot be seen from outside; that no id is made and the request is not
//! touched can.

use std::{
    future::{Ready, ready},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use codex_telemetry::{
    CallContext, CodexRequest, ErrorClass, ErrorClassLayer, Operation, Outcome, Sink, TimingLayer,
};
use opentelemetry::StringValue;
use tokio_test::task::spawn;
use tower::{Layer, Service};

use crate::{checked::MemorySink, support::*};

/// A request that counts how often it is asked for its name or its context to write to.
#[derive(Default)]
struct Counted {
    context: CallContext,
    asked: AtomicUsize,
}

impl CodexRequest for Counted {
    fn operation(&self) -> Operation {
        self.asked.fetch_add(1, Relaxed);
        WORK
    }

    fn name(&self) -> Option<StringValue> {
        self.asked.fetch_add(1, Relaxed);
        None
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn context_mut(&mut self) -> &mut CallContext {
        self.asked.fetch_add(1, Relaxed);
        &mut self.context
    }
}

/// How often a timing layer over `sink` asks a request, and whether its service can record.
fn asked(sink: impl Sink + 'static) -> (usize, bool) {
    let service = tower::service_fn(|call: Counted| -> Ready<Result<_, Refused>> {
        let span = call.context.span_context();
        assert_eq!(span.is_some(), call.context.is_recording());
        ready(Ok((call.asked.load(Relaxed), call.context.is_recording())))
    });
    let service = TimingLayer::new(sink).layer(service);
    match call(service, Counted::default()) {
        Ok(seen) => seen,
        Err(Refused) => unreachable!(),
    }
}

#[test]
fn a_request_is_not_touched_while_the_sink_is_off() {
    assert_eq!(asked(MemorySink::new()), (3, true));
    assert_eq!(asked(()), (0, false));
    assert_eq!(asked(None::<MemorySink>), (0, false));
    assert_eq!(asked(codex_telemetry::FanOut::new()), (0, false));
    assert_eq!(asked(Switched::default()), (0, false));
}

#[test]
fn a_classifier_is_not_asked_while_nobody_records() {
    let layer = ErrorClassLayer::new(|_: &Refused| -> ErrorClass { panic!("it was asked") });
    assert_eq!(call(layer.layer(refuses()), request()), Err(Refused));
    let service = TimingLayer::new(()).layer(layer.layer(refuses()));
    assert_eq!(call(service, request()), Err(Refused));
}

#[test]
fn work_that_a_service_observes_is_not_opened_while_nobody_records() {
    let sink = Switched::default();
    let service = TimingLayer::new(sink.clone()).layer(shows(|context| {
        let guard = context.open_child(Operation::Tool, None, None);
        guard.open_child(Operation::Tool, None, None).finish();
        guard.fail(ErrorClass::Other);
    }));
    assert_eq!(call(service, request()), Ok(42));
    assert!(ended(&sink.memory).is_empty());
}

#[test]
fn the_parent_of_the_request_is_passed_on_while_the_sink_is_off() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let service = TimingLayer::new(()).layer(shows(|context| {
        assert_eq!(context.traceparent().as_deref(), Some(parent));
    }));
    let context = CallContext::new().with_traceparent(parent, None);
    assert_eq!(call(service, request_with(context)), Ok(42));
}

#[test]
fn a_call_that_began_enabled_is_told_to_its_end() {
    let sink = Switched::default();
    sink.turn(true);
    let mut service = TimingLayer::new(sink.clone()).layer(hangs());
    let future = spawn(service.call(request()));
    sink.turn(false);
    drop(future);
    assert_eq!(outcomes(&sink.memory), [Outcome::Cancelled]);
}

#[test]
fn a_call_that_began_disabled_stays_untold() {
    let sink = Switched::default();
    let mut service = TimingLayer::new(sink.clone()).layer(hangs());
    let future = spawn(service.call(request()));
    sink.turn(true);
    drop(future);
    assert!(ended(&sink.memory).is_empty());

    drop(service.call(request()));
    assert_eq!(outcomes(&sink.memory), [Outcome::Cancelled]);
}

#[test]
fn a_disabled_layer_inside_an_enabled_one_leaves_the_outer_call_open() {
    let (service, sink) =
        timed(TimingLayer::new(()).layer(shows(|context| context.record("tokens", 7))));
    assert_eq!(call(service, request()), Ok(42));
    assert_eq!(only(&sink).attribute("tokens"), Some(&7.into()));
}
