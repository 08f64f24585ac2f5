use std::{env, ffi::OsString, path::PathBuf};

use http::HeaderMap;
use opentelemetry::KeyValue;

use super::{
    ClientCertificate, ConfigError, Endpoint, HeaderSource, HistogramAggregation, LogSelection,
    OtlpConfig, Protocol, Sampler, Signal, SignalConfig, Temporality, Tls,
    otlp_config::{REQUEST_TIMEOUT, Settings},
    proxy,
    resource::{self, default_resource_attributes},
    value::{
        InvalidValue, parse_attributes, parse_bool, parse_compression, parse_headers,
        parse_keyword, parse_millis, parse_ratio, parse_switch,
    },
    variables::{Environment, Setting, variables},
};

// The variables, except those of the limits. `docs/otlp.md` describes them all.

const ENABLE: &str = "CODEX_OTLP_ENABLE";
const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
const SIGNALS: &str = "CODEX_OTLP_SIGNALS";
/// The `*` stands for the signal.
const EXPORTER: &str = "OTEL_*_EXPORTER";
const ENDPOINT: Setting = ["CODEX_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_*ENDPOINT"];
/// Has no variable of this crate, whose endpoint can have a scheme.
const INSECURE: Setting = ["", "OTEL_EXPORTER_OTLP_*INSECURE"];
const HEADERS: Setting = ["CODEX_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_*HEADERS"];
const HEADERS_FILE: &str = "CODEX_OTLP_HEADERS_FILE";
const PROTOCOL: Setting = ["CODEX_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_*PROTOCOL"];
const TIMEOUT: Setting = ["CODEX_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_*TIMEOUT"];
const COMPRESSION: Setting = ["CODEX_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_*COMPRESSION"];
const CA: Setting = ["CODEX_OTLP_CACERTFILE", "OTEL_EXPORTER_OTLP_*CERTIFICATE"];
const CERTIFICATE: Setting = [
    "CODEX_OTLP_CERTFILE",
    "OTEL_EXPORTER_OTLP_*CLIENT_CERTIFICATE",
];
const KEY: Setting = ["CODEX_OTLP_KEYFILE", "OTEL_EXPORTER_OTLP_*CLIENT_KEY"];
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
const AGGREGATION: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
const LOG_RECORDS: &str = "CODEX_OTLP_LOG_RECORDS";
const KEEP_FAILURES: &str = "CODEX_OTLP_KEEP_FAILURES";
const CONTENT: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";
const OPT_IN: &str = "OTEL_SEMCONV_STABILITY_OPT_IN";

/// An exporter that a variable names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Exporter {
    Otlp,
    None,
    /// Another exporter of the OpenTelemetry specification.
    Other,
}

const EXPORTERS: &[(&str, Exporter)] = &[
    ("otlp", Exporter::Otlp),
    ("none", Exporter::None),
    ("console", Exporter::Other),
    ("logging", Exporter::Other),
    ("otlp/stdout", Exporter::Other),
    ("prometheus", Exporter::Other),
    ("zipkin", Exporter::Other),
];

/// A configuration from environment variables, with a warning for each invalid variable.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// // Like `OtlpConfig::from_env`, and of these variables alone.
/// let with_warnings = OtlpConfig::from_variables([
///     ("CODEX_OTLP_ENDPOINT", "http://collector:4318"),
///     ("CODEX_OTLP_COMPRESSION", "rar"),
/// ]);
/// for warning in &with_warnings.warnings {
///     eprintln!("{warning}");
/// }
/// assert_eq!(with_warnings.warnings.len(), 1);
/// assert!(with_warnings.config.is_some(), "a warning does not switch the export off");
/// ```
#[derive(Clone, Debug)]
pub struct ConfigWithWarnings {
    /// The configuration; `None` if the export is off.
    pub config: Option<OtlpConfig>,
    /// One warning for each invalid variable. Variables that are not needed are not checked: there are no
    /// warnings while the export is off.
    pub warnings: Vec<ConfigError>,
}

impl OtlpConfig {
    /// Reads the configuration from the environment variables of this process.
    ///
    /// ```
    /// use codex_telemetry::otlp::config::OtlpConfig;
    ///
    /// let with_warnings = OtlpConfig::from_env();
    /// for warning in &with_warnings.warnings {
    ///     eprintln!("{warning}");
    /// }
    /// let is_on = with_warnings.config.is_some();
    /// println!("the export is {}", if is_on { "on" } else { "off" });
    /// ```
    #[must_use]
    pub fn from_env() -> ConfigWithWarnings {
        Self::from_variables(env::vars_os())
    }

