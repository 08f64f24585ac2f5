//! How many allocations each call makes, for each layer and sink, after the first ones. These numbers are promises.
//!
//! The counter counts this thread only, and so not the export thread.
#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in tests only, and not in their helpers"
)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use codex_telemetry::{
    ActiveCalls, Call, CodexRequest, ErrorClass, ErrorClassLayer, Event, JsonLinesSink, MemorySink,
    Operation, Originator, OriginatorLayer, OtlpSink, Sink, TimingLayer, otlp::OtlpConfig,
};
use tower::{Service, ServiceBuilder, service_fn};

/// Calls before the counted ones, for buffers to grow and for what each thread allocates once.
const WARM_UP: u64 = 2_000;
const CALLS: u64 = 100;

type Answer = Ready<Result<u64, Infallible>>;

#[expect(
    clippy::needless_pass_by_value,
    reason = "a service takes its request by value"
)]
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

/// Returns how many allocations each call makes on this thread.
fn per_call<T, E>(service: impl Service<Call<u64>, Response = T, Error = E>) -> f64 {
    per_call_of(Operation::Turn, service)
}

fn per_call_of<T, E>(
    operation: Operation,
    mut service: impl Service<Call<u64>, Response = T, Error = E>,
) -> f64 {
    let mut cx = Context::from_waker(Waker::noop());
    let mut calls = |count| {
        for _ in 0..count {
            assert!(service.poll_ready(&mut cx).is_ready());
            let call = pin!(service.call(Call::new(operation, 7)));
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
fn a_sink_that_is_off_allocates_nothing() {
    assert_eq!(per_call(three_layers((), answer)), 0.0);
    assert_eq!(per_call(three_layers((), record_three)), 0.0);
    assert_eq!(per_call(three_layers(None::<MemorySink>, answer)), 0.0);
}

#[test]
fn a_call_whose_events_are_not_kept_allocates_nothing() {
    assert_eq!(per_call(three_layers(|_: Event| (), answer)), 0.0);
}

#[test]
fn neither_do_nested_layers() {
    let sink = || TimingLayer::new(|_: Event| {});
    let service = ServiceBuilder::new()
        .layer(sink())
        .layer(sink())
        .layer(sink())
        .service(service_fn(answer));
    assert_eq!(per_call(service), 0.0);
}

#[test]
fn neither_do_a_few_attributes() {
    assert_eq!(per_call(three_layers(|_: Event| (), record_three)), 0.0);
}

#[test]
fn a_long_list_of_attributes_is_allocated_for_each_call() {
    let record_many = |call: Call<u64>| {
        const KEYS: [&str; 17] = [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
        ];
        for key in KEYS {
            call.context().record(key, 1);
        }
        answer(call)
    };
    // Of 4, 8, 16 and 32.
    assert_eq!(per_call(three_layers(|_: Event| (), record_many)), 4.0);
}

#[test]
fn neither_does_a_classification() {
    let fail = |_: Call<u64>| ready(Err::<u64, _>(()));
    let service = ServiceBuilder::new()
        .layer(TimingLayer::new(|_: Event| ()))
        .layer(ErrorClassLayer::new(|(): &()| ErrorClass::Transport))
        .service(service_fn(fail));
    assert_eq!(per_call(service), 0.0);
}

#[test]
fn a_call_whose_events_are_kept_is_one_allocation() {
    let mean = per_call(three_layers(MemorySink::new(), answer));
    // The list doubles its capacity, so it grows at most once during these calls.
    assert!((1.0..=1.01).contains(&mean), "{mean}");
}

#[test]
fn annotations_that_are_kept_are_one_more_and_a_list_of_attributes_another() {
    let mean = per_call(three_layers(MemorySink::new(), record_three));
    assert!((3.0..=3.01).contains(&mean), "{mean}");
}

#[test]
fn a_view_of_active_calls_allocates_nothing() {
    assert_eq!(per_call(three_layers(ActiveCalls::new(), answer)), 0.0);
}

#[test]
fn a_json_lines_sink_allocates_nothing() {
    let lines = || three_layers(JsonLinesSink::new(std::io::sink()), answer);
    assert_eq!(per_call(lines()), 0.0);
    let custom = Operation::Custom("billing.sync");
    assert_eq!(per_call_of(custom, lines()), 0.0);
}

#[test]
fn an_otlp_sink_allocates_nothing_on_the_callers_thread() {
    // The queue has room for all events, and no export happens before the end.
    let config = OtlpConfig::builder()
        .endpoint("http://127.0.0.1:9")
        .queue_capacity(1 << 16)
        .batch_size(1 << 16)
        .schedule_delay(Duration::from_secs(3600));
    let sink = OtlpSink::start(config.build().unwrap());
    let mean = per_call(three_layers(sink.clone(), answer));
    assert_eq!(sink.stats().logs.dropped, 0);
    // The queue keeps the record, and doubles its capacity as the list of the memory sink does.
    assert!((1.0..=1.01).contains(&mean), "{mean}");
}
