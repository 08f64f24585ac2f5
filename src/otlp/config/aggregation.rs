use opentelemetry_sdk::metrics;

use super::value::{InvalidValue, parse_keyword};

/// What the points of sums and histograms report.
///
/// ```
/// use codex_telemetry::otlp::config::{OtlpConfig, Temporality};
///
/// // For a backend that takes deltas alone.
/// let config = OtlpConfig::builder().temporality(Temporality::Delta).build()?;
/// assert_eq!(config.temporality(), Temporality::Delta);
/// assert_eq!(OtlpConfig::builder().build()?.temporality(), Temporality::Cumulative);
/// # Ok::<(), codex_telemetry::otlp::config::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Temporality {
    /// Totals since the start of the sink.
    #[default]
    Cumulative,
    /// What was added since the last successful export. The number of active calls stays a total.
    Delta,
    /// As [`Delta`](Self::Delta), and totals for the instruments that an SDK can only observe.
    LowMemory,
}

/// How histograms are exported.
///
/// ```
/// use codex_telemetry::otlp::config::{HistogramAggregation, OtlpConfig};
///
/// let with_warnings = OtlpConfig::from_variables([
///     ("CODEX_OTLP_ENABLE", "1"),
///     ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "base2_exponential_bucket_histogram"),
/// ]);
/// let config = with_warnings.config.expect("it is enabled");
/// assert_eq!(config.histogram_aggregation(), HistogramAggregation::Base2Exponential);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HistogramAggregation {
    /// With the bucket boundaries of the conventions.
    #[default]
    ExplicitBucket,
    /// With exponential buckets, whose scale follows the values.
    Base2Exponential,
}

// === impl Temporality ===

impl Temporality {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidValue> {
        const TEMPORALITIES: &[(&str, Temporality)] = &[
            ("cumulative", Temporality::Cumulative),
            ("delta", Temporality::Delta),
            ("lowmemory", Temporality::LowMemory),
        ];
        parse_keyword("temporality", TEMPORALITIES, text)
    }
}

impl From<Temporality> for metrics::Temporality {
    fn from(temporality: Temporality) -> Self {
        match temporality {
            Temporality::Cumulative => Self::Cumulative,
            Temporality::Delta => Self::Delta,
            Temporality::LowMemory => Self::LowMemory,
        }
    }
}

// === impl HistogramAggregation ===

impl HistogramAggregation {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidValue> {
        use HistogramAggregation::{Base2Exponential, ExplicitBucket};
        const AGGREGATIONS: &[(&str, HistogramAggregation)] = &[
            ("explicit_bucket_histogram", ExplicitBucket),
            ("base2_exponential_bucket_histogram", Base2Exponential),
        ];
        parse_keyword("aggregation", AGGREGATIONS, text)
    }
}
