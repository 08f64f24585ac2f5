use std::{collections::BTreeSet, path::PathBuf, process::Command};

use opentelemetry::SpanId;
use serde_json::Value;

use crate::checked::CallTracker;

/// Returns a command that runs an example.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("the path of this test");
    // From target/PROFILE/deps/examples-HASH to target/PROFILE/examples/NAME.
    let profile = test
        .ancestors()
        .nth(2)
        .expect("a test is in target/PROFILE/deps");
    let path = profile.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --examples` first",
        path.display()
    );
    Command::new(path)
}

/// Returns a command that runs the example `exec` with a fake Codex that runs the shell script `script`.
pub(crate) fn exec(script: &str) -> Command {
    let fake = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/turn/fake-codex");
    let mut command = example("exec");
    command
        .env("CODEX_PATH", fake)
        .env("FAKE_CODEX", script)
        .env_remove("TRACEPARENT")
        .env_remove("TRACESTATE");
    command
}

/// Parses standard output as one event per line, and checks that every call has one start and one end.
pub(crate) fn events(stdout: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(stdout).expect("standard output is UTF-8");
    let events: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    check(&events);
    events
}

fn check(events: &[Value]) {
    let span = |event: &Value, key| SpanId::from_hex(event[key].as_str()?).ok();
    let mut tracker = CallTracker::default();
    for event in events {
        let id = span(event, "span_id").expect("an event has a span id");
        let name = event["event"].as_str().expect("an event has a name");
        if name.ends_with(".start") {
            tracker.start(id, span(event, "parent_span_id"), event.to_string());
        } else {
            tracker.end(id, event.to_string());
        }
    }
    tracker.check(&BTreeSet::new());
}

/// Returns the names of the events, in order.
pub(crate) fn names(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect()
}
