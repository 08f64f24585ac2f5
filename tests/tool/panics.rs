use std::{
    future::{Ready, pending, ready},
    pin::Pin,
    task::{Context, Poll},
};

use codex_telemetry::{BoxError, ErrorClass, ToolCall, ToolError, ToolOutput, ToolService};
use serde_json::{Value, json};
use tower::{Service, service_fn};

use crate::support::{only, run};

/// Returns the panic message of the call of `tool`.
async fn message(service: &ToolService) -> String {
    match run(service, "tool", json!(1)).await {
        Err(ToolError::Panicked { tool, message }) => {
            assert_eq!(&*tool, "tool");
            message
        }
        other => panic!("{other:?}"),
    }
}

type ToolResult = Result<ToolOutput, BoxError>;

#[tokio::test]
async fn a_panic_in_call_is_an_error_with_its_message() {
    let service = only(
        "tool",
        service_fn(|_: ToolCall| -> Ready<ToolResult> { panic!("in call") }),
    );
    assert_eq!(message(&service).await, "in call");
}

#[tokio::test]
async fn a_panic_in_poll_is_an_error_with_its_formatted_message() {
    let service = only(
        "tool",
        service_fn(|call: ToolCall| async move {
            tokio::task::yield_now().await;
            if true {
                panic!("in poll of {}", call.name);
            }
            ToolResult::Ok(Value::Null.into())
        }),
    );
    assert_eq!(message(&service).await, "in poll of tool");
}

#[tokio::test]
async fn a_panic_without_a_message_is_an_error() {
    let service = only(
        "tool",
        service_fn(|_: ToolCall| -> Ready<ToolResult> { std::panic::panic_any(7) }),
    );
    assert_eq!(message(&service).await, "(no panic message)");
}

#[derive(Clone)]
struct PanicsInReady;

impl Service<ToolCall> for PanicsInReady {
    type Response = ToolOutput;
    type Error = BoxError;
    type Future = Ready<ToolResult>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        panic!("in poll_ready")
    }

    fn call(&mut self, _: ToolCall) -> Self::Future {
        unreachable!()
    }
}

#[tokio::test]
async fn a_panic_in_poll_ready_is_an_error() {
    let service = only("tool", PanicsInReady);
    assert_eq!(message(&service).await, "in poll_ready");
}

struct PanicsInDrop(bool);

impl Future for PanicsInDrop {
    type Output = ToolResult;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<ToolResult> {
        if self.0 {
            panic!("in poll");
        }
        Poll::Ready(Ok(Value::Null.into()))
    }
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

#[tokio::test]
async fn a_panic_in_the_drop_of_the_tools_future_is_an_error() {
    let service = only("tool", service_fn(|_: ToolCall| PanicsInDrop(false)));
    assert_eq!(message(&service).await, "in drop");
}

#[tokio::test]
async fn of_two_panics_the_first_is_reported() {
    let service = only("tool", service_fn(|_: ToolCall| PanicsInDrop(true)));
    assert_eq!(message(&service).await, "in poll");
}

#[tokio::test]
async fn a_tool_can_be_called_again_after_a_panic() {
    let service = only(
        "tool",
        service_fn(|call: ToolCall| {
            assert!(call.arguments == json!(2), "not two");
            ready(ToolResult::Ok(call.arguments.into()))
        }),
    );
    assert_eq!(message(&service).await, "not two");
    run(&service, "tool", json!(2)).await.unwrap();

    let tool = &service.stats()["tool"];
    assert_eq!((tool.success, tool.failure), (1, 1));
    assert_eq!(tool.last_error_class, Some(ErrorClass::Panic));
}

#[tokio::test]
async fn a_panic_of_the_caller_counts_as_a_cancelled_call() {
    let service = only("tool", service_fn(|_: ToolCall| pending::<ToolResult>()));
    let inner = service.clone();
    let caller = tokio::spawn(async move {
        let mut call = crate::support::spawn(&inner, crate::support::call("tool"));
        tokio_test::assert_pending!(call.poll());
        panic!("in the caller");
    });
    assert!(caller.await.unwrap_err().is_panic());
    let tool = &service.stats()["tool"];
    assert_eq!(tool.last_error_class, Some(ErrorClass::Cancelled));
}
