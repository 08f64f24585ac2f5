use std::{env, time::Duration};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use super::{
    HistogramAggregation, Limits, LogSelection, Sampler, Signal, SignalConfig, Temporality,
};

pub(super) const SERVICE_NAME: &str = "service.name";
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
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// In the order of [`Signal::ALL`]; at least one is enabled.
    pub(super) signals: [Option<SignalConfig>; 3],
    /// Later attributes replace earlier ones with the same key.
    pub(super) resource_attributes: Vec<KeyValue>,
    pub(super) sampler: Sampler,
    pub(super) limits: Limits,
    pub(super) temporality: Temporality,
    pub(super) histogram_aggregation: HistogramAggregation,
    pub(super) log_selection: LogSelection,
    pub(super) keeps_failures: bool,
    pub(super) captures_content: bool,
    pub(super) latest_conventions: bool,
}

/// Returns the attributes of an exporting program that sets none: the `service.name` that the OpenTelemetry
/// specification gives to unnamed programs.
pub(super) fn default_resource_attributes() -> Vec<KeyValue> {
    let name = env::current_exe().ok().and_then(|path| {
        let name = path.file_name()?.to_str()?;
        Some(format!("unknown_service:{name}"))
    });
    let name = name.unwrap_or_else(|| "unknown_service".to_owned());
    vec![KeyValue::new(SERVICE_NAME, name)]
}

// === impl OtlpConfig ===

impl OtlpConfig {
    /// Returns the configuration of a signal; `None` if the signal is not exported.
    #[must_use]
    pub fn signal(&self, signal: Signal) -> Option<&SignalConfig> {
        self.signals[signal as usize].as_ref()
    }

    /// Returns the resource: the attributes of the exporting program, including `service.name`.
    #[must_use]
    pub fn resource(&self) -> Resource {
        Resource::builder_empty()
            .with_attributes(self.resource_attributes.clone())
            .build()
    }

    /// Adds resource attributes. They replace attributes of the environment with the same key,
    /// `service.name` included, as the OpenTelemetry specification requires.
    ///
    /// ```
    /// use codex_telemetry::otlp::config::OtlpConfig;
    /// use opentelemetry::KeyValue;
    ///
    /// let with_warnings = OtlpConfig::from_variables([
    ///     ("CODEX_OTLP_ENABLE", "1"),
    ///     ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging,team=blue"),
    /// ]);
    /// let config = with_warnings.config.expect("it is enabled");
    /// let config = config.with_resource_attributes([KeyValue::new("team", "red")]);
    /// assert_eq!(config.resource().get(&"team".into()), Some("red".into()));
    /// assert_eq!(config.resource().len(), 3);
    /// ```
    #[must_use]
    pub fn with_resource_attributes(
        mut self,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> Self {
        self.resource_attributes.extend(attributes);
        self
    }

    /// Returns the sampler, which decides which traces are exported.
    #[must_use]
    pub fn sampler(&self) -> Sampler {
        self.sampler
    }

    /// Returns the limits of the queue and of the exports.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Returns what the points of sums and histograms report.
    #[must_use]
    pub fn temporality(&self) -> Temporality {
        self.temporality
    }

    /// Returns how histograms are exported.
    #[must_use]
    pub fn histogram_aggregation(&self) -> HistogramAggregation {
        self.histogram_aggregation
    }

    /// Returns which log records are exported.
    #[must_use]
    pub fn log_selection(&self) -> LogSelection {
        self.log_selection
    }

    /// Returns whether the spans of a failed trace are exported even if the trace was not sampled.
    #[must_use]
    pub fn keeps_failures(&self) -> bool {
        self.keeps_failures
    }

    /// Returns whether spans have the contents of messages and of tool calls.
    #[must_use]
    pub fn captures_content(&self) -> bool {
        self.captures_content
    }

    /// Returns whether only the latest conventions for generative AI are used. If not, the metric
    /// `gen_ai.client.token.usage` of older conventions is exported as well.
    #[must_use]
    pub fn uses_latest_conventions(&self) -> bool {
        self.latest_conventions
    }
}
