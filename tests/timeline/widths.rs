//! The text at every width.

use codex_telemetry::Phase;
use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use crate::lines::{Call, every_kind, timeline};

/// Returns the longest line, where a wide character counts twice. The tests have no others than these.
fn widest(text: &str) -> usize {
    let columns = |line: &str| -> usize {
        let width = |c| {
            if ('\u{3040}'..='\u{9fff}').contains(&c) {
                2
            } else {
                1
            }
        };
        line.chars().map(width).sum()
    };
    text.lines().map(columns).max().unwrap_or_default()
}

#[test]
fn a_bar_takes_what_is_left_of_the_width() {
    let lines = every_kind();
    for width in [100, 101, 160, 1000] {
        let text = timeline(&lines).with_width(width).to_string();
        assert_eq!(widest(&text), width, "\n{text}");
    }
}

#[test]
fn labels_are_shortened_before_the_bar_is() {
    let text = timeline(&every_kind()).with_width(60).to_string();
    assert!(text.contains("\n    tool publ…"), "\n{text}");
    assert!(widest(&text) <= 60, "\n{text}");
    // Less than the least.
    assert_eq!(timeline(&every_kind()).with_width(1).to_string(), text);
}

#[test]
fn a_legend_wraps_between_its_parts() {
    let text = timeline(&every_kind()).with_width(60).to_string();
    let legend: Vec<_> = text.lines().skip(2).take(3).collect();
    let expected = [
        "    · wait 100.0 + ▂ startup 200.0 + ▓ model 300.5",
        "    + █ tools 150.0 + ? approval 100.0 + ▞ retry 99.5",
        "    + ─ other 50.0 = 1000.0 ms",
    ];
    assert_eq!(legend, expected, "\n{text}");
}

fn call(index: usize, name: &str, parent: usize, start: u64, took: u64) -> Value {
    let phases = [
        (Phase::Startup, took as f64 / 3.0),
        (Phase::Tools, took as f64 / 1.5),
    ];
    let call = Call::new("codex.turn", index as u64 + 1)
        .named(name)
        .at(start);
    let call = if parent < index {
        call.inside(parent as u64 + 1)
    } else {
        call
    };
    let call = call
        .with("error_class", "approval_denied")
        .with_phases(&phases);
    call.failed("error", took)
}

proptest! {
    #[test]
    fn no_line_is_wider_than_the_width(
        calls in vec(("[a-z検索 ]{0,60}", 0..20_usize, 0..100_000_u64, 0..1_000_000_000_u64), 1..20),
        width in 60..200_usize,
    ) {
        let calls = calls.iter().enumerate();
        let lines: Vec<_> = calls
            .map(|(index, (name, parent, start, took))| call(index, name, *parent, *start, *took))
            .collect();
        let text = timeline(&lines).with_width(width).to_string();
        prop_assert!(widest(&text) <= width, "{}\n{}", width, text);
    }
}
