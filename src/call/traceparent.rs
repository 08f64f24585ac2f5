//! The text form of the W3C trace context: <https://www.w3.org/TR/trace-context/#traceparent-header>.
//!
//! OpenTelemetry's propagator is part of its SDK, which only the feature `otlp` depends on.

use opentelemetry::{
    SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceState},
};

pub(super) fn format(span: &SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        span.trace_id(),
        span.span_id(),
        span.trace_flags().to_u8() & TraceFlags::SAMPLED.to_u8()
    )
}

/// Returns the remote span, or `None` if `traceparent` is invalid. An invalid `tracestate` is ignored.
pub(super) fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let mut fields = traceparent.trim().split('-');
    let mut field = |length: usize| {
        fields
            .next()
            .filter(|hex| hex.len() == length && hex.bytes().all(is_lower_hex))
    };
    let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    // Version ff is invalid. Version 00 has exactly four fields; a later version may have more.
    if version == "ff" || (version == "00" && fields.next().is_some()) {
        return None;
    }
    let span = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        tracestate
            .and_then(|state| state.parse::<TraceState>().ok())
            .unwrap_or_default(),
    );
    // Rejects ids of zeros.
    span.is_valid().then_some(span)
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parsed_traceparent_is_formatted_unchanged() {
        assert_eq!(format(&parse(GOOD, None).unwrap()), GOOD);
    }

    #[test]
    fn a_later_version_may_have_more_fields() {
        assert!(parse(&format!("01{}-future-field", &GOOD[2..]), None).is_some());
    }

    #[test]
    fn an_invalid_tracestate_is_ignored() {
        let parsed = parse(GOOD, Some("no equals sign")).unwrap();
        assert_eq!(parsed.trace_state().header(), "");
        let parsed = parse(GOOD, Some("vendor=1,other=2")).unwrap();
        assert_eq!(parsed.trace_state().header(), "vendor=1,other=2");
    }

    #[test]
    fn an_invalid_traceparent_is_rejected() {
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &format!("{GOOD}-more"),
            &format!("ff{}", &GOOD[2..]),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        ] {
            assert_eq!(parse(bad, None), None, "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_formatted_unchanged_or_rejected(
            text in "[0-9a-fA-F -]{0,60}|\\PC{0,60}|0[0-9a-f]-[0-9a-f]{32}-[0-9a-f]{16}-0[0-9a-f]",
            state in proptest::option::of("\\PC{0,40}"),
        ) {
            if let Some(span) = parse(&text, state.as_deref()) {
                let written = format(&span);
                let again = parse(&written, Some(&span.trace_state().header()));
                prop_assert_eq!(again, Some(span));
                prop_assert_eq!(&written[2..52], &text.trim()[2..52]);
            }
        }

        #[test]
        fn any_valid_ids_are_parsed_and_formatted_unchanged(
            trace in 1..=u128::MAX,
            span in 1..=u64::MAX,
            sampled in any::<bool>(),
        ) {
            let text = format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled));
            prop_assert_eq!(parse(&text, None).map(|span| format(&span)), Some(text));
        }
    }
}
