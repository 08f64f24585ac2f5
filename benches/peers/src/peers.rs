use std::convert::Infallible;

use codex_telemetry::{Call, Operation};
use criterion::{BenchmarkGroup, Criterion, SamplingMode, measurement::WallTime};
use tower::Service;

use crate::{
    services::{Bare, HttpRequest, http_request},
    stack::{BURST, time_calls},
};

/// The capacity of every queue. A call may be several records, and a thread may use only its share of the
/// queue.
pub(crate) const QUEUE: usize = 16 * BURST;

/// The rungs, all measured in the same way.
pub(crate) struct Peers<'a> {
    group: BenchmarkGroup<'a, WallTime>,
}

impl<'a> Peers<'a> {
    pub(crate) fn new(criterion: &'a mut Criterion) -> Self {
        let mut group = criterion.benchmark_group("peers");
        // All samples have the same number of calls, and so bursts of full length.
        group.sampling_mode(SamplingMode::Flat);
        Self { group }
    }

    pub(crate) fn bare(&mut self) {
        self.call("bare", Bare, || ());
        self.http("bare, HTTP", Bare, || ());
    }

    /// Measures a service of this crate's requests; returns the number of calls.
    pub(crate) fn call<S>(&mut self, name: &str, service: S, flush: impl FnMut()) -> u64
    where
        S: Service<Call<u64>, Error = Infallible>,
    {
        self.rung(name, service, || Call::new(Operation::Turn, 7), flush)
    }

    /// Measures an HTTP service; returns the number of calls.
    pub(crate) fn http<S>(&mut self, name: &str, service: S, flush: impl FnMut()) -> u64
    where
        S: Service<HttpRequest, Error = Infallible>,
    {
        self.rung(name, service, http_request, flush)
    }

    /// Measures calls in bursts, with `flush` called after each burst.
    fn rung<R, S: Service<R, Error = Infallible>>(
        &mut self,
        name: &str,
        mut service: S,
        request: impl Fn() -> R,
        mut flush: impl FnMut(),
    ) -> u64 {
        let mut made = 0;
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                made += count;
                time_calls(&mut service, count, &request, &mut flush)
            });
        });
        made
    }
}
