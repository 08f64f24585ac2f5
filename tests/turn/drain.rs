//! A service can be drained, and stopped in order.

use std::{path::Path, pin::pin, time::Duration};

use codex_telemetry::{
    ErrorClass, Outcome,
    turn::{Drained, TurnError, TurnRequest},
};
#[cfg(target_os = "linux")]
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt};

use crate::support::{
    DEADLINE, GOOD_TURN, Stack, comes_true, detached, drained, fake_codex, poll_until_running,
    request, running, unique_sleep, until_gone, until_running,
};
#[cfg(target_os = "linux")]
use crate::support::{pid_of, signal};

/// Starts a turn in the background, and waits until `marker` runs.
async fn start(
    stack: &Stack,
    request: TurnRequest,
    marker: &str,
) -> JoinHandle<Result<String, TurnError>> {
    let turn = stack.service().oneshot(request);
    let turn = tokio::spawn(async move { Ok(turn.await?.final_message.unwrap_or_default()) });
    until_running(marker).await;
    turn
}

/// A script that writes a file on SIGINT, as Codex does with its usage, and runs `then`.
fn on_interrupt(file: &Path, then: &str, sleep: &str) -> String {
    let file = file.display();
    format!("trap 'echo used >\"{file}\"; {then}; exit 1' INT; {sleep} & wait")
}

#[tokio::test]
async fn a_service_without_turns_is_drained() {
    let stack = Stack::new(fake_codex());
    assert_eq!(drained(stack.bare().drain()).await, Drained::default());
    stack.run(request(GOOD_TURN)).await.unwrap();
    assert_eq!(drained(stack.bare().drain()).await, Drained::default());
}

#[tokio::test]
async fn a_drain_waits_until_the_processes_of_a_dropped_turn_are_gone() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    let script = format!("setsid sh -c '{sleep} & {sleep}' & wait");
    let turn = start(&stack, request(&script), &sleep).await;
    let service = stack.bare();
    assert_eq!(service.active(), 1);
    turn.abort();
    drained(service.drain()).await;
    assert_eq!((service.active(), running(&sleep)), (0, None));
}

#[tokio::test]
async fn a_drain_waits_for_turns_that_run_and_does_not_end_them() {
    let directory = tempfile::tempdir().unwrap();
    let gate = directory.path().join("gate");
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    let script = format!(
        "{sleep} & until test -e '{}'; do sleep 0.01; done; {GOOD_TURN}",
        gate.display()
    );
    let turn = start(&stack, request(&script), &sleep).await;
    let service = stack.bare();
    let drain = tokio::spawn(async move { service.drain().await });
    tokio::task::yield_now().await;
    assert!(!drain.is_finished());
    std::fs::write(gate, "").unwrap();
    assert_eq!(turn.await.unwrap().unwrap(), "hi");
    drained(async { drain.await.unwrap() }).await;
}

#[tokio::test]
async fn a_stopped_turn_is_interrupted_and_can_write_down_its_usage() {
    let directory = tempfile::tempdir().unwrap();
    let usage = directory.path().join("usage");
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    let turn = start(&stack, request(&on_interrupt(&usage, ":", &sleep)), &sleep).await;
    drained(stack.bare().shutdown(DEADLINE)).await;
    assert_eq!(std::fs::read_to_string(usage).unwrap(), "used\n");
    let turn = turn.await.unwrap();
    assert!(matches!(turn, Err(TurnError::Stopped)), "{turn:?}");
    assert_eq!(running(&sleep), None);
    let event = stack.turn_event();
    assert_eq!(event.outcome(), Some(Outcome::Error));
    assert_eq!(event.error_class(), Some(ErrorClass::Interrupted));
}

#[tokio::test]
async fn a_stopped_turn_that_ignores_the_interrupt_is_killed_after_the_grace_period() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    let script = format!("trap '' INT; {sleep}");
    let turn = start(&stack, request(&script), &sleep).await;
    drained(stack.bare().shutdown(Duration::from_millis(50))).await;
    let turn = turn.await.unwrap();
    assert!(matches!(turn, Err(TurnError::Stopped)), "{turn:?}");
    assert_eq!(running(&sleep), None);
}

#[tokio::test]
async fn a_turn_that_completes_within_the_grace_period_keeps_its_result() {
    let directory = tempfile::tempdir().unwrap();
    let usage = directory.path().join("usage");
    let turn = directory.path().join("turn");
    std::fs::write(&turn, GOOD_TURN).unwrap();
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    let complete = format!(". \"{}\"", turn.display());
    let turn = start(
        &stack,
        request(&on_interrupt(&usage, &complete, &sleep)),
        &sleep,
    )
    .await;
    drained(stack.bare().shutdown(DEADLINE)).await;
    assert_eq!(turn.await.unwrap().unwrap(), "hi");
}

