use std::time::Duration;

use opentelemetry::KeyValue;

use super::{
    HistogramAggregation, Limits, LogSelection, Sampler, Signal, SignalConfig, Temporality,
};

/// The default time limit of one request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The configuration of an [`OtlpSink`](crate::OtlpSink): which signals are exported, where and how.
///
/// It is complete: the sink does not read the environment. `Debug` shows no secrets.
///
/// ```
/// use codex_telemetry::otlp::config::{OtlpConfig, Signal};
///
/// let with_warnings = OtlpConfig::from_variables([("CODEX_OTLP_ENDPOINT", "http://collector:4318/")]);
/// assert!(with_warnings.warnings.is_empty());
/// let config = with_warnings.config.expect("an endpoint enables the export");
/// let traces = config.signal(Signal::Traces).expect("all signals are enabled");
/// assert_eq!(traces.endpoint.to_string(), "http://collector:4318/v1/traces");
/// ```
///
/// What a program prints when it starts:
///
/// ```
/// use codex_telemetry::otlp::config::{
///     HistogramAggregation, LogSelection, OtlpConfig, Sampler, Temporality,
/// };
///
/// let config = OtlpConfig::builder()
///     .endpoint("http://collector:4318")
///     .keep_failures(true)
///     .capture_content(true)
///     .latest_conventions(true)
///     .build()?;
/// assert!(config.keeps_failures() && config.captures_content() && config.uses_latest_conventions());
/// // The defaults.
/// assert_eq!(config.sampler(), Sampler::ParentBasedAlwaysOn);
/// assert_eq!(config.temporality(), Temporality::Cumulative);
/// assert_eq!(config.histogram_aggregation(), HistogramAggregation::ExplicitBucket);
/// assert_eq!(config.log_selection(), LogSelection::All);
/// assert_eq!(config.limits().queue_capacity(), 16_384);
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// In the order of [`Signal::ALL`]; at least one is enabled.
    pub(super) signals: [Option<SignalConfig>; 3],
    /// Later attributes replace earlier ones with the same key.
    pub(super) resource_attributes: Vec<KeyValue>,
    pub(super) settings: Settings,
}

/// The settings that do not belong to one receiver.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings {
    pub(super) sampler: Sampler,
    pub(super) limits: Limits,
    pub(super) temporality: Temporality,
    pub(super) histogram_aggregation: HistogramAggregation,
    pub(super) log_selection: LogSelection,
    pub(super) keeps_failures: bool,
    pub(super) captures_content: bool,
    pub(super) latest_conventions: bool,
}

// === impl OtlpConfig ===

impl OtlpConfig {
    /// Returns the configuration of a signal; `None` if the signal is not exported.
    #[must_use]
    pub fn signal(&self, signal: Signal) -> Option<&SignalConfig> {
        self.signals[signal as usize].as_ref()
    }

    /// Returns the sampler, which decides which traces are exported.
    #[must_use]
    pub fn sampler(&self) -> Sampler {
        self.settings.sampler
    }

    /// Returns the limits of the queue and of the exports.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.settings.limits
    }

    /// Returns what the points of sums and histograms report.
    #[must_use]
    pub fn temporality(&self) -> Temporality {
        self.settings.temporality
    }

    /// Returns how histograms are exported.
    #[must_use]
    pub fn histogram_aggregation(&self) -> HistogramAggregation {
        self.settings.histogram_aggregation
    }

    /// Returns which log records are exported.
    #[must_use]
    pub fn log_selection(&self) -> LogSelection {
        self.settings.log_selection
    }

    /// Returns whether the spans of a failed trace are exported even if the trace was not sampled.
    #[must_use]
    pub fn keeps_failures(&self) -> bool {
        self.settings.keeps_failures
    }

    /// Returns whether spans have the contents of messages and of tool calls.
    #[must_use]
    pub fn captures_content(&self) -> bool {
        self.settings.captures_content
    }

    /// Returns whether only the latest conventions for generative AI are used. If not, the metric
    /// `gen_ai.client.token.usage` of older conventions is exported as well.
    #[must_use]
    pub fn uses_latest_conventions(&self) -> bool {
        self.settings.latest_conventions
    }
}
