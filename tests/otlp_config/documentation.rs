//! The tables of variables in `docs/otlp.md` match the code.

use std::collections::BTreeSet;

use codex_telemetry::otlp::config::OtlpConfig;

use crate::support::{ON, fact_of};

const PAGE: &str = include_str!("../../docs/otlp.md");

/// Returns the cells of the tables of a section.
fn rows(title: &str) -> Vec<Vec<&'static str>> {
    let section = PAGE.split("\n## ").find(|text| {
        text.strip_prefix(title)
            .is_some_and(|rest| rest.starts_with('\n'))
    });
    let section = section.expect("the page has the section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// Returns the texts of a cell that are marked as code.
fn codes(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Returns the names of the variables in a cell.
fn variables(cell: &str) -> Vec<String> {
    let names = codes(cell).into_iter().flat_map(|name| {
        let signals: &[_] = match name.contains('*') {
            true => &["", "TRACES_", "METRICS_", "LOGS_"],
            false => &[""],
        };
        signals.iter().map(|signal| name.replace('*', signal))
    });
    // Another code is an attribute.
    names.filter(|name| !name.contains('.')).collect()
}

#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let with_warnings = OtlpConfig::from_variables([ON]);
    let mut checked = 0;
    for row in rows("Variables") {
        let facts: &[&str] = match codes(row[0])[0] {
            "CODEX_OTLP_SIGNALS" => &["signals"],
            "CODEX_OTLP_KEEP_FAILURES" => &["failures"],
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" => &["content"],
            "CODEX_OTLP_PROTOCOL" => &["traces protocol"],
            "CODEX_OTLP_TIMEOUT" => &["traces timeout"],
            "OTEL_BSP_MAX_QUEUE_SIZE" => &["traces queue", "logs queue"],
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => &["traces batch", "logs batch"],
            "OTEL_BSP_SCHEDULE_DELAY" => &["traces delay", "logs delay"],
            "CODEX_OTLP_QUEUE_BYTES" => &["queue_bytes"],
            "CODEX_OTLP_MESSAGE_BYTES" => &["message_bytes"],
            "CODEX_OTLP_MAX_AGE" => &["traces age", "logs age"],
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" => &["traces attributes", "logs attributes"],
            "OTEL_SPAN_EVENT_COUNT_LIMIT" => &["span_events"],
            "OTEL_METRIC_EXPORT_INTERVAL" => &["interval"],
            "OTEL_METRIC_EXPORT_TIMEOUT" => &["metric_timeout"],
            _ => continue,
        };
        let defaults = codes(row[2]).into_iter().cycle();
        for (fact, default) in facts.iter().zip(defaults) {
            checked += 1;
            assert_eq!(fact_of(&with_warnings, fact), default, "{fact}");
        }
    }
    assert_eq!(checked, 20);
}

#[test]
fn every_documented_variable_is_read_and_has_one_row() {
    let mut names = BTreeSet::new();
    for row in rows("Variables") {
        assert_eq!(row.len(), 5, "{row:?}");
        for variable in variables(row[0]) {
            assert!(names.insert(variable.clone()), "{variable} has two rows");
            assert!(is_read(&variable), "{variable} has no effect");
        }
        for variable in variables(row[1]) {
            assert!(is_read(&variable), "{variable} has no effect");
        }
    }
    assert!(names.len() > 40, "{names:?}");
}

#[test]
fn no_variable_is_read_that_is_documented_as_unread() {
    let rows = rows("Variables that are not read");
    for variable in rows.iter().flat_map(|row| variables(row[0])) {
        assert!(!is_read(&variable), "{variable} has an effect");
    }
}

/// Returns whether a value of the variable changes the result.
fn is_read(variable: &str) -> bool {
    let values = [
        "http://h",
        "a=b",
        "http/json",
        "7",
        "4096",
        "gzip",
        "0",
        "true",
        "none",
        "logs",
        "ends",
        "traceidratio",
        "0.5",
        "delta",
        "base2_exponential_bucket_histogram",
        "gen_ai_latest_experimental",
    ];
    let base = [
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "all:4317"),
    ];
    let shown = |extra: &[(&str, &str)]| {
        let variables = base.iter().chain(extra).copied();
        format!("{:?}", OtlpConfig::from_variables(variables))
    };
    let without = shown(&[]);
    values
        .iter()
        .any(|value| shown(&[(variable, value)]) != without)
}
