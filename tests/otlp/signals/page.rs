//! The page on the export lists what spans and log records have.

use std::collections::BTreeSet;

use codex_telemetry::{
    CallContext, Classification, ErrorClass, Operation, Originator, Phase, event::names,
};

use super::support::Rig;

const PAGE: &str = include_str!("../../../docs/otlp.md");
const NAMES: &str = include_str!("../../../src/event/names.rs");
const PHASE: &str = include_str!("../../../src/event/phase.rs");

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

/// Returns the second column of the row of an attribute: the calls that have it.
fn documented_calls(key: &str) -> &'static str {
    let row = PAGE.lines().find(|line| {
        let cell = line.split(" | ").next();
        line.starts_with("| `") && cell.is_some_and(|cell| cell.contains(&format!("`{key}`")))
    });
    row.and_then(|row| row.split(" | ").nth(1))
        .unwrap_or_default()
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
    for (operation, calls) in [
        ("invoke_agent", "turns"),
        ("chat", "responses"),
        ("execute_tool", "tools"),
    ] {
        let spans = receiver.spans().into_iter();
        let mut spans =
            spans.filter(|span| span.attribute("gen_ai.operation.name") == Some(&operation.into()));
        let span = spans.next_back().unwrap();
        for key in span.attributes.keys() {
            let of = documented_calls(key);
            let all = of == "all" || of == "all, at the end" || of == "all but tools";
            let some = ["retries", "exceptions", calls]
                .iter()
                .any(|some| of.contains(some));
            assert!(all || some, "{key} is of {of:?}, and {calls} have it");
        }
    }
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

#[test]
fn the_page_says_of_the_phases_what_the_documentation_of_the_type_says() {
    let (_, section) = PAGE.split_once("\n### Phases\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let rows = PHASE
        .lines()
        .filter_map(|line| line.trim().strip_prefix("/// | "));
    let mut count = 0;
    for row in rows {
        // Without the targets of its links.
        let mut parts = row.split("](");
        let mut text = parts.next().unwrap().to_owned();
        for part in parts {
            text += part.split_once(')').unwrap().1;
        }
        let row = text.replace("[`", "`");
        assert!(section.contains(&format!("| {row}\n")), "{row}");
        count += 1;
    }
    assert!(count > Phase::ALL.len(), "{count}");
}

#[test]
fn the_page_has_every_metric_of_calls_with_its_labels() {
    // The first section of this name has the variables.
    let (_, section) = PAGE.rsplit_once("\n### Metrics\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let rows: Vec<_> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let rig = Rig::new();
    for operation in Operation::ALL {
        let context = CallContext::new().with_originator(Originator::Cli);
        let work = |context: CallContext| {
            for key in [
                names::INPUT_TOKENS,
                names::OUTPUT_TOKENS,
                names::CACHE_READ_TOKENS,
                names::CACHE_WRITE_TOKENS,
                names::REASONING_TOKENS,
                names::CLEANUP_REMOVED,
                names::CLEANUP_BYTES,
                names::TOOL_CALLS,
            ] {
                context.record(key, 1);
            }
            context.record(names::INFERENCE_CALLS, 0);
            context.record(names::PHASE_MODEL, 1.5);
            context.record(names::RESPONSE_TIME_TO_FIRST_CHUNK, 0.5);
            context.record(names::REQUEST_MODEL, "gpt-5.4");
            context.record(names::TOOL_TYPE, "function");
            context.classify(ErrorClass::Io);
            Err("no")
        };
        rig.calls
            .run(*operation, "name", context, work)
            .unwrap_err();
    }
    let allowed = |context: CallContext| {
        context.record(names::APPROVAL_DECISION, "accept");
        Ok(())
    };
    rig.calls
        .run(Operation::Approval, "ls", CallContext::new(), allowed)
        .unwrap();
    let receiver = rig.flush();
    receiver.wait_for_metric("codex.approval.duration");
    let mut received = BTreeSet::new();
    for metric in receiver.metrics() {
        if metric.name.starts_with("otel.") {
            continue;
        }
        let name = format!("`{}`", metric.name);
        let number = rows
            .iter()
            .position(|row| row.split(" | ").next().unwrap().contains(&name));
        let number = number.unwrap_or_else(|| panic!("{name} is not on the page"));
        let row = rows[number];
        let unit = row.split(" | ").nth(1).unwrap();
        assert!(unit.contains(&format!("`{}`", metric.unit)), "{name}");
        let mut labels = row.rsplit(" | ").next().unwrap();
        if labels == "the same |" {
            labels = rows[number - 1].rsplit(" | ").next().unwrap();
        }
        for key in metric
            .points
            .iter()
            .flat_map(|point| point.attributes.keys())
        {
            let is_said = labels.contains(&format!("`{key}`"));
            let has_originator = !labels.contains("no originator");
            let is_originator = key == "codex.originator" && has_originator;
            assert!(is_said || is_originator, "{key} of {name}");
        }
        received.insert(metric.name);
    }
    // Each name of the page was received.
    let names = rows.iter().flat_map(|row| {
        let cell = row.split(" | ").next().unwrap();
        cell.split('`').skip(1).step_by(2)
    });
    let missing: Vec<_> = names.filter(|name| !received.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
