//! A turn as a stream.

use codex_telemetry::turn::{ItemKind, Progress, TurnUpdate, turn_stream};
use futures_util::StreamExt;

use crate::{
    bench::{Bench, in_time},
    calls::assert_ok,
    reply::Reply,
};

#[tokio::test]
async fn a_stream_yields_progress_in_order_and_ends_with_the_result() {
    let Some(bench) = Bench::start([Reply::shell("echo hi"), Reply::done()]) else {
        return;
    };
    let service = bench.layered(bench.turns().build());
    let updates: Vec<_> = in_time(turn_stream(service, bench.request("Go")).collect()).await;
    let descriptions: Vec<_> = updates.iter().map(describe).collect();
    let expected = [
        "thread started",
        "turn started",
        "command started",
        "command completed",
        "message completed",
        "done",
    ];
    assert_eq!(descriptions, expected, "{updates:?}");

    let Some(TurnUpdate::Done(Ok(turn))) = updates.last() else {
        panic!("{updates:?}");
    };
    let Some(TurnUpdate::Progress(Progress::ThreadStarted { thread_id })) = updates.first() else {
        panic!("{updates:?}");
    };
    assert_eq!(turn.thread_id.as_ref(), Some(thread_id));
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_ok(calls.tool());
}

#[tokio::test]
async fn a_stream_of_a_turn_that_fails_ends_with_its_error() {
    let Some(bench) = Bench::start([Reply::status(500, "{}")]) else {
        return;
    };
    let service = bench.layered(bench.turns().build());
    let updates: Vec<_> = in_time(turn_stream(service, bench.request("Go")).collect()).await;
    let ends = |update: &TurnUpdate<_, _>| matches!(update, TurnUpdate::Done(_));
    assert!(
        matches!(updates.last(), Some(TurnUpdate::Done(Err(_)))),
        "{updates:?}"
    );
    assert_eq!(updates.iter().filter(|update| ends(update)).count(), 1);
    assert!(bench.calls(1).turn().error_class().is_some());
}

fn describe<T, E>(update: &TurnUpdate<T, E>) -> String {
    let kind = |kind: &ItemKind| match kind {
        ItemKind::CommandExecution { .. } => "command",
        ItemKind::AgentMessage { .. } => "message",
        _ => "another item",
    };
    match update {
        TurnUpdate::Done(_) => "done".to_owned(),
        TurnUpdate::Progress(step) => match step {
            Progress::ThreadStarted { .. } => "thread started".to_owned(),
            Progress::TurnStarted => "turn started".to_owned(),
            Progress::ItemStarted(item) => format!("{} started", kind(&item.kind)),
            Progress::ItemUpdated(item) => format!("{} updated", kind(&item.kind)),
            Progress::ItemCompleted(item) => format!("{} completed", kind(&item.kind)),
            other => format!("{other:?}"),
        },
    }
}
