use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Endpoint, error::InvalidValue, headers::Headers};

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
/// use codex_telemetry::otlp::config::Protocol;
///
/// assert_eq!(Protocol::default().as_str(), "http/protobuf");
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
/// `Debug` and the getters expose no secrets: the endpoint hides user, password and query, and headers
/// show their names only.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let config = OtlpConfig::builder()
///     .endpoint("https://collector:4318")
///     .header("api-key", "s3cret")
///     .build()?;
/// let traces = config.traces().expect("all signals are enabled");
/// assert_eq!(traces.endpoint().to_string(), "https://collector:4318/v1/traces");
/// assert!(traces.header_names().eq(["api-key"]));
/// assert!(!format!("{config:?}").contains("s3cret"));
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SignalConfig {
    pub(crate) endpoint: Endpoint,
    pub(crate) headers: Headers,
    pub(crate) protocol: Protocol,
    pub(crate) timeout: Duration,
    pub(crate) gzip: bool,
    pub(crate) tls: Tls,
}

/// The PEM files of a TLS connection. The exporter reads them when the sink starts.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let config = OtlpConfig::builder().ca_file("/etc/collector/ca.pem").build()?;
/// let tls = config.logs().expect("all signals are enabled").tls();
/// assert_eq!(tls.ca_file(), Some("/etc/collector/ca.pem".as_ref()));
/// assert_eq!(tls.certificate_file(), None);
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) client: Option<ClientFiles>,
}

/// The files of a client certificate and its private key, which are required together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

// === impl Signal ===

impl Signal {
    /// All signals.
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
        [Self::Grpc, Self::HttpProtobuf, Self::HttpJson]
            .into_iter()
            .find(|protocol| text.eq_ignore_ascii_case(protocol.as_str()))
            .ok_or("invalid protocol: expected grpc, http/protobuf or http/json".into())
            .and_then(Self::supported)
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
    /// Returns the URL that requests are sent to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the names of the headers of each request. Their values are secrets.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns the time limit of one request.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns whether requests are compressed.
    #[must_use]
    pub fn gzip(&self) -> bool {
        self.gzip
    }

    /// Returns the files of the TLS connection. An `http` endpoint ignores them.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }
}

// === impl Tls ===

impl Tls {
    /// Returns the file of the trusted root certificates. `None` means those of the system.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Returns the file of the client certificate.
    #[must_use]
    pub fn certificate_file(&self) -> Option<&Path> {
        Some(&self.client.as_ref()?.certificate)
    }

    /// Returns the file of the client certificate's private key.
    #[must_use]
    pub fn key_file(&self) -> Option<&Path> {
        Some(&self.client.as_ref()?.key)
    }
}
