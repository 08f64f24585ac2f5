use std::{env, process::Command};

const INSIDE: &str = "CODEX_TELEMETRY_TEST_ALONE";

/// Runs the test of this name again, in a process of its own that has these variables, and returns what
/// it wrote; within that process it returns none. So nobody else meets what a test does to its process.
#[track_caller]
pub(super) fn alone(test: &str, variables: &[(&str, &str)]) -> Option<String> {
    if env::var_os(INSIDE).is_some() {
        return None;
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([&format!("transports::{test}"), "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8(told).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains(" 1 passed"), "no test of this name: {told}");
    Some(told)
}
