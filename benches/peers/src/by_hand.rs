//! A span and a histogram that an application without middleware writes by hand, with OpenTelemetry's API.
//! They have the same content as the span and the histogram of this crate.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use codex_telemetry::Call;
use opentelemetry::{
    KeyValue,
    metrics::{Histogram, MeterProvider as _},
    trace::{Span as _, SpanKind, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use tower::Service;

use crate::{
    peers::Peers,
    record_counts::RecordCounts,
    sdk::{Sdk, Signal},
    services::Bare,
};

pub(crate) fn run(peers: &mut Peers<'_>, counts: &mut RecordCounts) {
    let name = "span and histogram by hand";
    let sdk = Sdk::start();
    let service = ByHand {
        inner: Bare,
        tracer: sdk.tracers.tracer("by-hand"),
        durations: sdk
            .meters
            .meter("by-hand")
            .f64_histogram("gen_ai.invoke_agent.duration")
            .with_unit("s")
            .build(),
    };
    let made = peers.call(name, service, sdk.flush());
    sdk.finish(counts, name, made, &[Signal::Spans, Signal::Metrics]);
}

struct ByHand<S> {
    inner: S,
    tracer: SdkTracer,
    durations: Histogram<f64>,
}

struct ByHandFuture<F> {
    inner: F,
    span: Span,
    durations: Histogram<f64>,
    started: Instant,
}

impl<S> Service<Call<u64>> for ByHand<S>
where
    S: Service<Call<u64>, Error = Infallible, Future: Unpin>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = ByHandFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<u64>) -> Self::Future {
        let started = Instant::now();
        let span = self
            .tracer
            .span_builder("invoke_agent")
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("gen_ai.operation.name", "invoke_agent"),
                KeyValue::new("gen_ai.provider.name", "openai"),
                KeyValue::new("codex.originator", "sdk"),
            ])
            .start(&self.tracer);
        ByHandFuture {
            inner: self.inner.call(call),
            span,
            durations: self.durations.clone(),
            started,
        }
    }
}

impl<F, T> Future for ByHandFuture<F>
where
    F: Future<Output = Result<T, Infallible>> + Unpin,
{
    type Output = Result<T, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(response) = ready!(Pin::new(&mut self.inner).poll(cx));
        let duration = self.started.elapsed().as_secs_f64();
        self.span.set_attributes([
            KeyValue::new("codex.duration_ms", duration * 1e3),
            KeyValue::new("codex.outcome", "ok"),
        ]);
        self.span.end();
        self.durations
            .record(duration, &[KeyValue::new("codex.originator", "sdk")]);
        Poll::Ready(Ok(response))
    }
}
