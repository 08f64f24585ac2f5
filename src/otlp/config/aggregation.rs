use opentelemetry_sdk::metrics;

/// What the points of sums and histograms report.
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

impl From<Temporality> for metrics::Temporality {
    fn from(temporality: Temporality) -> Self {
        match temporality {
            Temporality::Cumulative => Self::Cumulative,
            Temporality::Delta => Self::Delta,
            Temporality::LowMemory => Self::LowMemory,
        }
    }
}
