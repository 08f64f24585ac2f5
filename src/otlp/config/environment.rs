use std::{collections::BTreeMap, env, ffi::OsString, path::PathBuf, time::Duration};

use super::{
    ConfigWarning, Endpoint, OtlpConfig, Protocol, Sampler, Signal, SignalConfig, Tls,
    error::InvalidValue,
    headers::{self, Headers},
    otlp_config::{Limits, MAX_DURATION, Resource},
    sampler,
    signal::ClientFiles,
};

const IGNORED: &str = "the variable is ignored";

/// A setting with a variable of this crate, and with standard variables that end in this word.
type Setting = (&'static str, &'static str);

const ENDPOINT: Setting = ("CODEX_OTLP_ENDPOINT", "ENDPOINT");
const HEADERS: Setting = ("CODEX_OTLP_HEADERS", "HEADERS");
const PROTOCOL: Setting = ("CODEX_OTLP_PROTOCOL", "PROTOCOL");
const TIMEOUT: Setting = ("CODEX_OTLP_TIMEOUT", "TIMEOUT");
const COMPRESSION: Setting = ("CODEX_OTLP_COMPRESSION", "COMPRESSION");
const CA: Setting = ("CODEX_OTLP_CACERTFILE", "CERTIFICATE");
const CERTIFICATE: Setting = ("CODEX_OTLP_CERTFILE", "CLIENT_CERTIFICATE");
const KEY: Setting = ("CODEX_OTLP_KEYFILE", "CLIENT_KEY");

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
    pub warnings: Vec<ConfigWarning>,
}

