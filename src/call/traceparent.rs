//! The text form of the W3C trace context: <https://www.w3.org/TR/trace-context/#traceparent-header>.
//!
//! OpenTelemetry's propagator is part of its SDK, which only the feature `otlp` depends on.

use opentelemetry::{
    SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceState},
};

use crate::event::id::RANDOM_TRACE_ID;

pub(super) fn format(span: &SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        span.trace_id(),
        span.span_id(),
        known(span.trace_flags())
    )
}

/// Returns the flags that this version of the format defines. The others have to be cleared.
fn known(flags: TraceFlags) -> TraceFlags {
    flags & (TraceFlags::SAMPLED | RANDOM_TRACE_ID)
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
        known(TraceFlags::new(u8::from_str_radix(flags, 16).ok()?)),
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
    fn the_flags_that_the_format_defines_are_kept_and_others_are_cleared() {
        for (flags, kept) in [
            ("00", "00"),
            ("02", "02"),
            ("03", "03"),
            ("ff", "03"),
            ("fc", "00"),
        ] {
            let span = parse(&GOOD.replace("-01", &format!("-{flags}")), None).unwrap();
            assert_eq!(format(&span)[53..], *kept, "{flags}");
        }
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
            flags in 0..=3_u8,
        ) {
            let text = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
            prop_assert_eq!(parse(&text, None).map(|span| format(&span)), Some(text));
        }
    }
}
