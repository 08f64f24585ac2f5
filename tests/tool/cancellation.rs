use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use codex_telemetry::{BoxError, CallContext, ErrorClass, ToolCall, tool_fn};
use serde_json::{Value, json};
use tokio_test::assert_pending;

use crate::support::{call, only, sleeper, spawn};

#[tokio::test(start_paused = true)]
async fn a_call_dropped_midway_is_counted_once_as_a_cancelled_failure() {
    let service = only("slow", sleeper());
    let mut slow = spawn(&service, ToolCall::new("slow", json!(1_000)));
    assert_pending!(slow.poll());
    tokio::time::advance(Duration::from_millis(400)).await;
    assert_eq!(service.stats()["slow"], Default::default());
    drop(slow);

    let slow = &service.stats()["slow"];
    assert_eq!((slow.success, slow.failure), (0, 1));
    assert_eq!(slow.last_error_class, Some(ErrorClass::Cancelled));
    assert_eq!(slow.last_latency, Some(Duration::from_millis(400)));
}

#[tokio::test]
async fn a_call_that_was_never_polled_is_counted_as_cancelled() {
    let service = only("echo", crate::support::echo());
    drop(spawn(&service, call("echo")));
    let echo = &service.stats()["echo"];
    assert_eq!(echo.last_error_class, Some(ErrorClass::Cancelled));
}

#[tokio::test]
async fn dropping_the_call_drops_the_tool_before_it_is_counted() {
    struct Seen(Arc<AtomicBool>);
    impl Drop for Seen {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&dropped);
    let service = only(
        "holds",
        tool_fn(move |_: Value, _: CallContext| {
            let seen = Seen(Arc::clone(&held));
            async move {
                let _seen = seen;
                std::future::pending::<Result<Value, BoxError>>().await
            }
        }),
    );
    let mut holds = spawn(&service, call("holds"));
    assert_pending!(holds.poll());
    assert!(!dropped.load(SeqCst));
    drop(holds);
    assert!(dropped.load(SeqCst));
}

#[tokio::test]
async fn a_call_that_ended_is_not_counted_again_when_it_is_dropped() {
    let service = only("echo", crate::support::echo());
    let mut echo = spawn(&service, call("echo"));
    assert!(echo.poll().is_ready());
    drop(echo);
    let echo = &service.stats()["echo"];
    assert_eq!((echo.success, echo.failure), (1, 0));
}
