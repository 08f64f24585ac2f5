use std::{env, time::Duration};

use opentelemetry::KeyValue;

use super::{Sampler, Signal, SignalConfig, error::InvalidValue};

const SERVICE_NAME: &str = "service.name";
/// A larger queue would not limit the memory of the program.
const MAX_COUNT: usize = 1 << 20;
/// The largest number that the OpenTelemetry specification allows: 24 days.
pub(super) const MAX_DURATION: Duration = Duration::from_millis((1 << 31) - 1);

/// The configuration of an [`OtlpSink`](crate::OtlpSink): which signals are exported, where and how.
///
/// It is complete: the sink does not read the environment. `Debug` shows no secrets.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let with_warnings = OtlpConfig::from_variables([("CODEX_OTLP_ENDPOINT", "http://collector:4318/")]);
/// assert!(with_warnings.warnings.is_empty());
/// let config = with_warnings.config.expect("an endpoint enables the export");
/// let traces = config.traces().expect("all signals are enabled");
/// assert_eq!(traces.endpoint().to_string(), "http://collector:4318/v1/traces");
/// ```
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// In the order of [`Signal::ALL`]; at least one is enabled.
    pub(super) signals: [Option<SignalConfig>; 3],
    pub(super) resource: Resource,
    pub(super) sampler: Sampler,
    pub(super) limits: Limits,
}

/// The limits of the queue and of the batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) queue_capacity: usize,
    pub(super) batch_size: usize,
    pub(super) schedule_delay: Duration,
    pub(super) metric_interval: Duration,
}

/// The attributes of the exporting program. There is always a `service.name`.
#[derive(Clone, Debug)]
pub(super) struct Resource(Vec<KeyValue>);

// === impl OtlpConfig ===

impl OtlpConfig {
    /// Returns the configuration of a signal; `None` if the signal is not exported.
    #[must_use]
    pub fn signal(&self, signal: Signal) -> Option<&SignalConfig> {
        let [traces, metrics, logs] = &self.signals;
        match signal {
            Signal::Traces => traces.as_ref(),
            Signal::Metrics => metrics.as_ref(),
            Signal::Logs => logs.as_ref(),
        }
    }

    /// Returns the configuration of [traces](Signal::Traces); `None` if they are not exported.
    #[must_use]
    pub fn traces(&self) -> Option<&SignalConfig> {
        self.signal(Signal::Traces)
    }

    /// Returns the configuration of [metrics](Signal::Metrics); `None` if they are not exported.
    #[must_use]
    pub fn metrics(&self) -> Option<&SignalConfig> {
        self.signal(Signal::Metrics)
    }

    /// Returns the configuration of [logs](Signal::Logs); `None` if they are not exported.
    #[must_use]
    pub fn logs(&self) -> Option<&SignalConfig> {
        self.signal(Signal::Logs)
    }

    /// Returns the resource attributes, including `service.name`.
    #[must_use]
    pub fn resource_attributes(&self) -> &[KeyValue] {
        &self.resource.0
    }

    /// Returns the resource attributes for the SDK.
    pub(crate) fn resource(&self) -> opentelemetry_sdk::Resource {
        opentelemetry_sdk::Resource::builder_empty()
            .with_attributes(self.resource.0.iter().cloned())
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

    /// Returns the sampler, which decides which traces are exported.
    #[must_use]
    pub fn sampler(&self) -> Sampler {
        self.sampler
    }

    /// Returns the maximum number of events in the queue. The sink drops further events and counts them.
    #[must_use]
    pub fn queue_capacity(&self) -> usize {
        self.limits.queue_capacity
    }

    /// Returns the maximum number of spans or log records in one request. It is at most the queue
    /// capacity.
    #[must_use]
    pub fn batch_size(&self) -> usize {
        self.limits.batch_size
    }

    /// Returns how long spans and log records wait for a batch to fill.
    #[must_use]
    pub fn schedule_delay(&self) -> Duration {
        self.limits.schedule_delay
    }

    /// Returns the interval between two exports of metrics.
    #[must_use]
    pub fn metric_interval(&self) -> Duration {
        self.limits.metric_interval
    }
}

// === impl Limits ===

impl Limits {
    /// The default time limit of one request.
    pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

    pub(super) fn check_count(count: usize) -> Result<usize, InvalidValue> {
        if (1..=MAX_COUNT).contains(&count) {
            Ok(count)
        } else {
            Err("invalid number: expected a whole number from 1 to 1048576".into())
        }
    }

    pub(super) fn check_duration(duration: Duration) -> Result<Duration, InvalidValue> {
        if !duration.is_zero() && duration <= MAX_DURATION {
            Ok(duration)
        } else {
            Err("invalid duration: expected more than 0 and at most 2147483647 ms".into())
        }
    }
}

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

// === impl Resource ===

impl Resource {
    pub(super) fn set_service_name(&mut self, name: impl Into<String>) {
        self.set(KeyValue::new(SERVICE_NAME, name.into()));
    }

    /// Sets an attribute, and replaces one with the same key.
    pub(super) fn set(&mut self, attribute: KeyValue) {
        match self.0.iter_mut().find(|old| old.key == attribute.key) {
            Some(old) => *old = attribute,
            None => self.0.push(attribute),
        }
    }
}

impl Default for Resource {
    /// Has the `service.name` that the OpenTelemetry specification gives to unnamed programs.
    fn default() -> Self {
        let name = env::current_exe().ok().and_then(|path| {
            let name = path.file_name()?.to_str()?;
            Some(format!("unknown_service:{name}"))
        });
        let name = name.unwrap_or_else(|| "unknown_service".to_owned());
        Self(vec![KeyValue::new(SERVICE_NAME, name)])
    }
}
