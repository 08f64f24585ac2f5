//! A bad value costs itself and nothing else, and is told once.

use codex_telemetry::otlp::config::OtlpConfig;

use crate::support::{ON, Row, check, check_bad, fact_of};

const MILLIS: &str = "no whole number of milliseconds from 1 to 2147483647";
const COUNT: &str = "no whole number from 1 to 1048576";

#[test]
fn what_stands_alone_falls_back_to_its_default() {
    check_bad(&[
        (
            "CODEX_OTLP_SIGNALS",
            "traces,spans,stats",
            "item 2 is none of traces, metrics, logs; using traces",
            ("signals", "traces"),
        ),
        (
            "CODEX_OTLP_SIGNALS",
            "trace",
            "item 1 is none of traces, metrics, logs; using traces,metrics,logs",
            ("signals", "traces,metrics,logs"),
        ),
        (
            "OTEL_TRACES_SAMPLER",
            "jaeger_remote",
            "not a sampler that this crate knows; using parentbased_always_on",
            ("sampler", "ParentBasedAlwaysOn"),
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a=b,c",
            "entry 2 has no `=`; using none of it",
            ("a", "unset"),
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a=b,=c",
            "entry 2 has no key; using none of it",
            ("a", "unset"),
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a=b,c=%zz",
            "entry 2 has a malformed percent escape; using none of it",
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
            warnings: &["OTEL_TRACES_SAMPLER_ARG: no number from 0 to 1; using 1.0"],
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
        check_bad(&[
            (
                "OTEL_BSP_MAX_QUEUE_SIZE",
                value,
                &format!("{COUNT}; using 16384"),
                ("queue", "16384"),
            ),
            (
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
                value,
                &format!("{COUNT}; using 512"),
                ("batch", "512"),
            ),
            (
                "OTEL_BSP_SCHEDULE_DELAY",
                value,
                &format!("{MILLIS}; using 5000 ms"),
                ("delay", "5000"),
            ),
            (
                "OTEL_METRIC_EXPORT_INTERVAL",
                value,
                &format!("{MILLIS}; using 60000 ms"),
                ("interval", "60000"),
            ),
            (
                "CODEX_OTLP_TIMEOUT",
                value,
                &format!("{MILLIS}; using 10000 ms"),
                ("logs timeout", "10000"),
            ),
        ]);
    }
    check_bad(&[(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "16385",
        "more than the queue holds; using 16384",
        ("batch", "16384"),
    )]);
}

#[test]
fn bad_switches_leave_it_to_the_next() {
    let endpoint = ("CODEX_OTLP_ENDPOINT", "http://h");
    let enable = ("CODEX_OTLP_ENABLE", "maybe");
    let warning = "CODEX_OTLP_ENABLE: neither on nor off; using the endpoints to decide";
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
        "the standard's switch",
        &[("OTEL_SDK_DISABLED", "1"), endpoint],
        "traces,metrics,logs",
        "OTEL_SDK_DISABLED: neither true nor false; using false",
    );
}

#[test]
#[cfg(unix)]
fn what_is_not_utf_8_is_bad() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    for (variable, signals) in [
        ("CODEX_OTLP_ENDPOINT", "off"),
        ("CODEX_OTLP_HEADERS", "traces,metrics,logs"),
        ("CODEX_OTLP_PROTOCOL", "traces,metrics,logs"),
        ("CODEX_OTLP_CACERTFILE", "traces,metrics,logs"),
        ("CODEX_OTLP_SIGNALS", "traces,metrics,logs"),
        ("OTEL_SERVICE_NAME", "traces,metrics,logs"),
    ] {
        let bad = (variable.into(), OsString::from_vec(vec![b'a', 0xff]));
        let on = (ON.0.into(), ON.1.into());
        let unnamed = (OsString::from_vec(vec![0xff]), "x".into());
        let setup = OtlpConfig::from_variables::<OsString, _>([on, bad, unnamed]);
        assert_eq!(fact_of(&setup, "signals"), signals, "{variable}");
        let [warning] = &*setup.warnings else {
            panic!("{:?}", setup.warnings);
        };
        assert_eq!(warning.variable(), variable);
        assert!(warning.to_string().contains("not UTF-8"), "{warning}");
    }
}
