//! The layers together with tower's middleware.

use std::{future::ready, time::Duration};

use codex_telemetry::{
    Call, Clock, ErrorClass, ErrorClassLayer, Event, Operation, Originator, OriginatorLayer,
    Outcome, TimingLayer,
};
use tokio_test::task::spawn;
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt, retry::RetryLayer, timeout::error::Elapsed,
};

use crate::{checked::MemorySink, support::*};

fn classify(error: &BoxError) -> ErrorClass {
    if error.is::<Elapsed>() {
        ErrorClass::Timeout
    } else if error.is::<tower::load_shed::error::Overloaded>() {
        ErrorClass::Overloaded
    } else {
        ErrorClass::Other
    }
}

/// Returns the outcome of each call in `sink`, and whether it is a child call.
fn calls(sink: &MemorySink) -> Vec<(Outcome, bool)> {
    let ended = ended(sink);
    let call = |event: &Event| Some((event.outcome()?, event.parent_span_id().is_some()));
    ended.iter().filter_map(call).collect()
}

#[tokio::test]
async fn a_call_through_a_buffer_is_reported_outside_and_inside_of_it() {
    let sink = MemorySink::new();
    let mut service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .buffer(1)
        .layer(TimingLayer::new(sink.clone()))
        .map_err(|Refused| "refused")
        .service(answers());
    let ready = service.ready().await.expect("the buffer runs");
    assert_eq!(ready.call(request()).await.ok(), Some(42));
    assert_eq!(calls(&sink), [(Outcome::Ok, true), (Outcome::Ok, false)]);

    let ready = service.ready().await.expect("the buffer runs");
    drop(ready.call(request()));
    assert_eq!(outcomes(&sink)[0], Outcome::Cancelled);
}

#[tokio::test]
async fn a_call_that_a_buffer_drops_with_its_failed_service_is_reported() {
    let (bare, mut handle) = tower_test::mock::pair::<Call<()>, u32>();
    let sink = MemorySink::new();
    let mut service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .buffer(4)
        .layer(TimingLayer::new(sink.clone()))
        .service(bare);
    handle.allow(0);
    let ready = service.ready().await.expect("the buffer runs");
    let answer = ready.call(request());
    handle.send_error("broken");
    assert!(answer.await.is_err());
    assert_eq!(calls(&sink), [(Outcome::Error, false)]);
}

#[test]
fn each_attempt_of_a_retried_call_is_a_child_of_it() {
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Cli))
        .layer(TimingLayer::new(sink.clone()))
        .layer(RetryLayer::new(RetryTimes(2)))
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(overloaded))
        .service(refuses());
    assert_eq!(call(service, request()), Err(Refused));

    let ended = ended(&sink);
    let outer = &ended[3];
    let attempts: Vec<_> = ended.iter().map(Event::attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 1]);
    for attempt in &ended[..3] {
        assert_eq!(attempt.parent_span_id(), Some(outer.span_id()));
        assert_eq!(attempt.trace_id(), outer.trace_id());
        assert_eq!(attempt.originator(), Some(&Originator::Cli));
        assert_eq!(attempt.error_class(), Some(ErrorClass::Overloaded));
    }
    // The classifier is inside of the attempts, so the whole call is not classified.
    assert_eq!(outer.error_class(), None);
}

#[test]
fn with_the_retry_outermost_each_attempt_is_a_call_of_its_own() {
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(RetryTimes(1)))
        .layer(TimingLayer::new(sink.clone()))
        .service(refuses());
    assert_eq!(call(service, request()), Err(Refused));
    assert_eq!(
        calls(&sink),
        [(Outcome::Error, false), (Outcome::Error, false)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_an_error_outside_of_it_and_a_cancellation_inside_of_it() {
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(classify))
        .timeout(Duration::from_secs(30))
        .layer(TimingLayer::new(sink.clone()))
        .map_err(|Refused| BoxError::from("refused"))
        .service(hangs());
    let error = service.oneshot(request()).await.expect_err("it times out");
    assert!(error.is::<Elapsed>());

    let ended = ended(&sink);
    let classes: Vec<_> = ended.iter().map(Event::error_class).collect();
    let outcomes: Vec<_> = ended.iter().map(Event::outcome).collect();
    assert!(
        outcomes.contains(&Some(Outcome::Error)) && outcomes.contains(&Some(Outcome::Cancelled))
    );
    assert!(classes.contains(&Some(ErrorClass::Timeout)));
    assert!(classes.contains(&Some(ErrorClass::Cancelled)));
}

#[test]
fn a_call_that_load_shedding_rejects_is_a_failed_call() {
    let (bare, mut handle) = tower_test::mock::pair::<Call<()>, u32>();
    handle.allow(0);
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(classify))
        .load_shed()
        .layer(TimingLayer::new(sink.clone()))
        .service(bare);
    assert!(call(service, request()).is_err());

    let end = only(&sink);
    assert_eq!(end.outcome(), Some(Outcome::Error));
    assert_eq!(end.error_class(), Some(ErrorClass::Overloaded));
}

#[test]
fn a_call_that_waits_for_readiness_has_not_started() {
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .concurrency_limit(1)
        .service(hangs());
    let mut first = spawn(service.clone().oneshot(request()));
    let mut second = spawn(service.oneshot(request()));
    poll_once(&mut first);
    poll_once(&mut second);
    assert_eq!(sink.events().len(), 1, "the second call is not ready");

    drop(first);
    assert!(second.is_woken());
    poll_once(&mut second);
    assert_eq!(sink.events().len(), 3);
    drop(second);
    assert_eq!(outcomes(&sink), [Outcome::Cancelled, Outcome::Cancelled]);
}

#[tokio::test(start_paused = true)]
async fn every_call_ends_in_a_stack_of_everything() {
    let sink = MemorySink::new();
    let (clock, _manual) = Clock::manual(std::time::UNIX_EPOCH);
    let timing = TimingLayer::with_clock(sink.clone(), clock);
    let tool = ServiceBuilder::new()
        .layer(timing.clone())
        .timeout(Duration::from_secs(1))
        .service_fn(|call: Call<u32>| async move {
            match call.request % 3 {
                0 => Ok(call.request),
                1 => Err(BoxError::from("refused")),
                _ => std::future::pending().await,
            }
        });
    let service = ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(timing.clone())
        .layer(ErrorClassLayer::new(classify))
        .load_shed()
        .buffer(64)
        .concurrency_limit(8)
        .layer(timing)
        .service_fn(move |call: Call<u32>| {
            let context = call.context.child();
            let inner = Call::new(Operation::Tool, call.request).with_context(context);
            tool.clone().oneshot(inner)
        });
    let calls = (0..48).map(|n| service.clone().oneshot(Call::new(WORK, n)));
    let answers = futures_util::future::join_all(calls).await;
    let succeeded = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(succeeded, 16);
    drop(service);

    let ended = ended(&sink);
    assert_eq!(ended.len(), 48 * 3);
    assert!(
        ended
            .iter()
            .all(|e| e.originator() == Some(&Originator::Sdk))
    );
}

#[test]
fn a_mapped_request_keeps_its_open_call() {
    let sink = MemorySink::new();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .map_request(|call: Call<()>| Call::new(Operation::Tool, 7).with_context(call.context))
        .service_fn(|call: Call<u32>| {
            call.context.record("tokens", i64::from(call.request));
            ready(Ok::<_, Refused>(()))
        });
    assert_eq!(call(service, request()), Ok(()));
    assert_eq!(only(&sink).attribute("tokens"), Some(&7.into()));
}