/// The environment variables, and the warnings about those that were read so far.
struct Environment {
    variables: BTreeMap<String, OsString>,
    warnings: Vec<ConfigWarning>,
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
    /// assert_eq!(with_warnings.warnings[0].variable(), "CODEX_OTLP_ENDPOINT");
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
        let switch = self.read("CODEX_OTLP_ENABLE", parse_switch);
        let enabled = switch == Some(true);
        let has_endpoint = |signal: &Signal| self.first(ENDPOINT, *signal).is_some();
        if switch == Some(false) || !(enabled || Signal::ALL.iter().any(has_endpoint)) {
            return None;
        }
        if !enabled && self.read("OTEL_SDK_DISABLED", parse_bool) == Some(true) {
            return None;
        }
        let selected = self.selected_signals();
        let signals = Signal::ALL.map(|signal| {
            let is_selected = selected.contains(&signal);
            is_selected.then(|| self.signal(signal, enabled)).flatten()
        });
        let [traces, metrics, logs] = &signals;
        if traces.is_none() && metrics.is_none() && logs.is_none() {
            return None;
        }
        let mut limits = self.limits();
        if metrics.is_some()
            && let Some(interval) = self.read("OTEL_METRIC_EXPORT_INTERVAL", parse_millis)
        {
            limits.metric_interval = interval;
        }
        let sampler = traces.as_ref().map(|_| self.sampler());
        Some(OtlpConfig {
            signals,
            resource: self.resource(),
            sampler: sampler.unwrap_or_default(),
            limits,
        })
    }

    fn selected_signals(&mut self) -> Vec<Signal> {
        const NAME: &str = "CODEX_OTLP_SIGNALS";
        let Some(text) = self.read(NAME, |text| Ok(text.to_owned())) else {
            return Signal::ALL.to_vec();
        };
        let mut selected = Vec::new();
        for (position, item) in (1..).zip(text.split(',').map(str::trim)) {
            let is_item = |signal: &Signal| item.eq_ignore_ascii_case(signal.as_str());
            match Signal::ALL.into_iter().find(is_item) {
                Some(signal) => selected.push(signal),
                None if item.is_empty() => {}
                None => {
                    let invalid =
                        format!("invalid item {position}: expected traces, metrics, logs");
                    self.warn(NAME, invalid.into(), "invalid items are ignored");
                }
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
        let protocol = self.read_setting(PROTOCOL, signal, Protocol::parse);
        let protocol = protocol.unwrap_or_default();
        let endpoint = match endpoint {
            Some((name, endpoint)) if name == variables(ENDPOINT, signal)[1] => endpoint,
            Some((_, base)) => base.for_signal(signal, protocol),
            None => Endpoint::local(signal, protocol),
        };
        let timeout = self.read_setting(TIMEOUT, signal, parse_millis);
        let gzip = self.read_setting(COMPRESSION, signal, parse_compression);
        Some(SignalConfig {
            endpoint,
            headers: self.headers(signal),
            protocol,
            timeout: timeout.unwrap_or(Limits::REQUEST_TIMEOUT),
            gzip: gzip.unwrap_or(false),
            tls: self.tls(signal),
        })
    }

    /// Reads the headers from the first variable that is set, even if all its headers are invalid. They
    /// are credentials, and those of another variable may belong to another receiver.
    fn headers(&mut self, signal: Signal) -> Headers {
        let Some((name, text)) = self.first(HEADERS, signal) else {
            return Headers::default();
        };
        let (headers, invalid) = match text {
            Ok(text) => Headers::parse(text),
            Err(invalid) => (Headers::default(), Some(invalid)),
        };
        if let Some(invalid) = invalid {
            self.warn(&name, invalid, "invalid headers are not sent");
        }
        headers
    }

    fn tls(&mut self, signal: Signal) -> Tls {
        const EFFECT: &str = "no client certificate is used";
        let mut file = |setting| self.read_named(setting, signal, |path| Ok(PathBuf::from(path)));
        let ca = file(CA).map(|(_, ca)| ca);
        let client = match (file(CERTIFICATE), file(KEY)) {
            (Some((_, certificate)), Some((_, key))) => Some(ClientFiles { certificate, key }),
            (Some((name, _)), None) => {
                self.warn(&name, "missing file of the private key".into(), EFFECT);
                None
            }
            (None, Some((name, _))) => {
                self.warn(&name, "missing file of the certificate".into(), EFFECT);
                None
            }
            (None, None) => None,
        };
        Tls { ca, client }
    }

    fn resource(&mut self) -> Resource {
        let mut resource = Resource::default();
        let attributes = self.read("OTEL_RESOURCE_ATTRIBUTES", headers::parse_attributes);
        for attribute in attributes.into_iter().flatten() {
            resource.set(attribute);
        }
        if let Some(name) = self.read("OTEL_SERVICE_NAME", |name| Ok(name.to_owned())) {
            resource.set_service_name(name);
        }
        resource
    }

    fn sampler(&mut self) -> Sampler {
        let sampler = self.read("OTEL_TRACES_SAMPLER", Sampler::parse);
        let mut sampler = sampler.unwrap_or_default();
        if let Some(ratio) = sampler.ratio_mut() {
            let argument = self.read("OTEL_TRACES_SAMPLER_ARG", |text| {
                sampler::check_ratio(text.parse().unwrap_or(f64::NAN))
            });
            *ratio = argument.unwrap_or(*ratio);
        }
        sampler
    }

    fn limits(&mut self) -> Limits {
        const BATCH_SIZE: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
        let mut limits = Limits::default();
        if let Some(capacity) = self.read("OTEL_BSP_MAX_QUEUE_SIZE", parse_count) {
            limits.queue_capacity = capacity;
        }
        let batch_size = self.read(BATCH_SIZE, parse_count);
        if batch_size.is_some_and(|size| size > limits.queue_capacity) {
            let effect = "the size of the queue is used";
            self.warn(BATCH_SIZE, "larger than the queue".into(), effect);
        }
        limits.batch_size = batch_size.unwrap_or(limits.batch_size);
        limits.batch_size = limits.batch_size.min(limits.queue_capacity);
        if let Some(delay) = self.read("OTEL_BSP_SCHEDULE_DELAY", parse_millis) {
            limits.schedule_delay = delay;
        }
        limits
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
                self.warn(name, invalid, IGNORED);
                None
            }
        }
    }

    /// Reads the first valid variable of a setting. Warns about invalid ones before it.
    fn read_setting<T>(
        &mut self,
        setting: Setting,
        signal: Signal,
        parse: fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<T> {
        self.read_named(setting, signal, parse)
            .map(|(_, value)| value)
    }

    fn read_named<T>(
        &mut self,
        setting: Setting,
        signal: Signal,
        parse: fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<(String, T)> {
        let mut variables = variables(setting, signal).into_iter();
        variables.find_map(|name| self.read(&name, parse).map(|value| (name, value)))
    }

    /// Adds a warning, unless there is one about this variable: several signals may read it.
    fn warn(&mut self, variable: &str, invalid: InvalidValue, effect: &'static str) {
        let is_known = |warning: &ConfigWarning| warning.variable == variable;
        if !self.warnings.iter().any(is_known) {
            let variable = variable.to_owned();
            self.warnings.push(ConfigWarning {
                variable,
                invalid,
                effect,
            });
        }
    }
}

/// Returns the variables of a setting in their order of precedence: that of this crate, the standard one of
/// the signal, the standard one of all signals.
fn variables((crate_variable, standard): Setting, signal: Signal) -> [String; 3] {
    let signal = signal.as_str().to_ascii_uppercase();
    [
        crate_variable.to_owned(),
        format!("OTEL_EXPORTER_OTLP_{signal}_{standard}"),
        format!("OTEL_EXPORTER_OTLP_{standard}"),
    ]
}

fn parse_count(text: &str) -> Result<usize, InvalidValue> {
    Limits::check_count(text.parse().unwrap_or(0))
}

fn parse_millis(text: &str) -> Result<Duration, InvalidValue> {
    const INVALID: &str =
        "invalid duration: expected a whole number of milliseconds from 1 to 2147483647";
    let duration = text.parse().map(Duration::from_millis);
    let is_valid = |duration: &Duration| !duration.is_zero() && *duration <= MAX_DURATION;
    duration.ok().filter(is_valid).ok_or(INVALID.into())
}

fn parse_compression(text: &str) -> Result<bool, InvalidValue> {
    match &*text.to_ascii_lowercase() {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err("invalid compression: expected gzip or none".into()),
    }
}

fn parse_switch(text: &str) -> Result<bool, InvalidValue> {
    match &*text.to_ascii_lowercase() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("invalid switch: expected 1, true, yes, on, 0, false, no or off".into()),
    }
}

/// Parses a boolean of the OpenTelemetry specification, which has no other words for it.
fn parse_bool(text: &str) -> Result<bool, InvalidValue> {
    match &*text.to_ascii_lowercase() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("invalid boolean: expected true or false".into()),
    }
}
