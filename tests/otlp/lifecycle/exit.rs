//! A short program exports everything before it exits.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use super::support::{events, exec, names};
use crate::receiver::{Receiver, Value};

const FAILING: &str =
    r#"echo '{"type":"turn.failed","error":{"message":"rate limit exceeded"}}'; exit 1"#;

/// A turn that reports its progress and does not end.
pub(super) const PAUSES: &str = r#"
    echo '{"type":"item.completed","item":{"id":"i","type":"error","message":"here"}}'
    sleep 300
"#;

/// Starts a command whose turn [pauses](PAUSES), and waits until the turn is active.
pub(super) fn start_paused(mut command: Command) -> Child {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(child.stderr.as_mut().unwrap());
    let mut line = String::new();
    progress.read_line(&mut line).unwrap();
    assert_eq!(line, "here\n");
    child
}

/// Returns a command that runs one turn and exports it to the endpoint.
pub(super) fn exec_to(endpoint: &str, script: &str) -> Command {
    let mut command = exec(script);
    command.env("CODEX_OTLP_ENDPOINT", endpoint).arg("do it");
    command
}

/// Asserts that the receiver has the span, the logs and the metrics of one turn.
fn assert_one_turn(receiver: &Receiver, error_type: &str) {
    let spans = receiver.spans();
    assert_eq!(spans.len(), 1, "{spans:?}");
    let text = |text: &str| Value::String(text.to_owned());
    let class = text(error_type);
    assert_eq!(spans[0].name, "invoke_agent");
    assert_eq!(spans[0].attribute("error.type"), Some(&class));
    let logs = receiver.logs();
    let logs: Vec<_> = logs.iter().map(|log| log.event_name.as_str()).collect();
    assert_eq!(logs, ["codex.turn.start", "codex.turn.exception"]);
    let duration = receiver.metric("gen_ai.invoke_agent.duration").unwrap();
    let point = duration.point(&[("error.type", class)]).unwrap();
    assert_eq!(point.as_histogram().unwrap().count, 1);
    let active = receiver.metric("codex.call.active").unwrap();
    assert_eq!(active.points[0].as_int(), Some(0), "{active:?}");
}

#[test]
fn a_program_with_one_failing_turn_exports_its_span_metrics_and_logs() {
    let receiver = Receiver::http();
    let output = exec_to(&receiver.endpoint(), FAILING).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let events = events(&output.stdout);
    assert_eq!(names(&events), ["codex.turn.start", "codex.turn.exception"]);
    assert_one_turn(&receiver, "rate_limit");
    // The events and the spans have the same ids.
    let spans = receiver.spans();
    assert_eq!(events[1]["trace_id"], spans[0].trace_id.as_str());
    assert_eq!(events[1]["span_id"], spans[0].span_id.as_str());
}

#[test]
fn a_terminated_program_exports_its_cancelled_turn() {
    let receiver = Receiver::http();
    let mut child = start_paused(exec_to(&receiver.endpoint(), PAUSES));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_one_turn(&receiver, "cancelled");
}
