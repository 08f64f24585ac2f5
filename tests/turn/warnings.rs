//! What a program warns of, in its log. Each test runs in a program of its own, since the warnings come from
//! threads of the crate.
#![cfg(target_os = "linux")]

use std::{sync::mpsc, thread};

use codex_telemetry::turn::TurnError;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::{
    orphans::{Program, in_program, start_log},
    support::{
        GOOD_TURN, Stack, comes_true, detached, fake_codex, pid_of, request, running, signal,
        unique_sleep,
    },
};

#[tokio::test]
async fn doubtful_orphans_are_reported_with_their_ids() {
    if let Some((script, _)) = in_program() {
        start_log();
        let stack = Stack::new(fake_codex());
        stack.run(request(&script)).await.unwrap();
        let orphans = stack.bare().drain().await.orphans;
        assert_eq!(orphans.len(), 2, "{orphans:?}");
        return;
    }
    let sleep = unique_sleep();
    let orphans = [">", "2>"].map(|output| detached(&format!("{sleep} {output}/dev/null")));
    let script = format!("{}{GOOD_TURN}", orphans.concat());
    let test = "warnings::doubtful_orphans_are_reported_with_their_ids";
    let log = Program::start(test, &script, &sleep).log().await;

    let (_, warning) = log
        .split_once("orphaned processes were left running")
        .unwrap();
    for _ in 0..2 {
        let orphan = pid_of(&sleep).await;
        let pid = orphan.as_raw_nonzero().to_string();
        assert!(warning.contains(&pid), "{pid} is not in {log}");
        signal(orphan, Signal::KILL);
        let is_gone =
            || running(&sleep).is_none_or(|process| !process.starts_with(&format!("{pid} ")));
        assert!(comes_true(is_gone).await, "still running: {pid}");
    }
    assert_eq!(running(&sleep), None);
}

#[tokio::test]
async fn a_daemon_is_not_reported() {
    if let Some((script, _)) = in_program() {
        start_log();
        let stack = Stack::new(fake_codex());
        stack.run(request(&script)).await.unwrap();
        assert!(stack.bare().drain().await.orphans.is_empty());
        return;
    }
    let sleep = unique_sleep();
    let daemon = detached(&format!("{sleep} >/dev/null 2>&1"));
    let script = format!("{daemon}{GOOD_TURN}");
    let test = "warnings::a_daemon_is_not_reported";
    let log = Program::start(test, &script, &sleep).log().await;
    assert_eq!(log, "");
    // It fails if the daemon was killed.
    signal(pid_of(&sleep).await, Signal::KILL);
}

/// Returns the names of the threads of this process.
fn threads() -> String {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = threads.map(|thread| std::fs::read_to_string(thread.path().join("comm")));
    names.map(Result::unwrap_or_default).collect()
}

/// Starts threads until the program may have no more memory for another one.
fn exhaust_threads() -> Vec<mpsc::Sender<()>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let size: u64 = size.unwrap().trim_end_matches("kB").trim().parse().unwrap();
    let limit = Rlimit {
        current: Some((size << 10) + (64 << 20)),
        ..getrlimit(Resource::As)
    };
    setrlimit(Resource::As, limit).unwrap();
    let start = || {
        let (sender, receiver) = mpsc::channel::<()>();
        let wait = move || {
            let _ = receiver.recv();
        };
        thread::Builder::new().spawn(wait).ok().map(|_| sender)
    };
    std::iter::from_fn(start).collect()
}

#[tokio::test]
async fn without_a_thread_a_turn_fails_and_a_watchdog_that_is_not_reaped_is_reported() {
    if in_program().is_some() {
        start_log();
        let stack = Stack::new(fake_codex());
        // It starts the watchdog, and a blocking thread of the runtime, which stays for a while.
        stack.run(request(GOOD_TURN)).await.unwrap();
        stack.bare().drain().await;
        // A thread that exits now would make room for another one.
        assert!(comes_true(|| !threads().contains("codex-child")).await);
        let threads = exhaust_threads();
        let turn = stack.run(request(GOOD_TURN)).await;
        assert!(matches!(turn, Err(TurnError::Spawn { .. })), "{turn:?}");
        drop(stack);
        drop(threads);
        return;
    }
    let test =
        "warnings::without_a_thread_a_turn_fails_and_a_watchdog_that_is_not_reaped_is_reported";
    let log = Program::start(test, "", "").log().await;
    assert!(log.contains("a thread did not start"), "{log}");
}
