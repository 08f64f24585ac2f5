//! How much memory a call takes while it is open: its future, and what it has allocated.
//!
//! ```sh
//! cargo bench --bench memory
//! ```
//!
//! 100,000 calls are held open at once. The bare service's own share is taken off, so a figure is what
//! the layers and the sink add to a call.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/report.rs"]
mod report;

use std::{
    convert::Infallible,
    future::{Pending, pending},
    task::{Context, Poll},
    time::Duration,
};

use codex_telemetry::{
    Call, ErrorClass, ErrorClassLayer, Event, MemorySink, Operation, Originator, OriginatorLayer,
    OtlpSink, Sink, TimingLayer, otlp::OtlpConfig,
};
use tower::{Service, ServiceBuilder};

use crate::{counting::Counting, report::Report, report::is_smoke};

const AN_HOUR: Duration = Duration::from_secs(3600);

/// Answers never.
#[derive(Clone)]
struct Never;

impl Service<Call<u64>> for Never {
    type Response = u64;
    type Error = Infallible;
    type Future = Pending<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Call<u64>) -> Self::Future {
        pending()
    }
}

fn main() {
    let mut report = Report::new("memory", "Bytes per call in flight");
    let bare = bytes_per_call(Never);
    for (sink, bytes) in [
        ("OTLP", bytes_per_call(three_layers(otlp()))),
        (
            "memory sink",
            bytes_per_call(three_layers(MemorySink::new())),
        ),
        (
            "discarding sink",
            bytes_per_call(three_layers(|_: Event| ())),
        ),
        ("sink off", bytes_per_call(three_layers(()))),
    ] {
        report.cell("one call in flight", sink, bytes - bare, "bytes");
    }
    report.write();
}

fn bytes_per_call<S: Service<Call<u64>>>(mut service: S) -> f64 {
    let count = if is_smoke() { 100 } else { 100_000 };
    let calls: Vec<_> = (0..count).map(|_| Call::new(Operation::Turn, 7)).collect();
    let mut open = Vec::with_capacity(count);
    let allocated = allocation_counter::measure(|| {
        open.extend(calls.into_iter().map(|call| service.call(call)));
    });
    // The calls themselves came from outside, and their room was given back inside.
    let given_back = count * size_of::<Call<u64>>();
    let futures = count * size_of::<S::Future>();
    let bytes = allocated.bytes_current + i64::try_from(given_back + futures).expect("some bytes");
    bytes as f64 / count as f64
}

fn three_layers(sink: impl Sink + 'static) -> impl Service<Call<u64>> {
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink))
        .layer(ErrorClassLayer::new(|_: &Infallible| ErrorClass::Other))
        .service(Never)
}

/// A queue with room for every start event, which the export thread does not come for.
fn otlp() -> OtlpSink {
    let config = OtlpConfig::builder()
        .queue_capacity(1 << 19)
        .batch_size(1 << 19)
        .schedule_delay(AN_HOUR)
        .build()
        .expect("a configuration");
    let exporter = Counting::default();
    OtlpSink::builder(config)
        .span_exporter(exporter.clone())
        .log_exporter(exporter.clone())
        .metric_exporter(exporter)
        .start()
}
