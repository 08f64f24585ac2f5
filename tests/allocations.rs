//! How often a call allocates, rung by rung: these numbers are promises.
//!
//! The counter is this thread's alone, so what an export thread allocates is not in it.
#![allow(
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use codex_telemetry::{
    Call, CodexRequest, ErrorClass, ErrorClassLayer, Event, JsonLinesSink, MemorySink, Operation,
    Originator, OriginatorLayer, OtlpSink, Sink, TimingLayer, otlp::OtlpConfig,
};
use tower::{Service, ServiceBuilder, service_fn};

/// Calls that are made before any is counted: buffers grow, and threads make what they need once.
const WARM_UP: u64 = 2_000;
const CALLS: u64 = 100;

type Answer = Ready<Result<u64, Infallible>>;

#[expect(clippy::needless_pass_by_value, reason = "what a service is given")]
fn answer(call: Call<u64>) -> Answer {
    ready(Ok(call.request))
}

fn record_three(call: Call<u64>) -> Answer {
    let context = call.context();
    context.record("app.queue.depth", 3);
    context.record("app.region", "north");
    context.record("app.cached", true);
    answer(call)
}

fn three_layers(
    sink: impl Sink + 'static,
    service: fn(Call<u64>) -> Answer,
) -> impl Service<Call<u64>, Response = u64, Error = Infallible> {
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink))
        .layer(ErrorClassLayer::new(|_: &Infallible| ErrorClass::Other))
        .service(service_fn(service))
}

/// How many allocations each call makes, on its own thread.
fn per_call<T, E>(mut service: impl Service<Call<u64>, Response = T, Error = E>) -> f64 {
    let mut cx = Context::from_waker(Waker::noop());
    let mut calls = |count| {
        for _ in 0..count {
            assert!(service.poll_ready(&mut cx).is_ready());
            let call = pin!(service.call(Call::new(Operation::Turn, 7)));
            assert!(matches!(call.poll(&mut cx), Poll::Ready(_)));
        }
    };
    calls(WARM_UP);
    let counted = allocation_counter::measure(|| calls(CALLS));
    counted.count_total as f64 / CALLS as f64
}

#[test]
fn a_bare_service_allocates_nothing() {
    assert_eq!(per_call(service_fn(answer)), 0.0);
}

#[test]
fn with_a_sink_that_is_off_nothing_is_allocated() {
    assert_eq!(per_call(three_layers((), answer)), 0.0);
    assert_eq!(per_call(three_layers((), record_three)), 0.0);
    assert_eq!(per_call(three_layers(None::<MemorySink>, answer)), 0.0);
}

#[test]
fn a_call_is_one_allocation() {
    assert_eq!(per_call(three_layers(|_: Event| (), answer)), 1.0);
}

#[test]
fn what_is_noted_is_one_more_and_a_list_of_attributes_another() {
    assert_eq!(per_call(three_layers(|_: Event| (), record_three)), 3.0);
}

#[test]
fn an_error_is_noted_in_one_allocation() {
    let fail = |_: Call<u64>| ready(Err::<u64, _>(()));
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(|_: Event| ()))
        .layer(ErrorClassLayer::new(|(): &()| ErrorClass::Transport))
        .service(service_fn(fail));
    assert_eq!(per_call(service), 2.0);
}

#[test]
fn a_memory_sink_adds_nothing_but_the_growth_of_its_list() {
    let mean = per_call(three_layers(MemorySink::new(), answer));
    // The list doubles, so it grows at most once in these calls.
    assert!((1.0..=1.01).contains(&mean), "{mean}");
}

#[test]
fn a_json_line_is_written_without_a_buffer_of_its_own() {
    let lines = JsonLinesSink::new(std::io::sink());
    assert_eq!(per_call(three_layers(lines, answer)), 1.0);
}

#[test]
fn an_otlp_sink_adds_nothing_on_the_callers_thread() {
    // Room for all of it, and nobody comes for it before the end.
    let config = OtlpConfig::builder()
        .endpoint("http://127.0.0.1:9")
        .queue_capacity(1 << 16)
        .batch_size(1 << 16)
        .schedule_delay(Duration::from_secs(3600));
    let sink = OtlpSink::start(config.build().unwrap());
    let mean = per_call(three_layers(sink.clone(), answer));
    assert_eq!(sink.stats().logs.dropped, 0);
    // The queue grows by doubling, as the memory sink's list does.
    assert!((1.0..=1.01).contains(&mean), "{mean}");
}
