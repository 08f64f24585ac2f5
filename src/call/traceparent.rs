//! W3C trace context as text: <https://www.w3.org/TR/trace-context/#traceparent-header>.
//!
//! OpenTelemetry's own propagator lives in its SDK, which the crate does without unless it exports.

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

/// The remote span that the two texts name; `None` when the first is no traceparent.
pub(super) fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let mut fields = traceparent.trim().split('-');
    let mut field = |length: usize| {
        fields
            .next()
            .filter(|hex| hex.len() == length && hex.bytes().all(is_lower_hex))
    };
    let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    // Version ff is forbidden; a later version may append fields, version 00 has no more than four.
    if version == "ff" || (version == "00" && fields.next().is_some()) {
        return None;
    }
    let parsed = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        tracestate
            .and_then(|state| state.parse::<TraceState>().ok())
            .unwrap_or_default(),
    );
    // All zeros is the one value of an id that is none.
    parsed.is_valid().then_some(parsed)
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
    fn what_is_parsed_is_formatted_the_same() {
        assert_eq!(format(&parse(GOOD, None).unwrap()), GOOD);
    }

    #[test]
    fn a_later_version_may_have_more_fields() {
        assert!(parse(&format!("01{}-what-the-future-will-be", &GOOD[2..]), None).is_some());
    }

    #[test]
    fn a_bad_tracestate_leaves_the_traceparent_good() {
        let parsed = parse(GOOD, Some("no equals sign")).unwrap();
        assert_eq!(parsed.trace_state().header(), "");
        let parsed = parse(GOOD, Some("vendor=1,other=2")).unwrap();
        assert_eq!(parsed.trace_state().header(), "vendor=1,other=2");
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
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
            assert_eq!(parse(bad, None), None, "{bad:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_traceparent_that_is_written_the_same_or_none(
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
        fn any_ids_but_zero_are_read_back(
            trace in 1..=u128::MAX,
            span in 1..=u64::MAX,
            sampled in any::<bool>(),
        ) {
            let text = format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled));
            prop_assert_eq!(parse(&text, None).map(|span| format(&span)), Some(text));
        }
    }
}
