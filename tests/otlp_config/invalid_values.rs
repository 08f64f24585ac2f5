//! An invalid value is ignored with one warning, and affects no other variable.

use codex_telemetry::otlp::config::OtlpConfig;

use crate::support::{ON, Row, check, check_invalid, fact_of};

const MILLIS: &str = "invalid duration: expected a whole number of milliseconds from 1 to \
                      2147483647; the variable is ignored";
const COUNT: &str =
    "invalid number: expected a whole number from 1 to 1048576; the variable is ignored";

#[test]
fn an_invalid_variable_falls_back_to_its_default() {
    check_invalid(&[
        (
            "CODEX_OTLP_SIGNALS",
            "traces,spans,stats",
            "invalid item 2: expected traces, metrics or logs; invalid items are ignored",
            ("signals", "traces"),
        ),
        (
            "CODEX_OTLP_SIGNALS",
            "trace",
            "invalid item 1: expected traces, metrics or logs; invalid items are ignored",
            ("signals", "traces,metrics,logs"),
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "jaeger_remote",
            "invalid sampler: expected always_on, always_off, traceidratio, parentbased_always_on, \
             parentbased_always_off or parentbased_traceidratio; the variable is ignored",
            ("sampler", "ParentBasedAlwaysOn"),
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a=b,c",
            "invalid pair 2: missing `=`; the variable is ignored",
            ("a", "unset"),
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a=b,=c",
            "invalid pair 2: missing key; the variable is ignored",
            ("a", "unset"),
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a=b,c=%zz",
            "invalid pair 2: malformed percent-encoding (write % as %25); the variable is ignored",
            ("a", "unset"),
        ),
    ]);
    for argument in ["-0.1", "1.1", "NaN", "inf", "half", "50%"] {
        check(&[Row {
            case: argument,
            variables: &[
                ON,
                ("OTEL_TRACES_SAMPLER", "traceidratio"),
                ("OTEL_TRACES_SAMPLER_ARG", argument),
            ],
            facts: &[("sampler", "TraceIdRatio(1.0)")],
            warnings: &[
                "OTEL_TRACES_SAMPLER_ARG: invalid ratio: expected a number from 0 to 1; \
                         the variable is ignored",
            ],
        }]);
    }
}

#[test]
fn a_number_out_of_bounds_falls_back_to_its_default() {
    for value in [
        "0",
        "-1",
        "1.5",
        "5s",
        "x",
        "2147483648",
        "99999999999999999999999",
    ] {
        check_invalid(&[
            (
                "OTEL_BSP_MAX_QUEUE_SIZE",
                value,
                COUNT,
                ("traces queue", "16384"),
            ),
            (
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                value,
                COUNT,
                ("traces batch", "512"),
            ),
            (
                "OTEL_BSP_SCHEDULE_DELAY",
                value,
                MILLIS,
                ("traces delay", "5000"),
            ),
            (
                "OTEL_METRIC_EXPORT_INTERVAL",
                value,
                MILLIS,
                ("interval", "60000"),
            ),
            (
                "CODEX_OTLP_TIMEOUT",
                value,
                MILLIS,
                ("logs timeout", "10000"),
            ),
        ]);
    }
    check_invalid(&[(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "16385",
        "larger than the queue; the size of the queue is used",
        ("traces batch", "16384"),
    )]);
}

#[test]
fn an_invalid_switch_leaves_the_decision_to_the_next_variable() {
    let endpoint = ("CODEX_OTLP_ENDPOINT", "http://h");
    let enable = ("CODEX_OTLP_ENABLE", "maybe");
    let warning = "CODEX_OTLP_ENABLE: invalid switch: expected 1, true, yes, on, 0, false, no or off; \
                   the variable is ignored";
    let row = |case: &str, variables: &[(&str, &str)], signals: &str, warning: &str| {
        check(&[Row {
            case,
            variables,
            facts: &[("signals", signals)],
            warnings: &[warning],
        }]);
    };
    row("no endpoint", &[enable], "off", warning);
    row(
        "an endpoint",
        &[enable, endpoint],
        "traces,metrics,logs",
        warning,
    );
    row(
        "the standard switch",
        &[("OTEL_SDK_DISABLED", "1"), endpoint],
        "traces,metrics,logs",
        "OTEL_SDK_DISABLED: invalid boolean: expected true or false; the variable is ignored",
    );
}

#[test]
#[cfg(unix)]
fn a_value_that_is_not_utf_8_is_invalid() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    for (variable, signals) in [
        ("CODEX_OTLP_ENDPOINT", "off"),
        ("CODEX_OTLP_HEADERS", "traces,metrics,logs"),
        ("CODEX_OTLP_PROTOCOL", "traces,metrics,logs"),
        ("CODEX_OTLP_CACERTFILE", "traces,metrics,logs"),
        ("CODEX_OTLP_SIGNALS", "traces,metrics,logs"),
        ("OTEL_SERVICE_NAME", "traces,metrics,logs"),
    ] {
        let invalid = (variable.into(), OsString::from_vec(vec![b'a', 0xff]));
        let on = (ON.0.into(), ON.1.into());
        let unnamed = (OsString::from_vec(vec![0xff]), "x".into());
        let with_warnings = OtlpConfig::from_variables::<OsString, _>([on, invalid, unnamed]);
        assert_eq!(fact_of(&with_warnings, "signals"), signals, "{variable}");
        let [warning] = &*with_warnings.warnings else {
            panic!("{:?}", with_warnings.warnings);
        };
        assert_eq!(warning.setting(), variable);
        assert!(warning.to_string().contains("invalid UTF-8"), "{warning}");
    }
}