    /// Reads the configuration from these variables only.
    ///
    /// ```
    /// use codex_telemetry::otlp::config::OtlpConfig;
    ///
    /// let with_warnings = OtlpConfig::from_variables([("CODEX_OTLP_ENDPOINT", "nonsense")]);
    /// assert!(with_warnings.config.is_none());
    /// assert_eq!(with_warnings.warnings[0].setting(), "CODEX_OTLP_ENDPOINT");
    /// ```
    pub fn from_variables<K, V>(variables: impl IntoIterator<Item = (K, V)>) -> ConfigWithWarnings
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        // No variable of a setting has a name that is not UTF-8.
        let variables = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into().into_string().ok()?;
            Some((name, value.into()))
        });
        let mut environment = Environment {
            variables: variables.collect(),
            warnings: Vec::new(),
        };
        let config = environment.config();
        ConfigWithWarnings {
            config,
            warnings: environment.warnings,
        }
    }
}

// === impl Environment ===

impl Environment {
    fn config(&mut self) -> Option<OtlpConfig> {
        let switch = self.read(ENABLE, parse_switch);
        let enabled = switch == Some(true);
        let has_endpoint = |signal| self.first(ENDPOINT, signal).is_some();
        let mut is_on = Signal::ALL.map(|signal| enabled || has_endpoint(signal));
        if switch == Some(false) || !is_on.contains(&true) {
            return None;
        }
        if !enabled && self.read(SDK_DISABLED, parse_bool) == Some(true) {
            return None;
        }
        self.select(&mut is_on);
        let mut log_selection = LogSelection::default();
        let logs = &mut is_on[Signal::Logs as usize];
        if *logs {
            self.set(&mut log_selection, LOG_RECORDS, LogSelection::parse);
            *logs = log_selection != LogSelection::None;
        }

        let signals = Signal::ALL.map(|signal| {
            let is_on = is_on[signal as usize];
            is_on.then(|| self.signal(signal)).flatten()
        });
        let [traces, metrics, logs] = signals.each_ref().map(Option::is_some);
        if !(traces || metrics || logs) {
            return None;
        }
        let mut settings = Settings {
            limits: self.limits(traces, metrics, logs),
            log_selection,
            ..Settings::default()
        };
        if traces {
            settings.sampler = self.sampler();
            self.set(&mut settings.keeps_failures, KEEP_FAILURES, parse_switch);
            self.set(&mut settings.captures_content, CONTENT, parse_capture);
        }
        if metrics {
            let aggregation = &mut settings.histogram_aggregation;
            self.set(aggregation, AGGREGATION, HistogramAggregation::parse);
            self.set(&mut settings.temporality, TEMPORALITY, Temporality::parse);
            self.set(&mut settings.latest_conventions, OPT_IN, parse_opt_in);
        }
        Some(OtlpConfig {
            signals,
            resource_attributes: self.resource_attributes(),
            settings,
        })
    }

    /// Switches the signals off that `CODEX_OTLP_SIGNALS` does not name. If it names none, those of other
    /// exporters.
    fn select(&mut self, is_on: &mut [bool; 3]) {
        let keywords = Signal::ALL.map(|signal| (signal.as_str(), signal));
        let selected = self.read_list(SIGNALS, &keywords);
        for signal in Signal::ALL {
            let is_on = &mut is_on[signal as usize];
            *is_on = *is_on
                && match &*selected {
                    [] => self.is_exported_over_otlp(signal),
                    selected => selected.contains(&signal),
                };
        }
    }

    /// Returns whether OTLP is among the exporters of a signal. It is the default.
    fn is_exported_over_otlp(&mut self, signal: Signal) -> bool {
        let name = EXPORTER.replace('*', &signal.as_str().to_ascii_uppercase());
        let exporters = self.read_list(&name, EXPORTERS);
        let is_exported = exporters.is_empty() || exporters.contains(&Exporter::Otlp);
        if !is_exported && exporters.contains(&Exporter::Other) {
            let reason = "unsupported exporter: expected otlp or none".into();
            self.warn(&name, reason, "the signal is not exported");
        }
        is_exported
    }

    /// Reads the configuration of a signal; `None` if its endpoint is invalid.
    fn signal(&mut self, signal: Signal) -> Option<SignalConfig> {
        let endpoint = match self.first(ENDPOINT, signal) {
            Some((name, text)) => {
                let text = text.map(str::to_owned);
                let endpoint = text.and_then(|text| self.endpoint(&text, signal));
                // The next endpoint in the order of precedence may belong to another receiver.
                let effect = "the signals that use it are not exported";
                let endpoint = endpoint.map_err(|invalid| self.warn(&name, invalid, effect));
                Some((name, endpoint.ok()?))
            }
            None => None,
        };
        let protocol = self.read_first(PROTOCOL, signal, Protocol::parse);
        let protocol = protocol.map_or(Protocol::default(), |(_, protocol)| protocol);
        let endpoint = match endpoint {
            Some((name, endpoint)) if name == variables(ENDPOINT, signal)[1] => endpoint,
            Some((_, base)) => base.for_signal(signal, protocol),
            None => Endpoint::local(signal, protocol),
        };
        let timeout = self.read_first(TIMEOUT, signal, parse_millis);
        let gzip = self.read_first(COMPRESSION, signal, parse_compression);
        Some(SignalConfig {
            proxy: self.proxy(&endpoint, protocol),
            endpoint,
            protocol,
            timeout: timeout.map_or(REQUEST_TIMEOUT, |(_, timeout)| timeout),
            gzip: gzip.is_some_and(|(_, gzip)| gzip),
            headers: self.headers(signal),
            header_source: self
                .read(HEADERS_FILE, |path| Ok(PathBuf::from(path)))
                .map(HeaderSource::File),
            tls: self.tls(signal),
        })
    }

