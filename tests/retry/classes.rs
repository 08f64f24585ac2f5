use std::{io, time::Duration};

use codex_telemetry::{
    BoxError, Call, CallContext, CodexExec, ErrorClass, Event, RetryPolicy, ServiceBuilderExt,
    TurnRequest,
};
use tower::{ServiceBuilder, ServiceExt};

use crate::{checked::MemorySink, support::*};

#[tokio::test(start_paused = true)]
async fn only_retryable_classes_are_retried() {
    for class in ErrorClass::ALL {
        let failure = Failure(*class, None);
        let flaky = Flaky::new(failure, 2);
        let result = flaky.call(policy()).await;
        if class.is_retryable() {
            assert_eq!(result, Ok(2), "{class}");
        } else {
            assert_eq!(result, Err(failure), "{class}");
            assert_eq!(flaky.attempts(), [1], "{class}");
        }
    }
}

/// A turn that the provider refuses is retried; one that was lost may have run commands.
#[tokio::test(start_paused = true)]
async fn a_turn_is_retried_only_after_a_refusal() {
    for class in ErrorClass::ALL {
        let failure = Failure(*class, None);
        let flaky = Flaky::new(failure, 2);
        let result = flaky.retried(policy()).oneshot(turn()).await;
        if matches!(class, ErrorClass::RateLimit | ErrorClass::Overloaded) {
            assert_eq!(result, Ok(2), "{class}");
        } else {
            assert_eq!(result, Err(failure), "{class}");
            assert_eq!(flaky.attempts(), [1], "{class}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_turn_is_retried_by_opting_in() {
    let policy = policy().retry_if(|_, class| class.is_retryable());
    for class in [ErrorClass::Timeout, ErrorClass::Transport] {
        let flaky = Flaky::new(Failure(class, None), 2);
        let result = flaky.retried(policy.clone()).oneshot(turn()).await;
        assert_eq!(result, Ok(2), "{class}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_not_retried_has_a_span_event_if_a_retry_may_have_helped() {
    for (class, expected) in [
        (
            ErrorClass::Timeout,
            &["attempt 1 failed: timeout; not retried: the policy excludes it for codex.turn"][..],
        ),
        (ErrorClass::InvalidRequest, &[]),
    ] {
        let sink = MemorySink::new();
        let failure = Failure(class, None);
        let service = ServiceBuilder::new()
            .timing(sink.clone())
            .retry(policy())
            .service(Flaky::never_succeeds(failure));
        assert_eq!(service.oneshot(turn()).await, Err(failure));
        assert_eq!(span_events(&sink), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_if_replaces_the_retryable_classes() {
    let busy = Failure(ErrorClass::Custom("busy"), None);
    let policy = policy().retry_if(|_, class| class == ErrorClass::Custom("busy"));
    assert_eq!(Flaky::new(busy, 2).call(policy.clone()).await, Ok(2));
    assert_eq!(Flaky::new(LOST, 2).call(policy).await, Err(LOST));
}

#[tokio::test(start_paused = true)]
async fn max_attempts_limits_the_attempts() {
    for (allowed, made) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
        let flaky = Flaky::never_succeeds(LOST);
        let result = flaky.call(policy().max_attempts(allowed)).await;
        assert_eq!(result, Err(LOST));
        assert_eq!(flaky.attempts(), (1..=made).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_later_attempt_has_used_up_those_before() {
    let flaky = Flaky::never_succeeds(LOST);
    let context = CallContext::new().with_attempt(3);
    let service = flaky.retried(policy().max_attempts(4));
    let result = service.oneshot(request().with_context(context)).await;
    assert_eq!(result, Err(LOST));
    assert_eq!(flaky.attempts(), [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn known_errors_need_no_classifier() {
    let service = ServiceBuilder::new().retry(RetryPolicy::new()).service_fn(
        |call: Call<io::ErrorKind>| async move {
            match call.context.attempt() {
                1 => Err(BoxError::from(io::Error::from(call.request))),
                attempt => Ok(attempt),
            }
        },
    );
    let fails_by = |kind| service.clone().oneshot(Call::new(WORK, kind));
    let lost = fails_by(io::ErrorKind::ConnectionReset).await;
    assert_eq!(lost.unwrap(), 2);
    assert!(fails_by(io::ErrorKind::PermissionDenied).await.is_err());
}

/// In real time, because the paused clock does not apply to a process.
#[tokio::test]
async fn a_turn_is_retried_after_the_time_that_its_error_names() {
    const SCRIPT: &str = r#"
        if mkdir "$FIRST" 2>/dev/null; then
            echo '{"type":"turn.failed","error":{"message":"rate limit: try again in 300ms"}}'
            exit 1
        fi
        echo '{"type":"turn.completed","usage":{"input_tokens":1}}'
    "#;
    let directory = tempfile::tempdir().unwrap();
    let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/turn/fake-codex");
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .retry(RetryPolicy::new())
        .timing(sink.clone())
        .service(CodexExec::builder().codex(fake).build());
    let request = TurnRequest::new("a prompt")
        .with_env("FAKE_CODEX", SCRIPT)
        .with_env("FIRST", directory.path().join("first"));
    service.oneshot(request).await.unwrap();

    let events = sink.events();
    let attempts: Vec<_> = events.iter().map(Event::attempt).collect();
    assert_eq!(attempts, [1, 1, 2, 2]);
    let waited = events[2].time().duration_since(events[1].time()).unwrap();
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
}
