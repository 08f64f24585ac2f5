use std::{path::PathBuf, time::Duration};

use opentelemetry::KeyValue;

use super::{
    ConfigError, Endpoint, OtlpConfig, Protocol, Sampler, Signal, SignalConfig, Tls,
    connection::Target,
    flaw::Flaw,
    headers::Headers,
    limits::{self, REQUEST_TIMEOUT},
    resource::Resource,
    sampler,
    signal::ClientFiles,
};

/// Builds an [`OtlpConfig`] without any environment.
///
/// Without an endpoint it is the collector on this machine. What cannot be used is told by
/// [`build`](Self::build), the first of it.
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
/// let traces = config.traces().expect("they are on");
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
    limits: limits::Limits,
    batch_size: Option<usize>,
    error: Option<ConfigError>,
}

impl OtlpConfig {
    /// Returns a builder, which asks no environment.
    pub fn builder() -> OtlpConfigBuilder {
        OtlpConfigBuilder::default()
    }
}

impl OtlpConfigBuilder {
    /// Sets the endpoint of all signals; over HTTP, `/v1/traces` and so on is appended to it.
    pub fn endpoint(mut self, url: &str) -> Self {
        self.endpoint = self.checked("endpoint", Endpoint::parse(url));
        self
    }

    /// Sets the endpoint of one signal, to be used as it is. Without an [`endpoint`](Self::endpoint)
    /// besides, only the signals are on that have one of their own.
    pub fn signal_endpoint(mut self, signal: Signal, url: &str) -> Self {
        if let Some(endpoint) = self.checked("signal_endpoint", Endpoint::parse(url)) {
            self.signal_endpoints.retain(|(of, _)| *of != signal);
            self.signal_endpoints.push((signal, endpoint));
        }
        self
    }

    /// Adds a header to every request; the value is taken as it is, and is a secret.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let inserted = self.headers.insert(name, value);
        self.checked("header", inserted);
        self
    }

    /// Sets the protocol.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        let protocol = self.checked("protocol", protocol.available());
        self.protocol = protocol.unwrap_or_default();
        self
    }

    /// Sets how long one request may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = self.checked("timeout", limits::check_duration(timeout));
        self
    }

    /// Sets whether requests are compressed.
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// Sets the file of the authorities to trust instead of the system's, in PEM.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.ca = Some(path.into());
        self
    }

    /// Sets the files of the client's certificate and of its private key, in PEM.
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

    /// Sets which signals are exported; all are, unless it is said.
    pub fn signals(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.signals = Some(signals.into_iter().collect());
        self
    }

    /// Sets the `service.name` of the resource.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.resource.set_service_name(name);
        self
    }

    /// Adds an attribute of the resource.
    pub fn resource_attribute(mut self, attribute: KeyValue) -> Self {
        self.resource.set(attribute);
        self
    }

    /// Sets which traces are exported.
    pub fn sampler(mut self, mut sampler: Sampler) -> Self {
        let ratio = sampler.ratio_mut().map_or(1.0, |ratio| *ratio);
        self.checked("sampler", sampler::check_ratio(ratio));
        self.sampler = sampler;
        self
    }

    /// Sets how many events may wait for the export.
    pub fn queue_capacity(mut self, events: usize) -> Self {
        let checked = self.checked("queue_capacity", limits::check_count(events));
        self.limits.queue_capacity = checked.unwrap_or(self.limits.queue_capacity);
        self
    }

    /// Sets how many spans or log records go into one request at most.
    pub fn batch_size(mut self, records: usize) -> Self {
        self.batch_size = self.checked("batch_size", limits::check_count(records));
        self
    }

    /// Sets how long spans and log records wait for a batch to fill.
    pub fn schedule_delay(mut self, delay: Duration) -> Self {
        let checked = self.checked("schedule_delay", limits::check_duration(delay));
        self.limits.schedule_delay = checked.unwrap_or(self.limits.schedule_delay);
        self
    }

    /// Sets how often metrics are exported.
    pub fn metric_interval(mut self, interval: Duration) -> Self {
        let checked = self.checked("metric_interval", limits::check_duration(interval));
        self.limits.metric_interval = checked.unwrap_or(self.limits.metric_interval);
        self
    }

    /// Returns the configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first value that cannot be used: a URL, header, ratio or number out of
    /// bounds, gRPC without the feature `grpc`, a batch larger than the queue, or no signal at all.
    pub fn build(mut self) -> Result<OtlpConfig, ConfigError> {
        let capacity = self.limits.queue_capacity;
        if self.batch_size.is_some_and(|size| size > capacity) {
            self.checked::<()>("batch_size", Err("more than the queue holds".into()));
        }
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let mut config = OtlpConfig::of_signals(|signal| self.signal(signal))
            .ok_or_else(|| ConfigError::new("signals", "there is none to export".into()))?;
        config.resource = self.resource;
        config.sampler = self.sampler;
        let batch_size = self.batch_size.unwrap_or(self.limits.batch_size);
        config.limits = self.limits;
        config.limits.batch_size = batch_size.min(capacity);
        Ok(config)
    }

    fn signal(&self, signal: Signal) -> Option<SignalConfig> {
        let wanted = self.signals.as_ref();
        if wanted.is_some_and(|wanted| !wanted.contains(&signal)) {
            return None;
        }
        let own = self.signal_endpoints.iter().find(|(of, _)| *of == signal);
        let target = match (own, &self.endpoint) {
            (Some((_, own)), _) => Target::Exactly(own.clone()),
            (None, Some(base)) => Target::Below(base.clone()),
            (None, None) if self.signal_endpoints.is_empty() => Target::Default,
            (None, None) => return None,
        };
        Some(SignalConfig {
            endpoint: target.endpoint(signal, self.protocol),
            headers: self.headers.clone(),
            protocol: self.protocol,
            timeout: self.timeout.unwrap_or(REQUEST_TIMEOUT),
            gzip: self.gzip,
            tls: self.tls.clone(),
        })
    }

    /// Keeps the first flaw for `build`.
    fn checked<T>(&mut self, setting: &'static str, value: Result<T, Flaw>) -> Option<T> {
        value
            .map_err(|flaw| {
                self.error
                    .get_or_insert_with(|| ConfigError::new(setting, flaw))
            })
            .ok()
    }
}
