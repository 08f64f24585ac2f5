use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Endpoint, Protocol, headers::Headers};

/// What OTLP carries.
///
/// ```
/// use codex_telemetry::otlp::config::Signal;
///
/// assert_eq!(Signal::ALL.map(Signal::as_str), ["traces", "metrics", "logs"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Spans, one a call.
    Traces,
    /// Histograms and counters.
    Metrics,
    /// Log records, one an event.
    Logs,
}

/// Where one signal goes, and how.
///
/// All that it shows is safe to show: the endpoint without user, password and query, the headers by their
/// names alone.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let config = OtlpConfig::builder()
///     .endpoint("https://collector:4318")
///     .header("api-key", "s3cret")
///     .build()?;
/// let traces = config.traces().expect("all signals are on");
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

/// The files of a TLS connection, in PEM. They are named here and read when the exporter is built.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let config = OtlpConfig::builder().ca_file("/etc/collector/ca.pem").build()?;
/// let tls = config.logs().expect("all signals are on").tls();
/// assert_eq!(tls.ca_file(), Some("/etc/collector/ca.pem".as_ref()));
/// assert_eq!(tls.certificate_file(), None);
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) client: Option<ClientFiles>,
}

/// A client's certificate and its key: one is of no use without the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

// === impl Signal ===

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Returns the name, as `CODEX_OTLP_SIGNALS` has it.
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

// === impl SignalConfig ===

impl SignalConfig {
    /// Returns the URL that is sent to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the names of the headers that go with each request; their values are secrets.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns how long one request may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Returns whether requests are compressed.
    #[must_use]
    pub fn gzip(&self) -> bool {
        self.gzip
    }

    /// Returns the files of the TLS connection, which an `http` endpoint does not use.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }
}

// === impl Tls ===

impl Tls {
    /// Returns the file of the authorities to trust instead of the system's.
    #[must_use]
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// Returns the file of the client's certificate.
    #[must_use]
    pub fn certificate_file(&self) -> Option<&Path> {
        Some(&self.client.as_ref()?.certificate)
    }

    /// Returns the file of the client's private key.
    #[must_use]
    pub fn key_file(&self) -> Option<&Path> {
        Some(&self.client.as_ref()?.key)
    }
}
