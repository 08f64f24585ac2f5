use super::{OtlpConfig, OtlpSink};

/// Returns the sink that the environment asks for, or `None`, which is a sink that is off.
///
/// It never fails and does not block. What cannot be used in the environment is warned of, once each,
/// and the rest goes on. See [`config`](super::config) for the variables.
///
/// ```
/// use codex_telemetry::{TimingLayer, otlp};
/// use std::time::Duration;
///
/// let sink = otlp::from_env();
/// let layer = TimingLayer::new(sink.clone());
/// // … at exit:
/// if let Some(sink) = sink
///     && let Err(undelivered) = sink.shutdown(Duration::from_secs(5))
/// {
///     eprintln!("{undelivered}");
/// }
/// # let _ = layer;
/// ```
#[must_use]
pub fn from_env() -> Option<OtlpSink> {
    let with_warnings = OtlpConfig::from_env();
    for warning in &with_warnings.warnings {
        tracing::warn!(target: "codex_telemetry", "{warning}");
    }
    with_warnings.config.map(OtlpSink::start)
}
