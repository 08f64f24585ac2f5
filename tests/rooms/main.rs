//! The rooms of the source: imports point down only, and what needs Unix is left out elsewhere.
//!
//! The floors are those of `docs/design.md`. A room imports rooms of lower floors, never one of its own floor or of a
//! higher one.

mod doc_examples;
mod public_items;
mod source;

use std::{fs, path::PathBuf};

use source::{Build, Import, Module};

/// The floors of the crate, the lowest first. A room is a module of the crate's root.
const FLOORS: &[&[&str]] = &[
    &["event"],
    &["error", "timeline"],
    &["call", "sink"],
    &["approval"],
    &["tool"],
    &[
        "attachment",
        "error_class",
        "originator",
        "otlp",
        "timing",
        "turn",
    ],
    &["builder", "classifier", "mcp", "turn_attachment"],
    &["retry"],
];

/// Pages of documentation, which are modules without code.
const PAGES: &[&str] = &[
    "design",
    "error_classes",
    "guide",
    "overhead",
    "readme",
    "runbook",
];

/// The floors inside of a room, the lowest first. `""` stands for the files of the room itself.
const INNER_FLOORS: &[(&str, &[&[&str]])] = &[
    (
        "turn",
        &[
            &["process", "wire"],
            &[""],
            &["calls", "cli"],
            &["app_server", "exec"],
        ],
    ),
    (
        "otlp",
        &[&["config"], &["convert"], &["export"], &["delivery"], &[""]],
    ),
];

/// The rooms that need Unix.
const UNIX_ROOMS: &[&str] = &["attachment", "mcp", "turn"];

/// Returns what is wrong with an import, if anything.
fn fault(import: &Import) -> Option<String> {
    let (from, to) = (import.from.first()?, import.to.first()?);
    if from != to {
        return wrong_floor(FLOORS, from, to);
    }
    let (_, floors) = INNER_FLOORS.iter().find(|(room, _)| room == from)?;
    let inner = |module: &Module| {
        let name = module.get(1).cloned().unwrap_or_default();
        if floors.iter().any(|floor| floor.contains(&name.as_str())) {
            name
        } else {
            String::new()
        }
    };
    let (from, to) = (inner(&import.from), inner(&import.to));
    (from != to).then(|| wrong_floor(floors, &from, &to))?
}

fn wrong_floor(floors: &[&[&str]], from: &str, to: &str) -> Option<String> {
    let floor = |room: &str| floors.iter().position(|floor| floor.contains(&room));
    match (floor(from), floor(to)) {
        (Some(from), Some(to)) if from > to => None,
        (Some(_), Some(_)) => Some("an import has to point to a lower floor".to_owned()),
        (None, _) => Some(format!("the room `{from}` has no floor")),
        // A name that the crate's root re-exports.
        (_, None) => Some(format!(
            "`{to}` is not a room: name the room that it is from"
        )),
    }
}

#[test]
fn every_import_points_to_a_lower_floor() {
    let found = Build::UNIX.read_source();
    let faults: Vec<_> = found
        .imports
        .iter()
        .filter_map(|import| {
            let (from, to) = (import.from.join("::"), import.to.join("::"));
            fault(import).map(|fault| format!("{from} imports {to}: {fault}"))
        })
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn an_import_is_found_however_it_is_written() {
    let source = r#"
        use std::fmt;
        use crate::{call::{CallContext, CodexRequest}, event::*};
        use super::open as other;
        fn f() -> crate::sink::Memory { super::super::error::g(); call!(crate::turn::x(1)) }
        mod inner { use super::y; }
        #[cfg(test)]
        mod tests { use crate::otlp; }
        #[cfg(all(feature = "tool", not(unix)))]
        use crate::tool;
    "#;
    let found: Vec<_> = Build::UNIX
        .read_text("a::b", source)
        .iter()
        .map(|import| import.to.join("::"))
        .collect();
    let mut expected = [
        "a::open",
        "call::CallContext",
        "call::CodexRequest",
        "error::g",
        "event",
        "sink::Memory",
        "turn::x",
        "a::b::y",
    ];
    expected[..7].sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn an_import_that_points_up_or_stays_on_a_floor_is_a_fault() {
    let import = |from: &str, to: &str| {
        let module = |path: &str| path.split("::").map(str::to_owned).collect();
        fault(&Import {
            from: module(from),
            to: module(to),
        })
    };
    for (from, to) in [
        ("event::record", "sink::Sink"),
        ("call::guard", "sink::Sink"),
        ("turn::exec::run", "otlp::OtlpSink"),
        ("turn::process::child", "turn::exec::run"),
        ("turn::request", "turn::exec::run"),
        ("otlp::config::builder", "otlp::sink"),
        ("call::guard", "TimingLayer"),
    ] {
        assert!(import(from, to).is_some(), "{from} imports {to}");
    }
    for (from, to) in [
        ("timing::layer", "sink::Sink"),
        ("turn::exec::run", "turn::process::Process"),
        ("turn::exec::run", "turn::TurnError"),
        ("retry::policy", "classifier::CodexClassifier"),
    ] {
        assert_eq!(import(from, to), None, "{from} imports {to}");
    }
}

#[test]
fn every_room_has_a_floor_and_a_line_in_the_map_of_the_design() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let design = fs::read_to_string(root.join("docs/design.md")).unwrap();
    let map = design.split("## Where things live").nth(1).unwrap();
    let map = map.split("\n## ").next().unwrap();
    for entry in fs::read_dir(root.join("src")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let room = name.trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        let floor = FLOORS.iter().flat_map(|floor| floor.iter());
        assert!(
            floor.chain(PAGES).any(|known| *known == room),
            "src/{name} has no floor"
        );
        let line = if entry.path().is_dir() {
            format!("{room}/")
        } else {
            name.clone()
        };
        assert!(
            map.contains(&line),
            "the map in docs/design.md has no `{line}`"
        );
    }
}

#[test]
fn a_system_that_is_not_unix_gets_one_compile_error_for_the_rooms_that_need_unix() {
    let build = Build {
        unix: false,
        features_off: &[],
    };
    let found = build.read_source();
    assert_eq!(found.compile_errors, 1);
    let left: Vec<_> = found
        .imports
        .iter()
        .filter(|import| UNIX_ROOMS.contains(&import.to[0].as_str()))
        .collect();
    assert!(left.is_empty(), "these would be errors as well: {left:#?}");
}

#[test]
fn a_system_that_is_not_unix_has_every_other_room_without_a_compile_error() {
    let build = Build {
        unix: false,
        features_off: &["attachment", "turn", "services", "default"],
    };
    assert_eq!(build.read_source().compile_errors, 0);
    assert_eq!(Build::UNIX.read_source().compile_errors, 0);
}
