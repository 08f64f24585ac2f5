//! The text of a timeline.

use std::{path::Path, time::Duration};

use codex_telemetry::{Call, CallContext, ErrorClass, Event, Operation, Outcome, Timeline};

use crate::{checked::MemorySink, support::*};

/// Compares `actual` with a file in `snapshots/`, which `UPDATE_SNAPSHOTS=1` overwrites before.
#[track_caller]
fn assert_snapshot(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sinks/snapshots");
    let path = path.join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, actual).expect("the snapshot is writable");
    }
    let expected = std::fs::read_to_string(&path).expect("the snapshot is readable");
    assert!(
        expected == actual,
        "{name} is\n{expected}\nactual:\n{actual}"
    );
}

/// Makes a trace with every outcome and with long and short calls, and a second trace.
fn two_traces() -> MemorySink {
    let sink = MemorySink::new();
    let harness = Harness::new(sink.clone());
    let manual = harness.manual.clone();
    let advance = |ms| manual.advance(Duration::from_millis(ms));
    let tool = |context: &CallContext, name: &'static str, outcome, ms| {
        let call = Call::new(Operation::Tool, ()).with_name(name);
        harness.call(call.with_context(context.child()), outcome, |_| advance(ms));
    };
    let request = turn().with_name("nightly");
    let request = request.with_context(CallContext::new().with_traceparent(PARENT, None));
    harness.call(request, Outcome::Ok, |turn| {
        advance(500);
        tool(turn, "a quick look", Outcome::Ok, 1);
        let agent = Call::new(Operation::Turn, ()).with_name("reviewer");
        harness.call(agent.with_context(turn.child()), Outcome::Error, |agent| {
            agent.classify(ErrorClass::ContextWindow);
            advance(1_000);
            tool(agent, "shell", Outcome::Ok, 2_345);
            tool(agent, "unclassified", Outcome::Error, 250);
            advance(100);
        });
        tool(turn, "search \u{1b}[31mweb\nsites", Outcome::Cancelled, 700);
        let name = "a_tool_with_a_name_that_nobody_would_want_to_read";
        tool(turn, name, Outcome::Panic, 1_200);
        let retry = turn.child().with_attempt(2);
        let call = Call::new(Operation::Tool, ()).with_name(name);
        harness.call(call.with_context(retry), Outcome::Ok, |_| advance(333));
        advance(3_571);
    });
    let parent = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let context = CallContext::new().with_traceparent(parent, None);
    let cleanup = Call::new(Operation::AttachmentCleanup, ()).with_context(context);
    harness.call(cleanup, Outcome::Ok, |_| {
        manual.advance(Duration::from_micros(476));
    });
    sink
}

/// Returns the events of [`two_traces`] up to a moment at which three calls are open.
fn open_calls() -> Vec<Event> {
    let mut events = two_traces().take();
    let end_of_shell = events
        .iter()
        .position(|event| event.call_name() == Some("shell") && event.kind().is_terminal());
    events.truncate(end_of_shell.expect("the end of `shell`") + 2);
    events
}

#[test]
fn plain_text_matches_the_snapshot() {
    assert_snapshot("timeline.txt", &two_traces().timeline().to_string());
}

#[test]
fn colored_text_matches_the_snapshot() {
    let text = two_traces().timeline().colored().to_string();
    assert_snapshot("timeline.colored.txt", &text);
}

#[test]
fn open_calls_match_the_snapshot() {
    let timeline = Timeline::new(&open_calls());
    assert_snapshot("open.txt", &timeline.to_string());
    assert_snapshot("open.colored.txt", &timeline.colored().to_string());
}

#[test]
fn colored_adds_only_escape_sequences_and_a_file_gets_none() {
    let timeline = two_traces().timeline();
    let plain = timeline.to_string();
    assert!(!plain.contains('\u{1b}'), "{plain}");

    let colored = timeline.colored().to_string();
    let mut pieces = colored.split('\u{1b}');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text += piece.split_once('m').expect("the end of the sequence").1;
    }
    assert_eq!(text, plain);

    // Whatever the environment is, a file is not a terminal.
    let file = tempfile::tempfile().expect("a temporary file");
    assert_eq!(timeline.colored_on(&file).to_string(), plain);
}

/// The timeline of [`three_calls`].
const THREE_CALLS: &str = "\
trace 0af7651916cd43dd8448eb211c80319c  100.000 ms
  codex.turn              ████████████████████████████████  100.000 ms  ok
    codex.tool shell         █████████████                   40.000 ms  ok
    codex.tool search #2                  ████████           25.000 ms  rate_limit
";

/// Makes a turn of 100 ms with a tool that succeeds in 40 ms and a retried one that fails in 25 ms.
fn three_calls() -> MemorySink {
    let sink = MemorySink::new();
    let harness = Harness::new(sink.clone());
    let advance = |ms| harness.manual.advance(Duration::from_millis(ms));
    let context = CallContext::new().with_traceparent(PARENT, None);
    harness.call(turn().with_context(context), Outcome::Ok, |context| {
        advance(10);
        let shell = context.open_child(Operation::Tool, Some("shell".into()), None);
        advance(40);
        shell.finish();
        let tool = Call::new(Operation::Tool, ()).with_name("search");
        let retry = context.child().with_attempt(2);
        harness.call(tool.with_context(retry), Outcome::Error, |context| {
            context.classify(ErrorClass::RateLimit);
            advance(25);
        });
        advance(25);
    });
    sink
}

