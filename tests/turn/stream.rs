use std::time::Duration;

use codex_telemetry::{
    Outcome,
    turn::{Progress, TurnUpdate, turn_stream},
};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;

use crate::support::{GOOD_TURN, Stack, fake_codex, gone, request, there};

fn step(progress: &Progress) -> &'static str {
    match progress {
        Progress::ThreadStarted { .. } => "thread",
        Progress::TurnStarted => "turn",
        Progress::ItemCompleted(_) => "item",
        _ => "other",
    }
}

#[tokio::test]
async fn a_stream_tells_every_step_in_order_and_ends_with_the_result() {
    let stack = Stack::new(fake_codex());
    let updates: Vec<_> = turn_stream(stack.service(), request(GOOD_TURN))
        .collect()
        .await;
    let (last, steps) = updates.split_last().unwrap();
    let steps: Vec<_> = steps
        .iter()
        .map(|update| match update {
            TurnUpdate::Progress(progress) => step(progress),
            TurnUpdate::Done(_) => "done",
        })
        .collect();
    assert_eq!(steps, ["thread", "turn", "item"]);
    assert!(matches!(last, TurnUpdate::Done(Ok(_))), "{last:?}");
    assert_eq!(stack.turn_event().outcome(), Some(Outcome::Ok));
}

#[tokio::test]
async fn a_dropped_stream_cancels_its_turn() {
    let stack = Stack::new(fake_codex());
    let script = r#"echo '{"type":"turn.started"}'; sleep 302.501"#;
    let mut updates = Box::pin(turn_stream(stack.service(), request(script)));
    let first = updates.next().await;
    assert!(matches!(
        first,
        Some(TurnUpdate::Progress(Progress::TurnStarted))
    ));
    there("sleep 302.501").await;
    drop(updates);
    gone("sleep 302.501").await;
    assert_eq!(stack.turn_event().outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
async fn more_progress_than_a_stream_buffers_arrives_whole() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        i=0; while [ $i -lt 500 ]; do echo '{"type":"turn.started"}'; i=$((i+1)); done
        echo '{"type":"turn.completed"}'
    "#;
    let updates = turn_stream(stack.service(), request(script));
    assert_eq!(updates.collect::<Vec<_>>().await.len(), 501);
}

#[tokio::test]
async fn a_reader_that_went_away_does_not_hold_up_the_turn() {
    let stack = Stack::new(fake_codex());
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    let turn = stack.run(request(GOOD_TURN).with_progress(sender)).await;
    assert!(turn.is_ok(), "{turn:?}");
}

#[tokio::test]
async fn a_reader_that_is_slow_gets_everything() {
    let stack = Stack::new(fake_codex());
    let (sender, mut receiver) = mpsc::channel(1);
    let turn = tokio::spawn({
        let service = stack.service();
        let request = request(GOOD_TURN).with_progress(sender);
        async move { tower::ServiceExt::oneshot(service, request).await }
    });
    let mut steps = Vec::new();
    let deadline = Duration::from_secs(60);
    while let Some(progress) = tokio::time::timeout(deadline, receiver.recv())
        .await
        .unwrap()
    {
        steps.push(step(&progress));
    }
    assert_eq!(steps, ["thread", "turn", "item"]);
    turn.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_reader_that_is_slower_than_the_process_lives_loses_nothing() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        i=0; while [ $i -lt 200 ]; do echo '{"type":"turn.started"}'; i=$((i+1)); done
        echo '{"type":"turn.completed"}'
    "#;
    let mut updates = Box::pin(turn_stream(stack.service(), request(script)));
    let mut last = None;
    while let Some(update) = updates.next().await {
        last = Some(update);
        // Being slow is the point: by far slower, all in all, than a process that has ended is waited
        // for.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(last, Some(TurnUpdate::Done(Ok(_)))), "{last:?}");
}
