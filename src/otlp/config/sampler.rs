use opentelemetry::trace::TraceId;

use super::value::{InvalidValue, parse_keyword};

/// A sampler: decides which traces are exported. Metrics and logs are not sampled.
///
/// ```
/// use codex_telemetry::otlp::config::{OtlpConfig, Sampler};
///
/// let with_warnings = OtlpConfig::from_variables([
///     ("CODEX_OTLP_ENABLE", "1"),
///     ("OTEL_TRACES_SAMPLER", "traceidratio"),
///     ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
/// ]);
/// let config = with_warnings.config.expect("it is enabled");
/// assert_eq!(config.sampler(), Sampler::TraceIdRatio(0.25));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Sampler {
    /// Exports every span.
    AlwaysOn,
    /// Exports no span.
    AlwaysOff,
    /// Exports this share of the traces, 0 to 1, by trace id.
    TraceIdRatio(f64),
    /// Follows the decision of the parent. Exports spans without a parent.
    #[default]
    ParentBasedAlwaysOn,
    /// Follows the decision of the parent. Does not export spans without a parent.
    ParentBasedAlwaysOff,
    /// Follows the decision of the parent. Exports this share of the traces without a parent, 0 to 1.
    ParentBasedTraceIdRatio(f64),
}

impl Sampler {
    /// Returns whether the span is exported. `parent_sampled` is `None` without a parent.
    pub(crate) fn sample(self, trace_id: TraceId, parent_sampled: Option<bool>) -> bool {
        match self {
            Self::AlwaysOn => true,
            Self::AlwaysOff => false,
            Self::TraceIdRatio(ratio) => is_below(ratio, trace_id),
            Self::ParentBasedAlwaysOn => parent_sampled.unwrap_or(true),
            Self::ParentBasedAlwaysOff => parent_sampled.unwrap_or(false),
            Self::ParentBasedTraceIdRatio(ratio) => {
                parent_sampled.unwrap_or_else(|| is_below(ratio, trace_id))
            }
        }
    }

    /// Parses the name of a sampler. The ratio is 1.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidValue> {
        const SAMPLERS: &[(&str, Sampler)] = &[
            ("always_on", Sampler::AlwaysOn),
            ("always_off", Sampler::AlwaysOff),
            ("traceidratio", Sampler::TraceIdRatio(1.0)),
            ("parentbased_always_on", Sampler::ParentBasedAlwaysOn),
            ("parentbased_always_off", Sampler::ParentBasedAlwaysOff),
            (
                "parentbased_traceidratio",
                Sampler::ParentBasedTraceIdRatio(1.0),
            ),
        ];
        parse_keyword("sampler", SAMPLERS, text)
    }

    /// Returns the ratio, if the sampler has one.
    pub(super) fn ratio_mut(&mut self) -> Option<&mut f64> {
        match self {
            Self::TraceIdRatio(ratio) | Self::ParentBasedTraceIdRatio(ratio) => Some(ratio),
            _ => None,
        }
    }
}

/// Returns whether the low 63 bits of the id, as a number, are below this share of all such numbers. The
/// SDK's `TraceIdRatioBased` decides in the same way, so both sample the same traces.
fn is_below(ratio: f64, trace_id: TraceId) -> bool {
    if ratio >= 1.0 {
        return true;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the fraction is not needed, and the number is below 2^63"
    )]
    let bound = (ratio.max(0.0) * (1_u64 << 63) as f64) as u64;
    let [.., a, b, c, d, e, f, g, h] = trace_id.to_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::SpanKind;
    use opentelemetry_sdk::trace::{Sampler as SdkSampler, SamplingDecision, ShouldSample as _};

    #[test]
    fn a_ratio_samples_the_same_traces_as_the_sdk() {
        let mut random = fastrand::Rng::with_seed(1);
        let edges = [0, 1, 2, u64::MAX / 2, 1 << 63, u64::MAX - 1, u64::MAX].map(u128::from);
        let ids = edges.into_iter().chain((0..2000).map(|_| random.u128(..)));
        for id in ids {
            let id = TraceId::from_bytes(id.to_be_bytes());
            for ratio in [
                -1.0,
                0.0,
                1e-19,
                0.1,
                0.5,
                1.0 - f64::EPSILON,
                1.0,
                2.0,
                f64::NAN,
            ] {
                let sdk = SdkSampler::TraceIdRatioBased(ratio);
                let sdk = sdk.should_sample(None, id, "", &SpanKind::Internal, &[], &[]);
                assert_eq!(
                    Sampler::TraceIdRatio(ratio).sample(id, Some(true)),
                    sdk.decision == SamplingDecision::RecordAndSample,
                    "{id} {ratio}"
                );
            }
        }
    }

    #[test]
    fn parent_based_samplers_follow_the_parent() {
        use Sampler::*;
        for (sampler, none, sampled, unsampled) in [
            (AlwaysOn, true, true, true),
            (AlwaysOff, false, false, false),
            (TraceIdRatio(1.0), true, true, true),
            (TraceIdRatio(0.0), false, false, false),
            (ParentBasedAlwaysOn, true, true, false),
            (ParentBasedAlwaysOff, false, true, false),
            (ParentBasedTraceIdRatio(1.0), true, true, false),
            (ParentBasedTraceIdRatio(0.0), false, true, false),
        ] {
            let sample = |parent| sampler.sample(TraceId::from_bytes([7; 16]), parent);
            assert_eq!(sample(None), none, "{sampler:?}");
            assert_eq!(sample(Some(true)), sampled, "{sampler:?}");
            assert_eq!(sample(Some(false)), unsampled, "{sampler:?}");
        }
    }
}
