//! The three layers around a service, and a way to call it in bursts.
#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::{
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use codex_telemetry::{
    Call, ErrorClass, ErrorClassLayer, Originator, OriginatorLayer, Sink, TimingLayer,
};
use tower::{Service, ServiceBuilder};

/// The number of calls in a burst. Sinks are emptied between bursts.
pub(crate) const BURST: usize = 10_000;

pub(crate) fn three_layers<S, T>(
    sink: impl Sink + 'static,
    service: S,
) -> impl Service<Call<T>, Response = S::Response, Error = S::Error>
where
    S: Service<Call<T>>,
{
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink))
        .layer(ErrorClassLayer::new(classify::<S::Error>))
        .service(service)
}

pub(crate) fn classify<E>(_: &E) -> ErrorClass {
    ErrorClass::Transport
}

/// Makes `count` calls in bursts and returns the time that they took.
///
/// That time does not include building the requests, nor `between`, which runs after each burst.
pub(crate) fn time_calls<R, S: Service<R>>(
    service: &mut S,
    count: u64,
    request: impl Fn() -> R,
    mut between: impl FnMut(),
) -> Duration {
    let mut requests = Vec::with_capacity(BURST);
    let mut time = Duration::ZERO;
    let mut left = usize::try_from(count).expect("the count fits a usize");
    while left > 0 {
        let burst = left.min(BURST);
        requests.extend((0..burst).map(|_| request()));
        let start = Instant::now();
        for request in requests.drain(..) {
            drive(service, black_box(request));
        }
        time += start.elapsed();
        between();
        left -= burst;
    }
    time
}

/// Calls a service that is always ready, polls its future to the end and drops the result.
#[inline]
pub(crate) fn drive<R, S: Service<R>>(service: &mut S, request: R) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut future = pin!(service.call(request));
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
            drop(black_box(result));
            return;
        }
    }
}
