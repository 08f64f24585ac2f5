//! An exporter for benchmarks: it costs next to nothing, and knows what has come.
#![allow(dead_code, reason = "no benchmark asks for all of it")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

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

/// An exporter of all three signals that counts what it gets, and does nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counting(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    spans: AtomicU64,
    logs: AtomicU64,
    /// Of the newest totals: how many durations the histograms hold.
    measured: AtomicU64,
}

// === impl Counting ===

impl Counting {
    pub(crate) fn spans(&self) -> u64 {
        self.0.spans.load(Relaxed)
    }

    pub(crate) fn logs(&self) -> u64 {
        self.0.logs.load(Relaxed)
    }

    pub(crate) fn measured(&self) -> u64 {
        self.0.measured.load(Relaxed)
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
        self.0.measured.store(all.map(durations).sum(), Relaxed);
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

/// How many calls a metric has the duration of: in every peer, the one histogram of floating numbers.
fn durations(metric: &Metric) -> u64 {
    match metric.data() {
        AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
            histogram.data_points().map(|point| point.count()).sum()
        }
        _ => 0,
    }
}
