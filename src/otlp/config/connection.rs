use std::path::PathBuf;

use super::{
    Endpoint, Protocol, Signal, SignalConfig, Tls,
    flaw::Flaw,
    headers::Headers,
    limits::{self, REQUEST_TIMEOUT},
    reader::{PassedOver, Reader},
    signal::ClientFiles,
    variables::{
        CA, CERTIFICATE, COMPRESSION, ENDPOINT, HEADERS, KEY, PROTOCOL, Setting, Source, TIMEOUT,
    },
};

/// Where a signal goes, before its protocol is known.
#[derive(Clone)]
pub(super) enum Target {
    /// Below this endpoint.
    Below(Endpoint),
    /// To this endpoint as it is.
    Exactly(Endpoint),
    /// To where a collector on this machine listens.
    Default,
}

impl Target {
    pub(super) fn endpoint(self, signal: Signal, protocol: Protocol) -> Endpoint {
        match self {
            Self::Below(base) => base.for_signal(signal, protocol),
            Self::Exactly(endpoint) => endpoint,
            Self::Default => Endpoint::default_of(protocol).for_signal(signal, protocol),
        }
    }
}

/// The targets of these signals. An endpoint that is not usable switches its signals off: the next in
/// line would be somebody else's, and where data goes is not guessed.
pub(super) fn targets(
    reader: &mut Reader<'_>,
    signals: &[Signal],
    forced: bool,
) -> Vec<(Signal, Target)> {
    let mut targets = Vec::new();
    let mut bad: Vec<(String, Flaw, Vec<Signal>)> = Vec::new();
    for &signal in signals {
        let Some((source, name, value)) = reader.variables.first(ENDPOINT, signal) else {
            if forced {
                targets.push((signal, Target::Default));
            }
            continue;
        };
        match value.and_then(Endpoint::parse) {
            Ok(endpoint) if source == Source::StandardOfSignal => {
                targets.push((signal, Target::Exactly(endpoint)));
            }
            Ok(endpoint) => targets.push((signal, Target::Below(endpoint))),
            Err(flaw) => match bad.iter_mut().find(|(old, ..)| *old == name) {
                Some((_, _, off)) => off.push(signal),
                None => bad.push((name, flaw, vec![signal])),
            },
        }
    }
    for (name, flaw, off) in bad {
        let off: Vec<_> = off.into_iter().map(Signal::as_str).collect();
        reader.warn(&name, flaw, format!("not exporting {}", off.join(", ")));
    }
    targets
}

/// How the signals get to their targets.
pub(super) fn configs(
    reader: &mut Reader<'_>,
    targets: Vec<(Signal, Target)>,
) -> Vec<(Signal, SignalConfig)> {
    let mut over = PassedOver::default();
    let configs = targets
        .into_iter()
        .map(|(signal, target)| (signal, config(reader, signal, target, &mut over)))
        .collect();
    reader.warn_of(over);
    configs
}

fn config(
    reader: &mut Reader<'_>,
    signal: Signal,
    target: Target,
    over: &mut PassedOver,
) -> SignalConfig {
    let protocol = Protocol::default();
    let show = Protocol::to_string;
    let protocol = reader.read_setting(PROTOCOL, signal, Protocol::parse, protocol, show, over);
    let (timeout, parse) = (REQUEST_TIMEOUT, limits::parse_millis);
    let timeout = reader.read_setting(
        TIMEOUT,
        signal,
        parse,
        timeout,
        |timeout| format!("{} ms", timeout.as_millis()),
        over,
    );
    let gzip = reader.read_setting(
        COMPRESSION,
        signal,
        parse_compression,
        false,
        |&gzip| if gzip { "gzip" } else { "no compression" }.to_owned(),
        over,
    );
    SignalConfig {
        endpoint: target.endpoint(signal, protocol),
        headers: read_headers(reader, signal),
        protocol,
        timeout,
        gzip,
        tls: read_tls(reader, signal, over),
    }
}

/// Headers are not mixed from several variables, not even when all of one are unusable: they are
/// credentials, and those of the next variable may be for somebody else.
fn read_headers(reader: &mut Reader<'_>, signal: Signal) -> Headers {
    let Some((_, name, value)) = reader.variables.first(HEADERS, signal) else {
        return Headers::default();
    };
    let (headers, flaw) = match value {
        Ok(text) => Headers::parse(text),
        Err(flaw) => (Headers::default(), Some(flaw)),
    };
    if let Some(flaw) = flaw {
        let instead = if headers.is_empty() {
            "sending no headers of it"
        } else {
            "sending the rest of it"
        };
        reader.warn(&name, flaw, instead);
    }
    headers
}

fn read_tls(reader: &mut Reader<'_>, signal: Signal, over: &mut PassedOver) -> Tls {
    let mut file = |setting, without: &str| {
        let show = |file: &Option<PathBuf>| match file {
            Some(_) => "the file that the next variable names".to_owned(),
            None => without.to_owned(),
        };
        reader.read_setting(
            setting,
            signal,
            |path| Ok(Some(path.into())),
            None,
            show,
            over,
        )
    };
    let ca = file(CA, "the authorities of the system");
    let certificate = file(CERTIFICATE, "no client certificate");
    let key = file(KEY, "no client certificate");
    let client = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(ClientFiles { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            warn_alone(reader, CERTIFICATE, signal, "there is no file of its key");
            None
        }
        (None, Some(_)) => {
            warn_alone(reader, KEY, signal, "there is no file of its certificate");
            None
        }
    };
    Tls { ca, client }
}

fn warn_alone(reader: &mut Reader<'_>, setting: Setting, signal: Signal, flaw: &'static str) {
    let names = setting.names(signal).into_iter().map(|(_, name)| name);
    let used = |name: &String| matches!(reader.variables.get(name), Some(Ok(_)));
    if let Some(name) = names.into_iter().find(used) {
        reader.warn(&name, flaw.into(), "using no client certificate");
    }
}

fn parse_compression(text: &str) -> Result<bool, Flaw> {
    match &*text.to_ascii_lowercase() {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err("neither gzip nor none".into()),
    }
}
