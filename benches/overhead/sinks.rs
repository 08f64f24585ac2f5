//! The sinks of the ladder, each with a function that empties it.

use std::{mem::replace, thread, time::Duration};

use codex_telemetry::{MemorySink, OtlpConfig, OtlpSink, otlp::config::Signal};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter},
};

use crate::{counting::otlp_sink, stack::BURST};

/// Much longer than an export takes.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn memory() -> (MemorySink, impl FnMut()) {
    let sink = MemorySink::new();
    let events = sink.clone();
    let mut last = Vec::new();
    // Keeps the events of a burst until after the next one. If all were freed at once, the allocator
    // would return their memory to the system, and the next burst would pay to get it back.
    (sink, move || drop(replace(&mut last, events.take())))
}

/// Exports all three signals. The queue has room for a burst.
pub(crate) fn otlp() -> (OtlpSink, impl FnMut()) {
    // A call has two events, and a thread may use only its share of the queue.
    let (sink, _) = otlp_sink(|config| config.queue_capacity(32 * BURST));
    let flushed = sink.clone();
    let empty = move || {
        flushed.blocking_flush(TIMEOUT).expect("the flush succeeds");
        assert_eq!(flushed.stats().logs.dropped, 0, "the queue has room");
    };
    (sink, empty)
}

/// Has a queue that stays full, because its exporter blocks the export thread.
pub(crate) fn otlp_full() -> OtlpSink {
    let config = OtlpConfig::builder()
        .queue_capacity(1)
        .signals([Signal::Logs])
        .build()
        .expect("a valid configuration");
    OtlpSink::builder(config).log_exporter(Stuck).start()
}

#[derive(Debug)]
struct Stuck;

impl LogExporter for Stuck {
    async fn export(&self, _: LogBatch<'_>) -> OTelSdkResult {
        loop {
            thread::park();
        }
    }
}
