use std::time::Duration;

use opentelemetry::KeyValue;

use super::{Sampler, Signal, SignalConfig, limits::Limits, resource::Resource};

/// What is exported, where to, and how. Nothing reads the environment after it was made.
///
/// `Debug` shows no secrets.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let setup = OtlpConfig::from_variables([("CODEX_OTLP_ENDPOINT", "http://collector:4318/")]);
/// let config = setup.config.expect("an endpoint switches the export on");
/// let traces = config.traces().expect("all signals are on");
/// assert_eq!(traces.endpoint().to_string(), "http://collector:4318/v1/traces");
/// assert!(setup.warnings.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    pub(super) traces: Option<SignalConfig>,
    pub(super) metrics: Option<SignalConfig>,
    pub(super) logs: Option<SignalConfig>,
    pub(super) resource: Resource,
    pub(super) sampler: Sampler,
    pub(super) limits: Limits,
}

impl OtlpConfig {
    /// A configuration of the signals that `signal` gives one for, if there is any.
    pub(super) fn of_signals(
        mut signal: impl FnMut(Signal) -> Option<SignalConfig>,
    ) -> Option<Self> {
        let [traces, metrics, logs] = Signal::ALL.map(&mut signal);
        let any = traces.is_some() || metrics.is_some() || logs.is_some();
        any.then(|| Self {
            traces,
            metrics,
            logs,
            resource: Resource::default(),
            sampler: Sampler::default(),
            limits: Limits::default(),
        })
    }

    /// Returns where spans go; `None` if they are off.
    #[must_use]
    pub fn traces(&self) -> Option<&SignalConfig> {
        self.traces.as_ref()
    }

    /// Returns where metrics go; `None` if they are off.
    #[must_use]
    pub fn metrics(&self) -> Option<&SignalConfig> {
        self.metrics.as_ref()
    }

    /// Returns where log records go; `None` if they are off.
    #[must_use]
    pub fn logs(&self) -> Option<&SignalConfig> {
        self.logs.as_ref()
    }

    /// Returns what is said of the program itself, which holds a `service.name`.
    #[must_use]
    pub fn resource_attributes(&self) -> &[KeyValue] {
        self.resource.as_slice()
    }

    /// Returns this configuration with more resource attributes. The application's own win over those of
    /// the environment, as the standard has it, the `service.name` too.
    ///
    /// ```
    /// use codex_telemetry::otlp::config::OtlpConfig;
    /// use opentelemetry::KeyValue;
    ///
    /// let setup = OtlpConfig::from_variables([
    ///     ("CODEX_OTLP_ENABLE", "1"),
    ///     ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging,team=blue"),
    /// ]);
    /// let config = setup.config.expect("it was switched on");
    /// let config = config.with_resource_attributes([KeyValue::new("team", "red")]);
    /// assert!(config.resource_attributes().contains(&KeyValue::new("team", "red")));
    /// assert_eq!(config.resource_attributes().len(), 3);
    /// ```
    #[must_use]
    pub fn with_resource_attributes(
        mut self,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> Self {
        for attribute in attributes {
            self.resource.set(attribute);
        }
        self
    }

    /// Returns which traces are exported.
    #[must_use]
    pub fn sampler(&self) -> Sampler {
        self.sampler
    }

    /// Returns how many events may wait for the export; what comes on top is dropped and counted.
    #[must_use]
    pub fn queue_capacity(&self) -> usize {
        self.limits.queue_capacity
    }

    /// Returns how many spans or log records go into one request at most; never more than the queue holds.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.limits.batch_size
    }

    /// Returns how long spans and log records wait for a batch to fill.
    #[must_use]
    pub fn schedule_delay(&self) -> Duration {
        self.limits.schedule_delay
    }

    /// Returns how often metrics are exported.
    #[must_use]
    pub fn metric_interval(&self) -> Duration {
        self.limits.metric_interval
    }
}
