//! Content, failed traces and conventions are opted into.

use crate::support::{ON, Row, check, check_invalid};

fn check_fact(variable: &str, fact: &str, cases: &[(&str, &str)]) {
    for (value, expected) in cases {
        check(&[Row {
            case: &format!("{variable}={value}"),
            variables: &[ON, (variable, value)],
            facts: &[(fact, expected)],
            warnings: &[],
        }]);
    }
}

const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

#[test]
fn content_is_captured_only_where_spans_may_have_it() {
    check_fact(
        CAPTURE,
        "content",
        &[
            ("", "false"),
            ("true", "true"),
            ("TRUE", "true"),
            ("span_only", "true"),
            (" SPAN_AND_EVENT ", "true"),
            ("event_only", "false"),
            ("NO_CONTENT", "false"),
            ("false", "false"),
        ],
    );
}

#[test]
fn an_unknown_capture_mode_captures_nothing() {
    for value in ["1", "yes", "span", "all", "true,false"] {
        check_invalid(&[(
            CAPTURE,
            value,
            "invalid capture mode: expected true, span_only, span_and_event, event_only, no_content \
             or false; the variable is ignored",
            ("content", "false"),
        )]);
    }
}

#[test]
fn content_is_off_without_spans() {
    for (variable, value) in [
        ("CODEX_OTLP_SIGNALS", "logs,metrics"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        check(&[Row {
            case: variable,
            variables: &[ON, (variable, value), (CAPTURE, "true")],
            facts: &[("content", "false"), ("signals", "metrics,logs")],
            warnings: &[],
        }]);
    }
}

#[test]
fn failed_traces_are_kept_by_a_switch() {
    let variable = "CODEX_OTLP_KEEP_FAILURES";
    let cases = [
        ("", "false"),
        ("1", "true"),
        ("On", "true"),
        ("yes", "true"),
        ("0", "false"),
    ];
    check_fact(variable, "failures", &cases);
    check_invalid(&[(
        variable,
        "always",
        "invalid switch: expected 1, true, yes, on, 0, false, no or off; the variable is ignored",
        ("failures", "false"),
    )]);
}

#[test]
fn the_latest_conventions_are_one_item_of_a_list() {
    check_fact(
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        "latest",
        &[
            ("", "false"),
            ("gen_ai_latest_experimental", "true"),
            ("http, gen_ai_latest_experimental ,database/dup", "true"),
            // The conventions of others are no error.
            ("http/dup", "false"),
            ("gen_ai", "false"),
        ],
    );
}
