use std::time::Duration;

use codex_telemetry::{
    BoxError, Call, CodexClassifier, ErrorClass, Event, Originator, Outcome, RetryPolicy,
    ServiceBuilderExt,
};
use tokio_test::{assert_pending, assert_ready, task::spawn};
use tower::{ServiceBuilder, ServiceExt};

use crate::{checked::MemorySink, support::*};

const HOUR: Duration = Duration::from_secs(3600);

/// Takes the events out of `sink`, and returns the terminal ones.
fn ended(sink: &MemorySink) -> Vec<Event> {
    let mut events = sink.take();
    events.retain(|event| event.kind().is_terminal());
    events
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_a_child_call_and_each_retry_a_span_event_of_the_whole_call() {
    let sink = MemorySink::new();
    let slow = Failure(ErrorClass::RateLimit, Some(Duration::from_millis(1500)));
    let service = ServiceBuilder::new()
        .originator(Originator::Cli)
        .timing(sink.clone())
        .error_class(classify)
        .retry(policy().backoff(Duration::ZERO, Duration::ZERO))
        .timing(sink.clone())
        .error_class(classify)
        .service(Flaky::new(slow, 3));
    assert_eq!(service.oneshot(request()).await, Ok(3));
    assert_eq!(
        span_events(&sink),
        [
            "attempt 1 failed: rate_limit; retrying in 1.5s",
            "attempt 2 failed: rate_limit; retrying in 1.5s",
        ]
    );

    let ended = ended(&sink);
    let whole = &ended[3];
    assert_eq!((whole.attempt(), whole.outcome()), (1, Some(Outcome::Ok)));
    assert_eq!(whole.error_class(), None);
    for (attempt, number) in ended[..3].iter().zip(1..) {
        assert_eq!(attempt.attempt(), number);
        assert_eq!(attempt.parent_span_id(), Some(whole.span_id()));
        assert_eq!(attempt.originator(), Some(&Originator::Cli));
        let class = (number < 3).then_some(ErrorClass::RateLimit);
        assert_eq!(attempt.error_class(), class);
        assert!(attempt.span_events().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_retry_outermost_each_attempt_is_a_call_of_its_own() {
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .retry(policy())
        .timing(sink.clone())
        .service(Flaky::new(LOST, 2));
    assert_eq!(service.oneshot(request()).await, Ok(2));
    let ended = ended(&sink);
    let calls: Vec<_> = ended.iter().map(|e| (e.attempt(), e.outcome())).collect();
    assert_eq!(calls, [(1, Some(Outcome::Error)), (2, Some(Outcome::Ok))]);
    assert!(ended.iter().all(|event| event.parent_span_id().is_none()));
}

#[tokio::test(start_paused = true)]
async fn with_the_retry_innermost_there_is_one_call_with_the_last_class() {
    let sink = MemorySink::new();
    let hour = Failure(ErrorClass::RateLimit, Some(HOUR));
    let service = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(classify)
        .retry(policy())
        .service(Flaky::never_succeeds(hour));
    assert_eq!(service.oneshot(request()).await, Err(hour));
    assert_eq!(
        span_events(&sink),
        ["attempt 1 failed: rate_limit; not retried: retry-after 3600.0s is longer than 60.0s"]
    );
    let ended = ended(&sink);
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].error_class(), Some(ErrorClass::RateLimit));
    assert_eq!(ended[0].retry_after(), Some(HOUR));
}

#[tokio::test(start_paused = true)]
async fn retries_work_while_the_sink_is_off() {
    let flaky = Flaky::new(LOST, 3);
    let service = ServiceBuilder::new()
        .timing(())
        .retry(policy())
        .timing(())
        .service(flaky.clone());
    assert_eq!(service.oneshot(request()).await, Ok(3));
    assert_eq!(flaky.attempts(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_between_attempts_is_cancelled_and_not_retried() {
    let sink = MemorySink::new();
    let flaky = Flaky::never_succeeds(LOST);
    let service = ServiceBuilder::new()
        .timing(sink.clone())
        .retry(policy())
        .timing(sink.clone())
        .service(flaky.clone());
    let mut call = spawn(service.oneshot(request()));
    assert_pending!(call.poll());
    drop(call);
    tokio::time::advance(HOUR).await;

    assert_eq!(flaky.attempts(), [1]);
    let ended = ended(&sink);
    let outcomes: Vec<_> = ended.iter().filter_map(Event::outcome).collect();
    assert_eq!(outcomes, [Outcome::Error, Outcome::Cancelled]);
    assert_eq!(ended[1].error_class(), Some(ErrorClass::Cancelled));
    assert_eq!(ended[1].span_events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_limits_the_whole_call_and_one_inside_an_attempt() {
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .timeout(Duration::from_secs(10))
        .retry(
            RetryPolicy::new()
                .max_attempts(9)
                .backoff(Duration::ZERO, Duration::ZERO),
        )
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .timeout(Duration::from_secs(4))
        .service_fn(|_: Call<()>| std::future::pending::<Result<(), BoxError>>());
    assert!(service.oneshot(request()).await.is_err());

    let calls: Vec<_> = ended(&sink)
        .iter()
        .map(|event| (event.attempt(), event.error_class()))
        .collect();
    assert_eq!(
        calls,
        [
            (1, Some(ErrorClass::Timeout)),
            (2, Some(ErrorClass::Timeout)),
            (3, Some(ErrorClass::Cancelled)),
            (1, Some(ErrorClass::Timeout)),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_until_the_service_is_ready() {
    let (bare, mut handle) = tower_test::mock::pair::<Call<()>, u32>();
    let hasty = RetryPolicy::new().backoff(Duration::ZERO, Duration::ZERO);
    let service = ServiceBuilder::new().retry(hasty).service(bare);
    handle.allow(1);
    let mut call = spawn(service.oneshot(request()));
    assert_pending!(call.poll());

    let (first, answer) = handle.next_request().await.unwrap();
    assert_eq!(first.context.attempt(), 1);
    answer.send_error(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    assert_pending!(call.poll());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_pending!(call.poll(), "the service is not ready");

    handle.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    let (second, answer) = handle.next_request().await.unwrap();
    assert_eq!(second.context.attempt(), 2);
    answer.send_response(42);
    assert_eq!(assert_ready!(call.poll()).unwrap(), 42);
}
