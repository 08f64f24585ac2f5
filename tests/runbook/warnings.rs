//! The warnings in the code are those in the table.

use std::{fs, path::Path};

use codex_telemetry::OtlpConfig;

use crate::{notation::line_matches, page::table};

/// The texts of the table, which the page cuts short here and there.
fn listed() -> Vec<&'static str> {
    let rows = table("## Warnings");
    let cells = rows.iter().map(|row| row[0]);
    // Every other part stands between the marks of code.
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

/// The texts of the warnings in a directory of sources, with what is put into them as `…`.
fn warned(directory: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(warned(&path));
        } else {
            let source = fs::read_to_string(&path).unwrap();
            texts.extend(source.split("tracing::warn!(").skip(1).map(text));
        }
    }
    texts
}

/// The text of a warning, by what stands behind `warn!(`.
fn text(call: &str) -> String {
    let arguments = call.split(");").next().unwrap();
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
fn every_warning_of_the_code_has_a_row_and_every_row_a_warning() {
    let mut warned = warned(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    // The text of this one is the configuration's.
    let configuration = warned.iter().position(|text| text == "…").unwrap();
    let setup = OtlpConfig::from_variables([
        ("CODEX_OTLP_ENDPOINT", "http://localhost:4318"),
        ("CODEX_OTLP_TIMEOUT", "soon"),
    ]);
    warned[configuration] = setup.warnings[0].to_string();

    let listed = listed();
    for text in &warned {
        let rows = listed.iter().filter(|row| line_matches(row, text)).count();
        assert_eq!(rows, 1, "rows for the warning {text:?}");
    }
    for row in listed {
        let texts = warned.iter().filter(|text| line_matches(row, text)).count();
        assert!(texts > 0, "nothing warns of {row:?}");
    }
}

#[test]
fn a_text_is_found_however_it_is_written() {
    let call = "\n    target: \"codex_telemetry\",\n    error = %_error,\n    \"it is {so}, and \\\n     \
                `more`: {}\"\n);\nlet other = \"\";";
    assert_eq!(text(call), "it is …, and `more`: …");
}
