//! An invalid or unreachable endpoint does not change the behavior of a program.

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

/// How long `exec` waits for the export when it exits.
const AT_EXIT: Duration = Duration::from_secs(5);

const GOOD: &str = r#"
    echo '{"type":"thread.started","thread_id":"t"}'
    echo '{"type":"turn.completed","usage":{"input_tokens":1}}'
"#;
const FAILING: &str =
    r#"echo '{"type":"turn.failed","error":{"message":"rate limit exceeded"}}'; exit 1"#;

/// Returns the events without ids and times.
fn comparable_events(output: &Output) -> Vec<serde_json::Value> {
    let mut events = events(&output.stdout);
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        if let Some(attributes) = event.get_mut("attributes") {
            let attributes = attributes.as_object_mut().unwrap();
            attributes.retain(|key, _| !key.ends_with("_ms"));
        }
        event.retain(|key, _| {
            let is_time = key.contains("time") || key == "duration_ms" || key == "phases";
            !key.ends_with("_id") && !is_time
        });
    }
    events
}

/// Runs a successful and a failing turn, and asserts that their events are the same as without an export.
/// Returns standard error.
fn assert_same_events(endpoint: &str) -> String {
    thread::scope(|scope| {
        let good = scope.spawn(|| assert_same_events_of(endpoint, GOOD, 0));
        assert_same_events_of(endpoint, FAILING, 1) + &good.join().unwrap()
    })
}

fn assert_same_events_of(endpoint: &str, script: &str, code: i32) -> String {
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
    assert_eq!(comparable_events(&output), comparable_events(&plain));
    let events = events(&output.stdout);
    assert_eq!(names(&events).len(), 2);
    // The turn did not wait for its export.
    let duration = events[1]["duration_ms"].as_f64().unwrap();
    assert!(duration < AT_EXIT.as_secs_f64() * 1e3, "{output:?}");
    assert!(took < AT_EXIT + Duration::from_secs(30), "{took:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_invalid_endpoint_changes_no_event_and_causes_a_warning() {
    let secret = "hunter2";
    for nonsense in [
        "nonsense",
        "://",
        "http://",
        "\u{1f980}",
        "ftp://u:hunter2@h",
    ] {
        let stderr = assert_same_events(nonsense);
        assert!(
            stderr.contains("CODEX_OTLP_ENDPOINT"),
            "{nonsense}: {stderr}"
        );
        assert!(!stderr.contains(secret), "{nonsense}: {stderr}");
    }
}

#[test]
fn a_closed_port_changes_no_event_and_is_reported_at_exit() {
    let endpoint = closed_port();
    let stderr = assert_same_events(&endpoint);
    assert!(stderr.contains("not everything was delivered"), "{stderr}");
    assert!(stderr.contains(&endpoint), "{stderr}");
    let lower_case = stderr.to_ascii_lowercase();
    assert!(lower_case.contains("connection refused"), "{stderr}");
}

#[test]
fn a_hanging_server_changes_no_event_and_is_reported_at_exit() {
    let (_listener, endpoint) = blackhole();
    let stderr = assert_same_events(&endpoint);
    assert!(stderr.contains("not everything was delivered"), "{stderr}");
    assert!(stderr.contains(&endpoint), "{stderr}");
}
