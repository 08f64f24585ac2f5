//! The page on the export lists what spans and log records have.

use std::collections::BTreeSet;

use codex_telemetry::{CallContext, Classification, ErrorClass, Operation, Originator};

use super::support::Rig;

const PAGE: &str = include_str!("../../../docs/otlp.md");
const NAMES: &str = include_str!("../../../src/event/names.rs");

/// Returns the attributes in the first column of the page's table.
fn documented() -> BTreeSet<&'static str> {
    let (_, section) = PAGE
        .split_once("\n### Attributes of spans and log records\n")
        .unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap());
    cells
        .flat_map(|cell| cell.split(['`', ',', ' ']).filter(|key| !key.is_empty()))
        .collect()
}

/// Returns the span events and their attributes in the page's table of them.
fn span_events() -> BTreeSet<&'static str> {
    let (_, section) = PAGE.split_once("\n### Span events\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn the_page_has_every_attribute_and_span_event_that_the_services_record() {
    let mut documented = documented();
    documented.append(&mut span_events());
    let names = NAMES
        .split('"')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains('.'));
    let mut count = 0;
    for name in names {
        assert!(documented.contains(name), "{name}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[test]
fn the_page_has_no_attribute_or_span_event_that_nothing_records() {
    // Of the export itself, and the words that a retry begins with.
    const EXPORT: &str = concat!(
        include_str!("../../../src/otlp/convert/names.rs"),
        "\"Reconnecting...\""
    );
    let names = [NAMES, EXPORT].into_iter();
    let names: BTreeSet<_> = names
        .flat_map(|names| names.split('"').skip(1).step_by(2))
        .collect();
    for name in documented().union(&span_events()) {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn the_page_has_every_attribute_that_the_export_adds() {
    let rig = Rig::new();
    for operation in Operation::ALL {
        let context = CallContext::new()
            .with_originator(Originator::Cli)
            .with_thread_id("thread-1")
            .with_turn_id("turn-1")
            .with_call_id("call-1")
            .with_attempt(2);
        let work = |context: CallContext| {
            let tool = context.open_child(Operation::Tool, Some("ls".into()), None);
            tool.finish();
            context.classify(Classification::from(ErrorClass::Io).with_message("disk on fire"));
            Err("no")
        };
        rig.calls
            .run(*operation, "name", context, work)
            .unwrap_err();
    }
    let receiver = rig.flush();
    let spans = receiver.spans().into_iter().map(|span| span.attributes);
    let logs = receiver.logs().into_iter().map(|log| log.attributes);
    let documented = documented();
    let mut keys: BTreeSet<_> = spans
        .chain(logs)
        .flat_map(|attributes| attributes.into_keys())
        .collect();
    // In the section on log records.
    assert!(keys.remove("exception.type") && keys.remove("exception.message"));
    for key in &keys {
        assert!(documented.contains(&**key), "{key}");
    }
    assert!(keys.len() > 10, "{keys:?}");
}
