use std::sync::{Arc, Weak};

use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{
        InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality,
        data::ResourceMetrics, reader::MetricReader,
    },
};

use super::{attributes::provider, names};
use crate::event::{ErrorClass, Event, Operation, names as attribute};

/// The instruments and their totals.
///
/// Only the export thread records on them, so callers do not wait for the SDK's locks.
pub(crate) struct Metrics {
    reader: SharedReader,
    /// Dropping it ends what the reader reads from.
    _provider: SdkMeterProvider,
    turns: Histogram<f64>,
    tools: Histogram<f64>,
    cleanups: Histogram<f64>,
    others: Histogram<f64>,
    tokens: Histogram<u64>,
    cleaned: Counter<u64>,
    cleaned_size: Counter<u64>,
    active: UpDownCounter<i64>,
}

/// A reader that can be cloned: the SDK takes ownership of its reader.
#[derive(Clone, Debug)]
struct SharedReader(Arc<ManualReader>);

impl Metrics {
    pub(crate) fn new(
        resource: Resource,
        scope: InstrumentationScope,
        temporality: Temporality,
        observe_sink: impl FnOnce(&Meter),
    ) -> Self {
        let reader = ManualReader::builder().with_temporality(temporality);
        let reader = SharedReader(Arc::new(reader.build()));
        let provider = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(reader.clone())
            .build();
        let meter = provider.meter_with_scope(scope);
        observe_sink(&meter);
        Self {
            reader,
            _provider: provider,
            turns: duration(&meter, &names::TURN_DURATION),
            tools: duration(&meter, &names::TOOL_DURATION),
            cleanups: duration(&meter, &names::CLEANUP_DURATION),
            others: duration(&meter, &names::OTHER_DURATION),
            tokens: meter
                .u64_histogram(names::TOKEN_USAGE.name)
                .with_unit(names::TOKEN_USAGE.unit)
                .with_description(names::TOKEN_USAGE.description)
                .with_boundaries(names::TOKEN_USAGE.boundaries())
                .build(),
            cleaned: meter
                .u64_counter(names::CLEANED_COUNT)
                .with_unit("{attachment}")
                .with_description("Number of staged attachments that were removed.")
                .build(),
            cleaned_size: meter
                .u64_counter(names::CLEANED_SIZE)
                .with_unit("By")
                .with_description("Size of the staged attachments that were removed.")
                .build(),
            active: meter
                .i64_up_down_counter(names::ACTIVE)
                .with_unit("{call}")
                .with_description("Number of active calls.")
                .build(),
        }
    }

    pub(crate) fn measure(&self, event: &Event) {
        self.add_active(event.operation(), active_delta(event));
        if event.kind().is_terminal() {
            self.measure_end(event);
        }
    }

    /// Changes the number of active calls.
    pub(crate) fn add_active(&self, operation: Operation, delta: i64) {
        let operation = KeyValue::new(names::OPERATION, operation.as_str());
        self.active.add(delta, &[operation]);
    }

    /// Returns the totals for an export.
    pub(crate) fn collect(&self) -> Result<ResourceMetrics, String> {
        let mut metrics = ResourceMetrics::default();
        let collected = self.reader.collect(&mut metrics);
        collected
            .map(|()| metrics)
            .map_err(|error| format!("the metrics could not be collected: {error}"))
    }

    fn measure_end(&self, event: &Event) {
        let originator = event
            .originator()
            .map(|originator| KeyValue::new(names::ORIGINATOR, originator.as_str().to_owned()));
        let mut labels = Vec::with_capacity(4);
        labels.extend(originator.clone());
        if let Some(class) = event.error_type() {
            labels.push(KeyValue::new(names::ERROR_TYPE, class));
        }
        let histogram = match event.operation() {
            Operation::Turn => {
                self.measure_tokens(event, originator.as_ref());
                if let Some(agent) = event.call_name() {
                    labels.push(KeyValue::new(names::AGENT_NAME, agent.to_owned()));
                }
                &self.turns
            }
            Operation::Tool => {
                if let Some(tool) = tool_label(event) {
                    labels.push(KeyValue::new(names::TOOL_NAME, tool.to_owned()));
                }
                &self.tools
            }
            Operation::AttachmentCleanup => {
                let labels = Vec::from_iter(originator);
                let count = |key| count(event, key).unwrap_or_default();
                self.cleaned.add(count(attribute::CLEANUP_REMOVED), &labels);
                self.cleaned_size
                    .add(count(attribute::CLEANUP_BYTES), &labels);
                &self.cleanups
            }
            other @ (Operation::Approval | Operation::AttachmentStage | Operation::Custom(_)) => {
                labels.push(KeyValue::new(names::OPERATION, other.as_str()));
                &self.others
            }
        };
        let duration = event.duration().unwrap_or_default();
        histogram.record(duration.as_secs_f64(), &labels);
    }

    fn measure_tokens(&self, event: &Event, originator: Option<&KeyValue>) {
        for (key, kind) in [
            (attribute::INPUT_TOKENS, "input"),
            (attribute::OUTPUT_TOKENS, "output"),
        ] {
            let Some(tokens) = count(event, key) else {
                continue;
            };
            let mut labels = vec![
                KeyValue::new(names::TOKEN_TYPE, kind),
                KeyValue::new(names::OPERATION_NAME, names::INVOKE_AGENT),
                KeyValue::new(attribute::PROVIDER_NAME, provider(event)),
            ];
            labels.extend(originator.cloned());
            self.tokens.record(tokens, &labels);
        }
    }
}

fn duration(meter: &Meter, histogram: &names::Histogram) -> Histogram<f64> {
    meter
        .f64_histogram(histogram.name)
        .with_unit(histogram.unit)
        .with_description(histogram.description)
        .with_boundaries(histogram.boundaries())
        .build()
}

/// Returns the name of a tool as a label. Unknown names get the same label, so that there are not too
/// many. After a denied approval, the name is known only if the tool was looked up and recorded its type.
fn tool_label(event: &Event) -> Option<&str> {
    let is_known = event.attribute(attribute::TOOL_TYPE).is_some();
    match event.error_class() {
        Some(ErrorClass::ToolNotFound) => Some(names::OTHER_TOOL),
        Some(ErrorClass::ApprovalDenied) if !is_known => Some(names::OTHER_TOOL),
        _ => event.call_name(),
    }
}

/// Returns the count in an attribute; `None` if it was not recorded.
fn count(event: &Event, key: &str) -> Option<u64> {
    match event.attribute(key)? {
        Value::I64(count) => Some(u64::try_from(*count).unwrap_or_default()),
        _ => Some(0),
    }
}

/// Returns by how much an event changes the number of active calls.
pub(crate) fn active_delta(event: &Event) -> i64 {
    if event.kind().is_terminal() { -1 } else { 1 }
}

// === impl SharedReader ===

impl MetricReader for SharedReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: std::time::Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
