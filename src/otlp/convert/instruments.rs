//! The definitions of all metrics: names, units and boundaries as in OpenTelemetry's semantic conventions, or
//! those of this crate.

use std::borrow::Cow;

use opentelemetry::metrics::{self, AsyncInstrument, Counter, Meter, UpDownCounter};

/// The definition of a metric.
pub(crate) struct Definition {
    name: Cow<'static, str>,
    unit: &'static str,
    description: &'static str,
}

/// The definition of a histogram.
pub(crate) struct Histogram {
    metric: Definition,
    boundaries: Boundaries,
}

/// The lowest boundary, the factor between two of them, and their number.
type Boundaries = (f64, f64, u32);

/// A kind of exported records, whose metrics are those of `docs/otel/sdk-metrics.md` in the semantic
/// conventions.
#[derive(Clone, Copy)]
pub(crate) struct Records {
    kind: &'static str,
    unit: &'static str,
}

/// The boundaries of turns, and of what a person may decide.
const LONG: Boundaries = (0.1, 2.0, 13);
/// The boundaries of other calls.
const SHORT: Boundaries = (0.01, 2.0, 14);
/// The boundaries of phases: a process starts in a moment, and a person may take long to decide.
const PHASE: Boundaries = (0.01, 2.0, 17);

// The conventions for generative AI.

pub(crate) const TURN_DURATION: Histogram = Histogram::new(
    Definition::new("gen_ai.invoke_agent.duration", "s", "Duration of turns."),
    LONG,
);
pub(crate) const TURN_TOOL_CALLS: Histogram = Histogram::new(
    Definition::new(
        "gen_ai.invoke_agent.tool_calls",
        "{tool_call}",
        "Number of tool calls of each turn.",
    ),
    (1.0, 2.0, 8),
);
pub(crate) const TURN_INFERENCE_CALLS: Histogram = Histogram::new(
    Definition::new(
        "gen_ai.invoke_agent.inference_calls",
        "{inference_call}",
        "Number of model responses of each turn, failed ones included.",
    ),
    (1.0, 2.0, 8),
);
pub(crate) const INFERENCE_DURATION: Histogram = Histogram::new(
    Definition::new(
        "gen_ai.client.inference.duration",
        "s",
        "Duration of model responses.",
    ),
    SHORT,
);
pub(crate) const TIME_TO_FIRST_CHUNK: Histogram = Histogram::new(
    Definition::new(
        "gen_ai.client.inference.time_to_first_chunk",
        "s",
        "Time to the first part of each model response.",
    ),
    SHORT,
);
pub(crate) const TOOL_DURATION: Histogram = Histogram::new(
    Definition::new(
        "gen_ai.execute_tool.duration",
        "s",
        "Duration of tool calls, without the wait for an approval.",
    ),
    SHORT,
);
pub(crate) const TOKEN_USAGE: Histogram = Histogram::new(
    Definition::new(
        "gen_ai.client.token.usage",
        "{token}",
        "Number of tokens that each model response used, or each turn.",
    ),
    (1.0, 4.0, 14),
);
pub(crate) const INPUT_TOKENS: Definition = Definition::new(
    "gen_ai.client.inference.usage.input_tokens",
    "{token}",
    "Number of input tokens, cached ones included.",
);
pub(crate) const OUTPUT_TOKENS: Definition = Definition::new(
    "gen_ai.client.inference.usage.output_tokens",
    "{token}",
    "Number of output tokens, those of reasoning included.",
);
pub(crate) const CACHE_READ_TOKENS: Definition = Definition::new(
    "gen_ai.client.inference.usage.cache_read.input_tokens",
    "{token}",
    "Number of input tokens that were read from the provider's cache.",
);
pub(crate) const CACHE_WRITE_TOKENS: Definition = Definition::new(
    "gen_ai.client.inference.usage.cache_write.input_tokens",
    "{token}",
    "Number of input tokens that were written to the provider's cache.",
);
pub(crate) const REASONING_TOKENS: Definition = Definition::new(
    "gen_ai.client.inference.usage.reasoning.output_tokens",
    "{token}",
    "Number of output tokens that were spent on reasoning.",
);

// Those of this crate.

