use std::{env, time::Duration};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use super::{Sampler, Signal, SignalConfig};

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
}

/// The limits of the queue and of the exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum number of events in the queue. The sink drops further events and counts them.
    pub queue_capacity: usize,
    /// The maximum number of spans or log records in one request. It is at most the queue capacity.
    pub batch_size: usize,
    /// How long spans and log records wait for a batch to fill.
    pub schedule_delay: Duration,
    /// The interval between two exports of metrics.
    pub metric_interval: Duration,
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
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The 2048 of the specification count spans. This queue holds events: two for each call,
            // and a turn hands over those of its tools at once. An empty slot takes 16 bytes.
            queue_capacity: 16_384,
            batch_size: 512,
            schedule_delay: Duration::from_secs(5),
            metric_interval: Duration::from_secs(60),
        }
    }
}
