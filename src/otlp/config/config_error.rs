use std::{borrow::Cow, fmt};

use super::value::InvalidValue;

/// An invalid value of an environment variable, or one that was passed to the
/// [builder](super::OtlpConfigBuilder).
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
///
/// As a warning, it also says what the invalid value leads to:
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
pub struct ConfigError {
    pub(super) setting: Cow<'static, str>,
    pub(super) reason: InvalidValue,
    /// What the invalid value leads to, if that is not an error.
    pub(super) effect: Option<&'static str>,
}

// === impl ConfigError ===

impl ConfigError {
    /// Returns the name of the variable, or of the method of the builder.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.reason)?;
        match self.effect {
            Some(effect) => write!(f, "; {effect}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}
