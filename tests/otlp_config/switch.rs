//! What switches the export on and off.

use codex_telemetry::otlp::config::OtlpConfig;

use crate::support::{Row, check};

const OURS: (&str, &str) = ("CODEX_OTLP_ENDPOINT", "http://ours:1");
const STANDARD: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard:2");
const OF_TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:3/t");
const OF_LOGS: (&str, &str) = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:4");
const DISABLED: (&str, &str) = ("OTEL_SDK_DISABLED", "True");
const ALL: &str = "traces,metrics,logs";

/// A case: its name, the variables, and the signals that are on.
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
fn an_endpoint_switches_on_and_nothing_else_does() {
    check_signals(&[
        ("nothing", &[], "off"),
        ("ours", &[OURS], ALL),
        ("the standard's", &[STANDARD], ALL),
        ("the standard's of a signal", &[OF_TRACES], "traces"),
        ("of two signals", &[OF_TRACES, OF_LOGS], "traces,logs"),
        ("ours beside one of a signal", &[OURS, OF_TRACES], ALL),
        ("empty", &[("CODEX_OTLP_ENDPOINT", "")], "off"),
        ("blank", &[("OTEL_EXPORTER_OTLP_ENDPOINT", " \t")], "off"),
        ("another setting", &[("CODEX_OTLP_HEADERS", "a=b")], "off"),
        (
            "a bad value of another setting",
            &[("CODEX_OTLP_TIMEOUT", "x")],
            "off",
        ),
        ("signals", &[("CODEX_OTLP_SIGNALS", "traces")], "off"),
    ]);
}

#[test]
fn enable_decides_before_all_else() {
    let off = ["0", "false", "no", "off", "OFF", " False "];
    let on = ["1", "true", "yes", "on", "Yes", " ON\n"];
    for value in off {
        let enable = ("CODEX_OTLP_ENABLE", value);
        let bad = ("CODEX_OTLP_TIMEOUT", "not looked at");
        check_signals(&[
            ("off with our endpoint", &[enable, OURS], "off"),
            (
                "off with all",
                &[enable, OURS, STANDARD, OF_TRACES, bad],
                "off",
            ),
        ]);
    }
    for value in on {
        let enable = ("CODEX_OTLP_ENABLE", value);
        check_signals(&[
            ("on", &[enable], ALL),
            ("on, though disabled", &[enable, DISABLED], ALL),
            (
                "on, with an endpoint of one signal",
                &[enable, OF_TRACES],
                ALL,
            ),
        ]);
    }
    check_signals(&[("empty", &[("CODEX_OTLP_ENABLE", ""), STANDARD], ALL)]);
}

#[test]
fn the_standards_switch_is_second() {
    check_signals(&[
        ("disabled, ours", &[DISABLED, OURS], "off"),
        ("disabled, the standard's", &[DISABLED, STANDARD], "off"),
        ("false", &[("OTEL_SDK_DISABLED", "FALSE"), OURS], ALL),
        ("empty", &[("OTEL_SDK_DISABLED", ""), OURS], ALL),
    ]);
}

#[test]
fn signals_narrow_down() {
    let signals = |value| ("CODEX_OTLP_SIGNALS", value);
    check_signals(&[
        ("one", &[OURS, signals("metrics")], "metrics"),
        ("two", &[OURS, signals(" LOGS , traces,")], "traces,logs"),
        ("all", &[OURS, signals("logs,metrics,traces")], ALL),
        ("empty", &[OURS, signals("")], ALL),
        (
            "one without an endpoint",
            &[OF_TRACES, signals("logs")],
            "off",
        ),
        (
            "enabled",
            &[("CODEX_OTLP_ENABLE", "1"), signals("logs")],
            "logs",
        ),
    ]);
}

#[test]
fn the_default_endpoint_is_that_of_the_protocol() {
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
            case: "beside an endpoint of one signal",
            variables: &[("CODEX_OTLP_ENABLE", "1"), OF_TRACES],
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
fn over_grpc_no_path_is_appended() {
    check(&[
        Row {
            case: "the default",
            variables: &[("CODEX_OTLP_ENABLE", "1"), ("CODEX_OTLP_PROTOCOL", "grpc")],
            facts: &[("traces endpoint", "http://localhost:4317")],
            warnings: &[],
        },
        Row {
            case: "one that is given",
            variables: &[OURS, ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "gRPC")],
            facts: &[
                ("logs endpoint", "http://ours:1"),
                ("traces endpoint", "http://ours:1/v1/traces"),
            ],
            warnings: &[],
        },
    ]);
}

/// The one test that looks at the process, which has no such variables in it: it sets none.
#[test]
fn the_process_is_asked_for_its_variables() {
    let ours = |(name, _): &(std::ffi::OsString, _)| {
        let name = name.to_string_lossy();
        name.starts_with("CODEX_OTLP_") || name.starts_with("OTEL_")
    };
    if !std::env::vars_os().any(|variable| ours(&variable)) {
        let setup = OtlpConfig::from_env();
        assert!(setup.config.is_none());
        assert!(setup.warnings.is_empty());
    }
}
