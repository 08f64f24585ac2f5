use std::{
    cell::{Cell, RefCell},
    sync::{Arc, Weak},
    time::Duration,
};

use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{
        Aggregation, Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream,
        Temporality,
        data::{AggregatedMetrics, MetricData, ResourceMetrics},
        reader::MetricReader,
    },
};

use super::{attributes::push, instruments as define, labels::Labels, names};
use crate::{
    event::{ErrorClass, Event, Operation, Phase, names as attribute},
    otlp::config::{HistogramAggregation, OtlpConfig},
};

/// The instruments and what they have measured.
///
/// Only the export thread records on them, so callers do not wait for the SDK's locks.
pub(crate) struct Metrics {
    reader: SharedReader,
    /// Dropping it ends what the reader reads from.
    _provider: SdkMeterProvider,
    meter: Meter,
    labels: Labels,
    turns: Histogram<f64>,
    phases: Histogram<f64>,
    turn_tool_calls: Histogram<u64>,
    turn_inference_calls: Histogram<u64>,
    inferences: Histogram<f64>,
    first_chunks: Histogram<f64>,
    tools: Histogram<f64>,
    approvals: Histogram<f64>,
    cleanups: Histogram<f64>,
    others: Histogram<f64>,
    /// The tokens of each kind, by the attribute that has their number.
    tokens: [(&'static str, Counter<u64>); 5],
    /// The metric of older conventions.
    token_usage: Option<Histogram<u64>>,
    cleaned: Counter<u64>,
    cleaned_size: Counter<u64>,
    active: UpDownCounter<i64>,
    /// By how much the numbers of active calls have changed since the last collection. Summed up here: each
    /// call of an instrument looks its labels up.
    active_deltas: RefCell<Vec<(Operation, i64)>>,
    /// An empty list, whose memory the labels of each event use.
    spare_labels: Cell<Vec<KeyValue>>,
}

/// A reader that can be cloned: the SDK takes ownership of its reader.
#[derive(Clone, Debug)]
struct SharedReader(Arc<ManualReader>);

impl Metrics {
    pub(crate) fn new(
        config: &OtlpConfig,
        resource: Resource,
        scope: InstrumentationScope,
        temporality: Temporality,
    ) -> Self {
        let reader = ManualReader::builder().with_temporality(temporality);
        let reader = SharedReader(Arc::new(reader.build()));
        let aggregation = config.histogram_aggregation();
        let provider = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(reader.clone())
            .with_view(move |instrument: &Instrument| histogram_stream(instrument, aggregation))
            .build();
        let meter = provider.meter_with_scope(scope);
        let usage = (!config.uses_latest_conventions()).then_some(define::TOKEN_USAGE);
        Self {
            reader,
            _provider: provider,
            labels: Labels::new(),
            turns: define::TURN_DURATION.of_seconds(&meter),
            phases: define::PHASE_DURATION.of_seconds(&meter),
            turn_tool_calls: define::TURN_TOOL_CALLS.of_counts(&meter),
            turn_inference_calls: define::TURN_INFERENCE_CALLS.of_counts(&meter),
            inferences: define::INFERENCE_DURATION.of_seconds(&meter),
            first_chunks: define::TIME_TO_FIRST_CHUNK.of_seconds(&meter),
            tools: define::TOOL_DURATION.of_seconds(&meter),
            approvals: define::APPROVAL_DURATION.of_seconds(&meter),
            cleanups: define::CLEANUP_DURATION.of_seconds(&meter),
            others: define::OTHER_DURATION.of_seconds(&meter),
            tokens: [
                (attribute::INPUT_TOKENS, define::INPUT_TOKENS),
                (attribute::OUTPUT_TOKENS, define::OUTPUT_TOKENS),
                (attribute::CACHE_READ_TOKENS, define::CACHE_READ_TOKENS),
                (attribute::CACHE_WRITE_TOKENS, define::CACHE_WRITE_TOKENS),
                (attribute::REASONING_TOKENS, define::REASONING_TOKENS),
            ]
            .map(|(key, counter)| (key, counter.counter(&meter))),
            token_usage: usage.map(|histogram| histogram.of_counts(&meter)),
            cleaned: define::CLEANED_COUNT.counter(&meter),
            cleaned_size: define::CLEANED_SIZE.counter(&meter),
            active: define::ACTIVE.up_down_counter(&meter),
            active_deltas: RefCell::default(),
            spare_labels: Cell::default(),
            meter,
        }
    }

    /// Returns the meter, for the metrics of the sink itself.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) fn measure(&self, event: &Event) {
        self.add_active(event.operation(), active_delta(event));
        if event.kind().is_terminal() {
            let mut labels = self.spare_labels.take();
            self.measure_end(event, &mut labels);
            labels.clear();
            self.spare_labels.set(labels);
        }
    }

    /// Changes the number of active calls.
    pub(crate) fn add_active(&self, operation: Operation, delta: i64) {
        let mut deltas = self.active_deltas.borrow_mut();
        match deltas.iter_mut().find(|(of, _)| *of == operation) {
            Some((_, sum)) => *sum += delta,
            None => deltas.push((operation, delta)),
        }
    }

    /// Returns the data points of an export: totals, or what was added since the last collection.
    pub(crate) fn collect(&self) -> Result<ResourceMetrics, String> {
        for (operation, delta) in self.active_deltas.borrow_mut().drain(..) {
            let operation = KeyValue::new(names::OPERATION, operation.as_str());
            self.active.add(delta, &[operation]);
        }
        let mut metrics = ResourceMetrics::default();
        let collected = self.reader.collect(&mut metrics);
        collected
            .map(|()| metrics)
            .map_err(|error| format!("the metrics could not be collected: {error}"))
    }

    /// Measures the end of a call. `labels` is empty, and keeps what is put into it.
    fn measure_end(&self, event: &Event, labels: &mut Vec<KeyValue>) {
        let recorded = event.attributes();
        self.labels.add_originator(event, labels);
        if let Some(class) = event.error_type() {
            push(labels, names::ERROR_TYPE, class);
        }
        let duration = event.duration().unwrap_or_default();
        let (histogram, duration) = match event.operation() {
            Operation::Turn => {
                if !has_chat_calls(recorded) {
                    self.measure_tokens(event, names::INVOKE_AGENT);
                }
                self.measure_counts(event);
                labels.extend(self.labels.agent(event));
                self.measure_phases(recorded, labels);
                push(labels, names::OPERATION_NAME, names::INVOKE_AGENT);
                labels.extend(self.labels.model(event));
                (&self.turns, duration)
            }
            Operation::Chat => {
                labels.extend(self.inference_labels(event, names::CHAT));
                if let Some(Value::F64(secs)) =
                    value(recorded, attribute::RESPONSE_TIME_TO_FIRST_CHUNK)
                {
                    let mut inference = Vec::from_iter(self.inference_labels(event, names::CHAT));
                    self.labels.add_originator(event, &mut inference);
                    self.first_chunks.record(*secs, &inference);
                }
                self.measure_tokens(event, names::CHAT);
                (&self.inferences, duration)
            }
            Operation::Tool => {
                let wait = recorded_duration(recorded, attribute::APPROVAL_WAIT);
                self.measure_approval(event, wait);
                if !was_allowed(event) {
                    return;
                }
                labels.push(self.labels.tool(event));
                labels.extend(self.labels.agent(event));
                labels.extend(self.labels.recorded(attribute::TOOL_TYPE, event));
                // Not Codex's own measure, which begins when a command has already run for a tenth of a second.
                (&self.tools, duration.saturating_sub(wait))
            }
            Operation::Approval if value(recorded, attribute::APPROVAL_DECISION).is_some() => {
                self.measure_approval(event, duration);
                return;
            }
            Operation::AttachmentCleanup => {
                let mut labels = Vec::new();
                self.labels.add_originator(event, &mut labels);
                let count = |key| count(recorded, key).unwrap_or_default();
                self.cleaned.add(count(attribute::CLEANUP_REMOVED), &labels);
                self.cleaned_size
                    .add(count(attribute::CLEANUP_BYTES), &labels);
                (&self.cleanups, duration)
            }
            other @ (Operation::Approval | Operation::AttachmentStage | Operation::Custom(_)) => {
                push(labels, names::OPERATION, other.as_str());
                (&self.others, duration)
            }
        };
        histogram.record(duration.as_secs_f64(), labels);
    }

    /// Returns the labels of every metric of a model response, except for the originator.
    fn inference_labels(
        &self,
        event: &Event,
        operation: &'static str,
    ) -> impl Iterator<Item = KeyValue> {
        let operation = KeyValue::new(names::OPERATION_NAME, operation);
        let labels = [operation, self.labels.provider(event)].into_iter();
        labels.chain(self.labels.model(event))
    }

    fn measure_tokens(&self, event: &Event, operation: &'static str) {
        let recorded = event.attributes();
        let is_recorded = |key| value(recorded, key).is_some();
        if !self.tokens.iter().any(|(key, _)| is_recorded(key)) {
            return;
        }
        let mut labels = Vec::from_iter(self.inference_labels(event, operation));
        self.labels.add_originator(event, &mut labels);
        let kind = labels.len();
        for (key, counter) in &self.tokens {
            let Some(count) = count(recorded, key) else {
                continue;
            };
            labels.truncate(kind);
            labels.push(KeyValue::new(names::TOKEN_MODALITY, names::UNKNOWN));
            counter.add(count, &labels);
            let name = match *key {
                attribute::INPUT_TOKENS => "input",
                attribute::OUTPUT_TOKENS => "output",
                _ => continue,
            };
            labels[kind] = KeyValue::new(names::TOKEN_TYPE, name);
            if let Some(usage) = &self.token_usage {
                usage.record(count, &labels);
            }
        }
    }

    /// Measures how long an approval took, on the call that has the decision: the tool's, or its own.
    fn measure_approval(&self, event: &Event, duration: Duration) {
        let decision = self.labels.recorded(attribute::APPROVAL_DECISION, event);
        if let Some(decision) = decision {
            let mut labels = Vec::new();
            self.labels.add_originator(event, &mut labels);
            labels.push(decision);
            self.approvals.record(duration.as_secs_f64(), &labels);
        }
    }

    /// Measures the phases of a turn that took any time. A model is no label, because each phase would have a series for
    /// it: model responses have it.
    fn measure_phases(&self, recorded: &[KeyValue], labels: &mut Vec<KeyValue>) {
        let fixed = labels.len();
        for of in Phase::ALL {
            let duration = recorded_duration(recorded, of.attribute());
            if duration > Duration::ZERO {
                push(labels, names::PHASE, of.as_str());
                self.phases.record(duration.as_secs_f64(), labels);
                labels.truncate(fixed);
            }
        }
    }

    /// Measures how many tools a turn called, and how many responses its model gave.
    fn measure_counts(&self, event: &Event) {
        for (key, histogram) in [
            (attribute::TOOL_CALLS, &self.turn_tool_calls),
            (attribute::INFERENCE_CALLS, &self.turn_inference_calls),
        ] {
            if let Some(calls) = count(event.attributes(), key) {
                histogram.record(calls, &Vec::from_iter(self.labels.agent(event)));
            }
        }
    }
}

/// Returns how a histogram is aggregated, unless by its own boundaries. The numbers are the defaults of the
/// OpenTelemetry specification.
fn histogram_stream(instrument: &Instrument, aggregation: HistogramAggregation) -> Option<Stream> {
    let is_exponential = aggregation == HistogramAggregation::Base2Exponential
        && instrument.kind() == InstrumentKind::Histogram;
    let aggregation = Aggregation::Base2ExponentialHistogram {
        max_size: 160,
        max_scale: 20,
        record_min_max: true,
    };
    let stream = is_exponential.then(|| Stream::builder().with_aggregation(aggregation));
    stream?.build().ok()
}

/// Returns whether a tool was allowed to run, as most are without an approval.
fn was_allowed(event: &Event) -> bool {
    let decision = event.attribute(attribute::APPROVAL_DECISION);
    decision.is_none_or(|decision| decision.as_str().starts_with("accept"))
        && event.error_class() != Some(ErrorClass::ApprovalDenied)
}

/// Returns whether each model response of a turn is a call of its own, whose tokens are measured at its end.
///
/// Only the turn itself is asked. So its tokens are never counted twice: not even if some of these calls, or all,
/// were dropped by a full queue, as their other measurements were.
fn has_chat_calls(recorded: &[KeyValue]) -> bool {
    count(recorded, attribute::INFERENCE_CALLS).is_some_and(|calls| calls > 0)
}

/// Returns the value of one attribute.
#[inline]
fn value<'a>(recorded: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let attribute = recorded.iter().find(|kv| kv.key.as_str() == key)?;
    Some(&attribute.value)
}