#[test]
fn each_call_has_a_line_and_a_bar() {
    assert_eq!(three_calls().timeline().to_string(), THREE_CALLS);
}

#[test]
fn model_responses_are_among_the_tools_of_their_turn_and_an_approval_is_inside_of_its_tool() {
    let sink = MemorySink::new();
    let harness = Harness::new(sink.clone());
    let advance = |ms| harness.manual.advance(Duration::from_millis(ms));
    let context = CallContext::new().with_traceparent(PARENT, None);
    let request = turn().with_name("reviewer").with_context(context);
    harness.call(request, Outcome::Ok, |turn| {
        let open =
            |operation, name: &'static str| turn.open_child(operation, Some(name.into()), None);
        let first = open(Operation::Chat, "gpt-5.4");
        advance(20);
        first.finish();
        let tool = open(Operation::Tool, "shell");
        let approval = tool.open_child(Operation::Approval, Some("shell".into()), None);
        advance(40);
        approval.finish();
        advance(20);
        tool.finish();
        let second = open(Operation::Chat, "gpt-5.4");
        advance(80);
        second.fail(ErrorClass::RateLimit);
    });
    let expected = "\
trace 0af7651916cd43dd8448eb211c80319c  160.000 ms
  codex.turn reviewer       ████████████████████████████████  160.000 ms  ok
    codex.chat gpt-5.4      ████                               20.000 ms  ok
    codex.tool shell            ████████████                   60.000 ms  ok
      codex.approval shell      ████████                       40.000 ms  ok
    codex.chat gpt-5.4                      ████████████████   80.000 ms  rate_limit
";
    assert_eq!(sink.timeline().to_string(), expected);

    // A response is learned of when it ends, so its start comes after those of later calls.
    let mut events = sink.take();
    let starts =
        |event: &Event| event.operation() == Operation::Chat && !event.kind().is_terminal();
    let (late, others): (Vec<_>, Vec<_>) = events.drain(..).partition(starts);
    let events: Vec<_> = others.into_iter().chain(late).collect();
    assert_eq!(Timeline::new(&events).to_string(), expected);
}

#[test]
fn calls_are_in_the_order_of_their_starts_whatever_the_order_of_events() {
    // Only the terminal events, and the later tool first.
    let mut events = three_calls().take();
    events.retain(|event| event.kind().is_terminal());
    events.swap(0, 1);
    assert_eq!(Timeline::new(&events).to_string(), THREE_CALLS);
}

#[test]
fn a_call_without_a_terminal_event_is_open() {
    let sink = three_calls();
    let mut events = sink.take();
    events.pop();
    let text = Timeline::new(&events).to_string();
    let turn = text.lines().nth(1).expect("a line for the turn");
    assert!(
        turn.contains("codex.turn") && turn.ends_with("(open)"),
        "{text}"
    );
}

#[test]
fn a_terminal_event_counts_even_if_the_start_follows_it() {
    let mut events = three_calls().take();
    events.reverse();
    assert_eq!(Timeline::new(&events).to_string(), THREE_CALLS);
}

#[test]
fn an_empty_timeline_says_so() {
    assert_eq!(Timeline::new(&[]).to_string(), "(no events)\n");
    assert_eq!(MemorySink::new().timeline().to_string(), "(no events)\n");
}

#[test]
fn traces_are_in_the_order_of_their_first_events_and_of_trace_keeps_one() {
    let sink = MemorySink::new();
    let harness = Harness::new(sink.clone());
    harness.call(turn().with_name("first"), Outcome::Ok, |_| ());
    harness.call(turn().with_name("second"), Outcome::Panic, |_| ());
    let text = sink.timeline().to_string();
    let position = |name: &str| text.find(name).expect("a line for each turn");
    assert!(position("first") < position("second"), "{text}");
    assert!(text.contains("panic"));

    let second = sink.events()[2].trace_id();
    let kept = sink.timeline().of_trace(second).to_string();
    assert!(!kept.contains("first") && kept.contains("second"));
}

#[test]
fn a_call_without_its_parent_is_a_root() {
    let events = three_calls().take();
    let turn = events[0].span_id();
    let tools: Vec<_> = events.into_iter().filter(|e| e.span_id() != turn).collect();
    let text = Timeline::new(&tools).to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(
        text.lines()
            .skip(1)
            .all(|line| line.starts_with("  codex.tool"))
    );
}

#[test]
fn a_call_of_no_duration_has_a_visible_bar() {
    let sink = MemorySink::new();
    Harness::new(sink.clone()).turn(Outcome::Ok);
    let text = sink.timeline().to_string();
    assert!(text.contains("  codex.turn  ▏ "), "{text}");
}

#[test]
fn a_label_has_at_most_forty_characters() {
    for (length, label) in [
        (29, format!("codex.turn {}", "a".repeat(29))),
        (30, format!("codex.turn {}…", "a".repeat(28))),
    ] {
        let sink = MemorySink::new();
        let request = turn().with_name("a".repeat(length));
        Harness::new(sink.clone()).call(request, Outcome::Ok, |_| ());
        let text = sink.timeline().to_string();
        assert!(text.contains(&format!("\n  {label}  ▏ ")), "{text}");
    }
}
