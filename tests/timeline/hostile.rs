//! Names and lines that nobody would write on purpose.

use std::time::{Duration, Instant};

use codex_telemetry::{Phase, Phases, Timeline};
use serde_json::json;

use crate::lines::{Call, text, timeline};

#[test]
fn a_name_of_ten_thousand_bytes_is_shortened_and_its_control_characters_are_replaced() {
    let name = format!("\u{1b}[2J\r\n\u{202e}検索{}", "x".repeat(10_000));
    let timeline = timeline(&[Call::new("codex.tool", 1).named(&name).ok(1)]);
    let text = timeline.to_string();
    assert!(
        text.contains("codex.tool \u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}検索xxx"),
        "{text}"
    );
    assert!(text.lines().count() == 2 && text.len() < 500, "{text}");
    for page in [timeline.to_svg(), timeline.to_html()] {
        assert!(!page.contains(['\u{1b}', '\u{202e}', '\r']));
        assert!(page.len() < 10_000, "{}", page.len());
    }
}

#[test]
fn a_wide_name_takes_two_columns_for_each_character() {
    let narrow = Call::new("codex.tool", 1).named("abcd");
    let wide = Call::new("codex.tool", 2).named("検索");
    let text = timeline(&[narrow.ok(8), wide.ok(8)]).to_string();
    let bars: Vec<_> = text
        .lines()
        .skip(1)
        .map(|line| line.split("  ").nth(2))
        .collect();
    assert_eq!(bars[0], bars[1], "{text}");
}

#[test]
fn calls_that_are_their_own_ancestors_are_drawn_once() {
    let call = |span: u64, parent| {
        Call::new("codex.tool", span)
            .inside(parent)
            .named(&format!("n{span}"))
    };
    let lines = [
        call(1, 1).ok(5),
        call(2, 3).ok(5),
        call(3, 2).ok(5),
        call(4, 3).ok(5),
        Call::new("codex.turn", 9).ok(5),
    ];
    let text = timeline(&lines).to_string();
    for name in ["codex.turn", "n1", "n2", "n3", "n4"] {
        assert_eq!(text.matches(name).count(), 1, "{name}: {text}");
    }
}

#[test]
fn an_orphan_is_a_root() {
    let text = timeline(&[Call::new("codex.tool", 1).inside(77).ok(5)]).to_string();
    assert!(text.contains("\n  codex.tool "), "{text}");
}

#[test]
fn times_of_zero_and_of_days_and_a_clock_that_was_set_back_are_drawn() {
    let day = 24 * 3_600_000;
    let turn = Call::new("codex.turn", 1).at(day);
    let lines = [
        turn.clone()
            .with_phases(&[(Phase::Model, (3 * day) as f64)])
            .ok(3 * day),
        Call::new("codex.tool", 2).inside(1).at(2 * day).ok(0),
        // Before its parent.
        Call::new("codex.tool", 3).inside(1).at(0).ok(day),
    ];
    for width in [60, 80, 200] {
        let text = timeline(&lines).with_width(width).to_string();
        assert!(text.contains("259200000.000 ms  ok"), "{text}");
        assert!(
            text.contains("▓ model 259200000.0 = 259200000.0 ms"),
            "{text}"
        );
        assert!(text.contains(" 0.000 ms"), "{text}");
    }
    let none = timeline(&[turn.with_phases(&[(Phase::Model, 0.0)]).ok(0)]).to_string();
    assert!(none.contains("  ▏") && none.lines().count() == 2, "{none}");
}

#[test]
fn changes_without_order_or_end_and_unknown_phases_leave_a_whole_bar() {
    let mut changes = vec![
        json!({"phase": "tools", "start_ms": 60.0}),
        json!({"phase": "dreaming", "start_ms": 10.0}),
        json!({"phase": "model", "start_ms": 5.0}),
        json!({"phase": "model", "start_ms": -5.0}),
    ];
    let turn = Call::new("codex.turn", 1).with("phases", changes.clone());
    let bar = "▓".repeat(19) + &"█".repeat(13);
    let text = timeline(&[turn.ok(100)]).to_string();
    assert!(text.contains(&bar), "{text}");

    changes.resize(
        10 * Phases::MAX_CHANGES,
        json!({"phase": "retry", "start_ms": 1e9}),
    );
    let turn = Call::new("codex.turn", 1).with("phases", changes);
    let text = timeline(&[turn.ok(100)]).to_string();
    assert!(text.contains(&bar), "{text}");
}

#[test]
fn a_bar_has_no_more_stretches_than_a_turn_tells() {
    let change = |at: usize| {
        let phase = Phase::ALL[at % 2];
        json!({"phase": phase.as_str(), "start_ms": at})
    };
    let changes: Vec<_> = (0..1_000).map(change).collect();
    let turn = Call::new("codex.turn", 1).with("phases", changes);
    let svg = timeline(&[turn.ok(1_000)]).to_svg();
    assert_eq!(svg.matches("class=\"phase\"").count(), Phases::MAX_CHANGES);
}

#[test]
fn a_chain_of_thousands_of_calls_is_drawn_in_bounded_space() {
    let call = |span: u64| {
        Call::new("codex.tool", span)
            .inside(span - 1)
            .at(span)
            .ok(1)
    };
    let lines: Vec<_> = (2..5_000).map(call).collect();
    let text = text(&lines);
    let begun = Instant::now();
    let timeline = Timeline::from_json_lines(text.as_bytes()).unwrap();
    let drawn = timeline.to_string();
    assert_eq!(drawn.lines().count(), lines.len() + 1);
    assert!(drawn.len() < lines.len() * 200, "{}", drawn.len());
    assert!(timeline.to_svg().len() < lines.len() * 1_000);
    assert!(
        timeline
            .with_width(60)
            .to_string()
            .lines()
            .all(|line| line.chars().count() <= 60)
    );
    // Quadratic work would take minutes.
    assert!(begun.elapsed() < Duration::from_secs(30));
}
