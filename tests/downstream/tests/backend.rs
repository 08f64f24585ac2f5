//! A second way to run turns, written outside of the crate: every part of a request can be read, and every turn,
//! item, step of progress and error can be built.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use codex_telemetry::{
    CodexClassifier, CodexRequest, ErrorClass, MemorySink, Operation, Originator, Outcome,
    RetryPolicy, ServiceBuilderExt, Turn, TurnError, TurnRequest, TurnUpdate,
    event::names,
    turn::{
        FileUpdateChange, Item, ItemKind, ItemStatus, Progress, Sandbox, TodoItem, Usage,
        turn_stream,
    },
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// A backend that answers by the prompt, and runs no process.
async fn fake_codex(request: TurnRequest) -> Result<Turn, TurnError> {
    request.context().record_thread_id("thread-1");
    for item in items() {
        if let Some(progress) = request.progress() {
            let step = Progress::ItemCompleted(item);
            progress.send(step).await.expect("the test reads progress");
        }
    }
    match request.prompt() {
        "fail" => Err(TurnError::failed("rate limit exceeded, try again in 20ms")),
        "crash" => Err(TurnError::Io {
            action: "reading the answer",
            source: std::io::Error::other("gone"),
        }),
        prompt => {
            let mut usage = Usage::default();
            usage.input_tokens = prompt.len() as u64;
            let mut turn = Turn::default();
            turn.thread_id = Some("thread-1".to_owned());
            turn.final_message = Some(format!("you said: {prompt}"));
            turn.items = items();
            turn.usage = Some(usage);
            request
                .context()
                .record(names::INPUT_TOKENS, prompt.len() as i64);
            Ok(turn)
        }
    }
}

