//! The outcome of a call on its span.

use std::panic::{AssertUnwindSafe, catch_unwind};

use codex_telemetry::{CallContext, Classification, ErrorClass, Operation};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::support::{Done, Rig};
use crate::receiver::Span;

fn ended(work: impl FnOnce(CallContext) -> Done) -> Span {
    let rig = Rig::new();
    let run = || {
        let calls = &rig.calls;
        calls.run(Operation::Tool, "ls", CallContext::new(), work)
    };
    let _ = catch_unwind(AssertUnwindSafe(run));
    rig.flush().spans().remove(0)
}

#[test]
fn a_successful_call_has_status_unset_and_no_error_type() {
    let span = ended(|_| Ok(()));
    assert_eq!(span.status, StatusCode::Unset);
    assert_eq!(span.status_message, "");
    assert_eq!(span.attribute("error.type"), None);
    assert_eq!(span.attributes["codex.outcome"], "ok");
}

#[test]
fn a_recovered_error_is_not_an_error_of_the_call() {
    let span = ended(|context| {
        context.classify(ErrorClass::RateLimit);
        Ok(())
    });
    assert_eq!(span.status, StatusCode::Unset);
    assert_eq!(span.attribute("error.type"), None);
}

#[test]
fn an_error_has_its_class_and_its_message() {
    let span = ended(|context| {
        context.classify(Classification::from(ErrorClass::Io).with_message("disk on fire"));
        Err("disk on fire")
    });
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.status_message, "disk on fire");
    assert_eq!(span.attributes["error.type"], "io");
    assert_eq!(span.attributes["codex.outcome"], "error");
}

#[test]
fn an_error_without_a_message_is_described_by_its_class() {
    let span = ended(|context| {
        context.classify(ErrorClass::ApprovalDenied);
        Err("no")
    });
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.status_message, "approval_denied");
}

#[test]
fn an_unclassified_error_is_other() {
    let span = ended(|_| Err("what was it?"));
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.attributes["error.type"], "other");
}

#[test]
fn a_panic_is_an_error() {
    let span = ended(|_| panic!("a panic that the test expects"));
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.attributes["error.type"], "panic");
    assert_eq!(span.attributes["codex.outcome"], "panic");
}

#[test]
fn a_dropped_call_is_a_cancelled_error() {
    let rig = Rig::new();
    drop(
        rig.calls
            .start(Operation::Tool, "ls", CallContext::new(), |_| Ok(())),
    );
    let span = rig.flush().spans().remove(0);
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.attributes["error.type"], "cancelled");
    assert_eq!(span.attributes["codex.outcome"], "cancelled");
}

#[test]
fn only_a_retry_has_an_attempt_attribute() {
    let rig = Rig::new();
    for attempt in [1, 2] {
        let context = CallContext::new().with_attempt(attempt);
        rig.calls
            .run(Operation::Tool, "ls", context, |_| Ok(()))
            .unwrap();
    }
    let spans = rig.flush().spans();
    assert_eq!(spans[0].attribute("codex.attempt"), None);
    assert_eq!(spans[1].attributes["codex.attempt"], 2);
}
