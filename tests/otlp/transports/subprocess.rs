use std::{env, process::Command};

const IN_SUBPROCESS: &str = "CODEX_TELEMETRY_TEST_SUBPROCESS";

/// Runs the test of this name in a subprocess with these variables, and returns its output. Returns `None`
/// in the subprocess. Tests that depend on the environment of their process use it.
#[track_caller]
pub(super) fn in_subprocess(test: &str, variables: &[(&str, &str)]) -> Option<String> {
    if env::var_os(IN_SUBPROCESS).is_some() {
        return None;
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([&format!("transports::{test}"), "--exact", "--nocapture"])
        .env(IN_SUBPROCESS, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let status = output.status;
    let output = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(status.success(), "{output}");
    assert!(output.contains(" 1 passed"), "unknown test: {output}");
    Some(output)
}
