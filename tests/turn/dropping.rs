//! The executor's thread neither forks for a turn nor waits for its end.
#![cfg(target_os = "linux")]

use std::{fs, pin::pin};

use tower::ServiceExt;

use crate::support::{Stack, fake_codex, request, unique_sleep, until_gone, until_running};

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
    tokio::select! {
        turn = &mut turn => panic!("the turn ended: {turn:?}"),
        () = until_running(&last) => {}
    }
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
    tokio::select! {
        turn = &mut turn => panic!("the turn ended: {turn:?}"),
        () = until_running(&sleep) => {}
    }
    // Linux lists the children that this thread has started.
    let children = fs::read_to_string("/proc/thread-self/children").unwrap();
    assert_eq!(children.trim(), "");
}
