use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{events, example};

/// Returns what the quickstart prints.
fn quickstart() -> String {
    let output = example("quickstart").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the lines that are events.
fn event_lines(text: &str) -> String {
    let lines = text.lines().filter(|line| line.starts_with("{\"event\":"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn quickstart_shows_what_the_tools_answered_a_timeline_and_the_events_of_every_call() {
    let text = quickstart();
    for part in [
        "Codex says: your tools answered\n",
        "closed_tickets: [\"1.4: faster start\"]\n",
        "read_page: tool `read_page` failed: there is no page /old-notes\n",
        "publish: tool `publish` was declined: not on a Friday; ",
        "cleanup: removed 1, kept 1",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    // A turn with three responses, a command, three tools, a request and a question of theirs; and a cleanup.
    let events = events(event_lines(&text).as_bytes());
    assert_eq!(events.len(), 2 * 11, "{text}");
    let is_inside = |event: &&Value| event["parent_span_id"].is_string();
    let trace = &events[0]["trace_id"];
    assert_eq!(events.iter().filter(is_inside).count(), 2 * 9, "{text}");
    assert!(
        events
            .iter()
            .filter(is_inside)
            .all(|event| event["trace_id"] == *trace),
        "{text}"
    );
}

#[test]
fn the_readme_shows_the_timeline_and_an_event_of_the_quickstart() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, page) = readme.split_once("\n## What comes out\n").unwrap();
    let block = |fence: &str| {
        let (_, block) = page.split_once(&format!("\n```{fence}\n")).unwrap();
        block.split_once("\n```\n").unwrap().0
    };
    let printed = quickstart();
    let (_, timeline) = printed.split_once("\n\ntrace ").unwrap();
    let (timeline, _) = timeline.split_once("\n\n").unwrap();
    assert_eq!(
        calls(block("text")),
        calls(&format!("trace {timeline}")),
        "{printed}"
    );

    let shown: Value = serde_json::from_str(block("json")).unwrap();
    let events = events(event_lines(&printed).as_bytes());
    let is_shown =
        |event: &&Value| event["event"] == shown["event"] && event["name"] == shown["name"];
    let event = events.iter().find(is_shown).expect("the event of the page");
    assert_eq!(lasting(shown), lasting(event.clone()), "{printed}");
}

#[test]
fn the_numbers_below_the_turn_add_up_to_its_duration_and_so_do_those_of_the_readme() {
    let printed = quickstart();
    assert_eq!(assert_legends_add_up(&printed), 1, "{printed}");
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    assert_legends_add_up(&fs::read_to_string(readme).unwrap());
}

/// Checks each legend of a timeline in the text, and returns how many there are.
#[track_caller]
fn assert_legends_add_up(text: &str) -> usize {
    let mut legends = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        if !line.trim_start().starts_with("codex.turn ") || !is_legend(next) {
            continue;
        }
        let mut legend = String::new();
        while let Some(part) = lines.next_if(|line| is_legend(line)) {
            legend += part;
        }
        let tenths = |number: &str| number.replace('.', "").parse::<u64>().unwrap();
        let numbers = |text: &str| -> Vec<u64> {
            let words = text
                .split_whitespace()
                .filter(|word| word.parse::<f64>().is_ok());
            words.map(tenths).collect()
        };
        let (parts, total) = legend.split_once(" = ").unwrap();
        let total = numbers(total)[0];
        assert_eq!(numbers(parts).iter().sum::<u64>(), total, "{legend}");
        // That of the turn, which has two digits more.
        let duration = line
            .split_whitespace()
            .find_map(|word| word.parse::<f64>().ok());
        let off = duration.unwrap() * 10.0 - total as f64;
        assert!(off.abs() <= 0.5, "{line}\n{legend}");
        legends += 1;
    }
    legends
}

/// Returns whether a line below a turn is part of its legend.
fn is_legend(line: &str) -> bool {
    line.contains(" + ") || line.contains(" = ") || line.trim_start().starts_with("+ ")
}

/// Returns the depth, the name and the end of each call of a timeline, without ids, bars and times. Sorted, because on a
/// busy machine the tools may begin in another order.
fn calls(timeline: &str) -> Vec<String> {
    let call = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        let words = line.split_whitespace().filter(|word| {
            let is_id = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            let is_time = word.parse::<f64>().is_ok();
            word.is_ascii() && !is_id && !is_time
        });
        format!("{indent} {}", words.collect::<Vec<_>>().join(" "))
    };
    let lines = timeline.lines().filter(|line| !is_legend(line));
    let mut calls: Vec<_> = lines.map(call).collect();
    calls.sort_unstable();
    calls
}

/// Replaces what differs from run to run.
fn lasting(mut event: Value) -> Value {
    for key in [
        "time",
        "duration_ms",
        "trace_id",
        "span_id",
        "parent_span_id",
    ] {
        assert!(!event[key].is_null(), "{key}");
        event[key] = "…".into();
    }
    event["attributes"]["codex.tool.approval_wait_ms"] = "…".into();
    event
}
