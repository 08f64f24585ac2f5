use std::{fs, time::Duration};

use codex_telemetry::{
    CallContext, CodexRequest, ErrorClass, ErrorClassLayer, Event, Operation, Originator,
    OriginatorLayer, Outcome, TimingLayer,
    attachment::{AttachmentError, CleanupReport, CleanupRequest, CleanupService, Ttl},
    event::names,
};
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::{
    checked::MemorySink,
    support::{EXPIRED, Fixture},
};

fn layered(
    fixture: &Fixture,
    sink: &MemorySink,
) -> impl Service<CleanupRequest, Response = CleanupReport, Error = AttachmentError, Future: Unpin>
{
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Cli))
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(AttachmentError::classification))
        .service(CleanupService::new(fixture.store.clone()))
}

/// Returns the counts of removed, kept and failed files and of removed bytes.
fn counts(event: &Event) -> Vec<i64> {
    let keys = [
        names::CLEANUP_REMOVED,
        names::CLEANUP_KEPT,
        names::CLEANUP_FAILED,
        names::CLEANUP_BYTES,
    ];
    let count = |key| match event.attribute(key) {
        Some(opentelemetry::Value::I64(count)) => *count,
        other => panic!("{key} is {other:?}"),
    };
    keys.map(count).to_vec()
}

#[tokio::test]
async fn the_event_of_a_sweep_has_its_counts() {
    let fixture = Fixture::new();
    fixture.stage("four", EXPIRED).await;
    fixture.stage("kept", Ttl::default()).await;
    fixture.stage("kept too", Ttl::Persistent).await;
    let forged = format!("{}-directory", "ab".repeat(32));
    fs::create_dir(fixture.root().join(forged)).unwrap();

    let sink = MemorySink::new();
    let context = CallContext::new().with_thread_id("thread");
    let request = CleanupRequest::expired().with_context(context);
    assert_eq!(request.operation(), Operation::AttachmentCleanup);
    layered(&fixture, &sink).oneshot(request).await.unwrap();
    let names: Vec<_> = sink.events().iter().map(Event::name).collect();
    assert_eq!(
        names,
        [
            "codex.attachment.cleanup.start",
            "codex.attachment.cleanup.stop"
        ]
    );
    let stop = &sink.events()[1];
    assert_eq!(counts(stop), [1, 2, 1, 4]);
    assert_eq!(stop.originator(), Some(&Originator::Cli));
    assert_eq!(stop.thread_id(), Some("thread"));
}

#[tokio::test]
async fn the_event_of_a_failed_sweep_has_its_class_and_counts() {
    let fixture = Fixture::new();
    fixture.stage("a", EXPIRED).await;
    fs::remove_file(fixture.root().join(".lock")).unwrap();
    fs::create_dir(fixture.root().join(".lock")).unwrap();
    let sink = MemorySink::new();
    let swept = layered(&fixture, &sink).oneshot(CleanupRequest::expired());
    swept.await.unwrap_err();
    let failed = &sink.find(Operation::AttachmentCleanup, Outcome::Error)[0];
    assert_eq!(failed.error_class(), Some(ErrorClass::Io));
    assert!(failed.error_message().unwrap().contains("cannot sweep"));
    assert_eq!(counts(failed), [0, 0, 0, 0]);
}

#[tokio::test]
async fn the_event_of_a_cancelled_sweep_has_its_counts() {
    let fixture = Fixture::new();
    fixture.stage("a", EXPIRED).await;
    let lock = fs::File::open(fixture.root().join(".lock")).unwrap();
    lock.lock().unwrap();
    let sink = MemorySink::new();
    let swept = layered(&fixture, &sink).oneshot(CleanupRequest::expired());
    // The sweep waits for the lock that the test holds.
    let swept = tokio::time::timeout(Duration::ZERO, swept).await;
    swept.unwrap_err();
    let cancelled = &sink.find(Operation::AttachmentCleanup, Outcome::Cancelled)[0];
    assert_eq!(counts(cancelled), [0, 0, 0, 0]);
    lock.unlock().unwrap();
}
