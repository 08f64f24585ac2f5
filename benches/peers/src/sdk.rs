use std::time::Duration;

use opentelemetry_sdk::{
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider},
};

use crate::{counting::Counting, peers::QUEUE, record_counts::RecordCounts};

/// The interval of metric exports, for every peer.
pub(crate) const METRIC_INTERVAL: Duration = Duration::from_secs(1);

/// OpenTelemetry's SDK, set up as in an application, with exporters that count.
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

    /// Returns a function that exports all spans. Metrics are cumulative and cannot overflow.
    pub(crate) fn flush(&self) -> impl FnMut() + use<> {
        let tracers = self.tracers.clone();
        move || tracers.force_flush().expect("the flush succeeds")
    }

    /// Shuts the SDK down, and adds the records of `made` calls to `counts`.
    pub(crate) fn finish(
        self,
        counts: &mut RecordCounts,
        rung: &str,
        made: u64,
        signals: &[Signal],
    ) {
        self.tracers.shutdown().expect("the shutdown succeeds");
        self.meters.shutdown().expect("the shutdown succeeds");
        for signal in signals {
            match signal {
                Signal::Spans => counts.add(rung, "spans", made, self.exporter.spans()),
                Signal::Metrics => {
                    counts.add(rung, "durations", made, self.exporter.durations());
                }
            }
        }
    }
}

/// A signal that a peer exports.
#[derive(Clone, Copy)]
pub(crate) enum Signal {
    Spans,
    Metrics,
}
