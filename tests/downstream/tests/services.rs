//! Fakes of the other services, written outside of the crate: every request, response and error can be built.

use std::{sync::Arc, time::SystemTime};

use codex_telemetry::{
    ApprovalLayer, ApprovalRequest, AttachmentError, BoxError, CleanupReport, CleanupRequest,
    CodexClassifier, Decision, ErrorClass, MemorySink, Operation, Outcome, ServiceBuilderExt,
    ToolCall, ToolError, ToolOutput,
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
    Ok(
        match request
            .action
            .arguments()
            .and_then(serde_json::Value::as_i64)
        {
            Some(0) => Decision::decline("zero"),
            _ => Decision::Accept,
        },
    )
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
