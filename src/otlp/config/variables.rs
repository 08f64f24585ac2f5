use std::{collections::BTreeMap, ffi::OsString};

use super::{Signal, flaw::Flaw};

/// The variables that may concern this crate.
pub(super) struct Variables(BTreeMap<String, OsString>);

/// A setting that has three variables: ours, the standard's of the signal, and the standard's of all
/// signals. The first that is set counts.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    ours: &'static str,
    /// What comes after `OTEL_EXPORTER_OTLP_` and, perhaps, the signal.
    standard: &'static str,
}

pub(super) const ENDPOINT: Setting = Setting::new("CODEX_OTLP_ENDPOINT", "ENDPOINT");
pub(super) const HEADERS: Setting = Setting::new("CODEX_OTLP_HEADERS", "HEADERS");
pub(super) const PROTOCOL: Setting = Setting::new("CODEX_OTLP_PROTOCOL", "PROTOCOL");
pub(super) const TIMEOUT: Setting = Setting::new("CODEX_OTLP_TIMEOUT", "TIMEOUT");
pub(super) const COMPRESSION: Setting = Setting::new("CODEX_OTLP_COMPRESSION", "COMPRESSION");
pub(super) const CA: Setting = Setting::new("CODEX_OTLP_CACERTFILE", "CERTIFICATE");
pub(super) const CERTIFICATE: Setting = Setting::new("CODEX_OTLP_CERTFILE", "CLIENT_CERTIFICATE");
pub(super) const KEY: Setting = Setting::new("CODEX_OTLP_KEYFILE", "CLIENT_KEY");

/// The variable of a setting, by who it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Ours,
    StandardOfSignal,
    Standard,
}

// === impl Variables ===

impl Variables {
    /// Keeps what may be read later. The last of a name counts.
    pub(super) fn new<K, V>(variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let concerns = |name: &String| name.starts_with("CODEX_OTLP_") || name.starts_with("OTEL_");
        let kept = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into().into_string().ok().filter(concerns)?;
            Some((name, value.into()))
        });
        Self(kept.collect())
    }

    /// The trimmed value; `None` if it is unset or empty.
    pub(super) fn get(&self, name: &str) -> Option<Result<&str, Flaw>> {
        match self.0.get(name)?.to_str().map(str::trim) {
            Some("") => None,
            Some(value) => Some(Ok(value)),
            None => Some(Err("not UTF-8".into())),
        }
    }

    /// The variable of a setting that counts for a signal, and its value.
    pub(super) fn first(
        &self,
        setting: Setting,
        signal: Signal,
    ) -> Option<(Source, String, Result<&str, Flaw>)> {
        let mut named = setting.names(signal).into_iter();
        named.find_map(|(source, name)| {
            let value = self.get(&name)?;
            Some((source, name, value))
        })
    }
}

// === impl Setting ===

impl Setting {
    const fn new(ours: &'static str, standard: &'static str) -> Self {
        Self { ours, standard }
    }

    /// The variables, first those that count more.
    pub(super) fn names(self, signal: Signal) -> [(Source, String); 3] {
        let Self { ours, standard } = self;
        let upper = signal.as_str().to_ascii_uppercase();
        [
            (Source::Ours, ours.to_owned()),
            (
                Source::StandardOfSignal,
                format!("OTEL_EXPORTER_OTLP_{upper}_{standard}"),
            ),
            (Source::Standard, format!("OTEL_EXPORTER_OTLP_{standard}")),
        ]
    }
}
