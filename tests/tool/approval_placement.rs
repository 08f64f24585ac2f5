use std::future::ready;

use codex_telemetry::{
    ApprovalRequest, BoxError, CallContext, Decision, ToolCall, ToolError, tool_fn,
};
use serde_json::json;
use tokio_test::{assert_pending, assert_ready, assert_ready_err};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;

use crate::support::{DEADLINE, Ran, call, deny, guarded, only, run, spawn};

#[tokio::test]
async fn around_the_whole_registry_every_call_is_asked_about() {
    let picky = service_fn(|request: ApprovalRequest| async move {
        Ok::<_, BoxError>(match &*request.tool {
            "echo" => Decision::Allow,
            _ => Decision::deny("unknown territory"),
        })
    });
    let tools = only("echo", crate::support::echo());
    let service = guarded(tools.clone(), picky);

    assert!(service.clone().oneshot(call("echo")).await.is_ok());
    let denied = service.oneshot(call("nobody")).await;
    assert!(matches!(denied, Err(ToolError::Denied { .. })));
    assert_eq!(tools.stats()["echo"].success, 1);
}

#[tokio::test]
async fn an_inner_error_keeps_its_type_through_an_approval() {
    let yes = service_fn(|_: ApprovalRequest| ready(Ok::<_, BoxError>(Decision::Allow)));
    let missing = guarded(only("echo", crate::support::echo()), yes);
    let error = missing.oneshot(call("nobody")).await;
    assert!(matches!(error, Err(ToolError::NotFound { .. })));

    let fails = service_fn(|_: ToolCall| ready(Err::<(), BoxError>("torn".into())));
    let error = guarded(fails, yes).oneshot(call("paper")).await;
    assert!(matches!(error, Err(ToolError::Failed { tool, .. }) if &*tool == "paper"));
}

#[tokio::test]
async fn two_approvals_ask_one_after_the_other() {
    let yes = service_fn(|_: ApprovalRequest| ready(Ok::<_, BoxError>(Decision::Allow)));
    let ran = Ran::default();
    let both = guarded(guarded(ran.tool(), deny("the inner one")), yes);
    let error = both.oneshot(call("a")).await.unwrap_err();
    assert!(matches!(error, ToolError::Denied { reason, .. } if reason == "the inner one"));
    assert_eq!(ran.times(), 0);
}

#[tokio::test]
async fn a_disabled_tool_asks_nobody() {
    let (approver, mut asked) = mock::pair::<ApprovalRequest, Decision>();
    let service = only("delete", guarded(crate::support::echo(), approver));
    service.set_enabled("delete", false).unwrap();
    let mut deleting = spawn(&service, call("delete"));
    let error = assert_ready_err!(deleting.poll());
    assert!(matches!(error, ToolError::Disabled { .. }));
    let mut next = tokio_test::task::spawn(asked.next_request());
    assert_pending!(next.poll());
}

#[tokio::test]
async fn an_approval_fits_any_order_of_a_tools_own_layers() {
    let yes = service_fn(|_: ApprovalRequest| ready(Ok::<_, BoxError>(Decision::Allow)));
    let layer = codex_telemetry::ApprovalLayer::new(yes, DEADLINE);
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
        .tool("outside", outside)
        .tool("inside", inside)
        .build();
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