#[tokio::test]
async fn a_stopped_service_takes_no_new_turns() {
    let stack = Stack::new(fake_codex());
    drained(stack.bare().shutdown(DEADLINE)).await;
    let turn = stack.run(request(GOOD_TURN)).await;
    assert!(matches!(turn, Err(TurnError::Stopped)), "{turn:?}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_drained_service_knows_the_doubtful_orphans_that_still_run() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    // One output leads to a file, the other one nowhere.
    let orphan = detached(&format!("{sleep} >/dev/null"));
    let script = format!("{orphan}{GOOD_TURN}");
    stack.run(request(&script)).await.unwrap();
    let service = stack.bare();
    let [pid] = drained(service.drain()).await.orphans[..] else {
        panic!("not one orphan");
    };
    let process = pid_of(&sleep).await;
    assert_eq!(process.as_raw_nonzero().get().cast_unsigned(), pid);

    signal(process, Signal::KILL);
    // Not once it has no command line: a process that dies loses that before it counts as dead.
    let is_forgotten = async {
        while drained(service.drain()).await != Drained::default() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let forgotten = tokio::time::timeout(DEADLINE, is_forgotten).await;
    assert!(forgotten.is_ok(), "it is still an orphan");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_doubtful_orphan_is_killed_if_the_program_asks_for_it() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex().kill_doubtful_orphans(true));
    let orphan = detached(&format!("{sleep} >/dev/null"));
    let script = format!("{orphan}{GOOD_TURN}");
    stack.run(request(&script)).await.unwrap();
    until_gone(&sleep).await;
    assert_eq!(drained(stack.bare().drain()).await, Drained::default());
}

#[tokio::test]
async fn a_turn_is_active_until_it_returns_although_nothing_of_its_process_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let (sender, mut progress) = tokio::sync::mpsc::channel(1);
    let stack = Stack::new(fake_codex().exit_grace(DEADLINE));
    let script = format!("{GOOD_TURN}\necho $$ >'{}'", pid.display());
    let turn = stack
        .service()
        .oneshot(request(&script).with_progress(sender));
    let turn = tokio::spawn(turn);
    let process = || {
        Some(format!(
            "/proc/{}",
            std::fs::read_to_string(&pid).ok()?.trim()
        ))
    };
    let has_exited = || process().is_some_and(|process| !Path::new(&process).exists());
    assert!(comes_true(has_exited).await);
    // Another turn that has begun and ended since: the search for orphans of the first one is over as well.
    let other = Stack::new(fake_codex());
    other.run(request(GOOD_TURN)).await.unwrap();
    drained(other.bare().drain()).await;

    assert_eq!(stack.bare().active(), 1, "the turn waits for its reader");
    while progress.recv().await.is_some() {}
    turn.await.unwrap().unwrap();
    drained(stack.bare().drain()).await;
}

#[tokio::test]
async fn a_shorter_grace_period_of_a_later_shutdown_applies() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    let script = format!("trap '' INT; {sleep}");
    let turn = start(&stack, request(&script), &sleep).await;
    let service = stack.bare();
    let patient = tokio::spawn(async move { service.shutdown(Duration::MAX).await });
    tokio::task::yield_now().await;
    drained(stack.bare().shutdown(Duration::ZERO)).await;
    drained(async { patient.await.unwrap() }).await;
    let turn = turn.await.unwrap();
    assert!(matches!(turn, Err(TurnError::Stopped)), "{turn:?}");
}

#[tokio::test]
async fn a_turn_that_is_not_polled_is_stopped() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    let mut turn = pin!(stack.bare().oneshot(request(&sleep)));
    poll_until_running(&mut turn, &sleep).await;
    drained(stack.bare().shutdown(Duration::ZERO)).await;
    assert_eq!(running(&sleep), None);
    let turn = turn.await;
    assert!(matches!(turn, Err(TurnError::Stopped)), "{turn:?}");
}

#[tokio::test]
async fn a_turn_that_was_never_polled_does_not_hold_up_a_shutdown() {
    let stack = Stack::new(fake_codex());
    let turn = stack.bare().call(request(GOOD_TURN));
    drained(stack.bare().shutdown(DEADLINE)).await;
    let turn = turn.await;
    assert!(matches!(turn, Err(TurnError::Stopped)), "{turn:?}");
}
