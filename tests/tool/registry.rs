use codex_telemetry::{ToolCall, ToolError, ToolOutput, ToolService};
use serde_json::json;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::Service;
use tower_test::mock;

use crate::support::{call, echo, only, run, sleeper, spawn, spec};

#[tokio::test]
async fn disabling_a_tool_disables_it_for_every_clone() {
    let service = only("echo", echo());
    let clone = service.clone();
    assert!(run(&clone, "echo", json!(1)).await.is_ok());

    service.set_enabled("echo", false).unwrap();
    assert!(!clone.is_enabled("echo"));
    let disabled = run(&clone, "echo", json!(1)).await;
    assert!(matches!(disabled, Err(ToolError::Disabled { .. })));

    clone.set_enabled("echo", true).unwrap();
    assert!(service.is_enabled("echo"));
    assert!(run(&service, "echo", json!(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_active_call_continues_when_its_tool_is_disabled() {
    let service = only("slow", sleeper());
    let mut slow = spawn(&service, ToolCall::new("slow", json!(10)));
    assert_pending!(slow.poll());
    service.set_enabled("slow", false).unwrap();
    assert!(slow.await.is_ok());
}

#[test]
fn an_unknown_tool_cannot_be_enabled() {
    let service = only("echo", echo());
    assert!(!service.is_enabled("nobody"));
    let error = service.set_enabled("nobody", true).unwrap_err();
    assert!(matches!(error, ToolError::NotFound { name, .. } if &*name == "nobody"));
}

#[test]
fn names_are_sorted_and_include_disabled_tools() {
    let service = ToolService::builder()
        .tool(spec("b"), echo())
        .tool(spec("a"), echo())
        .build()
        .unwrap();
    service.set_enabled("b", false).unwrap();
    let names: Vec<&str> = service.names().iter().map(|name| &**name).collect();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn a_call_waits_for_its_tool_while_the_service_is_ready() {
    let (tool, mut handle) = mock::pair::<ToolCall, ToolOutput>();
    handle.allow(0);
    let service = ToolService::builder()
        .tool(spec("busy"), tool)
        .tool(spec("echo"), echo())
        .build()
        .unwrap();
    let mut ready = task::spawn(service.clone());
    assert_ready_ok!(ready.enter(|cx, mut service| service.poll_ready(cx)));

    let mut busy = spawn(&service, call("busy"));
    assert_pending!(busy.poll());
    // A tool that is not ready does not block other tools.
    assert!(run(&service, "echo", json!(1)).await.is_ok());

    handle.allow(1);
    assert!(busy.is_woken());
    assert_pending!(busy.poll());
    let (request, response) = handle.next_request().await.unwrap();
    assert_eq!(&*request.name, "busy");
    response.send_response(json!("done").into());
    assert_eq!(assert_ready_ok!(busy.poll()).content, json!("done"));
}

#[tokio::test]
async fn a_readiness_error_of_the_tool_fails_the_call() {
    let (tool, mut handle) = mock::pair::<ToolCall, ToolOutput>();
    let service = only("closed", tool);
    handle.send_error("closed");
    let error = run(&service, "closed", json!(1)).await.unwrap_err();
    assert!(matches!(error, ToolError::Failed { .. }));
}

#[test]
fn the_service_and_its_future_are_send() {
    fn assert<T: Clone + Send + Sync + 'static>() {}
    fn assert_send<T: Send>(_: &T) {}
    assert::<ToolService>();
    let mut service = only("echo", echo());
    assert_send(&service.call(call("echo")));
}
