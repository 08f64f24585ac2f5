use std::time::Duration;

use codex_telemetry::{
    ErrorClass, Operation, Outcome,
    event::names,
    turn::{Item, ItemKind, Sandbox, TurnError},
};
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt, timeout::error::Elapsed};

use crate::support::{DEADLINE, GOOD_TURN, Stack, fake_codex, prompt, request, run};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_timeout_ends_a_turn_whose_output_never_pauses() {
    let codex = fake_codex().output_limit(usize::MAX).line_limit(usize::MAX);
    for flood in [
        r#"yes '{"type":"turn.started"}'"#,
        r#"f() { while :; do echo '{"type":"turn.started"}'; done; }; f & f & f & f"#,
        r#"echo '{"type":"turn.completed"}'; yes"#,
        "yes noise >&2",
    ] {
        let turn = ServiceBuilder::new()
            .timeout(Duration::from_millis(100))
            .service(codex.clone().exit_grace(DEADLINE).build())
            .oneshot(request(flood));
        let ended = tokio::time::timeout(DEADLINE, turn).await;
        let error = ended.expect("the turn hangs").unwrap_err();
        assert!(error.is::<Elapsed>(), "{flood}: {error}");
    }
}

#[tokio::test]
async fn an_unknown_event_is_counted_and_skipped() {
    let script = format!(
        "echo '{}'; echo '{}'; {GOOD_TURN}",
        r#"{"type":"dream.started"}"#,
        r#"{"type":"item.completed","item":{"id":"x","type":"hologram"}}"#
    );
    let (turn, event) = run(&script).await;
    let turn = turn.unwrap();
    assert_eq!(turn.unknown_events, 2);
    let name = "hologram".to_owned();
    assert_eq!(turn.items[0], Item::new("x", ItemKind::Other { name }));
    assert_eq!(event.attribute(names::UNKNOWN_EVENTS), Some(&2.into()));
}

