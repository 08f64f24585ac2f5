//! What the layers add to a call: a ladder from the floor to three layers with each sink.
//!
//! Run with `cargo bench --bench overhead`. Compare rungs of one run with each other; the absolute
//! nanoseconds are of the machine.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    task::{Context, Poll, Waker},
    time::Instant,
};

use codex_telemetry::{
    Call, ErrorClass, ErrorClassLayer, Event, JsonLinesSink, MemorySink, Operation, Originator,
    OriginatorLayer, Sink, TimingLayer,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tower::{Layer, Service, ServiceBuilder};

/// The trivial service: ready, and its answer is the request's number.
#[derive(Clone)]
struct Bare;

impl Service<Call<u64>> for Bare {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call<u64>) -> Self::Future {
        ready(Ok(call.request))
    }
}

/// A sink that wants every event and does nothing with it.
struct Discard;

impl Sink for Discard {
    fn emit(&self, event: Event) {
        drop(black_box(event));
    }
}

fn drive<S>(service: &mut S, call: Call<u64>) -> u64
where
    S: Service<Call<u64>, Response = u64, Error = Infallible>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut future = std::pin::pin!(service.call(call));
    match future.as_mut().poll(&mut cx) {
        Poll::Ready(Ok(answer)) => answer,
        Poll::Pending => unreachable!("the bare service is ready"),
    }
}

fn rung<S>(c: &mut Criterion, name: &str, mut service: S)
where
    S: Service<Call<u64>, Response = u64, Error = Infallible>,
{
    c.benchmark_group("overhead").bench_function(name, |b| {
        b.iter_batched(
            || Call::new(Operation::Turn, 7),
            |call| drive(&mut service, black_box(call)),
            BatchSize::SmallInput,
        );
    });
}

fn classify(_: &Infallible) -> ErrorClass {
    ErrorClass::Other
}

fn three_layers(
    sink: impl Sink + 'static,
) -> impl Service<Call<u64>, Response = u64, Error = Infallible> {
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink))
        .layer(ErrorClassLayer::new(
            classify as fn(&Infallible) -> ErrorClass,
        ))
        .service(Bare)
}

fn ladder(c: &mut Criterion) {
    c.benchmark_group("overhead")
        .bench_function("floor: two clock reads", |b| {
            b.iter(|| black_box(black_box(Instant::now()).elapsed()));
        });
    rung(c, "bare service", Bare);
    rung(
        c,
        "originator alone",
        OriginatorLayer::new(Originator::Sdk).layer(Bare),
    );
    rung(
        c,
        "timing alone, sink off",
        TimingLayer::new(()).layer(Bare),
    );
    rung(
        c,
        "error class alone",
        ErrorClassLayer::new(classify as fn(&Infallible) -> ErrorClass).layer(Bare),
    );
    rung(c, "three layers, sink off", three_layers(()));
    rung(c, "three layers, discarding sink", three_layers(Discard));

    let memory = MemorySink::new();
    let mut service = three_layers(memory.clone());
    c.benchmark_group("overhead")
        .bench_function("three layers, memory sink", |b| {
            b.iter_batched(
                || {
                    drop(memory.take());
                    Call::new(Operation::Turn, 7)
                },
                |call| drive(&mut service, black_box(call)),
                BatchSize::SmallInput,
            );
        });
    rung(
        c,
        "three layers, JSON lines to a null writer",
        three_layers(JsonLinesSink::new(std::io::sink())),
    );
}

criterion_group!(benches, ladder);
criterion_main!(benches);