pub(crate) const PHASE_DURATION: Histogram = Histogram::new(
    Definition::new(
        "codex.turn.phase.duration",
        "s",
        "Duration of the phases of each turn.",
    ),
    PHASE,
);
pub(crate) const APPROVAL_DURATION: Histogram = Histogram::new(
    Definition::new(
        "codex.approval.duration",
        "s",
        "Duration of the wait for an approval.",
    ),
    LONG,
);
pub(crate) const CLEANUP_DURATION: Histogram = Histogram::new(
    Definition::new(
        "codex.attachment.cleanup.duration",
        "s",
        "Duration of cleanups of staged attachments.",
    ),
    SHORT,
);
pub(crate) const OTHER_DURATION: Histogram = Histogram::new(
    Definition::new(
        "codex.call.duration",
        "s",
        "Duration of timed approvers, stages of attachments and calls of custom operations.",
    ),
    SHORT,
);
pub(crate) const CLEANED_COUNT: Definition = Definition::new(
    "codex.attachment.cleaned.count",
    "{attachment}",
    "Number of staged attachments that were removed.",
);
pub(crate) const CLEANED_SIZE: Definition = Definition::new(
    "codex.attachment.cleaned.size",
    "By",
    "Size of the staged attachments that were removed.",
);
pub(crate) const ACTIVE: Definition =
    Definition::new("codex.call.active", "{call}", "Number of active calls.");

// The conventions for the metrics of an SDK.

pub(crate) const SPANS: Records = Records {
    kind: "span",
    unit: "{span}",
};
pub(crate) const LOG_RECORDS: Records = Records {
    kind: "log",
    unit: "{log_record}",
};
pub(crate) const DATA_POINTS: Records = Records {
    kind: "metric_data_point",
    unit: "{data_point}",
};
pub(crate) const EXPORT_DURATION: Histogram = Histogram::new(
    Definition::new(
        "otel.sdk.exporter.operation.duration",
        "s",
        "Duration of each attempt to export a batch.",
    ),
    (0.001, 2.0, 16),
);

// === impl Definition ===

impl Definition {
    const fn new(name: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            unit,
            description,
        }
    }

    pub(crate) fn counter(self, meter: &Meter) -> Counter<u64> {
        let builder = meter.u64_counter(self.name).with_unit(self.unit);
        builder.with_description(self.description).build()
    }

    pub(crate) fn up_down_counter(self, meter: &Meter) -> UpDownCounter<i64> {
        let builder = meter.i64_up_down_counter(self.name).with_unit(self.unit);
        builder.with_description(self.description).build()
    }

    /// Adds a counter. `observe` reports its totals at each collection.
    pub(crate) fn observe_counter(
        self,
        meter: &Meter,
        observe: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
    ) {
        let builder = meter.u64_observable_counter(self.name);
        let builder = builder.with_unit(self.unit);
        let builder = builder.with_description(self.description);
        builder.with_callback(observe).build();
    }

    /// Adds an up-down counter. `observe` reports its values at each collection.
    pub(crate) fn observe_up_down_counter(
        self,
        meter: &Meter,
        observe: impl Fn(&dyn AsyncInstrument<i64>) + Send + Sync + 'static,
    ) {
        let builder = meter.i64_observable_up_down_counter(self.name);
        let builder = builder.with_unit(self.unit);
        let builder = builder.with_description(self.description);
        builder.with_callback(observe).build();
    }
}

// === impl Histogram ===

impl Histogram {
    const fn new(metric: Definition, boundaries: Boundaries) -> Self {
        Self { metric, boundaries }
    }

    /// Builds a histogram of durations.
    pub(crate) fn of_seconds(self, meter: &Meter) -> metrics::Histogram<f64> {
        let boundaries = self.boundaries();
        let builder = meter.f64_histogram(self.metric.name);
        let builder = builder.with_unit(self.metric.unit);
        let builder = builder.with_description(self.metric.description);
        builder.with_boundaries(boundaries).build()
    }

    /// Builds a histogram of numbers.
    pub(crate) fn of_counts(self, meter: &Meter) -> metrics::Histogram<u64> {
        let boundaries = self.boundaries();
        let builder = meter.u64_histogram(self.metric.name);
        let builder = builder.with_unit(self.metric.unit);
        let builder = builder.with_description(self.metric.description);
        builder.with_boundaries(boundaries).build()
    }

