use std::{collections::BTreeMap, env, ffi::OsString, path::PathBuf};

use http::HeaderMap;
use opentelemetry::KeyValue;

use super::{
    BatchLimits, ClientCertificate, ConfigError, Endpoint, HeaderSource, HistogramAggregation,
    Limits, LogSelection, OtlpConfig, Protocol, Sampler, Signal, SignalConfig, Temporality, Tls,
    otlp_config::{self, REQUEST_TIMEOUT, default_resource_attributes},
    proxy,
    value::{
        InvalidValue, parse_attributes, parse_bool, parse_compression, parse_count, parse_headers,
        parse_keyword, parse_millis, parse_ratio, parse_switch,
    },
};

// All variables. `docs/otlp.md` describes them.

const ENABLE: &str = "CODEX_OTLP_ENABLE";
const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
const SIGNALS: &str = "CODEX_OTLP_SIGNALS";
const ENDPOINT: Setting = ["CODEX_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_*ENDPOINT"];
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
const QUEUE_SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const BATCH_SIZE: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
const SCHEDULE_DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const METRIC_INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// The variables of a setting that each signal has: that of this crate, and the standard ones. The `*` of
/// these stands for the signal and `_`, or for nothing.
type Setting = [&'static str; 2];

/// A configuration from environment variables, with a warning for each invalid variable.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let with_warnings = OtlpConfig::from_env();
/// for warning in &with_warnings.warnings {
///     eprintln!("{warning}");
/// }
/// println!("the export is {}", if with_warnings.config.is_some() { "on" } else { "off" });
/// ```
#[derive(Clone, Debug)]
pub struct ConfigWithWarnings {
    /// The configuration; `None` if the export is off.
    pub config: Option<OtlpConfig>,
    /// One warning for each invalid variable. Variables that are not needed are not checked: there are no
    /// warnings while the export is off.
    pub warnings: Vec<ConfigError>,
}

/// The environment variables, and the warnings about those that were read so far.
struct Environment {
    variables: BTreeMap<String, OsString>,
    warnings: Vec<ConfigError>,
}

impl OtlpConfig {
    /// Reads the configuration from the environment variables of this process.
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
        let has_endpoint = |signal: &Signal| self.first(ENDPOINT, *signal).is_some();
        if switch == Some(false) || !(enabled || Signal::ALL.iter().any(has_endpoint)) {
            return None;
        }
        if !enabled && self.read(SDK_DISABLED, parse_bool) == Some(true) {
            return None;
        }
        let selected = self.selected_signals();
        let signals = Signal::ALL.map(|signal| {
            let is_selected = selected.contains(&signal);
            is_selected.then(|| self.signal(signal, enabled)).flatten()
        });
        let is_exported = |signal| signals[signal as usize].is_some();
        if !Signal::ALL.into_iter().any(is_exported) {
            return None;
        }
        let limits = self.limits(is_exported(Signal::Metrics));
        let sampler = is_exported(Signal::Traces).then(|| self.sampler());
        Some(OtlpConfig {
            resource_attributes: self.resource_attributes(),
            signals,
            sampler: sampler.unwrap_or_default(),
            limits,
            temporality: Temporality::default(),
            histogram_aggregation: HistogramAggregation::default(),
            log_selection: LogSelection::default(),
            keeps_failures: false,
            captures_content: false,
        })
    }

    fn selected_signals(&mut self) -> Vec<Signal> {
        let text = self.read(SIGNALS, |text| Ok(text.to_owned()));
        let keywords = Signal::ALL.map(|signal| (signal.as_str(), signal));
        let mut selected = Vec::new();
        for (position, item) in (1..).zip(text.iter().flat_map(|text| text.split(','))) {
            match parse_keyword(&format!("item {position}"), &keywords, item.trim()) {
                Ok(signal) => selected.push(signal),
                Err(_) if item.trim().is_empty() => {}
                Err(invalid) => self.warn(SIGNALS, invalid, "invalid items are ignored"),
            }
        }
        if selected.is_empty() {
            selected.extend(Signal::ALL);
        }
        selected
    }

    /// Reads the configuration of a signal. Without an endpoint, it is exported only if `enabled`.
    fn signal(&mut self, signal: Signal, enabled: bool) -> Option<SignalConfig> {
        let endpoint = match self.first(ENDPOINT, signal) {
            Some((name, text)) => match text.and_then(Endpoint::parse) {
                Ok(endpoint) => Some((name, endpoint)),
                Err(invalid) => {
                    // The next endpoint in the order of precedence may belong to another receiver.
                    self.warn(&name, invalid, "the signals that use it are not exported");
                    return None;
                }
            },
            None if enabled => None,
            None => return None,
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
            Ok(KeyValue::new(otlp_config::SERVICE_NAME, name.to_owned()))
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

    fn limits(&mut self, exports_metrics: bool) -> Limits {
        let default = BatchLimits::default();
        let queue_capacity = self.read(QUEUE_SIZE, parse_count);
        let queue_capacity = queue_capacity.unwrap_or(default.queue_capacity);
        let batch_size = self.read(BATCH_SIZE, parse_count);
        if batch_size.is_some_and(|size| size > queue_capacity) {
            let effect = "the size of the queue is used";
            self.warn(BATCH_SIZE, "larger than the queue".into(), effect);
        }
        let delay = self.read(SCHEDULE_DELAY, parse_millis);
        let interval = exports_metrics.then(|| self.read(METRIC_INTERVAL, parse_millis));
        let batch = BatchLimits {
            queue_capacity,
            batch_size: batch_size.unwrap_or(default.batch_size).min(queue_capacity),
            schedule_delay: delay.unwrap_or(default.schedule_delay),
        };
        let default = Limits::default();
        Limits {
            spans: batch,
            logs: batch,
            metric_interval: interval.flatten().unwrap_or(default.metric_interval),
            ..default
        }
    }

    /// Returns the trimmed value; `None` if it is unset or blank.
    fn get(&self, name: &str) -> Option<Result<&str, InvalidValue>> {
        match self.variables.get(name)?.to_str().map(str::trim) {
            Some("") => None,
            Some(value) => Some(Ok(value)),
            None => Some(Err("invalid UTF-8".into())),
        }
    }

    /// Returns the first variable of a setting that is set, valid or not, and its value.
    fn first(
        &self,
        setting: Setting,
        signal: Signal,
    ) -> Option<(String, Result<&str, InvalidValue>)> {
        let mut variables = variables(setting, signal).into_iter();
        variables.find_map(|name| self.get(&name).map(|value| (name, value)))
    }

    /// Reads a variable. Warns about an invalid value and treats it as unset.
    fn read<T>(&mut self, name: &str, parse: fn(&str) -> Result<T, InvalidValue>) -> Option<T> {
        match self.get(name)?.and_then(parse) {
            Ok(value) => Some(value),
            Err(invalid) => {
                self.warn(name, invalid, "the variable is ignored");
                None
            }
        }
    }

    /// Reads the first valid variable of a setting, and returns its name and its value. Warns about invalid
    /// ones before it.
    fn read_first<T>(
        &mut self,
        setting: Setting,
        signal: Signal,
        parse: fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<(String, T)> {
        let mut variables = variables(setting, signal).into_iter();
        variables.find_map(|name| self.read(&name, parse).map(|value| (name, value)))
    }

    /// Adds a warning, unless there is one about this variable: several signals may read it.
    fn warn(&mut self, variable: &str, reason: InvalidValue, effect: &'static str) {
        let is_known = |warning: &ConfigError| warning.setting == variable;
        if !self.warnings.iter().any(is_known) {
            self.warnings.push(ConfigError {
                setting: variable.to_owned().into(),
                reason,
                effect: Some(effect),
            });
        }
    }
}

/// Returns the variables of a setting in their order of precedence: that of this crate, the standard one of
/// the signal, the standard one of all signals.
fn variables([crate_variable, standard]: Setting, signal: Signal) -> [String; 3] {
    let signal = signal.as_str().to_ascii_uppercase() + "_";
    [
        crate_variable.to_owned(),
        standard.replace('*', &signal),
        standard.replace('*', ""),
    ]
}