#[tokio::test]
async fn an_output_that_is_no_text_ends_no_turn_and_is_kept() {
    let outputs = [
        (r#"half \ud800\n"#, "half \u{fffd}\n"),
        (r#"escape \q\n"#, "escape \\q\n"),
    ];
    for (written, text) in outputs {
        let item = r#"{"id":"i","type":"command_execution","aggregated_output":"OUT","status":"failed","exit_code":1}"#;
        let item = item.replace("OUT", written);
        let script =
            format!(r#"printf '%s\n' '{{"type":"item.completed","item":{item}}}'; {GOOD_TURN}"#);
        let turn = run(&script).await.0.unwrap();
        let ItemKind::CommandExecution { output, .. } = &turn.items[0].kind else {
            panic!("{turn:?}");
        };
        assert_eq!(output, text);
    }
}

#[tokio::test]
async fn standard_error_is_read_and_its_end_is_recorded() {
    let (turn, event) =
        run("yes 'a line of noise' | head -c 3000000 >&2; echo 'Error: last' >&2; exit 9").await;
    let Err(TurnError::Exited { stderr, .. }) = turn else {
        panic!("{turn:?}");
    };
    assert!(stderr.len() <= 4096, "{} bytes", stderr.len());
    assert!(stderr.starts_with("a line") && stderr.ends_with("last"));
    // What was cut may be the middle of a message that Codex logged.
    let tail = event.attribute(names::STDERR_TAIL).unwrap();
    assert_eq!(tail.as_str(), "Error: last");
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
            // The id of an item is not the model's id of a call.
            assert_eq!(tool.call_id(), None);
            (
                tool.attribute(names::ITEM_ID).unwrap().as_str(),
                tool.call_name().unwrap(),
                tool.error_class().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        failures,
        [
            ("item_1".into(), "command_execution", ErrorClass::ToolFailed),
            (
                "item_0".into(),
                "command_execution",
                ErrorClass::SandboxDenied,
            ),
            ("item_2".into(), "read", ErrorClass::ToolFailed),
        ]
    );
    assert_eq!(tools[0].attribute(names::EXIT_CODE), Some(&7.into()));
    assert_eq!(tools[2].attribute(names::MCP_SERVER), Some(&"files".into()));
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
async fn endless_messages_are_counted_and_not_recorded() {
    let (turn, event) = run(r#"
        i=0; while [ $i -lt 200 ]; do echo '{"type":"error","message":"Reconnecting... 1/2"}'; i=$((i+1)); done
        long=$(head -c 100000 /dev/zero | tr '\0' x)
        echo '{"type":"turn.failed","error":{"message":"'"$long"'"}}'
    "#)
    .await;
    assert!(matches!(turn, Err(TurnError::Failed { .. })), "{turn:?}");
    assert_eq!(event.attribute(names::RETRIES), Some(&200.into()));
    assert_eq!(event.span_events().len(), 128);
    assert_eq!(
        event.error_message().unwrap(),
        "the turn failed: an unknown text of 100000 bytes, which is not recorded"
    );
}

#[tokio::test]
async fn a_prompt_of_codexs_own_words_changes_neither_class_nor_hint() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        echo '{"type":"error","message":"rate limit exceeded: Please try again in 1.5s."}'
        exit 1
    "#;
    let request = prompt("rate limit exceeded: Please try again", script);
    let error = stack.run(request).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("rate limit exceeded: Please try"), "{text}");
    let event = stack.turn_event();
    assert_eq!(event.error_class(), Some(ErrorClass::RateLimit));
    assert_eq!(event.retry_after(), Some(Duration::from_millis(1500)));
}

/// A prompt that JSON has to escape.
const PROMPT: &str = "my \"secret\"\nprompt: C:\\secret\\plan";

/// Ways in which Codex, a provider or a tool may repeat the prompt.
fn repeated() -> [String; 4] {
    let json = serde_json::to_string(PROMPT).unwrap();
    let nested = serde_json::to_string(&json).unwrap();
    [PROMPT.to_owned(), json, nested, format!("{PROMPT:?}")]
}

/// Returns everything that was recorded of all calls.
fn recorded(stack: &Stack) -> String {
    let events = stack.sink.events();
    events
        .iter()
        .map(|event| {
            let json = serde_json::to_string(event).unwrap();
            format!("{json} {:?} {event:?}\n", event.span_events())
        })
        .collect()
}

/// Returns the lines of a script that prints JSON.
fn print(values: &[serde_json::Value]) -> String {
    let lines: Vec<_> = values.iter().map(ToString::to_string).collect();
    format!("cat <<'END'\n{}\nEND\n", lines.join("\n"))
}

#[tokio::test]
async fn a_text_of_others_is_in_the_error_and_not_recorded() {
    for repeated in repeated() {
        for message in [
            format!("rate limit exceeded: {repeated}"),
            format!("unexpected status 400 Bad Request: {repeated}"),
            format!("stream disconnected before completion: {repeated}"),
            json!({"error": {"code": "some_code", "message": repeated}}).to_string(),
            repeated.clone(),
        ] {
            let stack = Stack::new(fake_codex());
            let failed = json!({"type": "turn.failed", "error": {"message": message}});
            let retrying = format!("Reconnecting... 1/5 ({message})");
            let retrying = json!({"type": "error", "message": retrying});
            let request = prompt(PROMPT, &print(&[retrying, failed]));
            let error = stack.run(request).await.unwrap_err();
            assert!(error.to_string().contains(&message), "{error}");
            let recorded = recorded(&stack);
            assert!(!recorded.contains("secret"), "{message}: {recorded}");
            assert!(recorded.contains("Reconnecting... 1/5"), "{recorded}");
        }
    }
}

#[tokio::test]
async fn a_prompt_on_standard_error_is_in_the_error_and_not_recorded() {
    for repeated in repeated() {
        let stack = Stack::new(fake_codex());
        let script = format!("cat >&2 <<'END'\nError: cannot run {repeated} now\nEND\nexit 1");
        let error = stack.run(prompt(PROMPT, &script)).await.unwrap_err();
        let TurnError::Exited { stderr, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(stderr.contains(&repeated), "{stderr}");
        let recorded = recorded(&stack);
        assert!(!recorded.contains("secret"), "{recorded}");
        assert!(recorded.contains("Error: cannot run"), "{recorded}");
    }
}

#[tokio::test]
async fn a_prompt_that_is_cut_on_standard_error_is_not_recorded() {
    let secret = "the plan of the secret palace ".repeat(400);
    let stack = Stack::new(fake_codex());
    let script = r#"printf 'panicked at: %s' "$(cat)" >&2; exit 9"#;
    stack.run(prompt(&secret, script)).await.unwrap_err();
    let recorded = recorded(&stack);
    assert!(!recorded.contains("secret"), "{recorded}");
}

#[tokio::test]
async fn the_names_of_files_in_a_repeated_prompt_are_not_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret plans.txt");
    std::fs::write(&path, "plum").unwrap();
    let stack = Stack::new(fake_codex());
    let script = r#"printf 'panicked at: %s' "$(cat)" >&2; exit 9"#;
    let request = prompt("Sum it up", script).with_file(path);
    stack.run(request).await.unwrap_err();
    let recorded = recorded(&stack);
    assert!(recorded.contains("panicked at"), "{recorded}");
    for secret in ["secret", "Sum"] {
        assert!(!recorded.contains(secret), "{recorded}");
    }
}

#[tokio::test]
async fn what_codex_logs_of_a_tool_is_not_recorded() {
    let stack = Stack::new(fake_codex());
    let script = r"cat >&2 <<'END'
2026-11-22T07:00:00.123456Z ERROR codex_core::tools::router: error=exec_command failed for `cat secret`
the secret itself
Error: no space left
END
exit 9";
    stack.run(request(script)).await.unwrap_err();
    let event = stack.turn_event();
    let tail = event.attribute(names::STDERR_TAIL).unwrap().as_str();
    assert_eq!(
        tail,
        "2026-11-22T07:00:00.123456Z ERROR codex_core::tools::router: …\nError: no space left"
    );
}

#[tokio::test]
async fn a_line_of_a_logged_command_that_begins_as_an_error_is_not_recorded() {
    let stack = Stack::new(fake_codex());
    let script = r"cat >&2 <<'END'
2026-11-22T07:00:00.123456Z ERROR codex_core::tools::router: error=exec_command failed for `cat <<E
Errors are secret
and so is this
E`
2026-11-22T07:00:01.123456Z ERROR codex_core::tools::router: error=exec_command failed for `cat secret`
Error: no space left
END
exit 9";
    stack.run(request(script)).await.unwrap_err();
    let event = stack.turn_event();
    let tail = event.attribute(names::STDERR_TAIL).unwrap().as_str();
    assert_eq!(
        tail,
        "2026-11-22T07:00:00.123456Z ERROR codex_core::tools::router: …\n\
         2026-11-22T07:00:01.123456Z ERROR codex_core::tools::router: …\n\
         Error: no space left"
    );
}

#[tokio::test]
async fn an_error_of_an_mcp_tool_is_in_the_item_and_not_recorded() {
    let stack = Stack::new(fake_codex());
    let script = r#"
        echo '{"type":"item.completed","item":{"id":"i","type":"mcp_tool_call","server":"s","tool":"t","arguments":{},"result":null,"error":{"message":"the secret of the user"},"status":"failed"}}'
        echo '{"type":"turn.completed"}'
    "#;
    let turn = stack.run(request(script)).await.unwrap();
    let ItemKind::McpToolCall { error, .. } = &turn.items[0].kind else {
        panic!("{turn:?}");
    };
    assert_eq!(error.as_deref(), Some("the secret of the user"));
    let tool = &stack.sink.find(Operation::Tool, Outcome::Error)[0];
    assert_eq!(tool.error_message(), Some("the tool reported a failure"));
    assert!(!recorded(&stack).contains("secret"));
}

#[tokio::test]
async fn values_of_the_request_are_in_the_error_and_not_recorded() {
    let stack = Stack::new(fake_codex());
    let script = r#"echo "Error: bad value $SECRET and my-config-value" >&2; exit 1"#;
    let request = request(script)
        .with_env("SECRET", "env-secret-value")
        .with_config("key", "my-config-value");
    let error = stack.run(request).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("bad value env-secret-value and my-config-value"),
        "{text}"
    );
    let event = stack.turn_event();
    let tail = event.attribute(names::STDERR_TAIL).unwrap().as_str();
    assert!(tail.contains("bad value *** and ***"), "{tail}");
    let recorded = recorded(&stack);
    assert!(!recorded.contains("env-secret-value"), "{recorded}");
    assert!(!recorded.contains("my-config-value"), "{recorded}");
}

#[tokio::test]
async fn a_text_within_a_value_of_the_request_is_not_recorded() {
    let stack = Stack::new(fake_codex());
    let script = "echo 'Error: no file inner-secret in a list' >&2; exit 1";
    let server = json!({"command": "x", "args": ["inner-secret"]});
    let request = request(script).with_config("mcp_servers.s", server);
    stack.run(request).await.unwrap_err();
    let event = stack.turn_event();
    let tail = event.attribute(names::STDERR_TAIL).unwrap().as_str();
    assert_eq!(tail, "Error: no file *** in a list");
}

#[tokio::test]
async fn a_key_that_is_no_name_of_codex_is_not_recorded() {
    let stack = Stack::new(fake_codex());
    let script = "echo 'Error: invalid trust_level in /srv/secret-project' >&2; exit 1";
    let projects = json!({"/srv/secret-project": {"trust_level": "no"}});
    let request = request(script).with_config("projects", projects);
    stack.run(request).await.unwrap_err();
    let event = stack.turn_event();
    let tail = event.attribute(names::STDERR_TAIL).unwrap().as_str();
    assert_eq!(tail, "Error: invalid trust_level in ***");
}

#[tokio::test]
async fn a_value_of_the_users_own_configuration_is_not_recorded() {
    let stack = Stack::new(fake_codex());
    // As the real Codex writes them.
    let script = r#"cat >&2 <<'END'
Error loading config.toml: invalid type: string "a secret, "expected"", expected a sequence
/home/user/.codex/config.toml:12:69: invalid basic string, expected `"`
   |
12 | model_providers.p.experimental_bearer_token = "a secret
   |                                                        ^
END
exit 1"#;
    stack.run(request(script)).await.unwrap_err();
    let event = stack.turn_event();
    let tail = event.attribute(names::STDERR_TAIL).unwrap().as_str();
    assert_eq!(
        tail,
        r#"Error loading config.toml: invalid type: string …, expected a sequence
/home/user/.codex/config.toml:12:69: invalid basic string, expected `"`
   |
12 | …
   |                                                        ^"#
    );
}

#[tokio::test]
async fn the_provider_is_that_of_the_settings() {
    let provider = |values: &'static [&'static str]| async move {
        let stack = Stack::new(fake_codex().config("model_provider", "of-service"));
        let request = values.iter().fold(request(GOOD_TURN), |request, value| {
            request.with_config("model_provider", *value)
        });
        stack.run(request).await.unwrap();
        let event = stack.turn_event();
        let provider = event.attribute("gen_ai.provider.name");
        provider.map(|provider| provider.as_str().into_owned())
    };
    for (values, expected) in [
        (&[][..], "of-service"),
        (&["azure"], "azure"),
        (&["a", "b"], "b"),
    ] {
        assert_eq!(provider(values).await.as_deref(), Some(expected));
    }
    let (_, event) = run(GOOD_TURN).await;
    assert_eq!(event.attribute("gen_ai.provider.name"), None);
}
