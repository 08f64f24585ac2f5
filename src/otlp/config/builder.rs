use std::{path::PathBuf, time::Duration};

use http::HeaderMap;
use opentelemetry::KeyValue;

use super::{
    BatchLimits, ClientCertificate, ConfigError, Endpoint, HeaderSource, HistogramAggregation,
    Limits, LogSelection, OtlpConfig, Protocol, Sampler, Signal, SignalConfig, Temporality, Tls,
    otlp_config::{REQUEST_TIMEOUT, Settings},
    proxy,
    resource::{SERVICE_NAME, default_resource_attributes},
    value::{InvalidValue, check_duration, check_ratio, insert_header},
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
/// let traces = config.signal(Signal::Traces).expect("traces are enabled");
/// assert_eq!(traces.endpoint.to_string(), "https://collector.example:4318/otlp/v1/traces");
/// assert!(config.signal(Signal::Logs).is_none());
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
///
/// Limits, and what is exported:
///
/// ```
/// use std::time::Duration;
///
/// use codex_telemetry::otlp::config::{
///     HistogramAggregation, LogSelection, OtlpConfig, Temporality,
/// };
/// use opentelemetry::KeyValue;
///
/// let config = OtlpConfig::builder()
///     .resource_attribute(KeyValue::new("deployment.environment.name", "staging"))
///     .temporality(Temporality::Delta)
///     .histogram_aggregation(HistogramAggregation::Base2Exponential)
///     .log_selection(LogSelection::Ends)
///     .keep_failures(true)
///     .capture_content(false)
///     .latest_conventions(true)
///     // What the sink may take of this program.
///     .queue_capacity(4096)
///     .queue_bytes(8 << 20)
///     .batch_size(256)
///     .message_bytes(1 << 20)
///     // When it exports, and for how long it tries.
///     .schedule_delay(Duration::from_secs(1))
///     .max_age(Duration::from_secs(60))
///     .metric_interval(Duration::from_secs(15))
///     .metric_timeout(Duration::from_secs(5))
///     .build()?;
/// assert_eq!(config.limits().queue_capacity(), 4096);
/// assert_eq!(config.limits().logs.schedule_delay, Duration::from_secs(1));
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
///
/// A receiver of one signal, files of credentials, and a proxy:
///
/// ```
/// use codex_telemetry::otlp::config::{OtlpConfig, Signal};
///
/// let config = OtlpConfig::builder()
///     .signal_endpoint(Signal::Traces, "https://traces.example/ingest")
///     .headers_file("/run/secrets/otlp-headers")
///     .proxy("http://me:s3cret@proxy:3128")
///     .ca_file("/etc/collector/ca.pem")
///     .client_certificate_file("/etc/program/cert.pem", "/etc/program/key.pem")
///     .build()?;
/// // Without a base URL, a signal without a URL of its own is off.
/// assert!(config.signal(Signal::Metrics).is_none());
/// assert!(!format!("{config:?}").contains("s3cret"));
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct OtlpConfigBuilder {
    endpoint: Option<Endpoint>,
    /// In the order of [`Signal::ALL`].
    signal_endpoints: [Option<Endpoint>; 3],
    headers: HeaderMap,
    header_source: Option<HeaderSource>,
    proxy: Option<Endpoint>,
    protocol: Protocol,
    timeout: Option<Duration>,
    gzip: bool,
    tls: Tls,
    signals: Option<Vec<Signal>>,
    resource_attributes: Vec<KeyValue>,
    settings: Settings,
    error: Option<ConfigError>,
}

// === impl OtlpConfigBuilder ===

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
        let endpoint = self.check("signal_endpoint", Endpoint::parse(url));
        self.signal_endpoints[signal as usize] = endpoint;
        self
    }

    /// Adds a header to every request. The value is not percent-decoded, and is treated as a secret.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let inserted = insert_header(&mut self.headers, name, value);
        self.check("header", inserted);
        self
    }

    /// Sets a file of headers, such as credentials that expire. It is read before each request, and has the
    /// syntax of `CODEX_OTLP_HEADERS`. Its headers replace those of [`header`](Self::header) with the same
    /// name.
    ///
    /// It has to be a regular file of at most 1 MiB. While it is missing or invalid, the headers that were
    /// read last are sent. If there are none yet, requests wait for them. It replaces
    /// [`headers_with`](Self::headers_with).
    pub fn headers_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.header_source = Some(HeaderSource::File(path.into()));
        self
    }

    /// Sets a function that returns headers, such as credentials that expire. Its headers replace those of
    /// [`header`](Self::header) with the same name.
    ///
    /// It is called before each request, on a thread of its own, so it may block. The request waits for it, but
    /// not longer than the [`timeout`](Self::timeout). Its panics are caught. If it returns an error, which is
    /// shown and must not contain secrets, or blocks for too long, the headers of the last call are sent. If
    /// there are none yet, requests wait for them. It replaces [`headers_file`](Self::headers_file).
    ///
    /// ```
    /// use codex_telemetry::otlp::{OtlpConfig, Signal};
    ///
    /// fn current_token() -> Result<String, String> {
    ///     Ok("s3cret".to_owned())
    /// }
    ///
    /// let config = OtlpConfig::builder()
    ///     .header("tenant", "7")
    ///     .headers_with(|| Ok([("authorization", format!("Bearer {}", current_token()?))]))
    ///     .build()?;
    /// // It is called before each request, and not before.
    /// let traces = config.signal(Signal::Traces).expect("all signals are enabled");
    /// assert!(traces.header_names().eq(["tenant"]));
    /// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
    /// ```
    pub fn headers_with<H, N, V>(
        mut self,
        callback: impl Fn() -> Result<H, String> + Send + Sync + 'static,
    ) -> Self
    where
        H: IntoIterator<Item = (N, V)>,
        N: AsRef<str>,
        V: AsRef<str>,
    {
        self.header_source = Some(HeaderSource::callback(callback));
        self
    }

    /// Sets the URL of an HTTP proxy, which may contain user and password. The default is none, whatever
    /// the environment says.
    ///
    /// Requests to an `https` endpoint go through a tunnel. gRPC to an `http` endpoint ignores the proxy.
    pub fn proxy(mut self, url: &str) -> Self {
        self.proxy = self.check("proxy", proxy::parse(url));
        self
    }

    /// Sets the protocol.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.check("protocol", protocol.supported());
        self.protocol = protocol;
        self
    }

    /// Sets the time limit of one request.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = self.check("timeout", check_duration(timeout));
        self
    }

    /// Sets whether requests are compressed.
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// Sets the PEM file of the root certificates to trust instead of those of the system.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.ca_file = Some(path.into());
        self
    }

    /// Sets the PEM files of the client certificate and of its private key.
    pub fn client_certificate_file(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.tls.client_certificate = Some(ClientCertificate {
            certificate_file: certificate.into(),
            key_file: key.into(),
        });
        self
    }

    /// Sets the signals to export. The default is all of them.
    pub fn signals(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.signals = Some(signals.into_iter().collect());
        self
    }

    /// Sets the resource attribute `service.name`.
    pub fn service_name(self, name: impl Into<String>) -> Self {
        self.resource_attribute(KeyValue::new(SERVICE_NAME, name.into()))
    }

    /// Adds a resource attribute.
    pub fn resource_attribute(mut self, attribute: KeyValue) -> Self {
        self.resource_attributes.push(attribute);
        self
    }

    /// Sets the sampler.
    pub fn sampler(mut self, mut sampler: Sampler) -> Self {
        let ratio = sampler.ratio_mut().map_or(1.0, |ratio| *ratio);
        self.check("sampler", check_ratio(ratio));
        self.settings.sampler = sampler;
        self
    }

    /// Sets all limits. Those of spans and of log records can differ.
    ///
    /// ```
    /// use codex_telemetry::otlp::config::{Limits, OtlpConfig};
    ///
    /// let mut limits = Limits::default();
    /// limits.logs.batch_size = 100;
    /// limits.spans.attributes.value_length = Some(1024);
    /// let config = OtlpConfig::builder().limits(limits).build()?;
    /// assert_eq!(config.limits(), limits);
    /// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Sets the maximum number of events in the queue.
    pub fn queue_capacity(mut self, events: usize) -> Self {
        self.settings.limits.spans.queue_capacity = events;
        self.settings.limits.logs.queue_capacity = events;
        self
    }

    /// Sets the maximum number of spans or log records in one request.
    pub fn batch_size(mut self, records: usize) -> Self {
        self.settings.limits.spans.batch_size = records;
        self.settings.limits.logs.batch_size = records;
        self
    }

    /// Sets how long spans and log records wait for a batch to fill.
    pub fn schedule_delay(mut self, delay: Duration) -> Self {
        self.settings.limits.spans.schedule_delay = delay;
        self.settings.limits.logs.schedule_delay = delay;
        self
    }

    /// Sets the interval between two exports of metrics.
    pub fn metric_interval(mut self, interval: Duration) -> Self {
        self.settings.limits.metric_interval = interval;
        self
    }

    /// Sets the maximum size of the events that wait for their export, in bytes.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.queue_bytes = bytes;
        self
    }

    /// Sets the maximum size of a request before its compression, in bytes.
    pub fn message_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.message_bytes = bytes;
        self
    }

    /// Sets how long an export of spans or log records is retried, from its first attempt on.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.settings.limits.max_age = age;
        self
    }

    /// Sets the time limit of one request with metrics.
    pub fn metric_timeout(mut self, timeout: Duration) -> Self {
        self.settings.limits.metric_timeout = timeout;
        self
    }

    /// Sets what the points of sums and histograms report.
    pub fn temporality(mut self, temporality: Temporality) -> Self {
        self.settings.temporality = temporality;
        self
    }

    /// Sets how histograms are exported.
    pub fn histogram_aggregation(mut self, aggregation: HistogramAggregation) -> Self {
        self.settings.histogram_aggregation = aggregation;
        self
    }

    /// Sets which log records are exported. [`LogSelection::None`] disables the signal.
    pub fn log_selection(mut self, selection: LogSelection) -> Self {
        self.settings.log_selection = selection;
        self
    }

    /// Sets whether the spans of a failed trace are exported even if the trace was not sampled.
    pub fn keep_failures(mut self, keep: bool) -> Self {
        self.settings.keeps_failures = keep;
        self
    }

    /// Sets whether spans have the contents of messages and of tool calls: prompts, answers, arguments and
    /// results. They may be confidential.
    pub fn capture_content(mut self, capture: bool) -> Self {
        self.settings.captures_content = capture;
        self
    }

    /// Sets whether only the latest conventions for generative AI are used, without the metric
    /// `gen_ai.client.token.usage` of older ones.
    pub fn latest_conventions(mut self, latest: bool) -> Self {
        self.settings.latest_conventions = latest;
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
        let limits = &mut self.settings.limits;
        for batch in [&mut limits.spans, &mut limits.logs] {
            if batch.batch_size == BatchLimits::default().batch_size {
                batch.batch_size = batch.batch_size.min(batch.queue_capacity);
            }
        }
        if let Err((setting, invalid)) = limits.check() {
            self.check::<()>(setting, Err(invalid));
        }
        let signals = Signal::ALL.map(|signal| self.signal(signal));
        if signals.iter().all(Option::is_none) {
            self.check::<()>("signals", Err("expected at least one signal".into()));
        }
        let mut resource_attributes = default_resource_attributes();
        resource_attributes.append(&mut self.resource_attributes);
        match self.error {
            Some(error) => Err(error),
            None => Ok(OtlpConfig {
                signals,
                resource_attributes,
                settings: self.settings,
            }),
        }
    }

    fn signal(&self, signal: Signal) -> Option<SignalConfig> {
        let signals = self.signals.as_deref().unwrap_or(&Signal::ALL);
        let has_records =
            signal != Signal::Logs || self.settings.log_selection != LogSelection::None;
        if !signals.contains(&signal) || !has_records {
            return None;
        }
        let endpoint = match (&self.signal_endpoints[signal as usize], &self.endpoint) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(base)) => base.for_signal(signal, self.protocol),
            (None, None) if self.signal_endpoints.iter().any(Option::is_some) => return None,
            (None, None) => Endpoint::local(signal, self.protocol),
        };
        let proxy = self.proxy.clone();
        let proxy = proxy.filter(|_| proxy::is_possible(&endpoint, self.protocol));
        Some(SignalConfig {
            endpoint,
            headers: self.headers.clone(),
            header_source: self.header_source.clone(),
            proxy,
            protocol: self.protocol,
            timeout: self.timeout.unwrap_or(REQUEST_TIMEOUT),
            gzip: self.gzip,
            tls: self.tls.clone(),
        })
    }

    /// Returns a valid value. Keeps the error of the first invalid one, with which `build` fails.
    fn check<T>(&mut self, setting: &'static str, value: Result<T, InvalidValue>) -> Option<T> {
        value
            .map_err(|reason| {
                self.error.get_or_insert(ConfigError {
                    setting: setting.into(),
                    reason,
                    effect: None,
                });
            })
            .ok()
    }
}
