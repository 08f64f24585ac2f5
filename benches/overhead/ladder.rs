//! How a rung is measured.

use std::{
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use codex_telemetry::{
    Call, ErrorClassLayer, Operation, Originator, OriginatorLayer, Sink, TimingLayer,
};
use criterion::{BenchmarkGroup, measurement::WallTime};
use tower::{Service, ServiceBuilder};

use crate::services::{Bare, Failing, Failure, PendingOnce, Recording, classify};

/// How many calls are made between two that empty the sink.
pub(crate) const BURST: usize = 10_000;

pub(crate) struct Ladder<'a> {
    group: BenchmarkGroup<'a, WallTime>,
}

impl<'a> Ladder<'a> {
    pub(crate) fn new(group: BenchmarkGroup<'a, WallTime>) -> Self {
        Self { group }
    }

    /// Measures three layers with a sink, around a service for each way in which a call can go.
    pub(crate) fn ways(
        &mut self,
        sink_name: &str,
        sink: impl Sink + Clone + 'static,
        mut empty: impl FnMut(),
    ) {
        let name = |way: &str| format!("three layers, {sink_name}{way}");
        self.rung(&name(""), three_layers(sink.clone(), Bare), &mut empty);
        let recording = three_layers(sink.clone(), Recording);
        self.rung(&name(", three attributes"), recording, &mut empty);
        let failing = three_layers(sink.clone(), Failing);
        self.rung(&name(", failing"), failing, &mut empty);
        let pending = three_layers(sink, PendingOnce);
        self.rung(&name(", pending once"), pending, &mut empty);
    }

    /// Measures calls in bursts, with `empty` called between them.
    pub(crate) fn rung<S>(&mut self, name: &str, mut service: S, mut empty: impl FnMut())
    where
        S: Service<Call<u64>, Response = u64, Error = Failure>,
    {
        let mut calls = Vec::with_capacity(BURST);
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                let mut left = usize::try_from(iterations).expect("fewer calls than addresses");
                while left > 0 {
                    let burst = left.min(BURST);
                    calls.extend((0..burst).map(|_| Call::new(Operation::Turn, 7)));
                    let start = Instant::now();
                    for call in calls.drain(..) {
                        drive(&mut service, black_box(call));
                    }
                    spent += start.elapsed();
                    empty();
                    left -= burst;
                }
                spent
            });
        });
    }
}

pub(crate) fn three_layers<S>(
    sink: impl Sink + 'static,
    service: S,
) -> impl Service<Call<u64>, Response = u64, Error = Failure>
where
    S: Service<Call<u64>, Response = u64, Error = Failure>,
{
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink))
        .layer(ErrorClassLayer::new(classify))
        .service(service)
}

#[inline]
fn drive<S>(service: &mut S, call: Call<u64>)
where
    S: Service<Call<u64>, Response = u64, Error = Failure>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut future = pin!(service.call(call));
    let answer = loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut cx) {
            break answer;
        }
    };
    // Some services never fail and some always do; either way it is the work that was asked for.
    let _ = black_box(answer);
}
