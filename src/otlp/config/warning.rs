use std::fmt;

use super::flaw::Flaw;

/// What was wrong with a variable of the environment, and what is used instead.
///
/// It never holds the value, which may be a secret.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let setup = OtlpConfig::from_variables([
///     ("CODEX_OTLP_ENDPOINT", "http://collector:4318"),
///     ("CODEX_OTLP_TIMEOUT", "10s"),
/// ]);
/// assert!(setup.config.is_some());
/// assert_eq!(
///     setup.warnings[0].to_string(),
///     "CODEX_OTLP_TIMEOUT: no whole number of milliseconds from 1 to 2147483647; using 10000 ms",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    variable: String,
    flaw: Flaw,
    instead: String,
}

/// The error of a value that the [builder](super::OtlpConfigBuilder) was given and cannot use.
///
/// It never holds the value, which may be a secret.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let error = OtlpConfig::builder().endpoint("collector").build().unwrap_err();
/// assert_eq!(error.setting(), "endpoint");
/// assert_eq!(error.to_string(), "endpoint: it begins with neither http:// nor https://");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    setting: &'static str,
    flaw: Flaw,
}

// === impl ConfigWarning ===

impl ConfigWarning {
    pub(super) fn new(variable: &str, flaw: Flaw, instead: impl Into<String>) -> Self {
        Self {
            variable: variable.to_owned(),
            flaw,
            instead: instead.into(),
        }
    }

    /// Returns the name of the variable.
    #[must_use]
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable,
            flaw,
            instead,
        } = self;
        write!(f, "{variable}: {flaw}; {instead}")
    }
}

// === impl ConfigError ===

impl ConfigError {
    pub(super) fn new(setting: &'static str, flaw: Flaw) -> Self {
        Self { setting, flaw }
    }

    /// Returns the name of the builder's method that was given the value.
    #[must_use]
    pub fn setting(&self) -> &str {
        self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.flaw)
    }
}

impl std::error::Error for ConfigError {}
