use super::value::{InvalidValue, parse_keyword};

/// Which log records are exported.
///
/// ```
/// use codex_telemetry::otlp::config::{LogSelection, OtlpConfig, Signal};
///
/// let config = OtlpConfig::builder().log_selection(LogSelection::Exceptions).build()?;
/// assert_eq!(config.log_selection(), LogSelection::Exceptions);
/// // None of them: the signal is off.
/// let config = OtlpConfig::builder().log_selection(LogSelection::None).build()?;
/// assert!(config.signal(Signal::Logs).is_none());
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogSelection {
    /// The starts and the ends of calls.
    #[default]
    All,
    /// The ends of calls.
    Ends,
    /// The ends of calls that failed, panicked or were cancelled.
    Exceptions,
    /// No log records: the signal is off.
    None,
}

impl LogSelection {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidValue> {
        const SELECTIONS: &[(&str, LogSelection)] = &[
            ("all", LogSelection::All),
            ("ends", LogSelection::Ends),
            ("exceptions", LogSelection::Exceptions),
            ("none", LogSelection::None),
        ];
        parse_keyword("selection", SELECTIONS, text)
    }
}
