//! The memory of an open call: its future and its allocations.
//!
//! ```sh
//! cargo bench --bench memory
//! ```
//!
//! 100,000 calls are open at once. The results are what the layers and the sink add to a call: they do
//! not include the memory of the bare service.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/report.rs"]
mod report;
#[path = "support/stack.rs"]
mod stack;

use std::{
    convert::Infallible,
    future::{Pending, pending},
    mem,
    task::{Context, Poll},
    time::Duration,
};

use codex_telemetry::{Call, Event, MemorySink, Operation, OtlpSink, Sink};
use tower::Service;

use crate::{
    counting::otlp_sink,
    report::{Report, is_smoke},
};

/// A service that never responds.
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
    // The requests were allocated before the measurement and freed in it.
    let freed = count * size_of::<Call<u64>>();
    let futures = count * size_of::<S::Future>();
    let bytes = allocated.bytes_current + i64::try_from(freed + futures).expect("fits an i64");
    // Nothing ends: records that are given back would be used again, and not be counted for the next sink.
    mem::forget((open, service));
    bytes as f64 / count as f64
}

fn three_layers(sink: impl Sink + 'static) -> impl Service<Call<u64>> {
    stack::three_layers(sink, Never)
}

/// Has a queue with room for all start events, and an export thread that does not wake up.
fn otlp() -> OtlpSink {
    let (sink, _) = otlp_sink(|config| {
        config
            .queue_capacity(1 << 19)
            .queue_bytes(1 << 30)
            .batch_size(1 << 19)
            .schedule_delay(Duration::from_secs(3600))
    });
    sink
}
