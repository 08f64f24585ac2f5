use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};

use super::shared::Shared;
use crate::otlp::{
    config::{OtlpConfig, Protocol, Signal},
    convert::{
        instruments::{DATA_POINTS, Definition, EXPORT_DURATION, LOG_RECORDS, Records, SPANS},
        names,
    },
    export::{ExportOutcome, REJECTED},
};

/// The `error.type` of records for which there was no room.
const QUEUE_FULL: &str = "queue_full";

/// The metrics of the sink itself, as OpenTelemetry's conventions for an SDK have them.
pub(crate) struct SelfMetrics {
    shared: Arc<Shared>,
    export_duration: Histogram<f64>,
    /// The labels of the exporters, in the order of [`Signal::ALL`].
    exporters: [LabelSet; 3],
    data_points: Arc<Mutex<DataPoints>>,
}

type LabelSet = Arc<[KeyValue]>;

/// What became of the data points that were collected. The other signals have it in [`Shared`].
#[derive(Default)]
struct DataPoints {
    inflight: u64,
    exported: u64,
    failed: BTreeMap<Cow<'static, str>, u64>,
}

// === impl SelfMetrics ===

impl SelfMetrics {
    /// Adds the metrics to a meter. `custom` are the signals with an exporter of the application.
    pub(crate) fn new(
        meter: &Meter,
        shared: &Arc<Shared>,
        config: &OtlpConfig,
        custom: &[Signal],
    ) -> Self {
        let own = Self {
            shared: Arc::clone(shared),
            export_duration: EXPORT_DURATION.of_seconds(meter),
            exporters: Signal::ALL
                .map(|signal| exporter_labels(signal, config, custom.contains(&signal))),
            data_points: Arc::default(),
        };
        own.observe_records(meter, Signal::Traces, SPANS, "batching_span_processor");
        own.observe_records(meter, Signal::Logs, LOG_RECORDS, "batching_log_processor");
        own.observe_data_points(meter);
        own
    }

    /// Records the exports since the last call. Call it before a collection.
    pub(crate) fn record_exports(&self) {
        for (signal, duration, error_type) in self.shared.take_exports() {
            let labels = &self.exporters[signal as usize];
            let duration = duration.as_secs_f64();
            match error_type {
                None => self.export_duration.record(duration, labels),
                Some(error_type) => {
                    let labels = with_error(labels, error_type);
                    self.export_duration.record(duration, &labels);
                }
            }
        }
    }

    /// Counts the data points of an export that begins. They replace those of a failed one before, which
    /// are collected again.
    pub(crate) fn export_began(&self, data_points: u64) {
        lock(&self.data_points).inflight = data_points;
    }

    /// Counts the data points in flight by the outcome of their export. One that will be retried leaves
    /// them in flight.
    pub(crate) fn export_ended(&self, outcome: &ExportOutcome) {
        let mut points = lock(&self.data_points);
        let count = points.inflight;
        let (failed, error_type) = match outcome {
            ExportOutcome::Retryable { .. } => return,
            ExportOutcome::Accepted { rejected, .. } => (*rejected, REJECTED.into()),
            ExportOutcome::Rejected(problem) | ExportOutcome::TooLarge(problem) => {
                (count, problem.error_type.clone())
            }
        };
        let failed = failed.min(count);
        points.inflight = 0;
        points.exported += count - failed;
        if failed > 0 {
            *points.failed.entry(error_type).or_default() += failed;
        }
    }

