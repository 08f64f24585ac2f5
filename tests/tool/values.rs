//! What another crate can build and serialize, for instance for a fake tool service.

use std::time::Duration;

use codex_telemetry::{
    ApprovalRequest, BoxError, Decision, ErrorClass, ToolCall, ToolError, ToolOutput, ToolService,
    ToolStats, approval::FileUpdateChange, tool::ArgumentsError,
};
use serde_json::{Value, json, to_value};
use tower::{ServiceExt, service_fn};

use crate::support::{call, guarded, only, run, sleeper};

#[test]
fn each_decision_is_serialized_by_its_name() {
    for (decision, name) in [
        (Decision::Accept, "accept"),
        (Decision::AcceptForSession, "accept_for_session"),
        (
            Decision::AcceptWithExecpolicyAmendment,
            "accept_with_execpolicy_amendment",
        ),
        (Decision::Cancel, "cancel"),
    ] {
        assert_eq!(decision.as_str(), name);
        assert_eq!(to_value(decision).unwrap(), json!({ "decision": name }));
    }
    let decline = Decision::decline("no");
    assert_eq!(decline.as_str(), "decline");
    let expected = json!({ "decision": "decline", "reason": "no" });
    assert_eq!(to_value(decline).unwrap(), expected);
}

#[test]
fn a_changed_file_is_serialized_with_what_is_known() {
    let change = FileUpdateChange::new("/a", "update");
    let expected = json!({ "path": "/a", "kind": "update" });
    assert_eq!(to_value(&change).unwrap(), expected);
    let change = change.with_move_path("/b").with_diff("+1");
    let expected = json!({ "path": "/a", "kind": "update", "move_path": "/b", "diff": "+1" });
    assert_eq!(to_value(change).unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn stats_are_serialized_with_latencies_in_milliseconds() {
    assert_eq!(
        to_value(ToolStats::default()).unwrap(),
        json!({
            "success": 0,
            "failure": 0,
            "last_error_class": null,
            "last_latency_ms": null,
            "total_latency_ms": 0.0,
        })
    );
    let service = only("nap", sleeper());
    run(&service, "nap", json!(35)).await.unwrap_err();
    run(&service, "nap", json!(20)).await.unwrap();
    assert_eq!(
        to_value(&service.stats()["nap"]).unwrap(),
        json!({
            "success": 1,
            "failure": 1,
            "last_error_class": "tool_failed",
            "last_latency_ms": 20.0,
            "total_latency_ms": 55.0,
        })
    );
}

#[tokio::test]
async fn a_fake_service_can_return_every_error() {
    let tool = || std::sync::Arc::<str>::from("fake");
    let source = || BoxError::from("broken");
    let text = || "because".to_owned();
    let after = Duration::from_secs(1);
    #[rustfmt::skip]
    let errors = [
        (ToolError::NotFound { name: tool(), known: [tool()].into() }, ErrorClass::ToolNotFound),
        (ToolError::Disabled { tool: tool() }, ErrorClass::PolicyDenied),
        (ToolError::InvalidArguments { tool: tool(), source: ArgumentsError::new(text()) }, ErrorClass::InvalidArguments),
        (ToolError::Denied { tool: tool(), reason: text() }, ErrorClass::ApprovalDenied),
        (ToolError::ApprovalTimeout { tool: tool(), after }, ErrorClass::ApprovalDenied),
        (ToolError::ApprovalFailed { tool: tool(), source: source() }, ErrorClass::ApprovalDenied),
        (ToolError::Failed { tool: tool(), source: source() }, ErrorClass::ToolFailed),
        (ToolError::TimedOut { tool: tool(), after }, ErrorClass::Timeout),
        (ToolError::OutputTooLarge { tool: tool(), limit: 9 }, ErrorClass::ToolFailed),
        (ToolError::Panicked { tool: tool(), message: text() }, ErrorClass::Panic),
    ];
    for (error, class) in errors {
        let mut error = Some(error);
        let fake = service_fn(move |_: ToolCall| {
            let error = error.take().expect("called once");
            async move { Err::<ToolOutput, _>(error) }
        });
        assert_eq!(fake.oneshot(call("fake")).await.unwrap_err().class(), class);
    }
}

#[tokio::test]
async fn an_approver_can_be_called_without_the_layer() {
    let approver = service_fn(|request: ApprovalRequest| async move {
        let number = request.action.arguments().and_then(Value::as_u64);
        Ok::<_, BoxError>(match number {
            Some(_) => Decision::Accept,
            None => Decision::decline("not a number"),
        })
    });
    let request = ApprovalRequest::from(&ToolCall::new("fake", json!(1)));
    assert_eq!(approver.oneshot(request).await.unwrap(), Decision::Accept);

    let tools = guarded(ToolService::builder().build().unwrap(), approver);
    let error = tools.oneshot(ToolCall::new("fake", json!(1))).await;
    assert!(matches!(error, Err(ToolError::NotFound { .. })));
}

#[test]
fn a_fake_service_can_return_stats() {
    let mut stats = ToolStats::default();
    stats.success = 1;
    stats.total_latency = Duration::from_millis(2);
    assert_eq!(to_value(stats).unwrap()["total_latency_ms"], json!(2.0));
}
