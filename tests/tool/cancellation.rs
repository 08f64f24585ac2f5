use std::{
    sync::{Arc, OnceLock, mpsc},
    time::Duration,
};

use codex_telemetry::{BoxError, CallContext, ErrorClass, ToolCall, ToolService, tool_fn};
use serde_json::{Value, json};
use tokio_test::assert_pending;

use crate::support::{call, only, sleeper, spawn};

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_counted_once_as_cancelled() {
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
async fn a_call_dropped_before_its_first_poll_is_counted_as_cancelled() {
    let service = only("echo", crate::support::echo());
    drop(spawn(&service, call("echo")));
    let echo = &service.stats()["echo"];
    assert_eq!(echo.last_error_class, Some(ErrorClass::Cancelled));
}

/// Reads the failures of the tool `holds` when it is dropped.
struct ReadsStats {
    service: Arc<OnceLock<ToolService>>,
    failures_at_drop: mpsc::Sender<u64>,
}

impl Drop for ReadsStats {
    fn drop(&mut self) {
        let service = self.service.get().expect("the service is built");
        let failures = service.stats()["holds"].failure;
        // The receiver outlives the call.
        let _ = self.failures_at_drop.send(failures);
    }
}

#[tokio::test]
async fn dropping_the_call_drops_the_tool_before_it_is_counted() {
    let cell = Arc::new(OnceLock::new());
    let (failures_at_drop, failures) = mpsc::channel();
    let shared = Arc::clone(&cell);
    let holds = tool_fn(move |_: Value, _: CallContext| {
        let reads_stats = ReadsStats {
            service: Arc::clone(&shared),
            failures_at_drop: failures_at_drop.clone(),
        };
        async move {
            let _reads_stats = reads_stats;
            std::future::pending::<Result<Value, BoxError>>().await
        }
    });
    let service = only("holds", holds);
    assert!(cell.set(service.clone()).is_ok());
    let mut holds = spawn(&service, call("holds"));
    assert_pending!(holds.poll());
    drop(holds);

    assert_eq!(failures.try_recv(), Ok(0), "counted before the tool's drop");
    assert_eq!(service.stats()["holds"].failure, 1);
}

#[tokio::test]
async fn a_completed_call_is_not_counted_again_when_it_is_dropped() {
    let service = only("echo", crate::support::echo());
    let mut echo = spawn(&service, call("echo"));
    assert!(echo.poll().is_ready());
    drop(echo);
    let echo = &service.stats()["echo"];
    assert_eq!((echo.success, echo.failure), (1, 0));
}
