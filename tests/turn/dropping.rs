//! The executor's thread neither forks for a turn nor waits for its end.
#![cfg(target_os = "linux")]

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::PathBuf,
    pin::pin,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, setrlimit};

use tokio_test::assert_pending;
use tower::ServiceExt;

use crate::{
    orphans::{Program, in_program},
    support::{
        Stack, children, comes_true, drained, fake_codex, poll_until_running, request, running,
        unique_sleep, until_gone, until_running,
    },
};

/// Returns how often this thread has waited.
fn waits() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn dropping_a_turn_does_not_wait_for_its_processes() {
    let sleep = unique_sleep();
    let last = unique_sleep();
    let script = format!("for i in $(seq 100); do {sleep} & done; {last}; wait");
    let stack = Stack::new(fake_codex());
    let mut turn = Box::pin(stack.bare().oneshot(request(&script)));
    poll_until_running(&mut turn, &last).await;
    let before = waits();
    drop(turn);
    assert_eq!(waits() - before, 0);
    until_gone(&sleep).await;
}

#[tokio::test]
async fn a_process_is_not_started_on_the_thread_that_polls() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    let mut turn = pin!(stack.bare().oneshot(request(&sleep)));
    poll_until_running(&mut turn, &sleep).await;
    // Linux lists the children that this thread has started.
    let children = fs::read_to_string("/proc/thread-self/children").unwrap();
    assert_eq!(children.trim(), "");
}

/// Opens every pipe of this process for writing once more, as a fork of this process has them open until it
/// executes a program.
fn open_pipes() -> Vec<fs::File> {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let paths = descriptors.map(|descriptor| descriptor.path());
    let is_pipe = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("pipe:"))
    };
    let open = |path| OpenOptions::new().write(true).open(path).unwrap();
    paths.filter(is_pipe).map(open).collect()
}

/// Drops a turn while its pipes are open elsewhere. Fails unless it ends with its process.
async fn drop_with_open_pipes<T>(stack: &Stack, turn: T, marker: &str) {
    let pipes = open_pipes();
    assert!(!pipes.is_empty());
    drop(turn);
    drained(stack.bare().drain()).await;
    assert_eq!(running(marker), None);
}

#[tokio::test]
async fn a_fork_that_has_the_pipes_open_does_not_keep_a_dropped_turn_alive() {
    if let Some((script, marker)) = in_program() {
        let stack = Stack::new(fake_codex().watchdog(false));
        let mut turn = Box::pin(stack.bare().oneshot(request(&script)));
        poll_until_running(&mut turn, &marker).await;
        return drop_with_open_pipes(&stack, turn, &marker).await;
    }
    let sleep = unique_sleep();
    let test = "dropping::a_fork_that_has_the_pipes_open_does_not_keep_a_dropped_turn_alive";
    let program = Program::start(test, &sleep, &sleep);
    assert!(program.exit().await.success());
}

#[tokio::test]
async fn a_fork_that_has_the_pipes_open_does_not_keep_a_turn_alive_that_is_dropped_at_its_start() {
    if let Some((script, marker)) = in_program() {
        let stack = Stack::new(fake_codex().watchdog(false));
        let mut turn = tokio_test::task::spawn(stack.bare().oneshot(request(&script)));
        assert_pending!(turn.poll());
        assert!(comes_true(|| turn.is_woken()).await, "it is not prepared");
        // It starts a process, and is not polled again, so it does not learn that the process has started.
        assert_pending!(turn.poll());
        until_running(&marker).await;
        return drop_with_open_pipes(&stack, turn, &marker).await;
    }
    let sleep = unique_sleep();
    let test = "dropping::a_fork_that_has_the_pipes_open_does_not_keep_a_turn_alive_that_is_dropped_at_its_start";
    let program = Program::start(test, &sleep, &sleep);
    assert!(program.exit().await.success());
}

/// Opens the `stat` of the only child of this process.
fn stat_of_codex() -> File {
    File::open(format!("/proc/{}/stat", children().trim())).unwrap()
}

/// Returns whether a process runs no more, by its open `stat`.
fn has_stopped(stat: &File) -> bool {
    let mut text = [0; 100];
    match stat.read_at(&mut text, 0) {
        Ok(length) => {
            let text = String::from_utf8_lossy(&text[..length]);
            let (_, fields) = text.rsplit_once(") ").unwrap();
            fields.starts_with(['T', 'Z'])
        }
        Err(_) => true,
    }
}

/// Takes every descriptor that is free, until `is_over`, and some thousand times more. Reports when none is left.
fn take_descriptors(report: &mpsc::Sender<()>, is_over: impl Fn() -> bool) {
    let mut taken = Vec::new();
    let mut attempts_left = 10_000;
    while attempts_left > 0 {
        match File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(_) => {
                let _ = report.send(());
                attempts_left -= u32::from(is_over());
            }
        }
    }
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_no_descriptor_is_free_leaves_no_process() {
    if let Some((script, marker)) = in_program() {
        let limit = Rlimit {
            current: Some(100),
            maximum: Some(100),
        };
        setrlimit(Resource::Nofile, limit).unwrap();
        let stack = Stack::new(fake_codex().watchdog(false));
        let mut turn = Box::pin(stack.bare().oneshot(request(&script)));
        poll_until_running(&mut turn, &marker).await;
        let codex = stat_of_codex();
        let (taken, is_taken) = mpsc::channel();
        // The thread that stops Codex may find no descriptor before it does: its patience is ten seconds.
        let began = Instant::now();
        let is_over = move || has_stopped(&codex) || began.elapsed() > Duration::from_secs(1);
        let taker = thread::spawn(move || take_descriptors(&taken, is_over));
        is_taken.recv().unwrap();
        drop(turn);
        taker.join().unwrap();
        drained(stack.bare().drain()).await;
        assert_eq!(running(&marker), None);
        return;
    }
    let sleep = unique_sleep();
    let test = "dropping::a_turn_that_is_dropped_while_no_descriptor_is_free_leaves_no_process";
    let program = Program::start(test, &format!("setsid {sleep} & wait"), &sleep);
    assert!(program.exit().await.success());
}
