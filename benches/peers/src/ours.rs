use std::time::Duration;

use codex_telemetry::MemorySink;

use crate::{
    counting::otlp_sink,
    discard::Discard,
    peers::{Peers, QUEUE},
    record_counts::RecordCounts,
    sdk::METRIC_INTERVAL,
    services::Bare,
    stack::three_layers,
};

/// Much longer than an export takes.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn run(peers: &mut Peers<'_>, counts: &mut RecordCounts) {
    peers.call("ours, sink off", three_layers((), Bare), || ());
    peers.call("ours, discarding sink", three_layers(Discard, Bare), || ());
    let memory = MemorySink::new();
    peers.call(
        "ours, memory sink",
        three_layers(memory.clone(), Bare),
        || {
            drop(memory.take());
        },
    );
    otlp(peers, counts);
}

fn otlp(peers: &mut Peers<'_>, counts: &mut RecordCounts) {
    let name = "ours, OTLP: span, metrics, logs";
    let (sink, exporter) = otlp_sink(|config| {
        config
            .queue_capacity(QUEUE)
            .metric_interval(METRIC_INTERVAL)
    });
    let made = peers.call(name, three_layers(sink.clone(), Bare), || {
        sink.blocking_flush(TIMEOUT).expect("the flush succeeds");
    });
    sink.blocking_shutdown(TIMEOUT)
        .expect("the shutdown succeeds");
    counts.add(name, "spans", made, exporter.spans());
    counts.add(name, "durations", made, exporter.durations());
    // One for the start and one for the end of each call.
    counts.add(name, "log records", 2 * made, exporter.logs());
}
