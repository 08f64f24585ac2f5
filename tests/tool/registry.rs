use codex_telemetry::{ToolCall, ToolError, ToolOutput, ToolService};
use serde_json::json;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::Service;
use tower_test::mock;

use crate::support::{call, echo, only, run, sleeper, spawn};

#[tokio::test]
async fn a_tool_disabled_at_run_time_is_disabled_for_every_clone() {
    let service = only("echo", echo());
    let clone = service.clone();
    assert!(run(&clone, "echo", json!(1)).await.is_ok());

    service.set_enabled("echo", false).unwrap();
    assert!(!clone.is_enabled("echo"));
    let refused = run(&clone, "echo", json!(1)).await;
    assert!(matches!(refused, Err(ToolError::Disabled { .. })));

    clone.set_enabled("echo", true).unwrap();
    assert!(service.is_enabled("echo"));
    assert!(run(&service, "echo", json!(1)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_begun_goes_on_when_its_tool_is_disabled() {
    let service = only("slow", sleeper());
    let mut slow = spawn(&service, ToolCall::new("slow", json!(10)));
    assert_pending!(slow.poll());
    service.set_enabled("slow", false).unwrap();
    assert!(slow.await.is_ok());
}

#[test]
fn what_is_unknown_can_be_neither_enabled_nor_disabled() {
    let service = only("echo", echo());
    assert!(!service.is_enabled("nobody"));
    let error = service.set_enabled("nobody", true).unwrap_err();
    assert!(matches!(error, ToolError::NotFound { name, .. } if &*name == "nobody"));
}

#[test]
fn names_are_sorted_and_hold_the_disabled_ones() {
    let service = ToolService::builder()
        .tool("b", echo())
        .tool("a", echo())
        .build();
    service.set_enabled("b", false).unwrap();
    let names: Vec<&str> = service.names().iter().map(|name| &**name).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
#[should_panic(expected = "two tools are named `echo`")]
fn a_name_cannot_be_taken_twice() {
    let builder = ToolService::builder().tool("echo", echo());
    assert!(builder.contains("echo") && !builder.contains("other"));
    let _ = builder.tool("echo", echo());
}

#[tokio::test]
async fn the_service_is_ready_and_the_call_waits_until_its_tool_is() {
    let (tool, mut handle) = mock::pair::<ToolCall, ToolOutput>();
    handle.allow(0);
    let service = ToolService::builder()
        .tool("busy", tool)
        .tool("echo", echo())
        .build();
    let mut ready = task::spawn(service.clone());
    assert_ready_ok!(ready.enter(|cx, mut service| service.poll_ready(cx)));

    let mut busy = spawn(&service, call("busy"));
    assert_pending!(busy.poll());
    // One tool that is not ready keeps no other one back.
    assert!(run(&service, "echo", json!(1)).await.is_ok());

    handle.allow(1);
    assert!(busy.is_woken());
    assert_pending!(busy.poll());
    let (request, response) = handle.next_request().await.unwrap();
    assert_eq!(&*request.name, "busy");
    response.send_response(json!("at last").into());
    assert_eq!(assert_ready_ok!(busy.poll()).content, json!("at last"));
}

#[tokio::test]
async fn a_tool_that_fails_to_get_ready_fails_the_call() {
    let (tool, mut handle) = mock::pair::<ToolCall, ToolOutput>();
    let service = only("gone", tool);
    handle.send_error("closed for good");
    let error = run(&service, "gone", json!(1)).await.unwrap_err();
    assert!(matches!(error, ToolError::Failed { .. }));
}

#[test]
fn the_service_and_its_future_can_go_to_another_thread() {
    fn assert<T: Clone + Send + Sync + 'static>() {}
    fn assert_send<T: Send>(_: &T) {}
    assert::<ToolService>();
    let mut service = only("echo", echo());
    assert_send(&service.call(call("echo")));
}
