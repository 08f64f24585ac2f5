//! A layer does nothing while its sink is disabled, and a call that began enabled is reported to its end.
//!
//! A test cannot see that no clock is read. It sees that there is no span and that the request is untouched.

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

/// A request that counts how often a layer reads its name or changes its context.
#[derive(Default)]
struct Counted {
    context: CallContext,
    accesses: AtomicUsize,
}

impl CodexRequest for Counted {
    fn operation(&self) -> Operation {
        self.accesses.fetch_add(1, Relaxed);
        WORK
    }

    fn name(&self) -> Option<StringValue> {
        self.accesses.fetch_add(1, Relaxed);
        None
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn context_mut(&mut self) -> &mut CallContext {
        self.accesses.fetch_add(1, Relaxed);
        &mut self.context
    }
}

/// Returns how often a timing layer with `sink` accesses a request, and whether its service can record.
fn accesses(sink: impl Sink + 'static) -> (usize, bool) {
    let service = tower::service_fn(|call: Counted| -> Ready<Result<_, Refused>> {
        let span = call.context.span_context();
        assert_eq!(span.is_some(), call.context.is_recording());
        ready(Ok((
            call.accesses.load(Relaxed),
            call.context.is_recording(),
        )))
    });
    let service = TimingLayer::new(sink).layer(service);
    match call(service, Counted::default()) {
        Ok(seen) => seen,
        Err(Refused) => unreachable!(),
    }
}

#[test]
fn a_request_is_not_touched_while_the_sink_is_off() {
    assert_eq!(accesses(MemorySink::new()), (3, true));
    assert_eq!(accesses(()), (0, false));
    assert_eq!(accesses(None::<MemorySink>), (0, false));
    assert_eq!(accesses(codex_telemetry::FanOut::new()), (0, false));
    assert_eq!(accesses(Switched::default()), (0, false));
}

#[test]
fn a_classifier_is_not_called_while_the_sink_is_off() {
    let layer =
        ErrorClassLayer::new(|_: &Refused| -> ErrorClass { panic!("the classifier was called") });
    assert_eq!(call(layer.layer(refuses()), request()), Err(Refused));
    let service = TimingLayer::new(()).layer(layer.layer(refuses()));
    assert_eq!(call(service, request()), Err(Refused));
}

#[test]
fn a_child_call_is_not_opened_while_the_sink_is_off() {
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
fn the_parent_span_is_propagated_while_the_sink_is_off() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let service = TimingLayer::new(()).layer(shows(|context| {
        assert_eq!(context.traceparent().as_deref(), Some(parent));
    }));
    let context = CallContext::new().with_traceparent(parent, None);
    assert_eq!(call(service, request_with(context)), Ok(42));
}

#[test]
fn a_call_that_began_enabled_is_reported_to_its_end() {
    let sink = Switched::default();
    sink.turn(true);
    let mut service = TimingLayer::new(sink.clone()).layer(hangs());
    let future = spawn(service.call(request()));
    sink.turn(false);
    drop(future);
    assert_eq!(outcomes(&sink.memory), [Outcome::Cancelled]);
}

#[test]
fn a_call_that_began_disabled_is_not_reported() {
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
