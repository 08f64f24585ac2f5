use std::time::Duration;

use codex_telemetry::{ErrorClass, Operation, Outcome, event::names, turn::TurnError};

use crate::support::{GOOD_TURN, Stack, fake_codex, request, run};

#[tokio::test]
async fn a_completed_turn_has_its_message_items_usage_and_thread() {
    let (turn, event) = run(GOOD_TURN).await;
    let turn = turn.unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("hi"));
    assert_eq!(turn.items.len(), 1);
    assert_eq!(turn.usage.unwrap().input_tokens, 10);
    assert_eq!(turn.thread_id.as_deref(), event.thread_id());
    assert_eq!(event.outcome(), Some(Outcome::Ok));
    assert_eq!(event.attribute(names::INPUT_TOKENS), Some(&10.into()));
    assert_eq!(event.attribute(names::EXIT_CODE), Some(&0.into()));
    assert!(event.attribute(names::TIME_TO_FIRST_EVENT).is_some());
}

#[tokio::test]
async fn a_failed_turn_has_the_class_of_its_message_and_its_stats() {
    let (turn, event) = run(r#"
        echo '{"type":"thread.started","thread_id":"t"}'
        echo '{"type":"error","message":"Reconnecting... 1/2 (stream disconnected)"}'
        echo '{"type":"turn.failed","error":{"message":"rate limit exceeded, try again in 1.5s"}}'
        echo 'a line on stderr' >&2
        exit 1
    "#)
    .await;
    assert!(matches!(turn, Err(TurnError::Failed { .. })), "{turn:?}");
    assert_eq!(event.error_class(), Some(ErrorClass::RateLimit));
    assert_eq!(event.retry_after(), Some(Duration::from_millis(1500)));
    assert_eq!(event.thread_id(), Some("t"));
    assert_eq!(event.attribute(names::RETRIES), Some(&1.into()));
    assert_eq!(event.attribute(names::EXIT_CODE), Some(&1.into()));
    let stderr = event.attribute(names::STDERR_TAIL).unwrap();
    assert_eq!(stderr.as_str(), "a line on stderr");
    assert_eq!(event.span_events().len(), 1);
}

#[tokio::test]
async fn an_exit_without_an_event_is_classified_by_the_code_and_standard_error() {
    for (script, class) in [
        (
            "echo 'Error: no rollout found for x' >&2; exit 1",
            ErrorClass::InvalidRequest,
        ),
        (
            "echo 'Not inside a trusted directory' >&2; exit 1",
            ErrorClass::Config,
        ),
        (
            "echo \"error: unexpected argument\" >&2; exit 2",
            ErrorClass::Config,
        ),
        ("exit 0", ErrorClass::Incomplete),
        ("exit 1", ErrorClass::Other),
        (
            r#"echo '{"type":"thread.started","thread_id":"t"}'; exit 1"#,
            ErrorClass::Other,
        ),
        ("exit 77", ErrorClass::Other),
    ] {
        let (turn, event) = run(script).await;
        assert!(matches!(turn, Err(TurnError::Exited { .. })), "{turn:?}");
        assert_eq!(event.error_class(), Some(class), "{script}");
    }
}

#[tokio::test]
async fn a_death_by_a_signal_is_classified_by_the_signal() {
    for (signal, number, class) in [
        ("TERM", 15, ErrorClass::Interrupted),
        ("USR1", 10, ErrorClass::Interrupted),
        ("KILL", 9, ErrorClass::Transport),
        ("SEGV", 11, ErrorClass::Transport),
    ] {
        let (turn, event) = run(&format!("kill -{signal} $$")).await;
        assert!(matches!(turn, Err(TurnError::Exited { .. })), "{turn:?}");
        assert_eq!(event.error_class(), Some(class), "{signal}");
        assert_eq!(event.attribute(names::EXIT_SIGNAL), Some(&number.into()));
    }
}

#[tokio::test]
async fn a_line_that_a_signal_cuts_is_ignored() {
    let (_, event) = run(r#"printf '{"type":"thread.st'; kill -KILL $$"#).await;
    assert_eq!(event.error_class(), Some(ErrorClass::Transport));
}

#[tokio::test]
async fn a_tool_without_an_end_ends_with_the_turn() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        item='"id":"item_0","type":"command_execution","command":"sleep 9","aggregated_output":""'
        echo '{"type":"item.started","item":{'"$item"',"status":"in_progress"}}'
        echo '{"type":"turn.completed"}'
    "#;
    let turn = stack.run(request(script)).await.unwrap();
    assert_eq!(turn.usage, None);
    let tools = stack.sink.find(Operation::Tool, Outcome::Error);
    assert_eq!(tools[0].error_class(), Some(ErrorClass::Incomplete));
}

#[tokio::test]
async fn the_first_end_of_a_turn_counts() {
    let (turn, _) = run(r#"
        echo '{"type":"turn.completed","usage":{"input_tokens":1}}'
        echo '{"type":"turn.failed","error":{"message":"too late"}}'
        exit 1
    "#)
    .await;
    assert_eq!(turn.unwrap().usage.unwrap().input_tokens, 1);
}

#[tokio::test]
async fn what_comes_after_the_end_of_a_turn_changes_nothing() {
    let stack = Stack::new(fake_codex());
    let script = format!(
        r#"{GOOD_TURN}
        echo '{{"type":"thread.started","thread_id":"another"}}'
        echo '{{"type":"error","message":"Reconnecting... 1/2"}}'
        echo '{{"type":"item.completed","item":{{"id":"late","type":"agent_message","text":"late"}}}}'
        echo '{{"type":"turn.completed","usage":{{"input_tokens":7000}}}}'
        echo '{{"type":"hologram"}}'"#
    );
    let (sender, mut progress) = tokio::sync::mpsc::channel(100);
    let request = request(&script).with_progress(sender);
    let turn = stack.run(request).await.unwrap();
    let (expected, _) = run(GOOD_TURN).await;
    let expected = expected.unwrap().with_phases(turn.phases.clone());
    assert_eq!(turn, expected);
    let event = stack.turn_event();
    assert_eq!(event.thread_id(), turn.thread_id.as_deref());
    assert_eq!(event.attribute(names::RETRIES), None);
    assert_eq!(event.span_events().len(), 0);
    let mut seen = 0;
    while progress.recv().await.is_some() {
        seen += 1;
    }
    assert_eq!(seen, 3, "thread, turn and item");
}
