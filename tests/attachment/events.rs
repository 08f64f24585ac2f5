use std::{fs, time::Duration};

use codex_telemetry::{
    CallContext, CodexRequest, ErrorClass, ErrorClassLayer, Event, Operation, Originator,
    OriginatorLayer, Outcome, TimingLayer,
    attachment::{
        Attachment, AttachmentError, CleanupReport, CleanupRequest, CleanupService, StageRequest,
        StageService, Ttl,
    },
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
    assert_eq!(stop.attribute(names::CLEANUP_LEASED), Some(&0.into()));
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

fn staging(
    fixture: &Fixture,
    sink: &MemorySink,
) -> impl Service<StageRequest, Response = Attachment, Error = AttachmentError, Future: Send> {
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Cli))
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(AttachmentError::classification))
        .service(StageService::new(fixture.store.clone()))
}

#[tokio::test]
async fn the_event_of_a_stage_has_its_size_and_whether_the_attachment_existed() {
    let fixture = Fixture::new();
    let source = fixture.outside.path().join("a.txt");
    fs::write(&source, "four").unwrap();
    let requests = [
        StageRequest::bytes("a.txt", "four", EXPIRED),
        StageRequest::file(&source, Ttl::default()),
        StageRequest::reader("a.txt", &b"four"[..], Ttl::default()),
        StageRequest::bytes("b.txt", "seven!!", Ttl::default()),
    ];
    let sink = MemorySink::new();
    for request in requests {
        let context = CallContext::new().with_thread_id("thread");
        let request = request.with_context(context);
        assert_eq!(request.operation(), Operation::AttachmentStage);
        let staged = staging(&fixture, &sink).oneshot(request).await.unwrap();
        assert!(staged.is_leased());
    }
    let events = sink.events();
    assert_eq!(events[0].name(), "codex.attachment.stage.start");
    let stops = events.iter().filter(|event| event.kind().is_terminal());
    let recorded = stops.map(|event| {
        assert_eq!(event.name(), "codex.attachment.stage.stop");
        assert_eq!(event.originator(), Some(&Originator::Cli));
        assert_eq!(event.thread_id(), Some("thread"));
        assert!(event.duration().is_some());
        // The name of an attachment is content.
        assert_eq!(event.call_name(), None);
        [names::STAGE_SIZE, names::STAGE_EXISTED].map(|key| event.attribute(key).cloned())
    });
    let expected = [(4, false), (4, true), (4, true), (7, false)]
        .map(|(size, existed)| [Some(size.into()), Some(existed.into())]);
    assert_eq!(recorded.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn the_event_of_a_failed_stage_has_its_class() {
    let fixture = Fixture::new();
    let sink = MemorySink::new();
    for (request, class) in [
        (
            StageRequest::bytes("a,b.png", "a", EXPIRED),
            ErrorClass::InvalidRequest,
        ),
        (StageRequest::file("/", EXPIRED), ErrorClass::InvalidRequest),
        (
            StageRequest::file(fixture.outside.path().join("missing"), EXPIRED),
            ErrorClass::Io,
        ),
    ] {
        let staged = staging(&fixture, &sink).oneshot(request).await;
        staged.unwrap_err();
        let failed = sink.find(Operation::AttachmentStage, Outcome::Error);
        let failed = failed.last().unwrap();
        assert_eq!(failed.error_class(), Some(class));
        assert!(failed.attributes().is_empty(), "{failed:?}");
    }
}

#[tokio::test]
async fn the_event_of_a_stage_that_waits_for_the_lock_is_cancelled_with_its_caller() {
    let fixture = Fixture::new();
    let lock = fs::File::open(fixture.root().join(".lock")).unwrap();
    lock.lock().unwrap();
    let sink = MemorySink::new();
    let staged = staging(&fixture, &sink).oneshot(StageRequest::bytes("a", "a", EXPIRED));
    let staged = tokio::time::timeout(Duration::ZERO, staged).await;
    staged.unwrap_err();
    let cancelled = sink.find(Operation::AttachmentStage, Outcome::Cancelled);
    assert_eq!(cancelled.len(), 1);
    lock.unlock().unwrap();
}

#[test]
fn a_stage_request_shows_no_content() {
    let request = StageRequest::bytes("a.txt", "secret", EXPIRED);
    let text = format!("{request:?}");
    assert!(text.contains("a.txt") && !text.contains("secret"), "{text}");
}
