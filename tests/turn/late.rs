//! What comes after the end of a turn changes nothing, and holds up nothing.

use std::time::{Duration, Instant};

use codex_telemetry::{
    event::names,
    turn::{Progress, Turn, TurnError},
};
use rustix::process::{Pid, test_kill_process};
use tokio::sync::mpsc;
use tokio_test::{assert_pending, task};
use tower::ServiceExt;

use crate::support::{DEADLINE, GOOD_TURN, Stack, comes_true, fake_codex, request};

/// Runs a turn that fails and leaves a script in a session of its own, without the tag of the turn, so that
/// nothing can find it. It ends when its output is closed.
async fn run_beside_a_stranger(script: &str) -> Result<Turn, TurnError> {
    let directory = tempfile::tempdir().unwrap();
    let started = directory.path().join("started");
    let started = started.display();
    let script = format!(
        "env -u CODEX_TELEMETRY_TAG setsid sh -c ': >\"{started}\"; {script}' &
        until test -e '{started}'; do sleep 0.01; done
        exit 1"
    );
    Stack::new(fake_codex()).run(request(&script)).await
}

/// Writes for ever, with pauses that are shorter than any timeout.
fn forever(line: &str) -> String {
    format!("while echo {line}; do sleep 0.05; done")
}

#[tokio::test]
async fn a_stranger_that_writes_to_standard_error_does_not_hold_the_turn_open() {
    let turn = run_beside_a_stranger(&forever("noise >&2")).await;
    assert!(matches!(turn, Err(TurnError::Exited { .. })), "{turn:?}");
}

#[tokio::test]
async fn a_stranger_that_writes_empty_lines_does_not_hold_the_turn_open() {
    let turn = run_beside_a_stranger(&forever("")).await;
    assert!(matches!(turn, Err(TurnError::Exited { .. })), "{turn:?}");
}

#[tokio::test]
async fn any_amount_of_output_of_a_stranger_does_not_change_the_error() {
    let noise = r#"exec yes "{\"type\":\"x\",\"text\":\"$(head -c 9999 /dev/zero | tr "\0" x)\"}""#;
    let turn = run_beside_a_stranger(noise).await;
    assert!(matches!(turn, Err(TurnError::Exited { .. })), "{turn:?}");
}

#[tokio::test]
async fn a_stranger_that_floods_the_pipes_does_not_hold_the_turn_open() {
    for flood in ["exec yes \"\"", "exec yes >&2"] {
        let turn = run_beside_a_stranger(flood).await;
        assert!(matches!(turn, Err(TurnError::Exited { .. })), "{turn:?}");
    }
}

