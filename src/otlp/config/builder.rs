use std::{path::PathBuf, time::Duration};

use opentelemetry::KeyValue;

use super::{
    ConfigError, Endpoint, OtlpConfig, Protocol, Sampler, Signal, SignalConfig, Tls,
    error::InvalidValue,
    headers::Headers,
    otlp_config::{Limits, Resource},
    sampler,
    signal::ClientFiles,
};

/// Builds an [`OtlpConfig`] without reading the environment.
///
/// Without an endpoint, all signals go to a collector on this machine. [`build`](Self::build) reports the
/// first invalid value.
///
/// ```
/// use std::time::Duration;
///
/// use codex_telemetry::otlp::config::{OtlpConfig, Protocol, Sampler, Signal};
///
/// let config = OtlpConfig::builder()
///     .endpoint("https://collector.example:4318/otlp")
///     .header("authorization", "Bearer s3cret")
///     .protocol(Protocol::HttpJson)
///     .timeout(Duration::from_secs(3))
///     .gzip(true)
///     .signals([Signal::Traces, Signal::Metrics])
///     .service_name("release-bot")
///     .sampler(Sampler::ParentBasedTraceIdRatio(0.1))
///     .build()?;
/// let traces = config.traces().expect("traces are enabled");
/// assert_eq!(traces.endpoint().to_string(), "https://collector.example:4318/otlp/v1/traces");
/// assert!(config.logs().is_none());
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct OtlpConfigBuilder {
    endpoint: Option<Endpoint>,
    signal_endpoints: Vec<(Signal, Endpoint)>,
    headers: Headers,
    protocol: Protocol,
    timeout: Option<Duration>,
    gzip: bool,
    tls: Tls,
    signals: Option<Vec<Signal>>,
    resource: Resource,
    sampler: Sampler,
    limits: Limits,
    batch_size: Option<usize>,
    error: Option<ConfigError>,
}

impl OtlpConfig {
    /// Returns a builder, which does not read the environment.
    pub fn builder() -> OtlpConfigBuilder {
        OtlpConfigBuilder::default()
    }
}

impl OtlpConfigBuilder {
    /// Sets the base URL of all signals. Over HTTP, `/v1/traces`, `/v1/metrics` or `/v1/logs` is
    /// appended.
    pub fn endpoint(mut self, url: &str) -> Self {
        self.endpoint = self.check("endpoint", Endpoint::parse(url));
        self
    }

    /// Sets the URL of one signal. Nothing is appended to it.
    ///
    /// Without an [`endpoint`](Self::endpoint), only signals with a URL of their own are exported.
    pub fn signal_endpoint(mut self, signal: Signal, url: &str) -> Self {
        if let Some(endpoint) = self.check("signal_endpoint", Endpoint::parse(url)) {
            self.signal_endpoints.retain(|(of, _)| *of != signal);
            self.signal_endpoints.push((signal, endpoint));
        }
        self
    }

