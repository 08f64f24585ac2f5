//! Requests, results, errors and progress as another crate builds, reads and serializes them.

use codex_telemetry::{
    CallContext, CodexRequest, Phase, Phases,
    turn::{
        ApprovalPolicy, CodexErrorInfo, FileUpdateChange, Item, ItemKind, ItemStatus, JsonText,
        Progress, RateLimitWindow, RateLimits, Sandbox, TodoItem, Turn, TurnError, TurnRequest,
        Usage,
    },
};
use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};
use tokio::sync::mpsc;

fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
    let mut usage = Usage::default();
    usage.input_tokens = input_tokens;
    usage.output_tokens = output_tokens;
    usage
}

fn usage_json(input_tokens: u64, output_tokens: u64) -> Value {
    json!({
        "input_tokens": input_tokens, "cached_input_tokens": 0, "cache_write_input_tokens": 0,
        "output_tokens": output_tokens, "reasoning_output_tokens": 0,
    })
}

fn rate_limits() -> RateLimits {
    let mut window = RateLimitWindow::default();
    window.used_percent = 12.5;
    window.window_minutes = Some(300);
    window.resets_at = Some(7);
    let mut limits = RateLimits::default();
    limits.limit_id = Some("codex".into());
    limits.primary = Some(window);
    limits.plan = Some("plus".into());
    limits
}

/// An item of each kind, and its JSON in Codex's output.
fn items() -> Vec<(ItemKind, Value)> {
    let status = ItemStatus::Completed;
    vec![
        (
            ItemKind::AgentMessage { text: "a".into() },
            json!({"type": "agent_message", "text": "a"}),
        ),
        (
            ItemKind::Reasoning { text: "a".into() },
            json!({"type": "reasoning", "text": "a"}),
        ),
        (
            ItemKind::CommandExecution {
                cwd: None,
                command: "ls".into(),
                output: "a".into(),
                exit_code: Some(0),
                status,
            },
            json!({
                "type": "command_execution", "command": "ls", "aggregated_output": "a",
                "exit_code": 0, "status": "completed",
            }),
        ),
        (
            ItemKind::FileChange {
                changes: vec![FileUpdateChange::new("/a", "add")],
                status: ItemStatus::InProgress,
            },
            json!({
                "type": "file_change", "changes": [{"path": "/a", "kind": "add"}],
                "status": "in_progress",
            }),
        ),
        (
            ItemKind::McpToolCall {
                server: "files".into(),
                tool: "read".into(),
                arguments: json!({"path": "a"}).into(),
                result: None,
                error: Some("gone".into()),
                status: ItemStatus::Failed,
            },
            json!({
                "type": "mcp_tool_call", "server": "files", "tool": "read",
                "arguments": {"path": "a"}, "result": null, "error": {"message": "gone"},
                "status": "failed",
            }),
        ),
        (
            ItemKind::CollabToolCall {
                tool: "spawn".into(),
                status: ItemStatus::Declined,
            },
            json!({"type": "collab_tool_call", "tool": "spawn", "status": "declined"}),
        ),
        (
            ItemKind::WebSearch { query: "a".into() },
            json!({"type": "web_search", "query": "a"}),
        ),
        (
            ItemKind::TodoList {
                items: vec![TodoItem::new("a", true)],
            },
            json!({"type": "todo_list", "items": [{"text": "a", "completed": true}]}),
        ),
        (
            ItemKind::Warning {
                message: "a".into(),
            },
            json!({"type": "error", "message": "a"}),
        ),
    ]
}

