use std::time::Duration;

use codex_telemetry::{ErrorClass, Operation, Outcome, event::names, turn::TurnError};
use tower::{Service, ServiceExt};

use crate::support::{GOOD_TURN, Stack, fake_codex, gone, request, there};

/// Starts a turn, waits until `marker` runs, drops the turn, and waits until `marker` is gone.
async fn cancel(script: &str, marker: &str) -> Stack {
    let stack = Stack::new(fake_codex());
    let mut service = stack.service();
    let turn = tokio::spawn(service.ready().await.unwrap().call(request(script)));
    there(marker).await;
    turn.abort();
    assert!(turn.await.unwrap_err().is_cancelled());
    gone(marker).await;
    stack
}

#[tokio::test]
async fn a_dropped_turn_is_cancelled_and_its_process_is_gone() {
    let stack = cancel("sleep 301.501", "sleep 301.501").await;
    let event = stack.turn_event();
    assert_eq!(event.outcome(), Some(Outcome::Cancelled));
    assert_eq!(event.error_class(), Some(ErrorClass::Cancelled));
}

#[tokio::test]
async fn a_process_that_ignores_signals_and_its_children_are_gone() {
    let script = "trap '' INT TERM HUP; sleep 301.502 & (sleep 301.502 & sleep 301.502) & wait";
    cancel(script, "sleep 301.502").await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn children_in_sessions_of_their_own_are_gone() {
    let script =
        "setsid sh -c 'trap \"\" INT TERM HUP; sleep 301.503 & setsid sleep 301.503 & wait' & wait";
    cancel(script, "sleep 301.503").await;
}

#[tokio::test]
async fn a_cancelled_turn_tells_what_was_known_and_ends_its_tools_first() {
    let script = r#"
        echo '{"type":"thread.started","thread_id":"t"}'
        echo '{"type":"item.started","item":{"id":"item_0","type":"command_execution","command":"x","aggregated_output":"","status":"in_progress"}}'
        echo 'why am I here' >&2
        sleep 301.504
    "#;
    let stack = Stack::new(fake_codex());
    let mut service = stack.service();
    let turn = tokio::spawn(service.ready().await.unwrap().call(request(script)));
    // Both starts: the turn's and the tool's.
    stack
        .sink
        .wait_for(2, Duration::from_secs(60))
        .await
        .unwrap();
    there("sleep 301.504").await;
    turn.abort();
    stack
        .sink
        .wait_for(4, Duration::from_secs(60))
        .await
        .unwrap();

    let event = stack.turn_event();
    assert_eq!(event.thread_id(), Some("t"));
    assert!(event.attribute(names::TIME_TO_FIRST_EVENT).is_some());
    let tools = stack.sink.find(Operation::Tool, Outcome::Cancelled);
    assert_eq!(tools.len(), 1, "{}", stack.sink.timeline());
    let last = stack.sink.events().pop().unwrap();
    assert_eq!(last.span_id(), event.span_id(), "{}", stack.sink.timeline());
}

#[tokio::test]
async fn a_process_that_closes_its_output_and_hangs_is_given_up_and_killed() {
    let stack = Stack::new(fake_codex().exit_grace(Duration::from_millis(50)));
    let turn = stack.run(request("exec >&- 2>&-; sleep 301.505")).await;
    assert!(matches!(turn, Err(TurnError::Hung { .. })), "{turn:?}");
    assert_eq!(
        stack.turn_event().error_class(),
        Some(ErrorClass::Transport)
    );
    gone("sleep 301.505").await;
}

#[tokio::test]
async fn a_process_that_lingers_after_the_turn_is_killed_and_the_turn_keeps_its_result() {
    let stack = Stack::new(fake_codex().exit_grace(Duration::from_millis(50)));
    let turn = stack
        .run(request(&format!("{GOOD_TURN}\nsleep 301.506")))
        .await;
    assert_eq!(turn.unwrap().final_message.as_deref(), Some("hi"));
    let event = stack.turn_event();
    assert_eq!(event.outcome(), Some(Outcome::Ok));
    assert_eq!(event.span_events().len(), 1);
    gone("sleep 301.506").await;
}

#[tokio::test]
async fn a_stray_that_holds_the_pipes_open_does_not_hold_up_the_turn_and_is_gone() {
    let stack = Stack::new(fake_codex());
    let turn = stack
        .run(request(&format!("sleep 301.507 & {GOOD_TURN}")))
        .await;
    assert!(turn.is_ok(), "{turn:?}");
    gone("sleep 301.507").await;
}

#[tokio::test]
async fn a_runtime_that_shuts_down_leaves_no_process() {
    let stack = Stack::new(fake_codex());
    let mut service = stack.service();
    let (started, wait) = std::sync::mpsc::channel();
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move { service.call(request("sleep 301.508")).await });
        wait.recv().unwrap();
    });
    there("sleep 301.508").await;
    started.send(()).unwrap();
    tokio::task::spawn_blocking(|| runtime.join())
        .await
        .unwrap()
        .unwrap();
    gone("sleep 301.508").await;
    assert_eq!(stack.turn_event().outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_killed_process_is_reaped() {
    // A zombie has no command line, so it is found by being a child of this process.
    fn zombies() -> Vec<String> {
        let us = std::process::id().to_string();
        let stats = std::fs::read_dir("/proc").unwrap().flatten();
        stats
            .filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok())
            .filter(|stat| {
                let fields = stat.rsplit_once(") ").unwrap_or_default().1;
                let mut fields = fields.split(' ');
                fields.next() == Some("Z") && fields.next() == Some(&us)
            })
            .collect()
    }

    cancel("sleep 301.509", "sleep 301.509").await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !zombies().is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", zombies());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_line_after_the_end_of_the_turn_does_not_undo_it() {
    let stack = Stack::new(fake_codex().line_limit(1000));
    let after = "echo 'Segmentation fault'; head -c 5000 /dev/zero | tr '\\0' x";
    let turn = stack.run(request(&format!("{GOOD_TURN}\n{after}"))).await;
    assert_eq!(turn.unwrap().unknown_events, 1);
}

#[tokio::test]
async fn an_item_that_is_completed_after_the_turn_is_no_second_call() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        item='"id":"item_0","type":"command_execution","command":"x","aggregated_output":""'
        echo '{"type":"item.started","item":{'"$item"',"status":"in_progress"}}'
        echo '{"type":"turn.completed"}'
        echo '{"type":"item.completed","item":{'"$item"',"status":"completed"}}'
    "#;
    stack.run(request(script)).await.unwrap();
    stack.turn_event();
    // The turn's two events and the tool's two.
    assert_eq!(stack.sink.events().len(), 4, "{}", stack.sink.timeline());
}

#[tokio::test]
async fn a_grace_without_end_is_no_deadline() {
    let stack = Stack::new(fake_codex().exit_grace(Duration::MAX));
    stack.run(request(GOOD_TURN)).await.unwrap();
}
