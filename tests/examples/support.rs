use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use opentelemetry::SpanId;
use rustix::{
    fs::OFlags,
    process::{Pid, test_kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
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

/// Returns a command that runs the example `app_server` with the fake of `codex app-server`.
pub(crate) fn app_server() -> Command {
    let mut command = example("app_server");
    command
        .env("CODEX_PATH", fake_app_server())
        .env_remove("TRACEPARENT")
        .env_remove("TRACESTATE");
    command
}

/// Returns a command that runs the example `exec` with the fake of `codex app-server`.
pub(crate) fn exec_by_app_server() -> Command {
    let mut command = exec("");
    command
        .arg("--app-server")
        .env("CODEX_PATH", fake_app_server());
    command
}

fn fake_app_server() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/examples/fake-app-server")
}

/// Opens a terminal, and returns the ends of the user and of the program.
pub(crate) fn open_terminal() -> (OwnedFd, File) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap();
    let program = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(i32::try_from(OFlags::NOCTTY.bits()).unwrap())
        .open(path.to_str().unwrap())
        .unwrap();
    (terminal, program)
}

/// Waits until a process that was killed is gone. Its example has waited for it, but init may need a moment to reap it.
pub(crate) fn assert_gone(process: Pid) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while test_kill_process(process).is_ok() && !is_zombie(process) {
        assert!(Instant::now() < deadline, "{process:?} is still running");
        thread::yield_now();
    }
}

fn is_zombie(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| stat.contains(") Z "))
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
