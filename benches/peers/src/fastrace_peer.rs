//! A span by `fastrace`, which is made for speed and reports to OpenTelemetry, set up as documented. It has the same
//! content as the span of this crate, and there is no histogram.

use std::{
    borrow::Cow,
    cell::Cell,
    convert::Infallible,
    task::{Context, Poll},
};

use codex_telemetry::Call;
use fastrace::{
    Span,
    collector::Config,
    future::{FutureExt, InSpan},
    prelude::SpanContext,
};
use fastrace_opentelemetry::OpenTelemetryReporter;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use tower::Service;

use crate::{
    counting::Counting, peers::Peers, record_counts::RecordCounts, services::Bare, stack::BURST,
};

pub(crate) fn run(peers: &mut Peers<'_>, counts: &mut RecordCounts) {
    let name = "fastrace: span by hand";
    let exporter = Counting::default();
    let reporter = OpenTelemetryReporter::new(
        exporter.clone(),
        Cow::Owned(Resource::builder().build()),
        InstrumentationScope::builder("by-hand").build(),
    );
    fastrace::set_reporter(reporter, Config::default());
    let flushes = Cell::new(0);
    let made = peers.call(name, InFastrace { inner: Bare }, || {
        // What did not fit into the queue of this thread stays behind, and the next span moves a part of it there.
        for _ in 0..FLUSHES {
            drop(Span::root("flush", SpanContext::random()));
            fastrace::flush();
        }
        flushes.set(flushes.get() + FLUSHES);
    });
    counts.add(name, "spans", made + flushes.get(), exporter.spans());
}

/// How often a queue of 10,240 messages is emptied after a burst: each span is three messages.
const FLUSHES: u64 = (3 * BURST as u64).div_ceil(10_240) + 1;

struct InFastrace<S> {
    inner: S,
}

impl<S> Service<Call<u64>> for InFastrace<S>
where
    S: Service<Call<u64>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = InSpan<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call<u64>) -> Self::Future {
        let span = Span::root("invoke_agent", SpanContext::random()).with_properties(|| {
            [
                ("gen_ai.operation.name", "invoke_agent"),
                ("gen_ai.provider.name", "openai"),
                ("codex.originator", "sdk"),
                ("codex.outcome", "ok"),
            ]
        });
        self.inner.call(call).in_span(span)
    }
}
