//! The table of `docs/otlp.md` is the table of these tests.

use std::collections::BTreeSet;

use codex_telemetry::otlp::config::OtlpConfig;

use crate::support::{ON, fact_of};

const PAGE: &str = include_str!("../../docs/otlp.md");

/// The cells of the table of variables.
fn rows() -> Vec<Vec<&'static str>> {
    let section = PAGE
        .split("\n## ")
        .find(|text| text.starts_with("Variables\n"));
    let table = section.expect("there is a table");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn name(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_default()
}

#[test]
fn every_default_is_as_documented() {
    let setup = OtlpConfig::from_variables([ON]);
    let mut asked = 0;
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
        asked += 1;
        assert_eq!(fact_of(&setup, fact), name(row[2]), "{fact}");
    }
    assert_eq!(asked, 7);
}

#[test]
fn every_variable_is_read_and_has_a_row_of_its_own() {
    let rows = rows();
    let names: BTreeSet<_> = rows.iter().map(|row| name(row[0])).collect();
    assert_eq!(names.len(), 19);
    for row in &rows {
        assert_eq!(row.len(), 5, "{row:?}");
        let mut variables = vec![name(row[0]).to_owned()];
        if let Some((prefix, setting)) = name(row[1]).split_once('*') {
            for signal in ["", "TRACES_", "METRICS_", "LOGS_"] {
                variables.push(format!("{prefix}{signal}{setting}"));
            }
        }
        for variable in variables {
            assert!(is_read(&variable), "{variable} changes nothing");
        }
    }
}

/// Whether any value of the variable changes what comes out.
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
