//! How a call ended, on its span.

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
fn success_leaves_the_status_unset_and_has_no_error_type() {
    let span = ended(|_| Ok(()));
    assert_eq!(span.status, StatusCode::Unset);
    assert_eq!(span.status_message, "");
    assert_eq!(span.attribute("error.type"), None);
    assert_eq!(span.attributes["codex.outcome"], "ok");
}

#[test]
fn a_retry_that_was_handled_is_no_error_of_the_call() {
    let span = ended(|context| {
        context.classify(ErrorClass::RateLimit);
        Ok(())
    });
    assert_eq!(span.status, StatusCode::Unset);
    assert_eq!(span.attribute("error.type"), None);
}

#[test]
fn an_error_is_told_by_its_class_and_described_by_its_message() {
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
fn an_error_that_nobody_classified_is_other() {
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
fn a_call_that_was_dropped_is_an_error_by_cancellation() {
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
fn a_further_attempt_is_told_and_a_first_one_is_not() {
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
