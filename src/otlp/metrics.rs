use std::sync::{Arc, Weak};

use opentelemetry::{
    InstrumentationScope, KeyValue,
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

use super::{
    books::{Books, Stats},
    config::Signal,
    names,
    queue::{Queue, step},
};
use crate::event::{ErrorClass, Event, Operation, names as attribute};

/// The instruments, and what they have measured so far.
///
/// They are written on the export thread alone, so no caller waits for the SDK's locks.
pub(super) struct Metrics {
    reader: SharedReader,
    /// Ends the pipeline that the reader reads from when it is dropped.
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

/// The SDK takes its reader away; this one can be kept as well.
#[derive(Clone, Debug)]
struct SharedReader(Arc<ManualReader>);

impl Metrics {
    pub(super) fn new(
        resource: Resource,
        scope: InstrumentationScope,
        temporality: Temporality,
        queue: &Arc<Queue>,
        books: &Arc<Books>,
    ) -> Self {
        let reader = ManualReader::builder().with_temporality(temporality);
        let reader = SharedReader(Arc::new(reader.build()));
        let provider = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(reader.clone())
            .build();
        let meter = provider.meter_with_scope(scope);
        observe_books(&meter, queue, books);
        Self {
            reader,
            _provider: provider,
            turns: seconds(&meter, &names::TURN_DURATION),
            tools: seconds(&meter, &names::TOOL_DURATION),
            cleanups: seconds(&meter, &names::CLEANUP_DURATION),
            others: seconds(&meter, &names::OTHER_DURATION),
            tokens: meter
                .u64_histogram(names::TOKEN_USAGE.name)
                .with_unit(names::TOKEN_USAGE.unit)
                .with_description(names::TOKEN_USAGE.description)
                .with_boundaries(names::TOKEN_USAGE.boundaries())
                .build(),
            cleaned: meter
                .u64_counter(names::CLEANED_COUNT)
                .with_unit("{attachment}")
                .with_description("How many staged attachments were removed.")
                .build(),
            cleaned_size: meter
                .u64_counter(names::CLEANED_SIZE)
                .with_unit("By")
                .with_description("How many bytes of staged attachments were removed.")
                .build(),
            active: meter
                .i64_up_down_counter(names::ACTIVE)
                .with_unit("{call}")
                .with_description("How many calls are under way.")
                .build(),
        }
    }

    pub(super) fn measure(&self, event: &Event) {
        self.under_way(event.operation(), step(event));
        if event.kind().is_terminal() {
            self.measure_end(event);
        }
    }

    /// Moves the number of calls that are under way.
    pub(super) fn under_way(&self, operation: Operation, step: i64) {
        let operation = KeyValue::new(names::OPERATION, operation.as_str());
        self.active.add(step, &[operation]);
    }

    /// All that was measured, ready to be exported.
    pub(super) fn collect(&self) -> Result<ResourceMetrics, String> {
        let mut metrics = ResourceMetrics::default();
        match self.reader.collect(&mut metrics) {
            Ok(()) => Ok(metrics),
            Err(error) => Err(format!("the metrics could not be collected: {error}")),
        }
    }

    fn measure_end(&self, event: &Event) {
        let mut labels = Vec::with_capacity(4);
        if let Some(originator) = event.originator() {
            let name = originator.as_str().to_owned();
            labels.push(KeyValue::new(names::ORIGINATOR, name));
        }
        if let Some(class) = event.error_type() {
            labels.push(KeyValue::new(names::ERROR_TYPE, class));
        }
        let histogram = match event.operation() {
            Operation::Turn => {
                self.measure_tokens(event, &labels);
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
                let total = |key| u64::try_from(count(event, key)).unwrap_or_default();
                let by_originator: Vec<_> = labels
                    .iter()
                    .filter(|label| label.key.as_str() == names::ORIGINATOR)
                    .cloned()
                    .collect();
                self.cleaned
                    .add(total(attribute::CLEANUP_REMOVED), &by_originator);
                self.cleaned_size
                    .add(total(attribute::CLEANUP_BYTES), &by_originator);
                &self.cleanups
            }
            other @ (Operation::Approval | Operation::Custom(_)) => {
                labels.push(KeyValue::new(names::OPERATION, other.as_str()));
                &self.others
            }
        };
        let duration = event.duration().unwrap_or_default();
        histogram.record(duration.as_secs_f64(), &labels);
    }

    fn measure_tokens(&self, event: &Event, labels: &[KeyValue]) {
        for (key, kind) in [
            (attribute::INPUT_TOKENS, "input"),
            (attribute::OUTPUT_TOKENS, "output"),
        ] {
            if event.attribute(key).is_none() {
                continue;
            }
            let mut labels: Vec<_> = labels
                .iter()
                .filter(|label| label.key.as_str() == names::ORIGINATOR)
                .cloned()
                .collect();
            labels.push(KeyValue::new(names::TOKEN_TYPE, kind));
            labels.push(KeyValue::new(names::OPERATION_NAME, names::INVOKE_AGENT));
            labels.push(KeyValue::new(names::PROVIDER_NAME, names::PROVIDER));
            let tokens = u64::try_from(count(event, key)).unwrap_or_default();
            self.tokens.record(tokens, &labels);
        }
    }
}

fn seconds(meter: &Meter, histogram: &names::Histogram) -> Histogram<f64> {
    meter
        .f64_histogram(histogram.name)
        .with_unit(histogram.unit)
        .with_description(histogram.description)
        .with_boundaries(histogram.boundaries())
        .build()
}

/// The name of a tool as a label. One that no tool has is not one of a small set, nor is one of which it
/// is not known, because the call was denied before anyone looked for the tool and recorded its type.
fn tool_label(event: &Event) -> Option<&str> {
    let looked_for = event.attribute(attribute::TOOL_TYPE).is_some();
    match event.error_class() {
        Some(ErrorClass::ToolNotFound) => Some(names::OTHER_TOOL),
        Some(ErrorClass::ApprovalDenied) if !looked_for => Some(names::OTHER_TOOL),
        _ => event.call_name(),
    }
}

fn count(event: &Event, key: &str) -> i64 {
    match event.attribute(key) {
        Some(opentelemetry::Value::I64(count)) => *count,
        _ => 0,
    }
}

/// The books go out as metrics themselves.
fn observe_books(meter: &Meter, queue: &Arc<Queue>, books: &Arc<Books>) {
    for (name, description, of) in [
        (
            names::ACCEPTED,
            "Records that the exporter took in.",
            (|stats| stats.accepted) as fn(super::books::SignalStats) -> u64,
        ),
        (
            names::EXPORTED,
            "Records that the receiver took.",
            |stats| stats.exported,
        ),
        (
            names::FAILED,
            "Records that could not be delivered.",
            |stats| stats.failed,
        ),
        (
            names::DROPPED,
            "Records that were not taken in, because the queue was full.",
            |stats| stats.dropped,
        ),
    ] {
        let (queue, books) = (Arc::clone(queue), Arc::clone(books));
        meter
            .u64_observable_counter(name)
            .with_unit("{record}")
            .with_description(description)
            .with_callback(move |observer| {
                let stats = Stats::new(&queue, &books);
                for signal in Signal::ALL {
                    if books.of(signal).on {
                        let label = KeyValue::new(names::SIGNAL, signal.as_str());
                        observer.observe(of(stats.of(signal)), &[label]);
                    }
                }
            })
            .build();
    }
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
