use std::time::Duration;

use codex_telemetry::{
    Outcome,
    turn::{Progress, TurnUpdate, turn_stream},
};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;

use crate::support::{
    DEADLINE, GOOD_TURN, Stack, fake_codex, request, unique_sleep, until_gone, until_running,
};

fn kind(progress: &Progress) -> &'static str {
    match progress {
        Progress::ThreadStarted { .. } => "thread",
        Progress::TurnStarted => "turn",
        Progress::ItemCompleted(_) => "item",
        _ => "other",
    }
}

#[tokio::test]
async fn a_stream_yields_all_progress_in_order_and_then_the_result() {
    let stack = Stack::new(fake_codex());
    let updates: Vec<_> = turn_stream(stack.service(), request(GOOD_TURN))
        .collect()
        .await;
    let (last, progress) = updates.split_last().unwrap();
    let kinds: Vec<_> = progress
        .iter()
        .map(|update| match update {
            TurnUpdate::Progress(progress) => kind(progress),
            TurnUpdate::Done(_) => "done",
        })
        .collect();
    assert_eq!(kinds, ["thread", "turn", "item"]);
    assert!(matches!(last, TurnUpdate::Done(Ok(_))), "{last:?}");
    assert_eq!(stack.turn_event().outcome(), Some(Outcome::Ok));
}

#[tokio::test]
async fn a_dropped_stream_cancels_its_turn() {
    let stack = Stack::new(fake_codex());
    let sleep = unique_sleep();
    let script = format!(r#"echo '{{"type":"turn.started"}}'; {sleep}"#);
    let mut updates = Box::pin(turn_stream(stack.service(), request(&script)));
    let first = updates.next().await;
    assert!(matches!(
        first,
        Some(TurnUpdate::Progress(Progress::TurnStarted))
    ));
    until_running(&sleep).await;
    drop(updates);
    until_gone(&sleep).await;
    assert_eq!(stack.turn_event().outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn more_progress_than_a_stream_buffers_is_not_lost() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        i=0; while [ $i -lt 500 ]; do echo '{"type":"turn.started"}'; i=$((i+1)); done
        echo '{"type":"turn.completed"}'
    "#;
    let updates = turn_stream(stack.service(), request(script));
    assert_eq!(updates.collect::<Vec<_>>().await.len(), 501);
}

#[tokio::test]
async fn a_dropped_receiver_does_not_block_the_turn() {
    let stack = Stack::new(fake_codex());
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let turn = stack.run(request(GOOD_TURN).with_progress(sender)).await;
    assert!(turn.is_ok(), "{turn:?}");
}

#[tokio::test]
async fn a_slow_receiver_gets_all_progress() {
    let stack = Stack::new(fake_codex());
    let (sender, mut receiver) = mpsc::channel(1);
    let turn = tokio::spawn({
        let service = stack.service();
        let request = request(GOOD_TURN).with_progress(sender);
        async move { tower::ServiceExt::oneshot(service, request).await }
    });
    let mut kinds = Vec::new();
    while let Some(progress) = tokio::time::timeout(DEADLINE, receiver.recv())
        .await
        .unwrap()
    {
        kinds.push(kind(&progress));
    }
    assert_eq!(kinds, ["thread", "turn", "item"]);
    turn.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_receiver_that_outlives_the_process_gets_all_progress() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        i=0; while [ $i -lt 200 ]; do echo '{"type":"turn.started"}'; i=$((i+1)); done
        echo '{"type":"turn.completed"}'
    "#;
    let mut updates = Box::pin(turn_stream(stack.service(), request(script)));
    let mut last = None;
    while let Some(update) = updates.next().await {
        last = Some(update);
        // In total, longer than the service waits for the pipes of a process that has exited.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(last, Some(TurnUpdate::Done(Ok(_)))), "{last:?}");
}
