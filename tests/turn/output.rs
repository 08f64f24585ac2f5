use codex_telemetry::{
    ErrorClass, Operation, Outcome,
    event::names,
    turn::{Sandbox, TurnError},
};

use crate::support::{GOOD_TURN, Stack, fake_codex, request, run};

#[tokio::test]
async fn an_invalid_line_is_a_protocol_error_with_its_number_and_without_its_content() {
    let (turn, event) = run("echo; echo 'my password is hunter2'; exec sleep 300").await;
    assert!(
        matches!(turn, Err(TurnError::Protocol { line: 2, .. })),
        "{turn:?}"
    );
    assert_eq!(event.error_class(), Some(ErrorClass::Protocol));
    let message = event.error_message().unwrap();
    assert!(message.starts_with("invalid line 2 "), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn an_endless_line_is_a_protocol_error() {
    let stack = Stack::new(fake_codex().line_limit(100_000));
    // The line never ends: only a reader that rejects it ends this turn.
    let turn = stack.run(request("yes | tr -d '\\n'")).await;
    assert!(
        matches!(turn, Err(TurnError::Protocol { line: 1, .. })),
        "{turn:?}"
    );
    let event = stack.turn_event();
    let message = event.error_message().unwrap();
    assert!(message.contains("limit of 100000 bytes"), "{message}");
}

#[tokio::test]
async fn an_unknown_event_is_counted_and_skipped() {
    let script = format!(
        "echo '{}'; echo '{}'; {GOOD_TURN}",
        r#"{"type":"dream.started"}"#,
        r#"{"type":"item.completed","item":{"id":"x","type":"hologram"}}"#
    );
    let (turn, event) = run(&script).await;
    assert_eq!(turn.unwrap().unknown_events, 2);
    assert_eq!(event.attribute(names::UNKNOWN_EVENTS), Some(&2.into()));
}

#[tokio::test]
async fn standard_error_is_read_and_its_end_is_recorded() {
    let (turn, event) =
        run("yes 'a line of noise' | head -c 3000000 >&2; echo last >&2; exit 9").await;
    assert!(matches!(turn, Err(TurnError::Exited { .. })), "{turn:?}");
    let tail = event
        .attribute(names::STDERR_TAIL)
        .unwrap()
        .as_str()
        .into_owned();
    assert!(tail.len() <= 4096, "{} bytes", tail.len());
    assert!(
        tail.starts_with("a line") && tail.ends_with("last"),
        "{tail}"
    );
}

#[tokio::test]
async fn concurrent_tools_are_matched_by_their_items() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        item() {
            echo '{"type":"item.'$1'","item":{"id":"'$2'","type":"command_execution","command":"x",'\
'"aggregated_output":"'"$5"'","exit_code":'$3',"status":"'$4'"}}'
        }
        item started item_0 null in_progress
        item started item_1 null in_progress
        item completed item_1 7 failed
        item completed item_0 1 failed 'touch: Read-only file system'
        echo '{"type":"item.completed","item":{"id":"item_2","type":"mcp_tool_call","server":"files","tool":"read","arguments":{},"result":null,"error":{"message":"gone"},"status":"failed"}}'
        echo '{"type":"turn.completed"}'
    "#;
    stack
        .run(request(script).with_sandbox(Sandbox::ReadOnly))
        .await
        .unwrap();
    let turn = stack.turn_event();
    let tools = stack.sink.find(Operation::Tool, Outcome::Error);
    let failures: Vec<_> = tools
        .iter()
        .map(|tool| {
            assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
            (
                tool.call_id().unwrap(),
                tool.call_name().unwrap(),
                tool.error_class().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        failures,
        [
            ("item_1", "command_execution", ErrorClass::ToolFailed),
            ("item_0", "command_execution", ErrorClass::SandboxDenied),
            ("item_2", "read", ErrorClass::ToolFailed),
        ]
    );
    assert_eq!(tools[0].attribute(names::EXIT_CODE), Some(&7.into()));
    assert_eq!(tools[2].attribute(names::MCP_SERVER), Some(&"files".into()));
    assert_eq!(tools[2].error_message(), Some("gone"));
}

#[tokio::test]
async fn the_output_of_a_turn_is_limited() {
    let stack = Stack::new(fake_codex().output_limit(100_000));
    let turn = stack
        .run(request("yes '{\"type\":\"turn.started\"}'"))
        .await;
    assert!(
        matches!(turn, Err(TurnError::OutputTooLarge { .. })),
        "{turn:?}"
    );
    assert_eq!(stack.turn_event().error_class(), Some(ErrorClass::Protocol));
}

#[tokio::test]
async fn endless_messages_are_counted_and_cut() {
    let (turn, event) = run(r#"
        i=0; while [ $i -lt 200 ]; do echo '{"type":"error","message":"Reconnecting... 1/2"}'; i=$((i+1)); done
        long=$(head -c 100000 /dev/zero | tr '\0' x)
        echo '{"type":"turn.failed","error":{"message":"'"$long"'"}}'
    "#)
    .await;
    assert!(matches!(turn, Err(TurnError::Failed { .. })), "{turn:?}");
    assert_eq!(event.attribute(names::RETRIES), Some(&200.into()));
    assert_eq!(event.span_events().len(), 128);
    let message = event.error_message().unwrap();
    assert!(
        message.len() < 5000 && message.ends_with('…'),
        "{} bytes",
        message.len()
    );
}

#[tokio::test]
async fn values_of_the_request_are_redacted_in_errors_and_events() {
    let stack = Stack::new(fake_codex());
    let script = r#"echo "Error: bad value $SECRET and my-config-value" >&2; exit 1"#;
    let request = request(script)
        .with_env("SECRET", "env-secret-value")
        .with_config("key", "\"my-config-value\"");
    let error = stack.run(request).await.unwrap_err();
    let event = stack.turn_event();
    let tail = event
        .attribute(names::STDERR_TAIL)
        .unwrap()
        .as_str()
        .into_owned();
    for text in [
        error.to_string(),
        event.error_message().unwrap().to_owned(),
        tail,
    ] {
        assert!(text.contains("bad value *** and ***"), "{text}");
    }
}
