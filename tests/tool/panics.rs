use std::{
    future::{Ready, pending, ready},
    pin::Pin,
    task::{Context, Poll},
};

use codex_telemetry::{BoxError, ErrorClass, ToolCall, ToolError, ToolOutput, ToolService};
use serde_json::{Value, json};
use tower::{Service, service_fn};

use crate::support::{only, run};

async fn message(service: &ToolService) -> String {
    match run(service, "tool", json!(1)).await {
        Err(ToolError::Panicked { tool, message }) => {
            assert_eq!(&*tool, "tool");
            message
        }
        other => panic!("{other:?}"),
    }
}

type Answer = Result<ToolOutput, BoxError>;

#[tokio::test]
async fn a_panic_in_call_is_an_error() {
    let service = only(
        "tool",
        service_fn(|_: ToolCall| -> Ready<Answer> { panic!("in call") }),
    );
    assert_eq!(message(&service).await, "in call");
}

#[tokio::test]
async fn a_panic_in_poll_is_an_error_with_its_formatted_text() {
    let service = only(
        "tool",
        service_fn(|call: ToolCall| async move {
            tokio::task::yield_now().await;
            if true {
                panic!("in poll of {}", call.name);
            }
            Answer::Ok(Value::Null.into())
        }),
    );
    assert_eq!(message(&service).await, "in poll of tool");
}

#[tokio::test]
async fn a_panic_that_carries_no_text_is_an_error_too() {
    let service = only(
        "tool",
        service_fn(|_: ToolCall| -> Ready<Answer> { std::panic::panic_any(7) }),
    );
    assert_eq!(message(&service).await, "(the panic carried no text)");
}

#[derive(Clone)]
struct PanicsInReady;

impl Service<ToolCall> for PanicsInReady {
    type Response = ToolOutput;
    type Error = BoxError;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        panic!("in poll_ready")
    }

    fn call(&mut self, _: ToolCall) -> Self::Future {
        unreachable!()
    }
}

#[tokio::test]
async fn a_panic_in_readiness_is_an_error() {
    let service = only("tool", PanicsInReady);
    assert_eq!(message(&service).await, "in poll_ready");
}

struct PanicsInDrop(bool);

impl Future for PanicsInDrop {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        if self.0 {
            panic!("in poll, and then");
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
async fn a_panic_while_the_tool_is_put_away_is_an_error() {
    let service = only("tool", service_fn(|_: ToolCall| PanicsInDrop(false)));
    assert_eq!(message(&service).await, "in drop");
}

#[tokio::test]
async fn of_two_panics_the_first_is_told() {
    let service = only("tool", service_fn(|_: ToolCall| PanicsInDrop(true)));
    assert_eq!(message(&service).await, "in poll, and then");
}

#[tokio::test]
async fn a_tool_that_panicked_can_be_called_again_and_each_is_counted_once() {
    let service = only(
        "tool",
        service_fn(|call: ToolCall| {
            assert!(call.arguments == json!(2), "not two");
            ready(Answer::Ok(call.arguments.into()))
        }),
    );
    assert_eq!(message(&service).await, "not two");
    run(&service, "tool", json!(2)).await.unwrap();

    let tool = &service.stats()["tool"];
    assert_eq!((tool.success, tool.failure), (1, 1));
    assert_eq!(tool.last_error_class, Some(ErrorClass::Panic));
}

#[tokio::test]
async fn a_panic_of_the_caller_is_not_the_tools() {
    let service = only("tool", service_fn(|_: ToolCall| pending::<Answer>()));
    let inner = service.clone();
    let caller = tokio::spawn(async move {
        let mut call = crate::support::spawn(&inner, crate::support::call("tool"));
        tokio_test::assert_pending!(call.poll());
        panic!("the caller's own");
    });
    assert!(caller.await.unwrap_err().is_panic());
    let tool = &service.stats()["tool"];
    assert_eq!(tool.last_error_class, Some(ErrorClass::Cancelled));
}
