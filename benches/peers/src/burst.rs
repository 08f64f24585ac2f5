use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use codex_telemetry::{Call, Operation};
use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use tower::Service;

use crate::services::{Bare, HttpRequest, http_request};

/// How many calls are made before everything is exported.
pub(crate) const BURST: usize = 10_000;

/// How many records any queue holds at the most: each of the callers' threads may have a share of it
/// only, and a call may be more than one record.
pub(crate) const QUEUE: usize = 16 * BURST;

/// The rungs, each measured in the same way.
pub(crate) struct Peers<'a> {
    group: BenchmarkGroup<'a, WallTime>,
}

impl<'a> Peers<'a> {
    pub(crate) fn new(criterion: &'a mut Criterion) -> Self {
        Self {
            group: criterion.benchmark_group("peers"),
        }
    }

    pub(crate) fn bare(&mut self) {
        self.call("bare", Bare, || ());
        self.http("bare, HTTP", Bare, || ());
    }

    /// Measures a service of ours; returns how many calls were made.
    pub(crate) fn call<S>(&mut self, name: &str, service: S, settle: impl FnMut()) -> u64
    where
        S: Service<Call<u64>, Error = Infallible>,
    {
        self.rung(name, service, || Call::new(Operation::Turn, 7), settle)
    }

    /// Measures an HTTP service; returns how many calls were made.
    pub(crate) fn http<S>(&mut self, name: &str, service: S, settle: impl FnMut()) -> u64
    where
        S: Service<HttpRequest, Error = Infallible>,
    {
        self.rung(name, service, http_request, settle)
    }

    /// Measures calls in bursts, with `settle` called between them.
    fn rung<R, S: Service<R, Error = Infallible>>(
        &mut self,
        name: &str,
        mut service: S,
        request: impl Fn() -> R,
        mut settle: impl FnMut(),
    ) -> u64 {
        let mut made = 0;
        let mut requests = Vec::with_capacity(BURST);
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                let mut left = usize::try_from(iterations).expect("fewer calls than addresses");
                while left > 0 {
                    let burst = left.min(BURST);
                    requests.extend((0..burst).map(|_| request()));
                    let start = Instant::now();
                    for request in requests.drain(..) {
                        drive(&mut service, black_box(request));
                    }
                    spent += start.elapsed();
                    settle();
                    left -= burst;
                }
                made += iterations;
                spent
            });
        });
        made
    }
}

#[inline]
fn drive<R, S: Service<R, Error = Infallible>>(service: &mut S, request: R) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let future = pin!(service.call(request));
    match future.poll(&mut cx) {
        Poll::Ready(Ok(response)) => drop(black_box(response)),
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => unreachable!("the bare service is ready"),
    }
}
