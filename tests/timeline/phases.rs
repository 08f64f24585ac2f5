//! A turn's bar, its legend and its result.

use codex_telemetry::Phase;

use crate::lines::{Call, every_kind, timeline};

/// Returns the lines of the text, without the heading.
fn lines(text: &str) -> Vec<&str> {
    text.lines().skip(1).collect()
}

#[test]
fn a_turn_is_drawn_in_its_phases_with_a_legend_that_adds_up() {
    let text = timeline(&every_kind()).to_string();
    let expected = "\
trace 0af7651916cd43dd8448eb211c80319c  1000.000 ms
  codex.turn reviewer         ···▂▂▂▂▂▂▂▓▓▓▓▓▓▓▓▞▞▞▓█████──???  1000.000 ms  cancelled (approval)
    · wait 100.0 + ▂ startup 200.0 + ▓ model 300.5 + █ tools 150.0 + ? approval 100.0 + ▞ retry 99.5
    + ─ other 50.0 = 1000.0 ms
    codex.chat gpt                     ████████▌                 250.000 ms  ok
    codex.tool shell                                ███▌         100.000 ms  ok
    codex.tool search                                 ███▏       100.000 ms  rate_limit
    codex.tool crash                                   █▏         20.000 ms  panic
    codex.tool publish                                   ░░░░░               (open)
      codex.approval publish                              ████   100.000 ms  cancelled
";
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn colours_of_the_phases_are_added_to_the_bar_and_to_the_legend_alone() {
    let timeline = timeline(&every_kind());
    let colored = timeline.colored().to_string();
    assert!(colored.contains("\u{1b}[33m???\u{1b}[0m"), "{colored}");
    assert!(
        colored.contains("+ \u{1b}[33m?\u{1b}[0m approval 100.0"),
        "{colored}"
    );
    let mut pieces = colored.split('\u{1b}');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain += piece.split_once('m').unwrap().1;
    }
    assert_eq!(plain, timeline.to_string());
}

#[test]
fn a_phase_of_no_time_and_one_that_is_not_told_are_left_out() {
    let turn = Call::new("codex.turn", 1).with_phases(&[
        (Phase::Wait, 0.04),
        (Phase::Model, 99.96),
        (Phase::Approval, 0.0),
    ]);
    let text = timeline(&[turn.ok(100)]).to_string();
    assert_eq!(lines(&text)[1], "    ▓ model 100.0 = 100.0 ms", "{text}");
}

#[test]
fn each_turn_has_its_own_legend_below_its_bar() {
    let outer = Call::new("codex.turn", 1).named("outer");
    let outer = outer.with_phases(&[(Phase::Model, 40.0), (Phase::Tools, 60.0)]);
    let inner = Call::new("codex.turn", 2).named("inner").inside(1).at(40);
    let inner = inner.with_phases(&[(Phase::Startup, 10.0), (Phase::Model, 50.0)]);
    let text = timeline(&[outer.ok(100), inner.ok(60)]).to_string();
    let lines = lines(&text);
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].contains("codex.turn outer"), "{text}");
    assert_eq!(lines[1], "    ▓ model 40.0 + █ tools 60.0 = 100.0 ms");
    assert!(lines[2].contains("  codex.turn inner"), "{text}");
    assert_eq!(lines[3], "      ▂ startup 10.0 + ▓ model 50.0 = 60.0 ms");
}

#[test]
fn only_a_turn_that_did_not_complete_names_its_phase() {
    let ended = |phases: &[(Phase, f64)]| Call::new("codex.turn", 1).with_phases(phases);
    let model = ended(&[(Phase::Model, 100.0)]);
    for (line, result) in [
        (model.ok(100), "  ok"),
        (model.failed("cancelled", 100), "  cancelled (model)"),
        (
            model
                .clone()
                .with("error_class", "timeout")
                .failed("error", 100),
            "  timeout (model)",
        ),
        (model.failed("panic", 100), "  panic (model)"),
        (ended(&[]).failed("error", 100), "  error"),
    ] {
        let text = timeline(&[line]).to_string();
        assert!(lines(&text)[0].ends_with(result), "{text}");
    }
}

#[test]
fn a_turn_without_the_times_of_its_changes_has_a_plain_bar_and_its_legend() {
    let turn = Call::new("codex.turn", 1).with_phases(&[(Phase::Model, 100.0)]);
    let text = timeline(&[turn.with("phases", Vec::<u8>::new()).ok(100)]).to_string();
    assert!(lines(&text)[0].contains(&"█".repeat(32)), "{text}");
    assert_eq!(lines(&text)[1], "    ▓ model 100.0 = 100.0 ms");
}