/// One item of each kind.
fn items() -> Vec<Item> {
    let status = ItemStatus::Completed;
    let kinds = [
        ItemKind::AgentMessage {
            text: "hello".to_owned(),
        },
        ItemKind::Reasoning {
            text: "why".to_owned(),
        },
        ItemKind::CommandExecution {
            command: "ls".to_owned(),
            cwd: None,
            output: "src".into(),
            exit_code: Some(0),
            status: status.clone(),
        },
        ItemKind::FileChange {
            changes: vec![FileUpdateChange::new("src/lib.rs", "update").with_diff("+a")],
            status: status.clone(),
        },
        ItemKind::McpToolCall {
            server: "docs".to_owned(),
            tool: "search".to_owned(),
            arguments: json!({ "query": "tower" }).into(),
            result: Some(json!("found").into()),
            error: None,
            status: ItemStatus::Failed,
        },
        ItemKind::CollabToolCall {
            tool: "spawn".to_owned(),
            status: status.clone(),
        },
        ItemKind::DynamicToolCall {
            namespace: None,
            tool: "lookup".to_owned(),
            arguments: json!({}).into(),
            content_items: None,
            status,
        },
        ItemKind::WebSearch {
            query: "tower".to_owned(),
        },
        ItemKind::TodoList {
            items: vec![TodoItem::new("write", true)],
        },
        ItemKind::Plan {
            text: "first".to_owned(),
        },
        ItemKind::ImageView {
            path: "/srv/a.png".into(),
        },
        ItemKind::ContextCompaction,
        ItemKind::Other {
            name: "hologram".to_owned(),
        },
        ItemKind::Warning {
            message: "slow".to_owned(),
        },
    ];
    let kinds = kinds.into_iter().enumerate();
    kinds
        .map(|(at, kind)| Item::new(format!("item_{at}"), kind))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fake_backend_runs_under_all_layers_in_a_spawned_task() {
    let sink = MemorySink::new();
    let turns = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(service_fn(fake_codex));

    let stack = turns.clone();
    let turn = tokio::spawn(async move { stack.oneshot(TurnRequest::new("hello")).await });
    let turn = turn.await.unwrap().unwrap();
    assert_eq!(turn.final_message.as_deref(), Some("you said: hello"));
    let failed_tools = turn.items.iter().filter(|item| match &item.kind {
        ItemKind::McpToolCall { status, .. } => *status == ItemStatus::Failed,
        _ => false,
    });
    assert_eq!(failed_tools.count(), 1);

    let error = tokio::spawn(async move { turns.oneshot(TurnRequest::new("fail")).await });
    match error.await.unwrap() {
        Err(TurnError::Failed { message, .. }) => assert!(message.starts_with("rate limit")),
        other => panic!("{other:?}"),
    }
    let stop = &sink.find(Operation::Turn, Outcome::Ok)[0];
    assert_eq!(stop.thread_id(), Some("thread-1"));
    assert_eq!(stop.attribute(names::INPUT_TOKENS), Some(&5.into()));
    let exception = &sink.find(Operation::Turn, Outcome::Error)[0];
    assert_eq!(exception.error_class(), Some(ErrorClass::RateLimit));
    assert_eq!(exception.retry_after(), Some(Duration::from_millis(20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fake_backend_is_retried_by_class_and_streamed() {
    let sink = MemorySink::new();
    let turns = ServiceBuilder::new()
        .retry(RetryPolicy::new().max_attempts(2))
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(service_fn(fake_codex));
    let stack = turns.clone();
    let failed = tokio::spawn(async move { stack.oneshot(TurnRequest::new("fail")).await });
    assert!(failed.await.unwrap().is_err());
    assert_eq!(sink.find(Operation::Turn, Outcome::Error).len(), 2);

    let mut stream = std::pin::pin!(turn_stream(turns, TurnRequest::new("hello")));
    let mut completed = 0;
    loop {
        match stream.next().await {
            Some(TurnUpdate::Progress(Progress::ItemCompleted(_))) => completed += 1,
            Some(TurnUpdate::Progress(step)) => panic!("{step:?}"),
            Some(TurnUpdate::Done(turn)) => break assert!(turn.is_ok()),
            None => panic!("the stream ended before the turn"),
        }
    }
    assert_eq!(completed, items().len());
}

#[test]
fn every_part_of_a_request_can_be_read() {
    let (sender, _receiver) = mpsc::channel::<Progress>(1);
    let schema = json!({ "type": "object" });
    let mut before = Usage::default();
    before.output_tokens = 7;
    let request = TurnRequest::new("hello")
        .with_agent("writer")
        .with_model("gpt-5.5")
        .with_working_directory("/srv")
        .with_additional_directory("/tmp")
        .with_sandbox(Sandbox::ReadOnly)
        .with_image("/srv/a.png")
        .with_output_schema(schema.clone())
        .with_resume("0199a213-81c0-7800-8aa1-bbab2a035a53")
        .with_previous_usage(before)
        .with_config("model_reasoning_effort", "high")
        .with_env("KEY", "value")
        .without_env("HOME")
        .with_progress(sender);

    assert_eq!(request.prompt(), "hello");
    assert_eq!(request.agent(), Some("writer"));
    assert_eq!(request.model(), Some("gpt-5.5"));
    assert_eq!(request.working_directory(), Some(Path::new("/srv")));
    assert_eq!(request.additional_directories(), [PathBuf::from("/tmp")]);
    assert_eq!(request.sandbox(), Some(Sandbox::ReadOnly));
    assert_eq!(request.images(), [PathBuf::from("/srv/a.png")]);
    assert_eq!(request.output_schema(), Some(&schema));
    assert_eq!(
        request.resume(),
        Some("0199a213-81c0-7800-8aa1-bbab2a035a53")
    );
    assert_eq!(request.previous_usage(), Some(before));
    let config: Vec<_> = request.config().collect();
    assert_eq!(config, [("model_reasoning_effort", &json!("high"))]);
    let environment: Vec<_> = request.environment().collect();
    let expected = [("KEY", Some("value")), ("HOME", None)];
    let expected = expected.map(|(key, value)| (OsStr::new(key), value.map(OsStr::new)));
    assert_eq!(environment, expected);
    assert!(request.progress().is_some());
}

#[test]
fn a_turn_and_its_items_serialize_as_json() {
    let written: Value = serde_json::to_value(items()).unwrap();
    assert_eq!(written[0]["type"], "agent_message");
    assert_eq!(written[2]["exit_code"], 0);
    assert_eq!(written[3]["changes"][0]["path"], "src/lib.rs");
}
