use std::time::Duration;

use codex_telemetry::{ErrorClass, Operation, Outcome, event::names, turn::TurnError};
use tower::{Service, ServiceExt};

use crate::support::{
    DEADLINE, GOOD_TURN, Stack, comes_true, fake_codex, request, unique_sleep, until_gone,
    until_running,
};

/// Starts a turn, waits until `marker` runs, drops the turn, and waits until `marker` is gone.
async fn cancel(script: &str, marker: &str) -> Stack {
    let stack = Stack::new(fake_codex());
    let mut service = stack.service();
    let turn = tokio::spawn(service.ready().await.unwrap().call(request(script)));
    until_running(marker).await;
    turn.abort();
    assert!(turn.await.unwrap_err().is_cancelled());
    until_gone(marker).await;
    stack
}

#[tokio::test]
async fn a_dropped_turn_is_cancelled_and_its_process_is_killed() {
    let sleep = unique_sleep();
    let stack = cancel(&sleep, &sleep).await;
    let event = stack.turn_event();
    assert_eq!(event.outcome(), Some(Outcome::Cancelled));
    assert_eq!(event.error_class(), Some(ErrorClass::Cancelled));
}

#[tokio::test]
async fn a_process_that_ignores_signals_is_killed_with_its_children() {
    let sleep = unique_sleep();
    let script = format!("trap '' INT TERM HUP; {sleep} & ({sleep} & {sleep}) & wait");
    cancel(&script, &sleep).await;
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn children_in_their_own_sessions_are_killed() {
    let sleep = unique_sleep();
    let script =
        format!("setsid sh -c 'trap \"\" INT TERM HUP; {sleep} & setsid {sleep} & wait' & wait");
    cancel(&script, &sleep).await;
}

#[tokio::test]
async fn a_cancelled_turn_records_its_stats_after_its_tools_have_ended() {
    let sleep = unique_sleep();
    let script = format!(
        r#"
        echo '{{"type":"thread.started","thread_id":"t"}}'
        echo '{{"type":"item.started","item":{{"id":"item_0","type":"command_execution","command":"x","aggregated_output":"","status":"in_progress"}}}}'
        echo 'why am I here' >&2
        {sleep}
        "#
    );
    let stack = Stack::new(fake_codex());
    let mut service = stack.service();
    let turn = tokio::spawn(service.ready().await.unwrap().call(request(&script)));
    // The starts of the turn and of the tool.
    stack.sink.wait_for(2, DEADLINE).await.unwrap();
    until_running(&sleep).await;
    turn.abort();
    stack.sink.wait_for(4, DEADLINE).await.unwrap();

    let event = stack.turn_event();
    assert_eq!(event.thread_id(), Some("t"));
    assert!(event.attribute(names::TIME_TO_FIRST_EVENT).is_some());
    let tools = stack.sink.find(Operation::Tool, Outcome::Cancelled);
    assert_eq!(tools.len(), 1, "{}", stack.sink.timeline());
    let last = stack.sink.events().pop().unwrap();
    assert_eq!(last.span_id(), event.span_id(), "{}", stack.sink.timeline());
}

#[tokio::test]
async fn a_process_that_closes_its_output_and_hangs_is_killed() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex().exit_grace(Duration::from_millis(50)));
    let script = format!("exec >&- 2>&-; {sleep}");
    let turn = stack.run(request(&script)).await;
    assert!(matches!(turn, Err(TurnError::Hung { .. })), "{turn:?}");
    assert_eq!(
        stack.turn_event().error_class(),
        Some(ErrorClass::Transport)
    );
    until_gone(&sleep).await;
}

#[tokio::test]
async fn a_process_that_hangs_after_the_turn_is_killed_and_the_turn_keeps_its_result() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex().exit_grace(Duration::from_millis(50)));
    let turn = stack.run(request(&format!("{GOOD_TURN}\n{sleep}"))).await;
    assert_eq!(turn.unwrap().final_message.as_deref(), Some("hi"));
    let event = stack.turn_event();
    assert_eq!(event.outcome(), Some(Outcome::Ok));
    let [killed] = event.span_events() else {
        panic!("{:?}", event.span_events());
    };
    assert_eq!(killed.name, "killed: Codex did not exit after the turn");
    until_gone(&sleep).await;
}

#[tokio::test]
async fn a_maximal_grace_period_never_ends() {
    let stack = Stack::new(fake_codex().exit_grace(Duration::MAX));
    let slow_exit = format!("{GOOD_TURN}\nsleep 0.3; exit 3");
    stack.run(request(&slow_exit)).await.unwrap();
    let event = stack.turn_event();
    assert_eq!(event.attribute(names::EXIT_CODE), Some(&3.into()));
    assert!(event.span_events().is_empty(), "{:?}", event.span_events());
}

#[tokio::test]
async fn an_orphaned_process_that_holds_the_pipes_open_is_killed() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    let turn = stack.run(request(&format!("{sleep} & {GOOD_TURN}"))).await;
    assert!(turn.is_ok(), "{turn:?}");
    until_gone(&sleep).await;
}

#[tokio::test]
async fn a_runtime_that_shuts_down_leaves_no_process() {
    let sleep = unique_sleep();
    let stack = Stack::new(fake_codex());
    let mut service = stack.service();
    let turn = request(&sleep);
    let (started, wait) = std::sync::mpsc::channel();
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move { service.call(turn).await });
        wait.recv().unwrap();
    });
    until_running(&sleep).await;
    started.send(()).unwrap();
    tokio::task::spawn_blocking(|| runtime.join())
        .await
        .unwrap()
        .unwrap();
    until_gone(&sleep).await;
    assert_eq!(stack.turn_event().outcome(), Some(Outcome::Cancelled));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_killed_process_is_reaped() {
    // A zombie has no command line, so the test looks for the children of this process.
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

    let sleep = unique_sleep();
    cancel(&sleep, &sleep).await;
    let reaped = comes_true(|| zombies().is_empty()).await;
    assert!(reaped, "{:?}", zombies());
}

#[tokio::test]
async fn an_invalid_line_after_the_end_of_the_turn_does_not_change_its_result() {
    let stack = Stack::new(fake_codex().line_limit(1000));
    let after = "echo 'Segmentation fault'; head -c 5000 /dev/zero | tr '\\0' x";
    let turn = stack.run(request(&format!("{GOOD_TURN}\n{after}"))).await;
    assert_eq!(turn.unwrap().unknown_events, 0);
}

#[tokio::test]
async fn an_item_that_completes_after_the_turn_opens_no_second_call() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        item='"id":"item_0","type":"command_execution","command":"x","aggregated_output":""'
        echo '{"type":"item.started","item":{'"$item"',"status":"in_progress"}}'
        echo '{"type":"turn.completed"}'
        echo '{"type":"item.completed","item":{'"$item"',"status":"completed"}}'
    "#;
    stack.run(request(script)).await.unwrap();
    // Two events of the turn and two of the tool.
    assert_eq!(stack.sink.events().len(), 4, "{}", stack.sink.timeline());
}
