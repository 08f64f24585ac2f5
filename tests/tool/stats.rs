use std::time::Duration;

use codex_telemetry::{ErrorClass, ToolCall, ToolService, ToolStats};
use serde_json::json;
use tokio_test::assert_pending;

use crate::support::{every_way_to_fail, only, run, sleeper, spawn};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Returns the stats of one tool.
fn of(service: &ToolService, name: &str) -> ToolStats {
    service.stats()[name].clone()
}

#[tokio::test(start_paused = true)]
async fn counts_and_latencies_are_exact() {
    let service = only("nap", sleeper());
    assert_eq!(of(&service, "nap"), ToolStats::default());

    run(&service, "nap", json!(20)).await.unwrap();
    run(&service, "nap", json!(35)).await.unwrap_err();
    run(&service, "nap", json!(8)).await.unwrap();

    let sleep = of(&service, "nap");
    assert_eq!((sleep.success, sleep.failure), (2, 1));
    assert_eq!(sleep.last_error_class, Some(ErrorClass::ToolFailed));
    assert_eq!(sleep.last_latency, Some(ms(8)));
    assert_eq!(sleep.total_latency, ms(63));
}

#[tokio::test]
async fn the_last_error_class_is_that_of_the_latest_failure() {
    let service = every_way_to_fail().build().unwrap();
    for (name, class) in [
        ("typed", ErrorClass::InvalidArguments),
        ("denied", ErrorClass::ApprovalDenied),
        ("fails", ErrorClass::ToolFailed),
        ("panics", ErrorClass::Panic),
    ] {
        run(&service, name, json!("text")).await.unwrap_err();
        let stats = of(&service, name);
        assert_eq!((stats.success, stats.failure), (0, 1), "{name}");
        assert_eq!(stats.last_error_class, Some(class), "{name}");
    }
    service.set_enabled("fails", false).unwrap();
    run(&service, "fails", json!(1)).await.unwrap_err();
    let fails = of(&service, "fails");
    assert_eq!(fails.failure, 2);
    assert_eq!(fails.last_error_class, Some(ErrorClass::PolicyDenied));
}

#[tokio::test]
async fn calls_of_unknown_tools_are_not_counted() {
    let service = every_way_to_fail().build().unwrap();
    let before = service.stats();
    for name in ["a", "b", "c"] {
        run(&service, name, json!(1)).await.unwrap_err();
    }
    assert_eq!(service.stats(), before);
}

#[tokio::test(start_paused = true)]
async fn take_stats_returns_the_stats_and_resets_them_before_active_calls_are_counted() {
    let service = only("nap", sleeper());
    let clone = service.clone();
    run(&service, "nap", json!(20)).await.unwrap();
    let mut active = spawn(&service, ToolCall::new("nap", json!(10)));
    assert_pending!(active.poll());

    let taken = clone.take_stats();
    assert_eq!(taken["nap"].total_latency, ms(20));
    assert_eq!(of(&service, "nap"), ToolStats::default());

    active.await.unwrap();
    assert_eq!(of(&clone, "nap").success, 1);
    assert_eq!(of(&clone, "nap").total_latency, ms(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_calls_add_up() {
    let service = every_way_to_fail().build().unwrap();
    let calls: Vec<_> = (0..400)
        .map(|number| {
            let service = service.clone();
            let name = if number % 4 == 0 { "fails" } else { "echo" };
            tokio::spawn(async move { run(&service, name, json!(number)).await.is_ok() })
        })
        .collect();
    let mut succeeded = 0;
    for call in calls {
        succeeded += u64::from(call.await.unwrap());
    }
    assert_eq!(succeeded, 300);
    assert_eq!(of(&service, "echo").success, 300);
    assert_eq!(of(&service, "echo").failure, 0);
    assert_eq!(of(&service, "fails").failure, 100);
}

#[tokio::test(start_paused = true)]
async fn latency_starts_with_the_call_and_not_with_the_first_poll() {
    let service = only("nap", sleeper());
    let sleeping = spawn(&service, ToolCall::new("nap", json!(10)));
    tokio::time::advance(ms(5)).await;
    sleeping.await.unwrap();
    assert_eq!(of(&service, "nap").last_latency, Some(ms(15)));
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_each_add_their_own_latency() {
    let service = only("nap", sleeper());
    let (a, b) = tokio::join!(
        run(&service, "nap", json!(30)),
        run(&service, "nap", json!(50))
    );
    assert!(a.is_ok() && b.is_ok());
    let sleep = of(&service, "nap");
    assert_eq!(sleep.last_latency, Some(ms(50)));
    assert_eq!(sleep.total_latency, ms(80));
}
