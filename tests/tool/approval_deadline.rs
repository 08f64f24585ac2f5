//! An approver's answer counts only if it comes before the deadline: a late yes is a no.

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use codex_telemetry::{
    ApprovalRequest, BoxError, Decision, ToolError, tool::approval::ApprovalService,
};
use futures_util::FutureExt;
use tokio::{sync::Notify, time::Instant};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{ServiceExt, service_fn};
use tower_test::mock;

use crate::support::{Approver, DEADLINE, Runs, call, guarded, only, spawn};

const HOUR: Duration = Duration::from_secs(3600);
const TICK: Duration = Duration::from_millis(1);

fn assert_late(error: &ToolError) {
    assert!(
        matches!(error, ToolError::ApprovalTimeout { after, .. } if *after == DEADLINE),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_yes_that_arrives_after_the_deadline_does_not_run_the_tool() {
    for late_by in [Duration::ZERO, TICK, HOUR] {
        let runs = Runs::default();
        let (approver, mut requests) = mock::pair::<ApprovalRequest, Decision>();
        let mut deleting = spawn(&guarded(runs.tool(), approver), call("delete"));
        assert_pending!(deleting.poll());
        let (_request, answer) = requests.next_request().await.unwrap();

        tokio::time::advance(DEADLINE + late_by).await;
        answer.send_response(Decision::Accept);
        assert_late(&assert_ready_err!(deleting.poll()));
        assert_eq!(runs.count(), 0, "late by {late_by:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_yes_that_is_read_after_the_deadline_does_not_run_the_tool() {
    let runs = Runs::default();
    let (approver, mut requests) = mock::pair::<ApprovalRequest, Decision>();
    let mut deleting = spawn(&guarded(runs.tool(), approver), call("delete"));
    assert_pending!(deleting.poll());
    let (_request, answer) = requests.next_request().await.unwrap();

    // In time, but the future is not polled before the deadline.
    answer.send_response(Decision::Accept);
    tokio::time::advance(HOUR).await;
    assert_late(&assert_ready_err!(deleting.poll()));
    assert_eq!(runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_yes_that_arrives_before_the_deadline_runs_the_tool() {
    let runs = Runs::default();
    let (approver, mut requests) = mock::pair::<ApprovalRequest, Decision>();
    let mut deleting = spawn(&guarded(runs.tool(), approver), call("delete"));
    assert_pending!(deleting.poll());
    let (_request, answer) = requests.next_request().await.unwrap();

    tokio::time::advance(DEADLINE - TICK).await;
    answer.send_response(Decision::Accept);
    assert_ready_ok!(deleting.poll());
    assert_eq!(runs.count(), 1);
}

/// An approver that accepts, and whether it was asked.
fn witness() -> (impl Approver, Arc<AtomicBool>) {
    let asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&asked);
    let approver = service_fn(move |_: ApprovalRequest| {
        seen.store(true, Relaxed);
        ready(Ok::<_, Infallible>(Decision::Accept))
    });
    (approver, asked)
}

#[tokio::test(start_paused = true)]
async fn with_a_deadline_of_zero_the_approver_is_not_asked_and_the_tool_does_not_run() {
    let runs = Runs::default();
    let (approver, asked) = witness();
    let service = ApprovalService::new(runs.tool(), approver, Duration::ZERO);
    let error = service.oneshot(call("delete")).await.unwrap_err();
    assert!(matches!(error, ToolError::ApprovalTimeout { after, .. } if after.is_zero()));
    assert!(!asked.load(Relaxed), "the approver was asked");
    assert_eq!(runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_approver_is_not_asked_after_the_deadline() {
    let runs = Runs::default();
    let (approver, asked) = witness();
    let mut deleting = spawn(&guarded(runs.tool(), approver), call("delete"));

    // The deadline starts with the call, and the first poll is an hour later.
    tokio::time::advance(HOUR).await;
    assert_late(&assert_ready_err!(deleting.poll()));
    assert!(!asked.load(Relaxed), "the approver was asked");
    assert_eq!(runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn in_a_registry_the_deadline_starts_with_the_first_poll() {
    let runs = Runs::default();
    let approver = service_fn(|_: ApprovalRequest| ready(Ok::<_, Infallible>(Decision::Accept)));
    let tools = only("delete", guarded(runs.tool(), approver));
    let mut deleting = spawn(&tools, call("delete"));
    tokio::time::advance(HOUR).await;
    assert_ready_ok!(deleting.poll());
    assert_eq!(runs.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_yes_of_an_approver_that_blocks_past_the_deadline_does_not_run_the_tool() {
    let runs = Runs::default();
    let blocks = service_fn(|_: ApprovalRequest| async {
        // The clock advances within the poll that returns the answer.
        assert_eq!(tokio::time::advance(HOUR).now_or_never(), None);
        Ok::<_, Infallible>(Decision::Accept)
    });
    let mut deleting = spawn(&guarded(runs.tool(), blocks), call("delete"));
    assert_late(&assert_ready_err!(deleting.poll()));
    assert_eq!(runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_longest_deadline_is_no_deadline() {
    let runs = Runs::default();
    let notify = Arc::new(Notify::new());
    let waits = Arc::clone(&notify);
    let approver = service_fn(move |_: ApprovalRequest| {
        let waits = Arc::clone(&waits);
        async move {
            waits.notified().await;
            Ok::<_, Infallible>(Decision::Accept)
        }
    });
    let service = ApprovalService::new(runs.tool(), approver, Duration::MAX);
    let mut deleting = spawn(&service, call("delete"));
    assert_pending!(deleting.poll());
    tokio::time::advance(24 * HOUR).await;
    notify.notify_one();
    assert_ready_ok!(deleting.poll());
}

#[tokio::test(start_paused = true)]
async fn a_silent_approver_is_given_up_at_the_deadline() {
    let runs = Runs::default();
    let silent = service_fn(|_: ApprovalRequest| pending::<Result<Decision, BoxError>>());
    let service = guarded(runs.tool(), silent);
    let started = Instant::now();
    assert_late(&service.oneshot(call("delete")).await.unwrap_err());
    assert_eq!(started.elapsed(), DEADLINE);
}
