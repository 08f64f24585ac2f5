use std::{fmt, path::PathBuf, time::Duration};

use http::HeaderMap;

use super::{
    Endpoint, HeaderSource,
    value::{InvalidValue, parse_keyword},
};

/// A kind of telemetry data that OTLP transports.
///
/// ```
/// use codex_telemetry::otlp::config::Signal;
///
/// assert_eq!(Signal::ALL.map(Signal::as_str), ["traces", "metrics", "logs"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Spans: one for each call.
    Traces,
    /// Histograms and counters.
    Metrics,
    /// Log records: one for each event.
    Logs,
}

/// The OTLP transport protocol and encoding.
///
/// ```
/// use codex_telemetry::otlp::config::{OtlpConfig, Protocol, Signal};
///
/// assert_eq!(Protocol::default().as_str(), "http/protobuf");
/// let config = OtlpConfig::builder().protocol(Protocol::HttpJson).build()?;
/// let traces = config.signal(Signal::Traces).expect("all signals are enabled");
/// assert_eq!(traces.protocol.to_string(), "http/json");
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// gRPC. Requires the crate feature `grpc`.
    Grpc,
    /// Protobuf over HTTP, the default.
    #[default]
    HttpProtobuf,
    /// JSON over HTTP.
    HttpJson,
}

/// Where and how one signal is exported.
///
/// `Debug` shows no secrets: the endpoint hides user, password and query, and the headers hide their values.
///
/// ```
/// use codex_telemetry::otlp::config::{OtlpConfig, Signal};
///
/// let config = OtlpConfig::builder()
///     .endpoint("https://collector:4318")
///     .header("api-key", "s3cret")
///     .build()?;
/// let traces = config.signal(Signal::Traces).expect("all signals are enabled");
/// assert_eq!(traces.endpoint.to_string(), "https://collector:4318/v1/traces");
/// assert!(traces.header_names().eq(["api-key"]));
/// assert!(!format!("{config:?}").contains("s3cret"));
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SignalConfig {
    /// The URL that requests are sent to.
    pub endpoint: Endpoint,
    /// The headers of each request. Their values are marked as sensitive.
    pub(crate) headers: HeaderMap,
    /// The source of headers that expire. They replace those of the same name.
    pub(crate) header_source: Option<HeaderSource>,
    /// The proxy that requests go through. `None` means that they go to the endpoint directly.
    pub(crate) proxy: Option<Endpoint>,
    /// The protocol.
    pub protocol: Protocol,
    /// The time limit of one request.
    pub timeout: Duration,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// The files of the TLS connection. An `http` endpoint ignores them.
    pub tls: Tls,
}

/// The PEM files of a TLS connection. The exporter reads them when the sink starts, and again before each
/// request: a renewed file is used without a restart.
///
/// ```
/// use codex_telemetry::otlp::config::{OtlpConfig, Signal};
///
/// let config = OtlpConfig::builder().ca_file("/etc/collector/ca.pem").build()?;
/// let tls = &config.signal(Signal::Logs).expect("all signals are enabled").tls;
/// assert_eq!(tls.ca_file.as_deref(), Some("/etc/collector/ca.pem".as_ref()));
/// assert_eq!(tls.client_certificate, None);
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// The file of the trusted root certificates. `None` means those of the system.
    pub ca_file: Option<PathBuf>,
    /// The client certificate, if there is one.
    pub client_certificate: Option<ClientCertificate>,
}

/// The PEM files of a client certificate.
///
/// ```
/// use codex_telemetry::otlp::config::{OtlpConfig, Signal};
///
/// let config = OtlpConfig::builder()
///     .endpoint("https://collector:4318")
///     .client_certificate_file("/etc/program/cert.pem", "/etc/program/key.pem")
///     .build()?;
/// let traces = config.signal(Signal::Traces).expect("all signals are enabled");
/// let certificate = traces.tls.client_certificate.as_ref().expect("it is set");
/// assert_eq!(certificate.key_file, std::path::Path::new("/etc/program/key.pem"));
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The file of the certificate.
    pub certificate_file: PathBuf,
    /// The file of its private key.
    pub key_file: PathBuf,
}

// === impl Signal ===

impl Signal {
    /// All signals.
    // In the order of their declaration: `signal as usize` is the index.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Returns the name that `CODEX_OTLP_SIGNALS` uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Protocol ===

impl Protocol {
    /// Returns the name that the environment variables use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, InvalidValue> {
        let protocols = [Self::Grpc, Self::HttpProtobuf, Self::HttpJson];
        let keywords = protocols.map(|protocol| (protocol.as_str(), protocol));
        parse_keyword("protocol", &keywords, text).and_then(Self::supported)
    }

    /// Rejects a protocol that this build does not support.
    pub(super) fn supported(self) -> Result<Self, InvalidValue> {
        if self == Self::Grpc && !cfg!(feature = "grpc") {
            return Err("unsupported protocol grpc: it requires the crate feature `grpc`".into());
        }
        Ok(self)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl SignalConfig ===

impl SignalConfig {
    /// Returns the names of the configured headers of each request, without those that a file or a callback
    /// adds. Their values are secrets.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.keys().map(|name| name.as_str())
    }
}
