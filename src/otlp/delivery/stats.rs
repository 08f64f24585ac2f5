use std::fmt;

use crate::otlp::config::Signal;

/// The counters of an [`OtlpSink`](crate::OtlpSink), by signal.
///
/// With the feature `json` it implements `serde::Serialize`.
///
/// ```
/// use codex_telemetry::{OtlpConfig, OtlpSink, otlp::Signal};
///
/// let config = OtlpConfig::builder().signals([Signal::Traces]).build()?;
/// let sink = OtlpSink::start(config);
/// // … calls are made …
/// let traces = sink.stats().traces;
/// let known = traces.exported + traces.failed + traces.filtered;
/// assert_eq!(traces.accepted, known + traces.pending);
/// assert_eq!(traces, sink.stats().of(Signal::Traces));
/// println!("{}", sink.stats());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Spans: one for each call that ended in a sampled trace, and those of failed traces that are kept.
    pub traces: SignalStats,
    /// Measurements: one for each event. An export of metrics delivers all measurements before it. If the
    /// receiver rejects some of its data points, it is not known which measurements those contain, so all
    /// count as failed.
    pub metrics: SignalStats,
    /// Log records: one for each event.
    pub logs: SignalStats,
}

/// The counters of one signal. A signal that is not exported has zeros.
///
/// `accepted = exported + failed + filtered + pending` holds at every moment. A dropped record was never
/// accepted.
///
/// With the feature `json` it implements `serde::Serialize`.
///
/// ```
/// use codex_telemetry::otlp::{Signal, SignalStats, Stats};
///
/// /// Whether somebody should look at the export.
/// fn loses(stats: &SignalStats) -> bool {
///     stats.failed + stats.dropped > 0
/// }
///
/// let mut stats = Stats::default();
/// assert!(!Signal::ALL.iter().any(|signal| loses(&stats.of(*signal))));
/// stats.logs.dropped = 3;
/// assert!(loses(&stats.of(Signal::Logs)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SignalStats {
    /// Records that the queue accepted.
    pub accepted: u64,
    /// Records that the receiver accepted.
    pub exported: u64,
    /// Records that the receiver rejected, or that could not be delivered.
    pub failed: u64,
    /// Records that were left out: by a processor, because a processor panicked, or by the selection of log
    /// records.
    pub filtered: u64,
    /// Records that were dropped because the queue was full or the sink was shut down.
    pub dropped: u64,
    /// Accepted records that are none of exported, failed and filtered yet.
    pub pending: u64,
}

// === impl Stats ===

impl Stats {
    /// Returns the counters of one signal.
    #[must_use]
    pub const fn of(&self, signal: Signal) -> SignalStats {
        match signal {
            Signal::Traces => self.traces,
            Signal::Metrics => self.metrics,
            Signal::Logs => self.logs,
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, signal) in Signal::ALL.into_iter().enumerate() {
            let stats = self.of(signal);
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{signal}: {} accepted, ", stats.accepted)?;
            write!(f, "{} exported, {} failed, ", stats.exported, stats.failed)?;
            write!(f, "{} dropped", stats.dropped)?;
            if stats.filtered > 0 {
                write!(f, ", {} filtered", stats.filtered)?;
            }
        }
        Ok(())
    }
}
