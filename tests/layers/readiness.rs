//! Each layer passes readiness through unchanged.

use codex_telemetry::{Call, ErrorClass, ErrorClassLayer, Originator, OriginatorLayer};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::Layer;
use tower_test::mock::{self, Mock, Spawn};

use crate::support::*;

type Bare = Mock<Call<()>, u32>;

/// Asserts that `layer` around a mock service is pending, then ready, then failed, as the mock is.
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

    handle.send_error("broken");
    let error = assert_ready_err!(service.poll_ready());
    assert_eq!(error.to_string(), "broken");
}

#[test]
fn the_timing_layer_passes_readiness_through_and_emits_no_event() {
    let (_, sink) = timed(());
    readiness_passes(codex_telemetry::TimingLayer::new(sink.clone()));
    assert!(ended(&sink).is_empty());
}

#[test]
fn the_originator_layer_passes_readiness_through() {
    readiness_passes(OriginatorLayer::new(Originator::Cli));
}

#[test]
fn the_error_class_layer_passes_readiness_through() {
    readiness_passes(ErrorClassLayer::new(|_: &tower::BoxError| {
        ErrorClass::Other
    }));
}

#[tokio::test]
async fn a_service_that_never_becomes_ready_has_no_event() {
    let (bare, mut handle) = mock::pair::<Call<()>, u32>();
    let (service, sink) = timed(bare);
    handle.allow(0);
    let mut waiting = tokio_test::task::spawn(tower::ServiceExt::oneshot(service, request()));
    poll_once(&mut waiting);
    drop(waiting);
    assert!(ended(&sink).is_empty());
}
