//! The picture of a file is that of the events.

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use codex_telemetry::{
    CallContext, Clock, CodexClassifier, FanOut, JsonLinesSink, Operation, Sink, Timeline,
    TimingLayer,
    turn::{CodexExec, Progress, TurnRequest, TurnUpdate, turn_stream},
};
use tokio_stream::StreamExt;
use tower::ServiceBuilder;

use crate::{
    checked::MemorySink,
    lines::{Call, text},
};

/// A turn that waits at each pipe for the test.
const SCRIPT: &str = r#"
    mkfifo "$PIPES/started" "$PIPES/running" "$PIPES/done"
    echo '{"type":"thread.started","thread_id":"01a2021f-12be-7782-b2de-86dee0c040e2"}'
    read -r _ <"$PIPES/started"
    echo '{"type":"turn.started"}'
    echo '{"type":"item.started","item":{"id":"i","type":"command_execution","command":"true","aggregated_output":"","exit_code":null,"status":"in_progress"}}'
    read -r _ <"$PIPES/running"
    echo '{"type":"item.completed","item":{"id":"i","type":"command_execution","command":"true","aggregated_output":"","exit_code":0,"status":"completed"}}'
    read -r _ <"$PIPES/done"
    echo '{"type":"turn.completed","usage":{"input_tokens":1}}'
"#;

/// The buffer that a sink has written.
type Lines = Arc<JsonLinesSink<Vec<u8>>>;

/// Runs a turn of `codex exec` with a start-up of 40 ms, a command of 20 ms and 60 ms of the model.
async fn turn() -> (MemorySink, Lines) {
    let memory = MemorySink::new();
    let lines: Lines = Arc::new(JsonLinesSink::new(Vec::new()));
    let sink = FanOut::new()
        .with(memory.clone())
        .with(Arc::clone(&lines) as Arc<dyn Sink>);
    let (clock, manual) = Clock::manual(UNIX_EPOCH + Duration::from_secs(1_767_323_045));
    let fake = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex");
    let codex = CodexExec::builder().codex(fake).build();
    let service = ServiceBuilder::new()
        .layer(TimingLayer::with_clock(sink, clock))
        .layer(codex_telemetry::ErrorClassLayer::new(CodexClassifier))
        .service(codex.clone());
    let pipes = tempfile::tempdir().unwrap();
    let parent = format!("00-{}-b7ad6b7169203331-01", crate::lines::TRACE);
    let request = TurnRequest::new("a prompt")
        .with_context(CallContext::new().with_traceparent(&parent, None))
        .with_env("FAKE_CODEX", SCRIPT)
        .with_env("PIPES", pipes.path().to_str().unwrap());
    let mut turn = std::pin::pin!(turn_stream(service, request));
    let go_on = |after: u64, pipe: &str| {
        manual.advance(Duration::from_millis(after));
        fs::write(pipes.path().join(pipe), "\n").unwrap();
    };
    while let Some(update) = turn.next().await {
        match update {
            TurnUpdate::Progress(Progress::ThreadStarted { .. }) => go_on(40, "started"),
            TurnUpdate::Progress(Progress::ItemStarted(_)) => go_on(20, "running"),
            TurnUpdate::Progress(Progress::ItemCompleted(_)) => go_on(60, "done"),
            TurnUpdate::Done(turn) => drop(turn.unwrap()),
            _ => {}
        }
    }
    codex.drain().await;
    (memory, lines)
}

/// Returns what the sink has written. It is the only one that has it.
fn written(lines: Lines) -> Vec<u8> {
    Arc::into_inner(lines).unwrap().into_inner()
}

#[tokio::test]
async fn the_picture_of_the_lines_is_that_of_the_events() {
    let (memory, lines) = turn().await;
    let events = memory.events();
    let lines = written(lines);
    let of_events = Timeline::new(&events);
    let of_lines = Timeline::from_json_lines(&lines[..]).unwrap();
    assert_eq!(of_lines.skipped_lines(), 0);
    let expected = "\
trace 0af7651916cd43dd8448eb211c80319c  120.000 ms
  codex.turn                      ▂▂▂▂▂▂▂▂▂▂▂█████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓  120.000 ms  ok
    ▂ startup 40.0 + ▓ model 60.0 + █ tools 20.0 = 120.0 ms
    codex.tool command_execution            ██████                   20.000 ms  ok
";
    assert_eq!(of_events.to_string(), expected, "\n{of_events}");
    assert_eq!(of_lines.to_string(), expected, "\n{of_lines}");
    assert_eq!(of_lines.to_svg(), of_events.to_svg());
    assert_eq!(of_lines.to_html(), of_events.to_html());
    assert_eq!(
        of_lines.colored().to_string(),
        of_events.colored().to_string()
    );

    // The ends alone are enough.
    let ends = String::from_utf8(lines).unwrap();
    let ends: String = ends
        .lines()
        .filter(|line| line.contains("outcome"))
        .map(|line| format!("{line}\n"))
        .collect();
    let of_ends = Timeline::from_json_lines(ends.as_bytes()).unwrap();
    assert_eq!(of_ends.to_string(), expected, "\n{of_ends}");
}

