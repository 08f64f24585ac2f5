use std::time::Duration;

use opentelemetry_sdk::{
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider},
};

use crate::{books::Books, burst::QUEUE, counting::Counting};

/// How often metrics are exported, by every peer.
pub(crate) const METRIC_INTERVAL: Duration = Duration::from_secs(1);

/// OpenTelemetry's SDK as an application sets it up, with exporters that count.
pub(crate) struct Sdk {
    pub(crate) tracers: SdkTracerProvider,
    pub(crate) meters: SdkMeterProvider,
    exporter: Counting,
}

impl Sdk {
    pub(crate) fn start() -> Self {
        let exporter = Counting::default();
        let queue = BatchConfigBuilder::default().with_max_queue_size(QUEUE);
        let spans = BatchSpanProcessor::builder(exporter.clone())
            .with_batch_config(queue.build())
            .build();
        let metrics = PeriodicReader::builder(exporter.clone())
            .with_interval(METRIC_INTERVAL)
            .build();
        Self {
            tracers: SdkTracerProvider::builder()
                .with_span_processor(spans)
                .build(),
            meters: SdkMeterProvider::builder().with_reader(metrics).build(),
            exporter,
        }
    }

    /// Waits until every span is exported; metrics are totals, and cannot overflow.
    pub(crate) fn settle(&self) -> impl FnMut() + use<> {
        let tracers = self.tracers.clone();
        move || tracers.force_flush().expect("a flush of the spans")
    }

    /// Ends the export, and books what `made` calls came to.
    pub(crate) fn finish(self, books: &mut Books, rung: &str, made: u64, signals: &[Signal]) {
        self.tracers.shutdown().expect("a shutdown of the tracers");
        self.meters.shutdown().expect("a shutdown of the meters");
        for signal in signals {
            match signal {
                Signal::Spans => books.book(rung, "spans", made, self.exporter.spans()),
                Signal::Metrics => {
                    books.book(rung, "durations", made, self.exporter.measured());
                }
            }
        }
    }
}

/// What a peer makes of a call.
#[derive(Clone, Copy)]
pub(crate) enum Signal {
    Spans,
    Metrics,
}