/// An item of each kind, or with a field, that `codex exec` does not write, and its JSON.
fn items_of_the_app_server() -> Vec<(ItemKind, Value)> {
    let status = ItemStatus::Completed;
    let moved = FileUpdateChange::new("/a", "update")
        .with_move_path("/b")
        .with_diff("+secret");
    vec![
        (
            ItemKind::CommandExecution {
                cwd: Some("/work".into()),
                command: "secret".into(),
                output: "secret".into(),
                exit_code: None,
                status: ItemStatus::Other("paused".into()),
            },
            json!({
                "type": "command_execution", "command": "secret", "cwd": "/work",
                "aggregated_output": "secret", "exit_code": null, "status": "paused",
            }),
        ),
        (
            ItemKind::FileChange {
                changes: vec![moved],
                status: status.clone(),
            },
            json!({
                "type": "file_change",
                "changes": [{
                    "path": "/a", "kind": "update", "move_path": "/b", "diff": "+secret",
                }],
                "status": "completed",
            }),
        ),
        (
            ItemKind::DynamicToolCall {
                namespace: Some("tickets".into()),
                tool: "lookup".into(),
                arguments: json!({"secret": 7}).into(),
                content_items: Some(json!([{"type": "inputText", "text": "secret"}]).into()),
                status,
            },
            json!({
                "type": "dynamic_tool_call", "namespace": "tickets", "tool": "lookup",
                "arguments": {"secret": 7},
                "content_items": [{"type": "inputText", "text": "secret"}],
                "status": "completed",
            }),
        ),
        (
            ItemKind::Plan {
                text: "secret".into(),
            },
            json!({"type": "plan", "text": "secret"}),
        ),
        (
            ItemKind::ImageView {
                path: "/a.png".into(),
            },
            json!({"type": "image_view", "path": "/a.png"}),
        ),
        (
            ItemKind::ContextCompaction,
            json!({"type": "context_compaction"}),
        ),
        (
            ItemKind::Other {
                name: "hologram".into(),
            },
            json!({"type": "unknown", "kind": "hologram"}),
        ),
    ]
}

#[test]
fn an_item_serializes_as_codex_writes_it() {
    for (kind, mut expected) in items().into_iter().chain(items_of_the_app_server()) {
        expected["id"] = "item_0".into();
        let item = Item::new("item_0", kind);
        assert_eq!(serde_json::to_value(&item).unwrap(), expected);
    }
}

#[test]
fn the_json_of_an_item_has_the_fields_of_codex_exec_in_its_order() {
    let kind = ItemKind::CommandExecution {
        command: "ls".into(),
        cwd: None,
        output: "a".into(),
        exit_code: Some(0),
        status: ItemStatus::Completed,
    };
    assert_eq!(
        serde_json::to_string(&Item::new("item_0", kind)).unwrap(),
        r#"{"id":"item_0","type":"command_execution","command":"ls","aggregated_output":"a","exit_code":0,"status":"completed"}"#
    );
}

#[test]
fn the_times_of_an_item_are_in_its_json_in_milliseconds() {
    let mut item = Item::new("i", ItemKind::ContextCompaction);
    item.started_at = Some(UNIX_EPOCH + Duration::from_millis(1_795_850_961_783));
    assert_eq!(
        serde_json::to_value(&item).unwrap(),
        json!({"id": "i", "type": "context_compaction", "started_at_ms": 1_795_850_961_783_u64})
    );
    item.completed_at = Some(UNIX_EPOCH - Duration::from_secs(1));
    item.duration = Some(Duration::from_micros(513_900));
    assert_eq!(
        serde_json::to_value(&item).unwrap(),
        json!({
            "id": "i", "type": "context_compaction", "started_at_ms": 1_795_850_961_783_u64,
            "completed_at_ms": 0, "duration_ms": 513,
        })
    );
}

#[test]
fn the_debug_output_of_an_item_has_no_content() {
    for (kind, _) in items_of_the_app_server() {
        let text = format!("{kind:?}");
        assert!(!text.contains("secret"), "{text}");
    }
    let kinds = items_of_the_app_server().into_iter().map(|(kind, _)| kind);
    let names: Vec<_> = kinds.map(|kind| format!("{kind:?}")).collect();
    assert!(names.contains(&"ContextCompaction".to_owned()), "{names:?}");
    assert!(
        names.iter().any(|name| name.contains("lookup")),
        "{names:?}"
    );
    assert!(
        names.iter().any(|name| name.contains("hologram")),
        "{names:?}"
    );
    assert!(
        names.iter().any(|name| name.contains("/a.png")),
        "{names:?}"
    );
}