    /// Adds a header to every request. The value is not percent-decoded, and is treated as a secret.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let inserted = self.headers.insert(name, value);
        self.check("header", inserted);
        self
    }

    /// Sets the protocol.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        let protocol = self.check("protocol", protocol.supported());
        self.protocol = protocol.unwrap_or_default();
        self
    }

    /// Sets the time limit of one request.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = self.check("timeout", Limits::check_duration(timeout));
        self
    }

    /// Sets whether requests are compressed.
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// Sets the PEM file of the root certificates to trust instead of those of the system.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.ca = Some(path.into());
        self
    }

    /// Sets the PEM files of the client certificate and of its private key.
    pub fn client_certificate_file(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls.client = Some(ClientFiles {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// Sets the signals to export. The default is all of them.
    pub fn signals(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.signals = Some(signals.into_iter().collect());
        self
    }

    /// Sets the resource attribute `service.name`.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.resource.set_service_name(name);
        self
    }

    /// Adds a resource attribute.
    pub fn resource_attribute(mut self, attribute: KeyValue) -> Self {
        self.resource.set(attribute);
        self
    }

    /// Sets the sampler.
    pub fn sampler(mut self, mut sampler: Sampler) -> Self {
        let ratio = sampler.ratio_mut().map_or(1.0, |ratio| *ratio);
        self.check("sampler", sampler::check_ratio(ratio));
        self.sampler = sampler;
        self
    }

    /// Sets the maximum number of events in the queue.
    pub fn queue_capacity(mut self, events: usize) -> Self {
        if let Some(events) = self.check("queue_capacity", Limits::check_count(events)) {
            self.limits.queue_capacity = events;
        }
        self
    }

    /// Sets the maximum number of spans or log records in one request.
    pub fn batch_size(mut self, records: usize) -> Self {
        self.batch_size = self.check("batch_size", Limits::check_count(records));
        self
    }

    /// Sets how long spans and log records wait for a batch to fill.
    pub fn schedule_delay(mut self, delay: Duration) -> Self {
        if let Some(delay) = self.check("schedule_delay", Limits::check_duration(delay)) {
            self.limits.schedule_delay = delay;
        }
        self
    }

    /// Sets the interval between two exports of metrics.
    pub fn metric_interval(mut self, interval: Duration) -> Self {
        if let Some(interval) = self.check("metric_interval", Limits::check_duration(interval)) {
            self.limits.metric_interval = interval;
        }
        self
    }

    /// Returns the configuration.
    ///
    /// # Errors
    ///
    /// Returns a [`ConfigError`] for the first invalid value: a URL, a header, a ratio, a number or a
    /// duration, gRPC without the crate feature `grpc`, a batch size above the queue capacity, or no
    /// signal at all.
    pub fn build(mut self) -> Result<OtlpConfig, ConfigError> {
        let mut limits = self.limits;
        if self
            .batch_size
            .is_some_and(|size| size > limits.queue_capacity)
        {
            self.check::<()>("batch_size", Err("larger than the queue".into()));
        }
        limits.batch_size = self.batch_size.unwrap_or(limits.batch_size);
        limits.batch_size = limits.batch_size.min(limits.queue_capacity);
        let signals = Signal::ALL.map(|signal| self.signal(signal));
        if signals.iter().all(Option::is_none) {
            self.check::<()>("signals", Err("expected at least one signal".into()));
        }
        match self.error {
            Some(error) => Err(error),
            None => Ok(OtlpConfig {
                signals,
                resource: self.resource,
                sampler: self.sampler,
                limits,
            }),
        }
    }

    fn signal(&self, signal: Signal) -> Option<SignalConfig> {
        let signals = self.signals.as_deref().unwrap_or(&Signal::ALL);
        if !signals.contains(&signal) {
            return None;
        }
        let own = self.signal_endpoints.iter().find(|(of, _)| *of == signal);
        let endpoint = match (own, &self.endpoint) {
            (Some((_, own)), _) => own.clone(),
            (None, Some(base)) => base.for_signal(signal, self.protocol),
            (None, None) if self.signal_endpoints.is_empty() => {
                Endpoint::local(signal, self.protocol)
            }
            (None, None) => return None,
        };
        Some(SignalConfig {
            endpoint,
            headers: self.headers.clone(),
            protocol: self.protocol,
            timeout: self.timeout.unwrap_or(Limits::REQUEST_TIMEOUT),
            gzip: self.gzip,
            tls: self.tls.clone(),
        })
    }

    /// Returns a valid value. Keeps the first invalid one for `build`.
    fn check<T>(&mut self, setting: &'static str, value: Result<T, InvalidValue>) -> Option<T> {
        let invalid = match value {
            Ok(value) => return Some(value),
            Err(invalid) => invalid,
        };
        self.error.get_or_insert(ConfigError { setting, invalid });
        None
    }
}
