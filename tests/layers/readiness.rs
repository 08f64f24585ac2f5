//! Readiness passes through each layer as it is.

use codex_telemetry::{Call, ErrorClass, ErrorClassLayer, Originator, OriginatorLayer};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::Layer;
use tower_test::mock::{self, Mock, Spawn};

use crate::support::*;

type Bare = Mock<Call<()>, u32>;

/// Drives the service that `layer` makes of a mock through «not ready», «ready» and «failed».
fn readiness_passes<L>(layer: L)
where
    L: Layer<Bare>,
    L::Service: tower::Service<Call<()>, Response = u32, Error = tower::BoxError>,
{
    let (mut service, mut handle): (Spawn<L::Service>, _) =
        mock::spawn_with(|inner: Bare| layer.layer(inner));
    handle.allow(0);
    assert_pending!(service.poll_ready());
    assert!(!service.is_woken());

    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());

    handle.send_error("worn out");
    let error = assert_ready_err!(service.poll_ready());
    assert_eq!(error.to_string(), "worn out");
}

#[test]
fn readiness_passes_through_the_timing_layer_and_makes_no_event() {
    let (_, sink) = timed(());
    readiness_passes(codex_telemetry::TimingLayer::new(sink.clone()));
    assert!(ended(&sink).is_empty());
}

#[test]
fn readiness_passes_through_the_originator_layer() {
    readiness_passes(OriginatorLayer::new(Originator::Cli));
}

#[test]
fn readiness_passes_through_the_error_class_layer() {
    readiness_passes(ErrorClassLayer::new(|_: &tower::BoxError| {
        ErrorClass::Other
    }));
}

#[tokio::test]
async fn a_call_whose_service_never_gets_ready_has_no_event() {
    let (bare, mut handle) = mock::pair::<Call<()>, u32>();
    let (service, sink) = timed(bare);
    handle.allow(0);
    let mut waiting = tokio_test::task::spawn(tower::ServiceExt::oneshot(service, request()));
    poll_once(&mut waiting);
    drop(waiting);
    assert!(ended(&sink).is_empty());
}