/// Waits until a process has exited and was reaped. Meanwhile this thread does nothing else, as on a busy machine: the
/// runtime does not learn that pipes can be read.
fn block_until_reaped(pid: Pid) {
    let start = Instant::now();
    while test_kill_process(pid).is_ok() {
        assert!(start.elapsed() < DEADLINE, "it has not exited");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn output_that_waits_in_the_pipes_when_codex_exits_is_read_however_late() {
    tokio::time::pause();
    let stack = Stack::new(fake_codex());
    // A failed turn reads standard error as well. All of it fits into the pipes.
    let directory = tempfile::tempdir().unwrap();
    let (started, gate) = (directory.path().join("pid"), directory.path().join("gate"));
    let script = format!(
        "echo $$ >'{}'; until test -e '{}'; do sleep 0.01; done; {}; echo why >&2; exit 3",
        started.display(),
        gate.display(),
        items(200)
    );
    let (sender, mut progress) = mpsc::channel(1000);
    let request = request(&script).with_progress(sender);
    let mut turn = task::spawn(stack.bare().oneshot(request));
    let pid = loop {
        assert_pending!(turn.poll());
        tokio::task::yield_now().await;
        let pid = std::fs::read_to_string(&started).unwrap_or_default();
        if pid.ends_with('\n') {
            break Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        }
    };
    std::fs::write(gate, "").unwrap();
    block_until_reaped(pid);
    // It learns of the exit alone.
    assert_pending!(turn.poll());
    tokio::time::advance(Duration::from_secs(60)).await;

    let Err(TurnError::Exited { status, stderr, .. }) = turn.await else {
        panic!("the turn did not fail by its exit");
    };
    assert_eq!((status.code(), stderr.as_str()), (Some(3), "why"));
    let mut items = 0;
    while progress.recv().await.is_some() {
        items += 1;
    }
    assert_eq!(items, 200);
}

#[tokio::test]
async fn empty_lines_count_against_the_limit() {
    let stack = Stack::new(fake_codex().output_limit(10_000));
    let turn = stack.run(request("yes ''")).await;
    let limit = matches!(turn, Err(TurnError::OutputTooLarge { limit: 10_000 }));
    assert!(limit, "{turn:?}");
}

#[tokio::test]
async fn lines_after_the_end_of_a_turn_do_not_change_its_result() {
    let stack = Stack::new(fake_codex());
    let expected = stack.run(request(GOOD_TURN)).await.unwrap();

    let late = r#"
        echo '{"type":"item.completed","item":{"id":"item_9","type":"agent_message","text":"late"}}'
        echo '{"type":"error","message":"Reconnecting... 1/5"}'
        echo '{"type":"turn.completed","usage":{"input_tokens":999,"output_tokens":999}}'
    "#;
    let stack = Stack::new(fake_codex());
    let turn = stack.run(request(&format!("{GOOD_TURN}\n{late}"))).await;
    let turn = turn.unwrap().with_phases(expected.phases.clone());
    assert_eq!(turn, expected);
}

#[tokio::test]
async fn any_amount_of_output_after_the_end_of_a_turn_does_not_change_its_result() {
    let stack = Stack::new(fake_codex().output_limit(10_000));
    let late = "yes '{\"type\":\"turn.paused\"}' | head -c 1000000";
    let turn = stack.run(request(&format!("{GOOD_TURN}\n{late}"))).await;
    assert_eq!(turn.unwrap().final_message.as_deref(), Some("hi"));
}

#[tokio::test]
async fn a_turn_that_has_failed_does_not_complete_later() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        echo '{"type":"turn.failed","error":{"message":"first"}}'
        echo '{"type":"turn.completed","usage":{"input_tokens":999}}'
    "#;
    let turn = stack.run(request(script)).await;
    let Err(TurnError::Failed { message, .. }) = turn else {
        panic!("{turn:?}");
    };
    assert_eq!(message, "first");
    assert_eq!(stack.turn_event().attribute(names::INPUT_TOKENS), None);
}

/// A script that reports `count` items.
fn items(count: usize) -> String {
    let item = r#"{"type":"item.completed","item":{"id":"i","type":"reasoning","text":"x"}}"#;
    format!("for i in $(seq {count}); do echo '{item}'; done")
}

#[tokio::test]
async fn unread_progress_does_not_hide_the_exit() {
    let (sender, _unread) = mpsc::channel(1);
    let stack = Stack::new(fake_codex().exit_grace(Duration::from_secs(2)));
    let script = format!("{}; echo why >&2; exit 3", items(5));
    let turn = stack.run(request(&script).with_progress(sender)).await;
    let Err(TurnError::Exited { status, stderr, .. }) = turn else {
        panic!("{turn:?}");
    };
    assert_eq!((status.code(), stderr.as_str()), (Some(3), "why"));
    let dropped = stack
        .turn_event()
        .attribute(names::DROPPED_PROGRESS)
        .cloned();
    assert_eq!(dropped, Some(4.into()));
}

#[tokio::test]
async fn unread_progress_does_not_stop_standard_error_from_being_read() {
    let (sender, _unread) = mpsc::channel(1);
    let stack = Stack::new(fake_codex().exit_grace(Duration::from_secs(2)));
    // More than a pipe holds, so that it exits only if it is read.
    let script = format!("{}; head -c 300000 /dev/zero >&2; exit 3", items(5));
    let turn = stack.run(request(&script).with_progress(sender)).await;
    assert!(matches!(turn, Err(TurnError::Exited { .. })), "{turn:?}");
}

#[tokio::test]
async fn unread_progress_does_not_extend_the_grace_period() {
    let (sender, _unread) = mpsc::channel(1);
    let stack = Stack::new(fake_codex().exit_grace(Duration::from_millis(50)));
    let script = format!("{}; {GOOD_TURN}\nsleep 300", items(1));
    let request = request(&script).with_progress(sender);
    assert!(stack.run(request).await.is_ok());
    // The items, and the starts of the thread and the turn, without the one in the channel.
    let event = stack.turn_event();
    assert_eq!(event.attribute(names::DROPPED_PROGRESS), Some(&3.into()));
}

#[tokio::test]
async fn progress_beyond_the_queue_is_dropped_and_counted_and_the_turn_goes_on() {
    let (sender, mut receiver) = mpsc::channel(1);
    let stack = Stack::new(fake_codex().exit_grace(Duration::from_millis(50)));
    let script = format!("{}\n{GOOD_TURN}", items(2000));
    let turn = stack.run(request(&script).with_progress(sender)).await;
    assert_eq!(turn.unwrap().items.len(), 2001);
    assert!(receiver.recv().await.is_some());
    assert!(receiver.recv().await.is_none());
    // All items, and the starts of the thread and the turn, without the one in the channel.
    let dropped = stack
        .turn_event()
        .attribute(names::DROPPED_PROGRESS)
        .cloned();
    assert_eq!(dropped, Some(2002.into()));
}

#[tokio::test]
async fn a_slow_reader_gets_all_progress_and_the_end_of_the_turn() {
    let directory = tempfile::tempdir().unwrap();
    let written = directory.path().join("written");
    let (sender, mut receiver) = mpsc::channel(1);
    let stack = Stack::new(fake_codex());
    let script = format!("{}\n{GOOD_TURN}\ntouch '{}'", items(500), written.display());
    let read_late = async {
        assert!(comes_true(|| written.exists()).await);
        let mut items = 0;
        while let Some(progress) = receiver.recv().await {
            items += usize::from(matches!(progress, Progress::ItemCompleted(_)));
        }
        items
    };
    let turn = stack.run(request(&script).with_progress(sender));
    let (turn, items) = tokio::join!(turn, read_late);
    assert_eq!(turn.unwrap().items.len(), 501);
    assert_eq!(items, 501);
}