    fn boundaries(&self) -> Vec<f64> {
        let (lowest, factor, count) = self.boundaries;
        (0..count)
            .map(|step| {
                // Rounded, so that 0.01 doubled is exactly 0.02.
                (lowest * factor.powi(i32::try_from(step).unwrap_or(i32::MAX)) * 1e3).round() / 1e3
            })
            .collect()
    }
}

// === impl Records ===

impl Records {
    pub(crate) fn queue_size(self) -> Definition {
        let description = "Number of records that wait for their export.";
        self.metric("processor", "queue.size", description)
    }

    pub(crate) fn queue_capacity(self) -> Definition {
        let description = "Maximum number of records that wait for their export.";
        self.metric("processor", "queue.capacity", description)
    }

    pub(crate) fn processed(self) -> Definition {
        let description = "Number of records that were passed to the exporter, or dropped.";
        self.metric("processor", "processed", description)
    }

    pub(crate) fn inflight(self) -> Definition {
        let description = "Number of records whose export has begun and not ended.";
        self.metric("exporter", "inflight", description)
    }

    pub(crate) fn exported(self) -> Definition {
        let description = "Number of records whose export has ended.";
        self.metric("exporter", "exported", description)
    }

    fn metric(self, component: &str, name: &str, description: &'static str) -> Definition {
        Definition {
            name: format!("otel.sdk.{component}.{}.{name}", self.kind).into(),
            unit: self.unit,
            description,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_match_the_conventions() {
        let turns = [
            0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6,
        ];
        assert_eq!(TURN_DURATION.boundaries(), turns);
        let tools = [
            0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
        ];
        for histogram in [TOOL_DURATION, INFERENCE_DURATION, TIME_TO_FIRST_CHUNK] {
            assert_eq!(histogram.boundaries(), tools);
        }
        let calls = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
        assert_eq!(TURN_TOOL_CALLS.boundaries(), calls);
        assert_eq!(TURN_INFERENCE_CALLS.boundaries(), calls);
        let phases = PHASE_DURATION.boundaries();
        assert_eq!(phases[..14], tools);
        assert_eq!(phases[14..], [163.84, 327.68, 655.36]);
        let tokens = TOKEN_USAGE.boundaries();
        assert_eq!((tokens[0], tokens[13]), (1.0, 67_108_864.0));
    }

    #[test]
    fn the_documentation_has_every_metric() {
        let page = include_str!("../../../docs/otlp.md");
        let (_, page) = page.split_once("## Exported data").unwrap();
        let histograms = [
            TURN_DURATION,
            TURN_TOOL_CALLS,
            TURN_INFERENCE_CALLS,
            PHASE_DURATION,
            INFERENCE_DURATION,
            TIME_TO_FIRST_CHUNK,
            TOOL_DURATION,
            TOKEN_USAGE,
            APPROVAL_DURATION,
            CLEANUP_DURATION,
            OTHER_DURATION,
            EXPORT_DURATION,
        ];
        let metrics = histograms.map(|histogram| histogram.metric).into_iter();
        let metrics = metrics.chain([
            INPUT_TOKENS,
            OUTPUT_TOKENS,
            CACHE_READ_TOKENS,
            CACHE_WRITE_TOKENS,
            REASONING_TOKENS,
            CLEANED_COUNT,
            CLEANED_SIZE,
            ACTIVE,
        ]);
        let processed = [SPANS, LOG_RECORDS].map(|records| {
            let size = records.queue_size();
            [size, records.queue_capacity(), records.processed()]
        });
        let exported = [SPANS, LOG_RECORDS, DATA_POINTS]
            .map(|records| [records.inflight(), records.exported()]);
        let metrics = metrics.chain(processed.into_iter().flatten());
        for metric in metrics.chain(exported.into_iter().flatten()) {
            let Definition { name, unit, .. } = metric;
            assert!(page.contains(&format!("`{name}`")), "{name}");
            assert!(page.contains(&format!("`{unit}`")), "{unit} of {name}");
        }
    }
}
