//! What the README says of the crate. `quickstart.rs` compares its output with the page.

use std::{fs, path::Path};

use codex_telemetry::{EventKind, Operation, Phase};

/// Returns the README.
fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

#[test]
fn the_readme_says_of_each_phase_what_the_turn_does() {
    let readme = readme();
    let (_, table) = readme
        .split_once("\n| phase | the turn |\n|---|---|\n")
        .unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let phases = table.lines().map(|row| row.split('`').nth(1).unwrap());
    let all = Phase::ALL.iter().map(|phase| phase.as_str());
    assert_eq!(phases.collect::<Vec<_>>(), all.collect::<Vec<_>>());
}

#[test]
fn the_readme_names_every_example() {
    let readme = readme();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_named = [format!("examples/{name}"), format!("--example {name} ")]
            .iter()
            .any(|named| readme.contains(named));
        assert!(is_named, "{name}");
    }
}

#[test]
fn the_events_in_the_picture_of_the_readme_are_those_of_the_operations() {
    let readme = readme();
    let (_, picture) = readme.split_once("\n## How it works\n").unwrap();
    let (picture, _) = picture.split_once("\n```\n\n").unwrap();
    let shown = picture
        .split_whitespace()
        .filter(|word| word.starts_with("codex."));
    let shown: Vec<_> = shown.map(|word| word.trim_end_matches(',')).collect();
    assert_eq!(shown.len(), 4, "{picture}");
    let operations = Operation::ALL.iter();
    let known: Vec<_> = operations
        .flat_map(|operation| {
            EventKind::ALL
                .iter()
                .map(|kind| operation.event_name(*kind))
        })
        .collect();
    for event in shown {
        assert!(known.iter().any(|name| *name == event), "{event}");
    }
}
