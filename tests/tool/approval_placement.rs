use std::future::ready;

use codex_telemetry::{
    ApprovalRequest, BoxError, CallContext, Decision, ToolCall, ToolError, tool_fn,
};
use serde_json::json;
use tokio_test::{assert_pending, assert_ready, assert_ready_err};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;

use crate::support::{DEADLINE, Runs, call, decline, guarded, only, run, spawn, spec};

#[tokio::test]
async fn around_the_registry_the_approver_sees_every_call() {
    let picky = service_fn(|request: ApprovalRequest| async move {
        Ok::<_, BoxError>(match &*request.tool {
            "echo" => Decision::Accept,
            _ => Decision::decline("unknown tool"),
        })
    });
    let tools = only("echo", crate::support::echo());
    let service = guarded(tools.clone(), picky);

    assert!(service.clone().oneshot(call("echo")).await.is_ok());
    let declined = service.oneshot(call("nobody")).await;
    assert!(matches!(declined, Err(ToolError::Denied { .. })));
    assert_eq!(tools.stats()["echo"].success, 1);
}

#[tokio::test]
async fn an_inner_tool_error_is_returned_unchanged() {
    let accept = service_fn(|_: ApprovalRequest| ready(Ok::<_, BoxError>(Decision::Accept)));
    let registry = guarded(only("echo", crate::support::echo()), accept);
    let error = registry.oneshot(call("nobody")).await;
    assert!(matches!(error, Err(ToolError::NotFound { .. })));

    let failing = service_fn(|_: ToolCall| ready(Err::<(), BoxError>("torn".into())));
    let error = guarded(failing, accept).oneshot(call("paper")).await;
    assert!(matches!(error, Err(ToolError::Failed { tool, .. }) if &*tool == "paper"));
}

#[tokio::test]
async fn of_two_approvals_the_inner_one_is_asked_second() {
    let accept = service_fn(|_: ApprovalRequest| ready(Ok::<_, BoxError>(Decision::Accept)));
    let runs = Runs::default();
    let both = guarded(guarded(runs.tool(), decline("the inner one")), accept);
    let error = both.oneshot(call("a")).await.unwrap_err();
    assert!(matches!(error, ToolError::Denied { reason, .. } if reason == "the inner one"));
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn the_approver_of_a_disabled_tool_is_not_asked() {
    let (approver, mut requests) = mock::pair::<ApprovalRequest, Decision>();
    let service = only("delete", guarded(crate::support::echo(), approver));
    service.set_enabled("delete", false).unwrap();
    let mut deleting = spawn(&service, call("delete"));
    let error = assert_ready_err!(deleting.poll());
    assert!(matches!(error, ToolError::Disabled { .. }));
    let mut next = tokio_test::task::spawn(requests.next_request());
    assert_pending!(next.poll());
}

#[tokio::test]
async fn the_layer_composes_inside_and_outside_of_a_timeout() {
    let accept = service_fn(|_: ApprovalRequest| ready(Ok::<_, BoxError>(Decision::Accept)));
    let layer = codex_telemetry::ApprovalLayer::new(accept, DEADLINE);
    let tool = tool_fn(|number: u8, _: CallContext| async move { Ok::<_, BoxError>(number) });
    let outside = ServiceBuilder::new()
        .layer(layer)
        .timeout(DEADLINE)
        .service(tool.clone());
    let inside = ServiceBuilder::new()
        .timeout(DEADLINE)
        .layer(layer)
        .service(tool);
    let service = codex_telemetry::ToolService::builder()
        .tool(spec("outside"), outside)
        .tool(spec("inside"), inside)
        .build()
        .unwrap();
    for name in ["outside", "inside"] {
        assert_eq!(
            run(&service, name, json!(7)).await.unwrap().content,
            json!(7)
        );
        let bad = run(&service, name, json!("x")).await;
        assert!(matches!(bad, Err(ToolError::InvalidArguments { .. })));
    }
    let mut ready = tokio_test::task::spawn(service.clone());
    let polled = ready.enter(|cx, mut service| service.poll_ready(cx));
    assert_ready!(polled).unwrap();
}