/// Returns the duration in an attribute, whose value is in milliseconds; zero if it was not recorded.
#[inline]
fn recorded_duration(recorded: &[KeyValue], key: &str) -> Duration {
    match value(recorded, key) {
        Some(Value::F64(millis)) => Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default(),
        _ => Duration::ZERO,
    }
}

/// Returns the count in an attribute; `None` if it was not recorded.
#[inline]
fn count(recorded: &[KeyValue], key: &str) -> Option<u64> {
    match value(recorded, key)? {
        Value::I64(count) => Some(u64::try_from(*count).unwrap_or_default()),
        _ => Some(0),
    }
}

/// Returns by how much an event changes the number of active calls.
pub(crate) fn active_delta(event: &Event) -> i64 {
    if event.kind().is_terminal() { -1 } else { 1 }
}

/// Returns the number of data points of an export.
pub(crate) fn data_points(metrics: &ResourceMetrics) -> u64 {
    fn of<T>(data: &MetricData<T>) -> usize {
        match data {
            MetricData::Gauge(gauge) => gauge.data_points().count(),
            MetricData::Sum(sum) => sum.data_points().count(),
            MetricData::Histogram(histogram) => histogram.data_points().count(),
            MetricData::ExponentialHistogram(histogram) => histogram.data_points().count(),
        }
    }
    let scopes = metrics.scope_metrics();
    let points = scopes.flat_map(|scope| scope.metrics().map(|metric| metric.data()));
    let points = points.map(|data| match data {
        AggregatedMetrics::F64(data) => of(data),
        AggregatedMetrics::U64(data) => of(data),
        AggregatedMetrics::I64(data) => of(data),
    });
    u64::try_from(points.sum::<usize>()).unwrap_or(u64::MAX)
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

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
