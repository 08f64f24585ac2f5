//! The tables of the page list what the code does.

use std::{fs, path::Path, process::Command, thread};

use codex_telemetry::{ErrorClass, OtlpConfig, Phase};

use crate::{
    page::table,
    pattern::line_matches,
    receiver::{MockResponse, Receiver, closed_port},
    tools::examples,
};

#[test]
fn every_class_is_in_the_table_of_classes_once() {
    let rows = table("### Classes");
    let cells = rows.iter().flat_map(|row| row[0].split(", "));
    let mut listed: Vec<_> = cells.map(|cell| cell.trim_matches('`')).collect();
    let mut classes: Vec<_> = ErrorClass::ALL.iter().map(|class| class.as_str()).collect();
    listed.sort_unstable();
    classes.sort_unstable();
    assert_eq!(listed, classes);
}

#[test]
fn every_phase_of_a_turn_has_a_row() {
    let rows = table("## What runs now");
    let mut listed: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let mut phases: Vec<_> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
    listed.sort_unstable();
    phases.sort_unstable();
    assert_eq!(listed, phases);
}

#[test]
fn every_row_about_the_probe_is_the_message_of_the_probe() {
    let refusing = Receiver::http();
    refusing.respond_with(MockResponse::Status(401));
    let accepting = Receiver::http();
    let grpc = Receiver::grpc();
    let endpoints = [
        closed_port(),
        refusing.endpoint(),
        format!("{}/v1/traces", accepting.endpoint()),
        grpc.endpoint(),
    ];
    let rows = table("### Does it arrive");
    assert_eq!(rows.len(), endpoints.len(), "{rows:?}");
    thread::scope(|scope| {
        for (row, endpoint) in rows.iter().zip(&endpoints) {
            scope.spawn(move || {
                let output = Command::new(examples().join("otlp")).arg(endpoint).output();
                let printed = String::from_utf8(output.unwrap().stdout).unwrap();
                let message = printed.lines().next().unwrap();
                let pattern = row[0].trim_matches('`');
                assert!(
                    line_matches(pattern, message),
                    "{pattern:?} does not match {message:?}"
                );
            });
        }
    });
}

#[test]
fn every_warning_of_the_code_has_one_row_and_every_row_a_warning() {
    let mut warnings = warnings(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    // The configuration makes the text of this one.
    let configuration = warnings.iter().position(|text| text == "…").unwrap();
    let config = OtlpConfig::from_variables([
        ("CODEX_OTLP_ENDPOINT", "http://localhost:4318"),
        ("CODEX_OTLP_TIMEOUT", "soon"),
    ]);
    warnings[configuration] = config.warnings[0].to_string();

    let patterns = warning_patterns();
    for text in &warnings {
        let rows = patterns.iter().filter(|row| line_matches(row, text));
        assert_eq!(rows.count(), 1, "rows for the warning {text:?}");
    }
    for row in patterns {
        let matching = warnings.iter().filter(|text| line_matches(row, text));
        assert!(matching.count() > 0, "no warning matches {row:?}");
    }
}

/// Returns the patterns in the table of warnings.
fn warning_patterns() -> Vec<&'static str> {
    let rows = table("## Warnings");
    let cells = rows.iter().map(|row| row[0]);
    // Every other part is between backticks.
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

/// Returns the texts of the warnings in a directory of sources, with `…` for each argument.
fn warnings(directory: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(warnings(&path));
        } else {
            let source = fs::read_to_string(&path).unwrap();
            texts.extend(source.split("tracing::warn!(").skip(1).map(warning));
        }
    }
    texts
}

/// Returns the text of a warning from the source behind `warn!(`.
fn warning(source: &str) -> String {
    let arguments = source.split(");").next().unwrap();
    // The text is the last of the literals.
    let literal = arguments.rsplit('"').nth(1).unwrap();
    let lines: Vec<_> = literal.lines().map(str::trim_start).collect();
    let text = lines.join("").replace('\\', "");
    let mut parts = text.split('{');
    let start = parts.next().unwrap_or_default().to_owned();
    parts.fold(start, |text, part| {
        text + "…" + part.split_once('}').unwrap().1
    })
}

#[test]
fn the_text_of_a_warning_is_found_in_several_lines_of_source() {
    let source = "\n    target: \"codex_telemetry\",\n    error = %_error,\n    \"it is {so}, and \\\n     \
                  `more`: {}\"\n);\nlet other = \"\";";
    assert_eq!(warning(source), "it is …, and `more`: …");
}
