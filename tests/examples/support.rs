use std::{path::PathBuf, process::Command};

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

/// Standard output as the JSON objects on its lines.
pub(crate) fn events(stdout: &[u8]) -> Vec<serde_json::Value> {
    let text = str::from_utf8(stdout).expect("standard output is no text");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect()
}

/// The names of the events, in order.
pub(crate) fn names(events: &[serde_json::Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect()
}
