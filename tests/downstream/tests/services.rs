//! Fakes of the other services, written outside of the crate: every request, response and error can be built.

use std::{sync::Arc, time::SystemTime};

use codex_telemetry::{
    ApprovalLayer, ApprovalRequest, AttachmentError, BoxError, CallContext, CleanupReport,
    CleanupRequest, CodexClassifier, Decision, ErrorClass, MemorySink, Operation, Outcome,
    ServiceBuilderExt, ToolCall, ToolError, ToolOutput,
    approval::{Action, FileUpdateChange},
};
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// A registry that knows one tool, which fails for an odd number.
async fn fake_tools(call: ToolCall) -> Result<ToolOutput, ToolError> {
    let tool = Arc::clone(&call.name);
    match (&*call.name, call.arguments.as_i64()) {
        ("half", Some(number)) if number % 2 == 0 => Ok(ToolOutput::new(json!(number / 2))),
        ("half", Some(_)) => Err(ToolError::Failed {
            tool,
            source: BoxError::from("odd"),
        }),
        _ => Err(ToolError::NotFound {
            name: tool,
            known: ["half".into()].into(),
        }),
    }
}

async fn fake_approver(request: ApprovalRequest) -> Result<Decision, BoxError> {
    Ok(match &request.action {
        Action::ToolCall { arguments } if arguments == 0 => Decision::decline("zero"),
        Action::ToolCall { .. } => Decision::Accept,
        Action::Command {
            execpolicy_amendment,
            ..
        } if !execpolicy_amendment.is_empty() => Decision::AcceptWithExecpolicyAmendment,
        Action::FileChange { changes, .. } if changes.iter().all(|change| change.kind == "add") => {
            Decision::AcceptForSession
        }
        Action::Permissions { .. } => Decision::Cancel,
        _ => Decision::decline("unknown"),
    })
}

#[tokio::test]
async fn a_fake_codex_can_ask_about_everything_and_gets_every_decision() {
    let command = |execpolicy_amendment: Vec<String>| Action::Command {
        command: "cargo test".to_owned(),
        cwd: Some("/repository".into()),
        reason: None,
        execpolicy_amendment,
        permissions: None,
    };
    let edit = |change: FileUpdateChange| Action::FileChange {
        changes: vec![change],
        reason: None,
        grant_root: None,
    };
    let moved = FileUpdateChange::new("a", "update").with_move_path("b");
    for (action, decision) in [
        (Action::tool_call(json!(1)), "accept"),
        (Action::command("ls"), "decline"),
        (
            command(vec!["cargo".to_owned()]),
            "accept_with_execpolicy_amendment",
        ),
        (
            edit(FileUpdateChange::new("a", "add").with_diff("+1")),
            "accept_for_session",
        ),
        (edit(moved), "decline"),
        (
            Action::McpToolCall {
                server: "tickets".to_owned(),
                arguments: json!({}),
                message: "May it?".to_owned(),
            },
            "decline",
        ),
        (
            Action::Permissions {
                permissions: json!({}),
                reason: Some("to write".to_owned()),
            },
            "cancel",
        ),
    ] {
        let request = ApprovalRequest::new("fake", action).with_context(CallContext::new());
        let answer = service_fn(fake_approver).oneshot(request).await.unwrap();
        assert_eq!(answer.as_str(), decision);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fake_registry_runs_under_all_layers_and_an_approval_in_a_spawned_task() {
    let sink = MemorySink::new();
    let deadline = std::time::Duration::from_secs(60);
    let tools = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .layer(ApprovalLayer::new(service_fn(fake_approver), deadline))
        .service(service_fn(fake_tools));
    let call = |name: &str, number: i64| {
        let (stack, call) = (tools.clone(), ToolCall::new(name, json!(number)));
        tokio::spawn(async move { stack.oneshot(call).await })
    };

    assert_eq!(call("half", 4).await.unwrap().unwrap().content, json!(2));
    let failed = call("half", 3).await.unwrap();
    assert!(matches!(failed, Err(ToolError::Failed { source, .. }) if source.to_string() == "odd"));
    let denied = call("half", 0).await.unwrap();
    assert!(matches!(denied, Err(ToolError::Denied { reason, .. }) if reason == "zero"));
    let unknown = call("double", 1).await.unwrap();
    assert!(matches!(unknown, Err(ToolError::NotFound { .. })));

    let classes: Vec<_> = sink
        .find(Operation::Tool, Outcome::Error)
        .iter()
        .map(|event| event.error_class().unwrap())
        .collect();
    assert_eq!(
        classes,
        [
            ErrorClass::ToolFailed,
            ErrorClass::ApprovalDenied,
            ErrorClass::ToolNotFound
        ]
    );
}

/// A cleanup that finds two files to remove, and no store when it is to remove everything.
async fn fake_cleanup(request: CleanupRequest) -> Result<CleanupReport, AttachmentError> {
    if request.everything {
        return Err(AttachmentError::Io {
            action: "list",
            path: "/store".into(),
            source: std::io::Error::from(std::io::ErrorKind::PermissionDenied),
        });
    }
    let mut report = CleanupReport::default();
    report.removed = 2;
    Ok(report)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fake_cleanup_runs_under_all_layers_in_a_spawned_task() {
    let sink = MemorySink::new();
    let cleanups = ServiceBuilder::new()
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .service(service_fn(fake_cleanup));
    let cleanup = |request: CleanupRequest| {
        let stack = cleanups.clone();
        tokio::spawn(async move { stack.oneshot(request).await })
    };

    let expired = CleanupRequest::expired().at(SystemTime::now());
    assert_eq!(cleanup(expired).await.unwrap().unwrap().removed, 2);
    let error = cleanup(CleanupRequest::everything()).await.unwrap();
    assert!(matches!(
        error,
        Err(AttachmentError::Io { action: "list", .. })
    ));
    let failed = &sink.find(Operation::AttachmentCleanup, Outcome::Error)[0];
    assert_eq!(failed.error_class(), Some(ErrorClass::Io));
}
