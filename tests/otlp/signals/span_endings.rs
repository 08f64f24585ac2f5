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

/// Returns the type and the message of the event `exception`.
fn exception(span: &Span) -> Option<(&str, &str)> {
    let mut events = span.events.iter();
    let event = events.find(|event| event.name == "exception")?;
    assert_eq!(event.attributes.len(), 2, "{event:?}");
    let text = |key: &str| event.attributes[key].as_str().unwrap();
    Some((text("exception.type"), text("exception.message")))
}

#[test]
fn a_successful_call_has_status_unset_and_no_error_type() {
    let span = ended(|_| Ok(()));
    assert_eq!(span.status, StatusCode::Unset);
    assert_eq!(span.status_message, "");
    assert_eq!(span.attribute("error.type"), None);
    assert_eq!(span.events, []);
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
    assert_eq!(exception(&span), Some(("io", "disk on fire")));
}

#[test]
fn an_error_without_a_message_has_a_reason_that_does_not_repeat_its_class() {
    let span = ended(|context| {
        context.classify(ErrorClass::ApprovalDenied);
        Err("no")
    });
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.status_message, "the call failed");
    assert_eq!(span.attributes["error.type"], "approval_denied");
    assert_eq!(
        exception(&span),
        Some(("approval_denied", "the call failed"))
    );
}

#[test]
fn an_error_of_unknown_class_has_the_error_type_of_the_conventions() {
    for class in [None, Some(ErrorClass::Other)] {
        let span = ended(|context| {
            if let Some(class) = class {
                context.classify(class);
            }
            Err("what was it?")
        });
        assert_eq!(span.status, StatusCode::Error);
        assert_eq!(span.attributes["error.type"], "_OTHER");
        assert_eq!(exception(&span), Some(("other", "the call failed")));
    }
}

#[test]
fn a_panic_is_an_error() {
    let span = ended(|_| panic!("a panic that the test expects"));
    assert_eq!(span.status, StatusCode::Error);
    assert_eq!(span.status_message, "the call panicked");
    assert_eq!(span.attributes["error.type"], "panic");
    assert_eq!(span.attributes["codex.outcome"], "panic");
    assert_eq!(exception(&span), Some(("panic", "the call panicked")));
}

#[test]
fn a_cancelled_call_is_no_error_and_can_be_told_from_a_success() {
    let rig = Rig::new();
    drop(
        rig.calls
            .start(Operation::Tool, "ls", CallContext::new(), |_| Ok(())),
    );
    let span = rig.flush().spans().remove(0);
    assert_eq!(span.status, StatusCode::Unset);
    assert_eq!(span.status_message, "");
    assert_eq!(exception(&span), None);
    assert_eq!(span.attributes["error.type"], "cancelled");
    assert_eq!(span.attributes["codex.outcome"], "cancelled");
}

#[test]
fn the_exception_is_the_last_event_of_its_span_and_has_the_time_of_the_end() {
    let rig = Rig::new();
    let work = |context: CallContext| {
        context.add_event("retry");
        rig.calls.advance(250);
        Err("no")
    };
    let context = CallContext::new();
    rig.calls
        .run(Operation::Tool, "ls", context, work)
        .unwrap_err();
    let span = rig.flush().spans().remove(0);
    let events: Vec<_> = span.events.iter().map(|event| &*event.name).collect();
    assert_eq!(events, ["retry", "exception"]);
    assert_eq!(span.events[1].time_nanos, span.end_nanos);
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
