use std::{env, ffi::OsString};

use super::{
    ConfigWarning, OtlpConfig, Sampler, Signal, connection,
    flaw::Flaw,
    limits::{self, Limits},
    reader::Reader,
    resource::{self, Resource},
    sampler,
    variables::{ENDPOINT, Variables},
};

/// What the variables of the environment came to.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let setup = OtlpConfig::from_env();
/// for warning in &setup.warnings {
///     eprintln!("{warning}");
/// }
/// println!("the export is {}", if setup.config.is_some() { "on" } else { "off" });
/// ```
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration; `None` if the export is off.
    pub config: Option<OtlpConfig>,
    /// One for each variable that was not usable. What nothing asks for is not looked at: while the
    /// export is switched off there are none.
    pub warnings: Vec<ConfigWarning>,
}

impl OtlpConfig {
    /// Returns what the variables of this process come to.
    #[must_use]
    pub fn from_env() -> Setup {
        Self::from_variables(env::vars_os())
    }

    /// Returns what these variables come to, and no others.
    ///
    /// ```
    /// use codex_telemetry::otlp::config::OtlpConfig;
    ///
    /// let setup = OtlpConfig::from_variables([("CODEX_OTLP_ENDPOINT", "nonsense")]);
    /// assert!(setup.config.is_none());
    /// assert_eq!(setup.warnings[0].variable(), "CODEX_OTLP_ENDPOINT");
    /// ```
    pub fn from_variables<K, V>(variables: impl IntoIterator<Item = (K, V)>) -> Setup
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let variables = Variables::new(variables);
        let mut reader = Reader::new(&variables);
        let config = read(&mut reader);
        Setup {
            config,
            warnings: reader.into_warnings(),
        }
    }
}

fn read(reader: &mut Reader<'_>) -> Option<OtlpConfig> {
    let switch = reader.read(
        "CODEX_OTLP_ENABLE",
        parse_switch,
        "using the endpoints to decide",
    );
    let forced = switch == Some(true);
    let named = |signal: &Signal| reader.variables.first(ENDPOINT, *signal).is_some();
    if switch == Some(false) || !(forced || Signal::ALL.iter().any(named)) {
        return None;
    }
    if !forced && reader.read("OTEL_SDK_DISABLED", parse_bool, "using false") == Some(true) {
        return None;
    }
    let signals = read_signals(reader);
    let targets = connection::targets(reader, &signals, forced);
    let mut configs = connection::configs(reader, targets);
    let mut config = OtlpConfig::of_signals(|signal| {
        let at = configs.iter().position(|(of, _)| *of == signal)?;
        Some(configs.swap_remove(at).1)
    })?;
    config.resource = read_resource(reader);
    if config.traces.is_some() {
        config.sampler = read_sampler(reader);
    }
    config.limits = read_limits(reader, config.metrics.is_some());
    Some(config)
}

/// The signals that are wanted: all, unless it is said.
fn read_signals(reader: &mut Reader<'_>) -> Vec<Signal> {
    const NAME: &str = "CODEX_OTLP_SIGNALS";
    let (wanted, flaw) = match reader.variables.get(NAME) {
        None => return Signal::ALL.to_vec(),
        Some(Ok(text)) => parse_signals(text),
        Some(Err(flaw)) => (Vec::new(), Some(flaw)),
    };
    let wanted = match wanted.len() {
        0 => Signal::ALL.to_vec(),
        _ => wanted,
    };
    if let Some(flaw) = flaw {
        let names: Vec<_> = wanted.iter().map(|signal| signal.as_str()).collect();
        reader.warn(NAME, flaw, format!("using {}", names.join(",")));
    }
    wanted
}

fn parse_signals(text: &str) -> (Vec<Signal>, Option<Flaw>) {
    let names: Vec<_> = text.split(',').map(str::trim).collect();
    let is = |name: &str, signal: Signal| name.eq_ignore_ascii_case(signal.as_str());
    let known = |name: &str| Signal::ALL.into_iter().any(|signal| is(name, signal));
    let unknown = names
        .iter()
        .position(|name| !name.is_empty() && !known(name));
    let flaw = unknown.map(|at| {
        let position = at + 1;
        format!("item {position} is none of traces, metrics, logs").into()
    });
    let mut wanted = Signal::ALL.to_vec();
    wanted.retain(|signal| names.iter().any(|name| is(name, *signal)));
    (wanted, flaw)
}

fn read_resource(reader: &mut Reader<'_>) -> Resource {
    const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let mut resource = Resource::default();
    let attributes = reader.read(ATTRIBUTES, resource::parse, "using none of it");
    for attribute in attributes.into_iter().flatten() {
        resource.set(attribute);
    }
    let instead = format!("using what {ATTRIBUTES} says, or unknown_service");
    if let Some(name) = reader.read("OTEL_SERVICE_NAME", |name| Ok(name.to_owned()), instead) {
        resource.set_service_name(name);
    }
    resource
}

fn read_sampler(reader: &mut Reader<'_>) -> Sampler {
    let instead = "using parentbased_always_on";
    let sampler = reader.read("OTEL_TRACES_SAMPLER", Sampler::parse, instead);
    let mut sampler = sampler.unwrap_or_default();
    if let Some(ratio) = sampler.ratio_mut() {
        let read = reader.read("OTEL_TRACES_SAMPLER_ARG", sampler::parse_ratio, "using 1.0");
        *ratio = read.unwrap_or(*ratio);
    }
    sampler
}

fn read_limits(reader: &mut Reader<'_>, metrics: bool) -> Limits {
    const BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    let mut limits = Limits::default();
    let mut count = |name, count: &mut usize| {
        let read = reader.read(name, limits::parse_count, format!("using {count}"));
        *count = read.unwrap_or(*count);
        read.is_some()
    };
    count("OTEL_BSP_MAX_QUEUE_SIZE", &mut limits.queue_capacity);
    let said = count(BATCH, &mut limits.batch_size);
    if limits.batch_size > limits.queue_capacity {
        limits.batch_size = limits.queue_capacity;
        if said {
            let instead = format!("using {}", limits.batch_size);
            reader.warn(BATCH, "more than the queue holds".into(), instead);
        }
    }
    let mut duration = |name, duration: &mut _| {
        let instead = format!("using {} ms", std::time::Duration::as_millis(duration));
        let read = reader.read(name, limits::parse_millis, instead);
        *duration = read.unwrap_or(*duration);
    };
    duration("OTEL_BSP_SCHEDULE_DELAY", &mut limits.schedule_delay);
    if metrics {
        duration("OTEL_METRIC_EXPORT_INTERVAL", &mut limits.metric_interval);
    }
    limits
}

fn parse_switch(text: &str) -> Result<bool, Flaw> {
    match &*text.to_ascii_lowercase() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("neither on nor off".into()),
    }
}

/// The standard's own booleans, of which there are no more.
fn parse_bool(text: &str) -> Result<bool, Flaw> {
    match &*text.to_ascii_lowercase() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("neither true nor false".into()),
    }
}