#[test]
fn an_open_call_of_the_lines_is_drawn_as_that_of_the_events() {
    let memory = MemorySink::new();
    let lines: Lines = Arc::new(JsonLinesSink::new(Vec::new()));
    let sink = FanOut::new()
        .with(memory.clone())
        .with(Arc::clone(&lines) as Arc<dyn Sink>);
    let (clock, manual) = Clock::manual(UNIX_EPOCH + Duration::from_secs(1));
    let mut service = tower::Layer::layer(
        &TimingLayer::with_clock(sink, clock),
        tower::service_fn(|call: codex_telemetry::Call<()>| {
            let tool = call
                .context
                .open_child(Operation::Tool, Some("a".into()), None);
            manual.advance(Duration::from_millis(3));
            // The events so far, of which both calls are open.
            let events = memory.events();
            tool.finish();
            std::future::ready(Ok::<_, ()>(events))
        }),
    );
    let call = codex_telemetry::Call::new(Operation::Turn, ());
    let mut response = tokio_test::task::spawn(tower::Service::call(&mut service, call));
    let std::task::Poll::Ready(Ok(events)) = response.poll() else {
        panic!("an answer")
    };
    drop((response, service));
    assert_eq!(events.len(), 2);
    let lines = String::from_utf8(written(lines)).unwrap();
    let starts: Vec<_> = lines.lines().take(2).collect();
    let of_lines = Timeline::from_json_lines(starts.join("\n").as_bytes()).unwrap();
    assert_eq!(of_lines.to_string(), Timeline::new(&events).to_string());
    assert_eq!(of_lines.to_string().matches("(open)").count(), 2);
}

#[test]
fn a_line_that_is_torn_or_foreign_is_skipped_and_counted_and_an_empty_one_is_not() {
    let tool = Call::new("codex.tool", 1).named("shell");
    let good = text(&[tool.ok(5)]);
    let wrong = |field: &str, value: &str| tool.clone().with(field, value).ok(5);
    let foreign = [
        "not JSON".to_owned(),
        "{}".to_owned(),
        "[1]".to_owned(),
        good[..good.len() / 2].to_owned(),
        wrong("trace_id", "xyz").to_string(),
        wrong("span_id", "").to_string(),
        tool.failed("no outcome", 5).to_string(),
        // An end that says that the call is fine, and one without a duration.
        tool.failed("ok", 5).to_string(),
        good.trim().replace("duration_ms", "other"),
        good.trim().replace("2026-01-02T", "yesterday "),
        "\0\0\0\0".to_owned(),
    ];
    for line in &foreign {
        let file = format!("{line}\n\n  \r\n{good}");
        let timeline = Timeline::from_json_lines(file.as_bytes()).unwrap();
        assert_eq!(timeline.skipped_lines(), 1, "{line}");
        assert!(timeline.to_string().contains("codex.tool shell"), "{line}");
    }
    let bytes = [b"\xff\xfe\n", good.as_bytes()].concat();
    assert_eq!(
        Timeline::from_json_lines(&bytes[..])
            .unwrap()
            .skipped_lines(),
        1
    );
}

#[test]
fn a_call_begins_when_its_start_says_although_the_machine_was_suspended_before_its_end() {
    // An hour by the wall clock, of which the monotonic clock knows 100 ms.
    let hour = 3_600_000;
    let turn = Call::new("codex.turn", 1);
    let suspended = turn.clone().at(hour - 100).ok(100);
    let expected = "\
trace 0af7651916cd43dd8448eb211c80319c  3600000.000 ms
  codex.turn  ▏                                 100.000 ms  ok
";
    for lines in [[turn.open(), suspended.clone()], [suspended, turn.open()]] {
        let timeline = crate::lines::timeline(&lines);
        assert_eq!(timeline.to_string(), expected, "\n{timeline}");
    }
}

#[test]
fn unknown_fields_a_new_class_and_operations_of_the_application_are_kept() {
    let call = Call::new("billing.sync", 1)
        .with("region", "north")
        .with("error_class", "new_class");
    let timeline = Timeline::from_json_lines(text(&[call.failed("error", 5)]).as_bytes()).unwrap();
    assert_eq!(timeline.skipped_lines(), 0);
    let text = timeline.to_string();
    assert!(
        text.contains("  billing.sync  ") && text.ends_with("  new_class\n"),
        "{text}"
    );
}
