use std::{collections::BTreeSet, path::PathBuf, process::Command};

use opentelemetry::SpanId;
use serde_json::Value;

use crate::checked::Account;

/// A command that runs an example.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("this test has a path");
    // From target/PROFILE/deps/examples-HASH to target/PROFILE/examples/NAME.
    let profile = test
        .ancestors()
        .nth(2)
        .expect("a test is in target/PROFILE/deps");
    let path = profile.join("examples").join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo test` as a whole",
        path.display()
    );
    Command::new(path)
}

/// A command that runs `exec` with a stand-in for Codex that does what `script` says.
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

/// Standard output as the JSON objects on its lines: the events of calls that have each one start and
/// one end.
pub(crate) fn events(stdout: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(stdout).expect("standard output is no text");
    let events: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    check(&events);
    events
}

fn check(events: &[Value]) {
    let span = |event: &Value, key| SpanId::from_hex(event[key].as_str()?).ok();
    let mut account = Account::default();
    for event in events {
        let id = span(event, "span_id").expect("an event has a span id");
        if event["event"]
            .as_str()
            .is_some_and(|name| name.ends_with(".start"))
        {
            account.start(id, span(event, "parent_span_id"), event.to_string());
        } else {
            account.end(id, event.to_string());
        }
    }
    account.check(&BTreeSet::new());
}

/// The names of the events, in order.
pub(crate) fn names(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect()
}
