use std::{convert::Infallible, hint::black_box, time::Duration};

use codex_telemetry::{
    Call, ErrorClass, ErrorClassLayer, Event, MemorySink, Originator, OriginatorLayer, OtlpConfig,
    OtlpSink, Sink, TimingLayer,
};
use tower::{Service, ServiceBuilder};

use crate::{
    books::Books,
    burst::{Peers, QUEUE},
    counting::Counting,
    sdk::METRIC_INTERVAL,
    services::Bare,
};

/// Far longer than an export takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sink that wants every event and does nothing with it.
struct Discard;

impl Sink for Discard {
    fn emit(&self, event: Event) {
        drop(black_box(event));
    }
}

pub(crate) fn run(peers: &mut Peers<'_>, books: &mut Books) {
    peers.call("ours, sink off", three_layers(()), || ());
    peers.call("ours, discarding sink", three_layers(Discard), || ());
    let memory = MemorySink::new();
    peers.call("ours, memory sink", three_layers(memory.clone()), || {
        drop(memory.take());
    });
    otlp(peers, books);
}

fn otlp(peers: &mut Peers<'_>, books: &mut Books) {
    let name = "ours, OTLP: span, metrics, logs";
    let exporter = Counting::default();
    let config = OtlpConfig::builder()
        .queue_capacity(QUEUE)
        .metric_interval(METRIC_INTERVAL)
        .build()
        .expect("a configuration");
    let sink = OtlpSink::builder(config)
        .span_exporter(exporter.clone())
        .log_exporter(exporter.clone())
        .metric_exporter(exporter.clone())
        .start();
    let made = peers.call(name, three_layers(sink.clone()), || {
        sink.flush(PATIENCE).expect("a flush");
    });
    sink.shutdown(PATIENCE).expect("a shutdown");
    books.book(name, "spans", made, exporter.spans());
    books.book(name, "durations", made, exporter.measured());
    // One as the call starts, and one as it ends.
    books.book(name, "log records", 2 * made, exporter.logs());
}

fn three_layers(
    sink: impl Sink + 'static,
) -> impl Service<Call<u64>, Response = u64, Error = Infallible> {
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink))
        .layer(ErrorClassLayer::new(|_: &Infallible| ErrorClass::Other))
        .service(Bare)
}
