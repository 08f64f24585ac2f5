//! `Debug` shows what a thing is, and no content.

use codex_telemetry::{
    BoxError, BoxErrorClassifier, Call, Clock, ErrorClass, ErrorClassLayer, Operation, TimingLayer,
    error_class::ErrorClassService,
};
use std::{future::ready, time::UNIX_EPOCH};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::checked::MemorySink;

#[test]
fn the_error_class_middleware_shows_the_inner_service_and_not_the_classifier() {
    let classifier = |_: &()| ErrorClass::Io;
    let layer = ErrorClassLayer::new(classifier);
    assert_eq!(format!("{layer:?}"), "ErrorClassLayer { .. }");
    let service = ErrorClassService::new("inner", classifier);
    assert_eq!(
        format!("{service:?}"),
        "ErrorClassService { inner: \"inner\", .. }"
    );
    let mut service = layer.layer(service_fn(|_: Call<()>| ready(Ok::<_, ()>(()))));
    let future = service.call(Call::new(Operation::Turn, ()));
    assert_eq!(
        format!("{future:?}"),
        "ResponseFuture { inner: Ready(Some(Ok(()))), .. }"
    );
    let boxed = BoxErrorClassifier::new(|_: &BoxError| ErrorClass::Io);
    assert_eq!(format!("{boxed:?}"), "BoxErrorClassifier { .. }");
}

#[test]
fn a_timing_layer_shows_its_clock() {
    let (manual, _) = Clock::manual(UNIX_EPOCH);
    assert_eq!(format!("{:?}", Clock::system()), "Clock::System");
    let layer = TimingLayer::with_clock((), manual);
    assert_eq!(
        format!("{layer:?}"),
        "TimingLayer { emitter: Emitter { clock: Clock::Manual, .. } }"
    );
}

#[tokio::test]
async fn an_open_call_shows_its_operation_and_its_ids_and_nothing_recorded() {
    let sink = MemorySink::new();
    let service = TimingLayer::new(sink.clone()).layer(service_fn(|call: Call<()>| {
        call.context.record("key", "s3cret");
        ready(Ok::<_, ()>(format!("{:?}", call.context)))
    }));
    let shown = service.oneshot(Call::new(Operation::Turn, ())).await;
    let shown = shown.unwrap();
    let span_id = sink.events()[0].span_id();
    assert!(shown.contains("operation: Turn"), "{shown}");
    assert!(shown.contains(&format!("{span_id:?}")), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
}
