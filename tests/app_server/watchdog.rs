//! A program that dies without dropping its service leaves no server.
//!
//! The program is this test binary, started again to run the same test alone. An environment variable tells the
//! test that it is the program.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use codex_telemetry::turn::{CodexAppServer, TurnRequest};
use tower::ServiceExt;

use crate::support::{ENDLESS, comes_true, fake_codex, is_running};

const DIRECTORY: &str = "APP_SERVER_TEST_DIRECTORY";

#[tokio::test]
async fn a_program_that_is_killed_leaves_no_server() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        let turns = CodexAppServer::builder()
            .codex(fake_codex())
            .env(
                "FAKE_CODEX",
                format!("trap '' TERM HUP; {ENDLESS}; while :; do sleep 1; done"),
            )
            .env("FAKE_DIRECTORY", &directory)
            .build();
        drop(turns.oneshot(TurnRequest::new("a prompt")).await);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut program = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "watchdog::a_program_that_is_killed_leaves_no_server",
        ])
        .env(DIRECTORY, directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    assert!(comes_true(|| server(directory.path()).is_some()).await);
    program.kill().unwrap();
    program.wait().unwrap();
    let server = server(directory.path()).unwrap();
    assert!(comes_true(|| !is_running(server)).await, "{server} runs");
}

/// Returns the id of the server that runs a turn.
fn server(directory: &Path) -> Option<u32> {
    let log = fs::read_to_string(directory.join("log")).ok()?;
    let line = log.lines().find(|line| line.ends_with(" turning"))?;
    line.split(' ').next()?.parse().ok()
}
