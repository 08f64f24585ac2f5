//! The sinks of the ladder, each with what empties it.

use std::{hint::black_box, mem::replace, thread, time::Duration};

use codex_telemetry::{
    Event, MemorySink, OtlpSink, Sink,
    otlp::config::{OtlpConfig, OtlpConfigBuilder, Signal},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter},
};

use crate::{counting::Counting, ladder::BURST};

/// Far longer than an export takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sink that wants every event and does nothing with it.
#[derive(Clone)]
pub(crate) struct Discard;

impl Sink for Discard {
    fn emit(&self, event: Event) {
        drop(black_box(event));
    }
}

pub(crate) fn memory() -> (MemorySink, impl FnMut()) {
    let sink = MemorySink::new();
    let events = sink.clone();
    let mut last = Vec::new();
    // A burst's events go when the next one's have come: were all of them given back at once, the
    // allocator would return their memory to the system, and the next burst pay for its way back.
    (sink, move || drop(replace(&mut last, events.take())))
}

/// All three signals, to exporters that count; a burst finds room for all that it makes.
pub(crate) fn otlp() -> (OtlpSink, impl FnMut()) {
    let exporter = Counting::default();
    // Two events a call, and a thread may have no more than a share of the queue.
    let sink = OtlpSink::builder(config(|config| config.queue_capacity(32 * BURST)))
        .span_exporter(exporter.clone())
        .log_exporter(exporter.clone())
        .metric_exporter(exporter)
        .start();
    let flushed = sink.clone();
    let empty = move || {
        flushed.flush(PATIENCE).expect("a flush");
        let dropped = flushed.stats().logs.dropped;
        assert_eq!(dropped, 0, "the queue is large enough for a burst");
    };
    (sink, empty)
}

/// A queue that is full, and stays so: its exporter blocks the export thread.
pub(crate) fn otlp_full() -> OtlpSink {
    let config = config(|config| config.queue_capacity(1).signals([Signal::Logs]));
    OtlpSink::builder(config).log_exporter(Stuck).start()
}

fn config(set: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder) -> OtlpConfig {
    set(OtlpConfig::builder()).build().expect("a configuration")
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