    fn observe_records(&self, meter: &Meter, signal: Signal, records: Records, kind: &str) {
        if !self.shared.counters(signal).is_enabled() {
            return;
        }
        let processor = LabelSet::from(component(kind));
        let exporter = Arc::clone(&self.exporters[signal as usize]);

        let up_down = |metric: Definition, labels: &LabelSet, value: fn(&Shared, Signal) -> u64| {
            let (shared, labels) = (Arc::clone(&self.shared), Arc::clone(labels));
            metric.observe_up_down_counter(meter, move |observer| {
                observer.observe(signed(value(&shared, signal)), &labels);
            });
        };
        up_down(records.queue_size(), &processor, |shared, signal| {
            shared.queue_size(signal).0
        });
        up_down(records.queue_capacity(), &processor, |shared, signal| {
            shared.queue_size(signal).1
        });
        up_down(records.inflight(), &exporter, |shared, signal| {
            shared.counters(signal).inflight
        });

        let shared = Arc::clone(&self.shared);
        let full = with_error(&processor, QUEUE_FULL.into());
        records.processed().observe_counter(meter, move |observer| {
            let dropped = shared.stats().of(signal).dropped;
            let counters = shared.counters(signal);
            let failed = counters.failed_by_type();
            let no_room = failed.get(QUEUE_FULL).copied().unwrap_or_default();
            let passed = counters.exported + counters.inflight + failed.values().sum::<u64>();
            observer.observe(passed - no_room, &processor);
            observer.observe(dropped + no_room, &full);
        });
        let shared = Arc::clone(&self.shared);
        records.exported().observe_counter(meter, move |observer| {
            let counters = shared.counters(signal);
            observer.observe(counters.exported, &exporter);
            for (error_type, count) in counters.failed_by_type() {
                if error_type != QUEUE_FULL {
                    observer.observe(*count, &with_error(&exporter, error_type.clone()));
                }
            }
        });
    }

    fn observe_data_points(&self, meter: &Meter) {
        let exporter = &self.exporters[Signal::Metrics as usize];
        let (points, labels) = (Arc::clone(&self.data_points), Arc::clone(exporter));
        let inflight = DATA_POINTS.inflight();
        inflight.observe_up_down_counter(meter, move |observer| {
            observer.observe(signed(lock(&points).inflight), &labels);
        });
        let (points, labels) = (Arc::clone(&self.data_points), Arc::clone(exporter));
        let exported = DATA_POINTS.exported();
        exported.observe_counter(meter, move |observer| {
            let points = lock(&points);
            observer.observe(points.exported, &labels);
            for (error_type, count) in &points.failed {
                observer.observe(*count, &with_error(&labels, error_type.clone()));
            }
        });
    }
}

/// Returns the labels of an exporter: its type, its name, and the server that it sends to.
fn exporter_labels(signal: Signal, config: &OtlpConfig, is_custom: bool) -> LabelSet {
    let kind = match signal {
        Signal::Traces => "span",
        Signal::Metrics => "metric",
        Signal::Logs => "log",
    };
    let config = config.signal(signal).filter(|_| !is_custom);
    let Some(config) = config else {
        return component(&format!("custom_{kind}_exporter")).into();
    };
    let transport = match config.protocol {
        Protocol::Grpc => "grpc",
        Protocol::HttpProtobuf => "http",
        Protocol::HttpJson => "http_json",
    };
    let mut labels = component(&format!("otlp_{transport}_{kind}_exporter"));
    if let Some((address, port)) = config.endpoint.server() {
        labels.push(KeyValue::new(names::SERVER_ADDRESS, address));
        labels.push(KeyValue::new(names::SERVER_PORT, i64::from(port)));
    }
    labels.into()
}

/// Returns the labels of a component. A sink has one of each kind, and so the name is always the first.
fn component(kind: &str) -> Vec<KeyValue> {
    vec![
        KeyValue::new(names::COMPONENT_TYPE, kind.to_owned()),
        KeyValue::new(names::COMPONENT_NAME, format!("{kind}/0")),
    ]
}

fn with_error(labels: &[KeyValue], error_type: Cow<'static, str>) -> Vec<KeyValue> {
    let error_type = KeyValue::new(names::ERROR_TYPE, error_type);
    labels.iter().cloned().chain([error_type]).collect()
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn lock(data_points: &Mutex<DataPoints>) -> MutexGuard<'_, DataPoints> {
    data_points.lock().unwrap_or_else(PoisonError::into_inner)
}
