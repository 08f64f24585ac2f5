//! An exporter that counts records, and an OTLP sink with it.
#![allow(dead_code, reason = "no benchmark uses all of it")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use codex_telemetry::{OtlpConfig, OtlpSink, otlp::config::OtlpConfigBuilder};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter},
    metrics::{
        Temporality,
        data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics},
        exporter::PushMetricExporter,
    },
    trace::{SpanData, SpanExporter},
};

/// An exporter of all three signals that only counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counting(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    spans: AtomicU64,
    logs: AtomicU64,
    /// The number of durations in the latest histograms.
    durations: AtomicU64,
}

/// Starts a sink that exports all three signals to an exporter that counts.
pub(crate) fn otlp_sink(
    configure: impl FnOnce(OtlpConfigBuilder) -> OtlpConfigBuilder,
) -> (OtlpSink, Counting) {
    let config = configure(OtlpConfig::builder());
    let exporter = Counting::default();
    let sink = OtlpSink::builder(config.build().expect("a valid configuration"))
        .span_exporter(exporter.clone())
        .log_exporter(exporter.clone())
        .metric_exporter(exporter.clone())
        .start();
    (sink, exporter)
}

// === impl Counting ===

impl Counting {
    pub(crate) fn spans(&self) -> u64 {
        self.0.spans.load(Relaxed)
    }

    pub(crate) fn logs(&self) -> u64 {
        self.0.logs.load(Relaxed)
    }

    pub(crate) fn durations(&self) -> u64 {
        self.0.durations.load(Relaxed)
    }
}

impl SpanExporter for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.spans.fetch_add(batch.len() as u64, Relaxed);
        Ok(())
    }
}

impl LogExporter for Counting {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.0.logs.fetch_add(batch.iter().count() as u64, Relaxed);
        Ok(())
    }
}

impl PushMetricExporter for Counting {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let all = metrics.scope_metrics().flat_map(|scope| scope.metrics());
        self.0.durations.store(all.map(durations_in).sum(), Relaxed);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// Returns the number of durations in a metric: for each peer, the only floating-point histogram beside those of
/// the exporter itself.
fn durations_in(metric: &Metric) -> u64 {
    match metric.data() {
        _ if metric.name().starts_with("otel.sdk.") => 0,
        AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
            histogram.data_points().map(|point| point.count()).sum()
        }
        _ => 0,
    }
}