    /// Parses an endpoint. One without a scheme, as gRPC clients accept it, uses TLS unless
    /// `OTEL_EXPORTER_OTLP_INSECURE` says otherwise: requests can have credentials.
    fn endpoint(&mut self, text: &str, signal: Signal) -> Result<Endpoint, InvalidValue> {
        if !Endpoint::is_host_and_port(text) {
            return Endpoint::parse(text);
        }
        let [_, of_signal, of_all] = variables(INSECURE, signal);
        let scheme = match self.read_any(&[of_signal, of_all], parse_bool) {
            Some(true) => "http",
            _ => "https",
        };
        Endpoint::parse(&format!("{scheme}://{text}"))
    }

    /// Reads the headers from the first variable that is set, even if all its headers are invalid. They
    /// are credentials, and those of another variable may belong to another receiver.
    fn headers(&mut self, signal: Signal) -> HeaderMap {
        let Some((name, text)) = self.first(HEADERS, signal) else {
            return HeaderMap::new();
        };
        let (headers, invalid) = match text {
            Ok(text) => parse_headers(text),
            Err(invalid) => (HeaderMap::new(), Some(invalid)),
        };
        if let Some(invalid) = invalid {
            self.warn(&name, invalid, "invalid headers are not sent");
        }
        headers
    }

    /// Reads the proxy for an endpoint.
    fn proxy(&mut self, endpoint: &Endpoint, protocol: Protocol) -> Option<Endpoint> {
        if !proxy::is_possible(endpoint, protocol) {
            return None;
        }
        let mut exclusions = proxy::EXCLUSIONS.iter();
        if let Some(Ok(exclusions)) = exclusions.find_map(|name| self.get(name))
            && proxy::is_excluded(endpoint, exclusions)
        {
            return None;
        }
        let mut variables = proxy::variables(endpoint, self.get(proxy::CGI).is_some()).iter();
        variables.find_map(|name| self.read(name, proxy::parse))
    }

    fn tls(&mut self, signal: Signal) -> Tls {
        let mut file = |setting| self.read_first(setting, signal, |path| Ok(PathBuf::from(path)));
        let (ca, certificate, key) = (file(CA), file(CERTIFICATE), file(KEY));
        let incomplete = match (&certificate, &key) {
            (Some((name, _)), None) => Some((name, "missing file of the private key")),
            (None, Some((name, _))) => Some((name, "missing file of the certificate")),
            _ => None,
        };
        if let Some((name, reason)) = incomplete {
            self.warn(name, reason.into(), "no client certificate is used");
        }
        let client_certificate = certificate.zip(key);
        Tls {
            ca_file: ca.map(|(_, ca_file)| ca_file),
            client_certificate: client_certificate.map(|(certificate, key)| ClientCertificate {
                certificate_file: certificate.1,
                key_file: key.1,
            }),
        }
    }

    fn resource_attributes(&mut self) -> Vec<KeyValue> {
        let mut attributes = default_resource_attributes();
        let given = self.read(RESOURCE_ATTRIBUTES, parse_attributes);
        attributes.extend(given.into_iter().flatten());
        let service_name = self.read(SERVICE_NAME, |name| {
            Ok(KeyValue::new(resource::SERVICE_NAME, name.to_owned()))
        });
        attributes.extend(service_name);
        attributes
    }

    fn sampler(&mut self) -> Sampler {
        let mut sampler = self.read(SAMPLER, Sampler::parse).unwrap_or_default();
        if let Some(ratio) = sampler.ratio_mut() {
            *ratio = self.read(SAMPLER_ARG, parse_ratio).unwrap_or(*ratio);
        }
        sampler
    }
}

/// Parses where contents are recorded. Only spans can have them.
fn parse_capture(text: &str) -> Result<bool, InvalidValue> {
    const KEYWORDS: &[(&str, bool)] = &[
        ("true", true),
        ("span_only", true),
        ("span_and_event", true),
        ("event_only", false),
        ("no_content", false),
        ("false", false),
    ];
    parse_keyword("capture mode", KEYWORDS, text)
}

/// Parses the list of conventions. Other items belong to other instrumentations.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the readers take parsers that can fail"
)]
fn parse_opt_in(text: &str) -> Result<bool, InvalidValue> {
    let mut items = text.split(',').map(str::trim);
    Ok(items.any(|item| item.eq_ignore_ascii_case("gen_ai_latest_experimental")))
}
