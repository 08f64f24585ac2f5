use std::{borrow::Cow, fmt};

/// Why a value is invalid. The text never contains the value: it may be a secret, or part of a secret
/// that was put into the wrong variable.
pub(super) type InvalidValue = Cow<'static, str>;

/// A warning about one environment variable: why its value is invalid, and what that leads to.
///
/// It never contains the value, which may be a secret.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let with_warnings = OtlpConfig::from_variables([
///     ("CODEX_OTLP_ENDPOINT", "http://collector:4318"),
///     ("CODEX_OTLP_TIMEOUT", "10s"),
/// ]);
/// assert!(with_warnings.config.is_some());
/// assert_eq!(
///     with_warnings.warnings[0].to_string(),
///     "CODEX_OTLP_TIMEOUT: invalid duration: expected a whole number of milliseconds from 1 to \
///      2147483647; the variable is ignored",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    pub(super) variable: String,
    pub(super) invalid: InvalidValue,
    /// What the invalid value leads to.
    pub(super) effect: &'static str,
}

/// The error of a value that was passed to the [builder](super::OtlpConfigBuilder) and is invalid.
///
/// It never contains the value, which may be a secret.
///
/// ```
/// use codex_telemetry::otlp::config::OtlpConfig;
///
/// let error = OtlpConfig::builder().endpoint("collector").build().unwrap_err();
/// assert_eq!(error.setting(), "endpoint");
/// assert_eq!(error.to_string(), "endpoint: invalid URL: expected http:// or https://");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) setting: &'static str,
    pub(super) invalid: InvalidValue,
}

// === impl ConfigWarning ===

impl ConfigWarning {
    /// Returns the name of the variable.
    #[must_use]
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.variable, self.invalid, self.effect)
    }
}

// === impl ConfigError ===

impl ConfigError {
    /// Returns the name of the builder method that the value was passed to.
    #[must_use]
    pub fn setting(&self) -> &str {
        self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.invalid)
    }
}

impl std::error::Error for ConfigError {}
