//! The standard variables of exporters switch signals on and off.

use crate::support::{ON, Row, check, check_invalid};

const ALL: &str = "traces,metrics,logs";

fn check_signals(variables: &[(&str, &str)], signals: &str) {
    check(&[Row {
        case: &format!("{variables:?}"),
        variables,
        facts: &[("signals", signals)],
        warnings: &[],
    }]);
}

#[test]
fn a_signal_without_an_exporter_is_off() {
    for (exporters, signals) in [
        (["", "", ""], ALL),
        (["otlp", " OTLP ", "none,otlp"], ALL),
        (["none", "", ""], "metrics,logs"),
        (["", "None", " none "], "traces"),
        (["otlp,console", "prometheus,otlp", "console , otlp"], ALL),
        (["none", "none", "none"], "off"),
        ([",", " , ", ""], ALL),
    ] {
        let [traces, metrics, logs] = exporters;
        let exporters = [
            ("OTEL_TRACES_EXPORTER", traces),
            ("OTEL_METRICS_EXPORTER", metrics),
            ("OTEL_LOGS_EXPORTER", logs),
        ];
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h");
        for on in [endpoint, ON] {
            check_signals(&[&exporters[..], &[on]].concat(), signals);
        }
    }
}

#[test]
fn a_signal_of_other_exporters_is_off_with_a_warning() {
    for exporter in [
        "console",
        "logging",
        "prometheus",
        "zipkin",
        "otlp/stdout",
        "console,none",
    ] {
        check_invalid(&[(
            "OTEL_METRICS_EXPORTER",
            exporter,
            "unsupported exporter: expected otlp or none; the signal is not exported",
            ("signals", "traces,logs"),
        )]);
    }
}

#[test]
fn an_unknown_exporter_is_ignored() {
    const EXPECTED: &str =
        "expected otlp, none, console, logging, otlp/stdout, prometheus or zipkin";
    for (value, position, signals) in [
        ("oltp", 1, ALL),
        ("none,oltp", 2, "traces,metrics"),
        ("oltp,otlp", 1, ALL),
    ] {
        let warning = format!("invalid item {position}: {EXPECTED}; invalid items are ignored");
        check_invalid(&[("OTEL_LOGS_EXPORTER", value, &warning, ("signals", signals))]);
    }
}

#[test]
fn the_signals_variable_of_the_crate_takes_precedence() {
    let none = ("OTEL_TRACES_EXPORTER", "none");
    let selected = ("CODEX_OTLP_SIGNALS", "traces,logs");
    check_signals(&[ON, none, selected], "traces,logs");
    check_signals(&[ON, none, ("CODEX_OTLP_SIGNALS", "")], "metrics,logs");
    // It selects among the signals with an endpoint.
    let endpoint = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://h");
    check_signals(&[endpoint, none, selected], "logs");
}

#[test]
fn an_exporter_does_not_enable_the_export() {
    check_signals(&[("OTEL_TRACES_EXPORTER", "otlp")], "off");
    let logs = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://h");
    check_signals(&[("OTEL_TRACES_EXPORTER", "otlp"), logs], "logs");
    // The variable of a signal without an endpoint is not checked.
    check_signals(&[("OTEL_TRACES_EXPORTER", "unknown"), logs], "logs");
}

#[test]
fn log_records_are_selected() {
    for (value, records, signals) in [
        ("", "All", ALL),
        ("all", "All", ALL),
        ("Ends", "Ends", ALL),
        (" exceptions ", "Exceptions", ALL),
        ("NONE", "None", "traces,metrics"),
    ] {
        check(&[Row {
            case: value,
            variables: &[ON, ("CODEX_OTLP_LOG_RECORDS", value)],
            facts: &[("records", records), ("signals", signals)],
            warnings: &[],
        }]);
    }
    check_invalid(&[(
        "CODEX_OTLP_LOG_RECORDS",
        "errors",
        "invalid selection: expected all, ends, exceptions or none; the variable is ignored",
        ("records", "All"),
    )]);
}

#[test]
fn no_log_records_switch_the_signal_off_even_if_it_is_named() {
    let none = ("CODEX_OTLP_LOG_RECORDS", "none");
    check_signals(&[ON, none, ("CODEX_OTLP_SIGNALS", "logs,traces")], "traces");
    check_signals(&[ON, none, ("CODEX_OTLP_SIGNALS", "logs")], "off");
    // The settings of a signal that is off are not checked.
    let headers = ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "invalid");
    check_signals(
        &[ON, none, headers, ("OTEL_BLRP_SCHEDULE_DELAY", "x")],
        "traces,metrics",
    );
    // The selection is not checked while the signal is off.
    let unknown = ("CODEX_OTLP_LOG_RECORDS", "unknown");
    check_signals(
        &[ON, unknown, ("OTEL_LOGS_EXPORTER", "none")],
        "traces,metrics",
    );
}
