//! Which of the processes that a turn has started are killed when Codex has exited.
#![cfg(target_os = "linux")]

use crate::support::{GOOD_TURN, Stack, fake_codex, request, unique_sleep, until_gone};

#[tokio::test]
async fn an_orphaned_process_that_writes_to_the_pipes_of_the_turn_is_killed() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    // In a session of its own, so that it is not in the process group of Codex.
    let turn = stack
        .run(request(&format!("setsid {sleep} & {GOOD_TURN}")))
        .await;
    assert!(turn.is_ok(), "{turn:?}");
    until_gone(&sleep).await;
}
