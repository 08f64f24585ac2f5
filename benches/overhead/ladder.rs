//! The measurement of a rung.

use codex_telemetry::{Call, Operation, Sink};
use criterion::{BenchmarkGroup, measurement::WallTime};
use tower::Service;

use crate::{
    services::{Bare, Failing, Failure, PendingOnce, Recording},
    stack::{three_layers, time_calls},
};

pub(crate) struct Ladder<'a> {
    group: BenchmarkGroup<'a, WallTime>,
}

impl<'a> Ladder<'a> {
    pub(crate) fn new(group: BenchmarkGroup<'a, WallTime>) -> Self {
        Self { group }
    }

    /// Measures three layers with a sink, around a service for each way in which a call can end.
    pub(crate) fn outcomes(
        &mut self,
        sink_name: &str,
        sink: impl Sink + Clone + 'static,
        mut empty: impl FnMut(),
    ) {
        let name = |outcome: &str| format!("three layers, {sink_name}{outcome}");
        self.rung(&name(""), three_layers(sink.clone(), Bare), &mut empty);
        let recording = three_layers(sink.clone(), Recording);
        self.rung(&name(", three attributes"), recording, &mut empty);
        let failing = three_layers(sink.clone(), Failing);
        self.rung(&name(", failing"), failing, &mut empty);
        let pending = three_layers(sink, PendingOnce);
        self.rung(&name(", pending once"), pending, &mut empty);
    }

    /// Measures calls without a name in bursts, with `empty` called after each burst.
    pub(crate) fn rung<S>(&mut self, name: &str, service: S, empty: impl FnMut())
    where
        S: Service<Call<u64>, Response = u64, Error = Failure>,
    {
        self.rung_of(name, service, || Call::new(Operation::Turn, 7), empty);
    }

    /// Measures calls that `request` makes, as [`rung`](Self::rung) does.
    pub(crate) fn rung_of<S>(
        &mut self,
        name: &str,
        mut service: S,
        request: impl Fn() -> Call<u64>,
        mut empty: impl FnMut(),
    ) where
        S: Service<Call<u64>, Response = u64, Error = Failure>,
    {
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| time_calls(&mut service, count, &request, &mut empty));
        });
    }
}
