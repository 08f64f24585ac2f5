//! The picture of a trace.

use std::{path::Path, time::Duration};

use codex_telemetry::{Call, CallContext, ErrorClass, Event, Operation, Outcome, Timeline};

use crate::{checked::MemorySink, support::*};

/// Compares a text with the file in `snapshots/` that pins it; with `UPDATE_SNAPSHOTS=1`, writes that.
#[track_caller]
fn assert_snapshot(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sinks/snapshots");
    let path = path.join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, actual).expect("a snapshot can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("a snapshot can be read");
    assert!(
        expected == actual,
        "{name} says\n{expected}\nbut it is\n{actual}"
    );
}

/// A turn with every kind of ending in it, of calls that are long and short, and a trace of its own.
fn a_night() -> MemorySink {
    let sink = MemorySink::new();
    let stage = Stage::new(sink.clone());
    let manual = stage.manual.clone();
    let after = |ms| manual.advance(Duration::from_millis(ms));
    let tool = |context: &CallContext, name: &'static str, outcome, ms| {
        let call = Call::new(Operation::Tool, ()).with_name(name);
        stage.call(call.with_context(context.child()), outcome, |_| after(ms));
    };
    let request = turn().with_name("nightly");
    let request = request.with_context(CallContext::new().with_traceparent(PARENT, None));
    stage.call(request, Outcome::Ok, |turn| {
        after(500);
        tool(turn, "a quick look", Outcome::Ok, 1);
        let agent = Call::new(Operation::Turn, ()).with_name("reviewer");
        stage.call(agent.with_context(turn.child()), Outcome::Error, |agent| {
            agent.classify(ErrorClass::ContextWindow);
            after(1_000);
            tool(agent, "shell", Outcome::Ok, 2_345);
            tool(agent, "unclassified", Outcome::Error, 250);
            after(100);
        });
        tool(turn, "search \u{1b}[31mweb\nsites", Outcome::Cancelled, 700);
        let name = "a_tool_with_a_name_that_nobody_would_want_to_read";
        tool(turn, name, Outcome::Panic, 1_200);
        let again = turn.child().with_attempt(2);
        let call = Call::new(Operation::Tool, ()).with_name(name);
        stage.call(call.with_context(again), Outcome::Ok, |_| after(333));
        after(3_571);
    });
    let parent = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let apart = CallContext::new().with_traceparent(parent, None);
    let cleanup = Call::new(Operation::AttachmentCleanup, ()).with_context(apart);
    stage.call(cleanup, Outcome::Ok, |_| {
        manual.advance(Duration::from_micros(476));
    });
    sink
}

/// The events of [`a_night`] while its turn and a tool in it were still open.
fn before_midnight() -> Vec<Event> {
    let mut events = a_night().take();
    let end_of_shell = events
        .iter()
        .position(|event| event.call_name() == Some("shell") && event.kind().is_terminal());
    events.truncate(end_of_shell.expect("the shell ends") + 2);
    events
}

#[test]
fn the_picture_is_as_in_the_snapshot() {
    assert_snapshot("timeline.txt", &a_night().timeline().to_string());
}

#[test]
fn the_picture_in_colours_is_as_in_the_snapshot() {
    let picture = a_night().timeline().colored().to_string();
    assert_snapshot("timeline.colored.txt", &picture);
}

#[test]
fn the_picture_of_calls_that_are_still_open_is_as_in_the_snapshot() {
    let timeline = Timeline::new(&before_midnight());
    assert_snapshot("open.txt", &timeline.to_string());
    assert_snapshot("open.colored.txt", &timeline.colored().to_string());
}

#[test]
fn colours_are_all_that_is_added_and_only_where_they_are_asked_for() {
    let timeline = a_night().timeline();
    let plain = timeline.to_string();
    assert!(!plain.contains('\u{1b}'), "{plain}");

    let colored = timeline.colored().to_string();
    let mut pieces = colored.split('\u{1b}');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        text += piece.split_once('m').expect("the end of a code").1;
    }
    assert_eq!(text, plain);

    // A file is no terminal, whatever the environment says.
    let file = tempfile::tempfile().expect("a temporary file");
    assert_eq!(timeline.colored_on(&file).to_string(), plain);
}

/// The picture of [`three_calls`].
const THREE_CALLS: &str = "\
trace 0af7651916cd43dd8448eb211c80319c  100.000 ms
  codex.turn              ████████████████████████████████  100.000 ms  ok
    codex.tool shell         █████████████                   40.000 ms  ok
    codex.tool search #2                  ████████           25.000 ms  rate_limit
";

/// A turn of 100 ms with a tool that answers after 40 ms and one that fails after 25 ms more.
fn three_calls() -> MemorySink {
    let sink = MemorySink::new();
    let stage = Stage::new(sink.clone());
    let after = |ms| stage.manual.advance(Duration::from_millis(ms));
    let context = CallContext::new().with_traceparent(PARENT, None);
    stage.call(turn().with_context(context), Outcome::Ok, |context| {
        after(10);
        let shell = context.open_child(Operation::Tool, Some("shell".into()), None);
        after(40);
        shell.finish();
        let tool = Call::new(Operation::Tool, ()).with_name("search");
        let again = context.child().with_attempt(2);
        stage.call(tool.with_context(again), Outcome::Error, |context| {
            context.classify(ErrorClass::RateLimit);
            after(25);
        });
        after(25);
    });
    sink
}

#[test]
fn a_trace_of_three_calls_has_a_line_and_a_bar_for_each() {
    assert_eq!(three_calls().timeline().to_string(), THREE_CALLS);
}

#[test]
fn calls_stand_in_the_order_in_which_they_began_however_their_events_come() {
    // Only the ends, and of the two tools the later one first.
    let mut events = three_calls().take();
    events.retain(|event| event.kind().is_terminal());
    events.swap(0, 1);
    assert_eq!(Timeline::new(&events).to_string(), THREE_CALLS);
}

#[test]
fn a_call_that_has_not_ended_is_shown_as_open() {
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
fn an_end_is_believed_even_if_the_start_comes_after_it() {
    let mut events = three_calls().take();
    events.reverse();
    assert_eq!(Timeline::new(&events).to_string(), THREE_CALLS);
}

#[test]
fn an_empty_list_says_that_it_is_empty() {
    assert_eq!(Timeline::new(&[]).to_string(), "(no events)\n");
    assert_eq!(MemorySink::new().timeline().to_string(), "(no events)\n");
}

#[test]
fn traces_stand_in_the_order_in_which_they_began_and_one_can_be_picked() {
    let sink = MemorySink::new();
    let stage = Stage::new(sink.clone());
    stage.call(turn().with_name("first"), Outcome::Ok, |_| ());
    stage.call(turn().with_name("second"), Outcome::Panic, |_| ());
    let text = sink.timeline().to_string();
    let at = |what: &str| text.find(what);
    assert!(at("first") < at("second"), "{text}");
    assert!(text.contains("panic"));

    let second = sink.events()[2].trace_id();
    let picked = sink.timeline().of_trace(second).to_string();
    assert!(!picked.contains("first") && picked.contains("second"));
}

#[test]
fn a_call_whose_parent_is_not_in_the_picture_is_a_root_of_it() {
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
fn a_call_that_took_no_time_is_still_seen() {
    let sink = MemorySink::new();
    Stage::new(sink.clone()).turn(Outcome::Ok);
    let text = sink.timeline().to_string();
    assert!(text.contains("  codex.turn  ▏ "), "{text}");
}
