//! No process is left when Codex, or the program that runs it, is killed during a turn.
#![cfg(target_os = "linux")]

use std::{
    env,
    process::{Command, Stdio},
};

use codex_telemetry::turn::TurnError;

use crate::{
    bench::{Bench, until},
    processes::{odd_duration, of_home, running},
    reply::Reply,
};

/// The URL of the model and `CODEX_HOME`, in the program.
const MODEL: &str = "ORPHANS_TEST_MODEL";
const HOME: &str = "ORPHANS_TEST_HOME";

#[tokio::test]
async fn codex_that_is_killed_leaves_no_command() {
    let marker = odd_duration();
    let command = format!("setsid sleep {marker} & sleep {marker}");
    let Some(bench) = Bench::start([Reply::shell(&command)]) else {
        return;
    };
    let kill = async {
        until("the command runs", || running(&marker).len() >= 2).await;
        let codex = bench.codex().expect("Codex is not running");
        let pid = rustix::process::Pid::from_raw(codex.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        codex
    };
    let (turn, codex) = tokio::join!(bench.run(bench.request("Go")), kill);
    assert!(matches!(turn, Err(TurnError::Exited { .. })), "{turn:?}");
    bench.assert_gone(&marker, Some(codex)).await;
}

/// The program is this test's own binary, started again to run the same test alone.
#[tokio::test]
async fn a_program_that_is_killed_leaves_neither_codex_nor_its_command() {
    let marker = odd_duration();
    let command =
        format!("trap '' HUP INT TERM; setsid sleep {marker} & sleep {marker} & sleep {marker}");
    let Some(bench) = Bench::start([Reply::shell(&command)]) else {
        return;
    };
    if let Ok(model) = env::var(MODEL) {
        let request = bench.request_to(&model, "Go");
        let request = request.with_env("CODEX_HOME", env::var_os(HOME).unwrap());
        let turn = bench.run(request).await;
        panic!("the turn ended: {turn:?}");
    }

    let mut program = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "orphans::a_program_that_is_killed_leaves_neither_codex_nor_its_command",
        ])
        .env(MODEL, bench.model.url("/v1"))
        .env(HOME, bench.home.path())
        // The program's temporary directories, which a killed program does not remove.
        .env("TMPDIR", bench.work.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let watchdog = format!("codex-watchdog {}", program.id());
    let sleeping = || {
        let mut sleeping = running(&marker);
        sleeping.retain(|process| process.command_line.starts_with("sleep"));
        sleeping.len()
    };
    until("the command runs", || sleeping() == 3).await;
    assert!(bench.codex().is_some(), "Codex is not running");
    assert_eq!(running(&watchdog).len(), 1);

    program.kill().unwrap();
    program.wait().unwrap();
    until("no process is left", || {
        running(&marker).is_empty()
            && of_home(bench.home.path()).is_empty()
            && running(&watchdog).is_empty()
    })
    .await;
}
