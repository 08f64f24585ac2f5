//! The table of variables in `docs/otlp.md` matches the code.

use std::collections::BTreeSet;

use codex_telemetry::otlp::config::OtlpConfig;

use crate::support::{ON, fact_of};

const PAGE: &str = include_str!("../../docs/otlp.md");

/// Returns the cells of the table of variables.
fn rows() -> Vec<Vec<&'static str>> {
    let section = PAGE
        .split("\n## ")
        .find(|text| text.starts_with("Variables\n"));
    let table = section.expect("the page has the table");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn name(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_default()
}

#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let with_warnings = OtlpConfig::from_variables([ON]);
    let mut checked = 0;
    for row in rows() {
        let fact = match name(row[0]) {
            "CODEX_OTLP_SIGNALS" => "signals",
            "CODEX_OTLP_PROTOCOL" => "traces protocol",
            "CODEX_OTLP_TIMEOUT" => "traces timeout",
            "OTEL_BSP_MAX_QUEUE_SIZE" => "queue",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => "batch",
            "OTEL_BSP_SCHEDULE_DELAY" => "delay",
            "OTEL_METRIC_EXPORT_INTERVAL" => "interval",
            _ => continue,
        };
        checked += 1;
        assert_eq!(fact_of(&with_warnings, fact), name(row[2]), "{fact}");
    }
    assert_eq!(checked, 7);
}

#[test]
fn every_documented_variable_is_read_and_has_one_row() {
    let rows = rows();
    let names: BTreeSet<_> = rows.iter().map(|row| name(row[0])).collect();
    assert_eq!(names.len(), 20);
    for row in &rows {
        assert_eq!(row.len(), 5, "{row:?}");
        let mut variables = vec![name(row[0]).to_owned()];
        if let Some((prefix, setting)) = name(row[1]).split_once('*') {
            for signal in ["", "TRACES_", "METRICS_", "LOGS_"] {
                variables.push(format!("{prefix}{signal}{setting}"));
            }
        }
        for variable in variables {
            assert!(is_read(&variable), "{variable} has no effect");
        }
    }
}

/// Returns whether a value of the variable changes the result.
fn is_read(variable: &str) -> bool {
    let values = [
        "http://h",
        "a=b",
        "http/json",
        "7",
        "gzip",
        "0",
        "true",
        "logs",
        "traceidratio",
        "0.5",
    ];
    let base = [
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all"),
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
