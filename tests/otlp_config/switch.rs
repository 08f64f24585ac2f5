//! Variables that enable and disable the export.

use codex_telemetry::otlp::config::OtlpConfig;

use crate::support::{Row, check};

const CRATE: (&str, &str) = ("CODEX_OTLP_ENDPOINT", "http://crate:1");
const STANDARD: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard:2");
const TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:3/t");
const LOGS: (&str, &str) = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:4");
const DISABLED: (&str, &str) = ("OTEL_SDK_DISABLED", "True");
const ALL: &str = "traces,metrics,logs";

/// A case: its name, the variables, and the enabled signals.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

fn check_signals(cases: &[Case<'_>]) {
    for (case, variables, signals) in cases {
        check(&[Row {
            case,
            variables,
            facts: &[("signals", signals)],
            warnings: &[],
        }]);
    }
}

#[test]
fn only_an_endpoint_enables_the_export() {
    check_signals(&[
        ("nothing", &[], "off"),
        ("the crate's", &[CRATE], ALL),
        ("the standard", &[STANDARD], ALL),
        ("the standard of a signal", &[TRACES], "traces"),
        ("of two signals", &[TRACES, LOGS], "traces,logs"),
        ("the crate's and one of a signal", &[CRATE, TRACES], ALL),
        ("empty", &[("CODEX_OTLP_ENDPOINT", "")], "off"),
        ("blank", &[("OTEL_EXPORTER_OTLP_ENDPOINT", " \t")], "off"),
        ("another setting", &[("CODEX_OTLP_HEADERS", "a=b")], "off"),
        (
            "an invalid value of another setting",
            &[("CODEX_OTLP_TIMEOUT", "x")],
            "off",
        ),
        ("signals", &[("CODEX_OTLP_SIGNALS", "traces")], "off"),
    ]);
}

#[test]
fn the_enable_variable_takes_precedence_over_all_others() {
    let off = ["0", "false", "no", "off", "OFF", " False "];
    let on = ["1", "true", "yes", "on", "Yes", " ON\n"];
    for value in off {
        let enable = ("CODEX_OTLP_ENABLE", value);
        let invalid = ("CODEX_OTLP_TIMEOUT", "not read");
        check_signals(&[
            ("off with the crate's endpoint", &[enable, CRATE], "off"),
            (
                "off with all",
                &[enable, CRATE, STANDARD, TRACES, invalid],
                "off",
            ),
        ]);
    }
    for value in on {
        let enable = ("CODEX_OTLP_ENABLE", value);
        check_signals(&[
            ("on", &[enable], ALL),
            ("on, though disabled", &[enable, DISABLED], ALL),
            ("on, with an endpoint of one signal", &[enable, TRACES], ALL),
        ]);
    }
    check_signals(&[("empty", &[("CODEX_OTLP_ENABLE", ""), STANDARD], ALL)]);
}

#[test]
fn the_standard_switch_disables_the_export() {
    check_signals(&[
        ("disabled, the crate's endpoint", &[DISABLED, CRATE], "off"),
        (
            "disabled, the standard endpoint",
            &[DISABLED, STANDARD],
            "off",
        ),
        ("false", &[("OTEL_SDK_DISABLED", "FALSE"), CRATE], ALL),
        ("empty", &[("OTEL_SDK_DISABLED", ""), CRATE], ALL),
    ]);
}

#[test]
fn the_signals_variable_selects_signals() {
    let signals = |value| ("CODEX_OTLP_SIGNALS", value);
    check_signals(&[
        ("one", &[CRATE, signals("metrics")], "metrics"),
        ("two", &[CRATE, signals(" LOGS , traces,")], "traces,logs"),
        ("all", &[CRATE, signals("logs,metrics,traces")], ALL),
        ("empty", &[CRATE, signals("")], ALL),
        ("one without an endpoint", &[TRACES, signals("logs")], "off"),
        (
            "enabled",
            &[("CODEX_OTLP_ENABLE", "1"), signals("logs")],
            "logs",
        ),
    ]);
}

#[test]
fn the_default_endpoint_is_on_this_machine() {
    check(&[
        Row {
            case: "HTTP",
            variables: &[("CODEX_OTLP_ENABLE", "1")],
            facts: &[
                ("traces endpoint", "http://localhost:4318/v1/traces"),
                ("metrics endpoint", "http://localhost:4318/v1/metrics"),
                ("logs endpoint", "http://localhost:4318/v1/logs"),
            ],
            warnings: &[],
        },
        Row {
            case: "with an endpoint of one signal",
            variables: &[("CODEX_OTLP_ENABLE", "1"), TRACES],
            facts: &[
                ("traces endpoint", "http://traces:3/t"),
                ("logs endpoint", "http://localhost:4318/v1/logs"),
            ],
            warnings: &[],
        },
    ]);
}

#[test]
#[cfg(feature = "grpc")]
fn grpc_appends_no_path() {
    check(&[
        Row {
            case: "the default",
            variables: &[("CODEX_OTLP_ENABLE", "1"), ("CODEX_OTLP_PROTOCOL", "grpc")],
            facts: &[("traces endpoint", "http://localhost:4317")],
            warnings: &[],
        },
        Row {
            case: "a given endpoint",
            variables: &[CRATE, ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "gRPC")],
            facts: &[
                ("logs endpoint", "http://crate:1"),
                ("traces endpoint", "http://crate:1/v1/traces"),
            ],
            warnings: &[],
        },
    ]);
}

/// The only test that reads the environment of the process. It sets no variable.
#[test]
fn from_env_reads_the_environment_of_the_process() {
    let is_relevant = |(name, _): &(std::ffi::OsString, _)| {
        let name = name.to_string_lossy();
        name.starts_with("CODEX_OTLP_") || name.starts_with("OTEL_")
    };
    if !std::env::vars_os().any(|variable| is_relevant(&variable)) {
        let with_warnings = OtlpConfig::from_env();
        assert!(with_warnings.config.is_none());
        assert!(with_warnings.warnings.is_empty());
    }
}
