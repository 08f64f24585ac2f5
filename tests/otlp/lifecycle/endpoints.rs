//! An endpoint that is no good changes nothing of what a program does.

use std::{
    process::Output,
    thread,
    time::{Duration, Instant},
};

use super::{
    exit::exec_to,
    support::{events, exec, names},
};
use crate::receiver::{blackhole, closed_port};

/// How long `exec` waits for its export at the end.
const AT_EXIT: Duration = Duration::from_secs(5);

const GOOD: &str = r#"
    echo '{"type":"thread.started","thread_id":"t"}'
    echo '{"type":"turn.completed","usage":{"input_tokens":1}}'
"#;
const FAILING: &str =
    r#"echo '{"type":"turn.failed","error":{"message":"rate limit exceeded"}}'; exit 1"#;

/// What the events say, without what is never the same twice.
fn told(output: &Output) -> Vec<serde_json::Value> {
    let mut events = events(&output.stdout);
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        if let Some(attributes) = event.get_mut("attributes") {
            let attributes = attributes.as_object_mut().unwrap();
            attributes.retain(|key, _| !key.ends_with("_ms"));
        }
        event.retain(|key, _| {
            !key.ends_with("_id") && !key.contains("time") && key != "duration_ms"
        });
    }
    events
}

/// Runs a good turn and a failing one, and asserts that they are as they are without any export;
/// returns what was said about it.
fn changes_nothing(endpoint: &str) -> String {
    thread::scope(|scope| {
        let good = scope.spawn(|| changes_nothing_of(endpoint, GOOD, 0));
        changes_nothing_of(endpoint, FAILING, 1) + &good.join().unwrap()
    })
}

fn changes_nothing_of(endpoint: &str, script: &str, code: i32) -> String {
    let plain = exec(script)
        .env_remove("CODEX_OTLP_ENDPOINT")
        .arg("do it")
        .output()
        .unwrap();
    let began = Instant::now();
    let output = exec_to(endpoint, script).output().unwrap();
    let took = began.elapsed();
    assert_eq!(plain.status.code(), Some(code), "{plain:?}");
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(told(&output), told(&plain));
    let events = events(&output.stdout);
    assert_eq!(names(&events).len(), 2);
    // A turn that had waited for its export would have taken at least as long.
    let duration = events[1]["duration_ms"].as_f64().unwrap();
    assert!(duration < AT_EXIT.as_secs_f64() * 1e3, "{output:?}");
    assert!(took < AT_EXIT + Duration::from_secs(30), "{took:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_endpoint_that_is_nonsense_changes_nothing_and_is_warned_of() {
    let secret = "hunter2";
    for nonsense in [
        "nonsense",
        "://",
        "http://",
        "\u{1f980}",
        "ftp://u:hunter2@h",
    ] {
        let said = changes_nothing(nonsense);
        assert!(said.contains("CODEX_OTLP_ENDPOINT"), "{nonsense}: {said}");
        assert!(!said.contains(secret), "{nonsense}: {said}");
    }
}

#[test]
fn a_closed_port_changes_nothing_and_is_told_at_the_end() {
    let endpoint = closed_port();
    let said = changes_nothing(&endpoint);
    assert!(said.contains("not everything was delivered"), "{said}");
    assert!(said.contains(&endpoint), "{said}");
    let lower = said.to_ascii_lowercase();
    assert!(lower.contains("connection refused"), "{said}");
}

#[test]
fn a_server_that_hangs_changes_nothing_and_is_told_at_the_end() {
    let (_listener, endpoint) = blackhole();
    let said = changes_nothing(&endpoint);
    assert!(said.contains("not everything was delivered"), "{said}");
    assert!(said.contains(&endpoint), "{said}");
}