#[test]
fn the_json_of_a_tool_is_text_until_it_is_parsed() {
    let text = r#"{"b": [1.0], "a":"\u00e4"}"#;
    let json = JsonText::new(text).unwrap();
    assert_eq!(json.as_str(), text);
    assert_eq!(json.parse().unwrap(), json!({"a": "ä", "b": [1.0]}));
    assert_eq!(serde_json::to_string(&json).unwrap(), text);
    assert_eq!(JsonText::default().parse().unwrap(), Value::Null);
    assert_ne!(JsonText::from(json.parse().unwrap()), json);
    assert_eq!(format!("{json:?}"), "*** (26 bytes)");
    for invalid in ["", "{", "1 2", "secret"] {
        let error = JsonText::new(invalid).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn progress_serializes_as_codex_writes_it() {
    let item = || Item::new("i", ItemKind::AgentMessage { text: "a".into() });
    let item_json = json!({"id": "i", "type": "agent_message", "text": "a"});
    for (progress, expected) in [
        (
            Progress::ThreadStarted {
                thread_id: "t".into(),
            },
            json!({"type": "thread.started", "thread_id": "t"}),
        ),
        (Progress::TurnStarted, json!({"type": "turn.started"})),
        (
            Progress::ItemStarted(item()),
            json!({"type": "item.started", "item": item_json}),
        ),
        (
            Progress::ItemUpdated(item()),
            json!({"type": "item.updated", "item": item_json}),
        ),
        (
            Progress::ItemCompleted(item()),
            json!({"type": "item.completed", "item": item_json}),
        ),
        (
            Progress::MessageDelta {
                item_id: "i".into(),
                delta: "a".into(),
            },
            json!({"type": "item.agent_message.delta", "item_id": "i", "delta": "a"}),
        ),
        (
            Progress::ReasoningDelta {
                item_id: "i".into(),
                delta: "a".into(),
            },
            json!({"type": "item.reasoning.delta", "item_id": "i", "delta": "a"}),
        ),
        (
            Progress::OutputDelta {
                item_id: "i".into(),
                delta: "a".into(),
            },
            json!({"type": "item.command_execution.delta", "item_id": "i", "delta": "a"}),
        ),
        (
            Progress::PlanUpdated {
                items: vec![TodoItem::new("a", false)],
            },
            json!({"type": "turn.plan.updated", "items": [{"text": "a", "completed": false}]}),
        ),
        (
            Progress::TokenUsage {
                last: usage(1, 2),
                total: usage(3, 4),
                context_window: Some(272_000),
            },
            json!({
                "type": "thread.token_usage.updated", "last": usage_json(1, 2),
                "total": usage_json(3, 4), "context_window": 272_000,
            }),
        ),
        (
            Progress::RateLimits(rate_limits()),
            json!({
                "type": "account.rate_limits.updated",
                "rate_limits": {
                    "limit_id": "codex",
                    "primary": {"used_percent": 12.5, "window_minutes": 300, "resets_at": 7},
                    "secondary": null, "plan": "plus", "reached": null,
                },
            }),
        ),
        (Progress::Compacted, json!({"type": "thread.compacted"})),
        (
            Progress::Retrying {
                message: "1/5".into(),
            },
            json!({"type": "retrying", "message": "1/5"}),
        ),
        (
            Progress::Warning {
                message: "a".into(),
            },
            json!({"type": "warning", "message": "a"}),
        ),
    ] {
        assert_eq!(serde_json::to_value(&progress).unwrap(), expected);
    }
}

#[test]
fn the_debug_output_of_progress_has_no_content() {
    let text = || "a secret".to_owned();
    let item = || Item::new("i", ItemKind::AgentMessage { text: text() });
    let id = || "the-id".to_owned();
    for progress in [
        Progress::ItemStarted(item()),
        Progress::ItemUpdated(item()),
        Progress::ItemCompleted(item()),
        Progress::MessageDelta {
            item_id: id(),
            delta: text(),
        },
        Progress::ReasoningDelta {
            item_id: id(),
            delta: text(),
        },
        Progress::OutputDelta {
            item_id: id(),
            delta: text(),
        },
        Progress::PlanUpdated {
            items: vec![TodoItem::new(text(), true)],
        },
        Progress::Retrying { message: text() },
        Progress::Warning { message: text() },
    ] {
        let debug = format!("{progress:?}");
        assert!(!debug.contains("secret"), "{debug}");
        let has_delta = debug.contains("Delta");
        assert_eq!(has_delta, debug.contains("the-id"), "{debug}");
    }
    let started = Progress::ThreadStarted { thread_id: id() };
    for (progress, expected) in [
        (started, r#"ThreadStarted { thread_id: "the-id" }"#),
        (Progress::TurnStarted, "TurnStarted"),
        (Progress::Compacted, "Compacted"),
    ] {
        assert_eq!(format!("{progress:?}"), expected);
    }
}

#[test]
fn a_turn_serializes_with_its_items_usage_and_phases() {
    let turn = Turn::new()
        .with_thread_id("t")
        .with_final_message("hi")
        .with_items([Item::new("i", ItemKind::Reasoning { text: "a".into() })])
        .with_usage(usage(10, 5))
        .with_phases(Phases::new().with(Phase::Model, Duration::from_micros(1500)));
    assert_eq!(
        serde_json::to_value(&turn).unwrap(),
        json!({
            "phases": {"model_ms": 1.5, "last": "model"},
            "thread_id": "t",
            "turn_id": null,
            "final_message": "hi",
            "items": [{"id": "i", "type": "reasoning", "text": "a"}],
            "usage": usage_json(10, 5),
            "thread_usage": null,
            "retries": 0,
            "unknown_events": 0,
        })
    );
}

#[test]
fn a_sandbox_serializes_by_its_name() {
    for sandbox in [
        Sandbox::ReadOnly,
        Sandbox::WorkspaceWrite,
        Sandbox::DangerFullAccess,
    ] {
        let json = serde_json::to_value(sandbox).unwrap();
        assert_eq!(json, sandbox.as_str());
        assert_eq!(Sandbox::from_name(sandbox.as_str()), Some(sandbox));
    }
}

#[test]
fn usages_add_up_field_by_field() {
    let mut one = Usage::default();
    one.input_tokens = 1;
    one.cached_input_tokens = 20;
    one.cache_write_input_tokens = 300;
    one.output_tokens = 4_000;
    one.reasoning_output_tokens = 50_000;
    let two = one + one;
    assert_eq!(two.input_tokens, 2);
    assert_eq!(two.cached_input_tokens, 40);
    assert_eq!(two.cache_write_input_tokens, 600);
    assert_eq!(two.output_tokens, 8_000);
    assert_eq!(two.reasoning_output_tokens, 100_000);

    assert_eq!([one, two].into_iter().sum::<Usage>(), one + two);
    assert_eq!([one, two].iter().sum::<Usage>(), one + two);
    let mut total = two;
    total += one;
    assert_eq!(total, one + two);
    assert_eq!(total.since(&one), two);
    assert_eq!(one.since(&total), Usage::default());
    let most = usage(u64::MAX, 0);
    assert_eq!((most + one).input_tokens, u64::MAX);
}

#[test]
fn a_request_returns_all_its_settings() {
    let (sender, _receiver) = mpsc::channel(1);
    let schema = json!({"type": "object"});
    let request = TurnRequest::new("a prompt")
        .with_context(CallContext::new().with_thread_id("t"))
        .with_agent("reviewer")
        .with_model("gpt-5.5")
        .with_working_directory("/work")
        .with_additional_directory("/opt")
        .with_sandbox(Sandbox::ReadOnly)
        .with_ephemeral(true)
        .with_approval_policy(ApprovalPolicy::Untrusted)
        .with_image("/a.png")
        .with_file("/b/c.txt")
        .with_output_schema(schema.clone())
        .with_resume("thread")
        .with_previous_usage(usage(1, 2))
        .with_config("a", 1)
        .with_config("b", 2)
        .with_env("SET", "value")
        .without_env("REMOVED")
        .with_progress(sender.clone());
    assert_eq!(request.prompt(), "a prompt");
    assert_eq!(request.context().thread_id(), Some("t"));
    assert_eq!(request.agent(), Some("reviewer"));
    assert_eq!(request.model(), Some("gpt-5.5"));
    assert_eq!(request.working_directory(), Some(Path::new("/work")));
    assert_eq!(request.additional_directories(), [Path::new("/opt")]);
    assert_eq!(request.sandbox(), Some(Sandbox::ReadOnly));
    assert_eq!(request.ephemeral(), Some(true));
    assert_eq!(request.approval_policy(), Some(ApprovalPolicy::Untrusted));
    assert_eq!(request.images(), [Path::new("/a.png")]);
    assert!(request.files().eq([("c.txt", Path::new("/b/c.txt"))]));
    assert_eq!(request.output_schema(), Some(&schema));
    assert_eq!(request.resume(), Some("thread"));
    assert_eq!(request.previous_usage(), Some(usage(1, 2)));
    assert!(request.config().eq([("a", &1.into()), ("b", &2.into())]));
    let value = Some(OsStr::new("value"));
    let changes = [(OsStr::new("SET"), value), (OsStr::new("REMOVED"), None)];
    assert!(request.environment().eq(changes));
    assert!(request.progress().unwrap().same_channel(&sender));
    let debug = format!("{request:?}");
    for shown in ["ephemeral: Some(true)", "approval_policy: Some(Untrusted)"] {
        assert!(debug.contains(shown), "{debug}");
    }
}

#[test]
fn a_request_says_neither_where_its_thread_is_kept_nor_when_to_ask_by_default() {
    let request = TurnRequest::new("a prompt");
    assert_eq!(request.ephemeral(), None);
    assert_eq!(request.approval_policy(), None);
}

#[test]
fn an_approval_policy_serializes_by_its_name() {
    for policy in [
        ApprovalPolicy::Never,
        ApprovalPolicy::OnRequest,
        ApprovalPolicy::Untrusted,
    ] {
        assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
    }
}

#[test]
fn another_crate_can_build_every_error() {
    use std::{io, os::unix::process::ExitStatusExt, process::ExitStatus};

    let io = || io::Error::from(io::ErrorKind::NotFound);
    for (error, text) in [
        (
            TurnError::CodexNotFound {
                searched: "codex on the PATH".into(),
            },
            "Codex CLI not found (searched codex on the PATH): install it (npm install -g \
             @openai/codex), or set CODEX_PATH to the binary",
        ),
        (
            TurnError::WorkingDirectory { path: "/a".into() },
            "invalid working directory /a: create it, or choose another one",
        ),
        (
            TurnError::InvalidRequest { reason: "x".into() },
            "invalid turn request: x",
        ),
        (
            TurnError::Spawn {
                program: "/a".into(),
                source: io(),
            },
            "cannot start /a: check that it is the Codex CLI for this machine",
        ),
        (TurnError::failed("x"), "the turn failed: x"),
        (
            TurnError::Failed {
                message: "x".into(),
                info: Some(CodexErrorInfo::new("unauthorized").with_http_status(401)),
            },
            "the turn failed: x; log in with `codex login`, or give Codex the key that its provider \
             requires",
        ),
        (
            TurnError::Failed {
                message: String::new(),
                info: Some(CodexErrorInfo::new("usageLimitExceeded")),
            },
            "the turn failed: usageLimitExceeded",
        ),
        (
            TurnError::ServerExited {
                status: None,
                stderr: String::new(),
            },
            "the Codex server exited before the end of the turn",
        ),
        (
            TurnError::ServerExited {
                status: Some(ExitStatus::from_raw(1 << 8)),
                stderr: "noise\nError: x".into(),
            },
            "the Codex server exited (exit status: 1) before the end of the turn: Error: x",
        ),
        (
            // Whoever was killed has said nothing about it.
            TurnError::ServerExited {
                status: Some(ExitStatus::from_raw(9)),
                stderr: "Error: of an earlier turn".into(),
            },
            "the Codex server exited (signal: 9 (SIGKILL)) before the end of the turn",
        ),
        (
            TurnError::Rejected {
                method: "thread/start",
                code: -32600,
                message: "x.".into(),
            },
            "Codex rejected `thread/start` (code -32600): x; check the thread and the settings of the \
             request",
        ),
        (
            TurnError::Unanswered {
                method: "turn/start",
                after: Duration::from_millis(1500),
            },
            "Codex did not answer `turn/start` within 1.5s: raise the request timeout, or run fewer turns at once",
        ),
        (
            TurnError::Interrupted,
            "the turn was interrupted, and not by this service: check who else uses its thread",
        ),
        (
            TurnError::CancelledByApprover { tool: "x".into() },
            "the approver of x cancelled the turn",
        ),
        (
            TurnError::Stopped,
            "the turn was stopped: its service is shutting down",
        ),
        (
            TurnError::Exited {
                status: ExitStatus::from_raw(0x100),
                thread_started: true,
                message: None,
                stderr: "Error: x".into(),
            },
            "Codex exited (exit status: 1) before the end of the turn: Error: x",
        ),
        (
            TurnError::Hung {
                after: Duration::from_secs(5),
            },
            "Codex closed its output before the end of the turn, did not exit within 5s, and was killed",
        ),
        (
            TurnError::Protocol {
                line: 2,
                reason: "not JSON".into(),
            },
            "invalid line 2 in Codex's output: not JSON",
        ),
        (
            TurnError::OutputTooLarge { limit: 7 },
            "Codex wrote more than 7 bytes within the turn: raise the output limit, or ask for less",
        ),
        (
            TurnError::Io {
                action: "reading Codex's output",
                source: io(),
            },
            "reading Codex's output failed",
        ),
    ] {
        assert_eq!(error.to_string(), text);
    }
}
