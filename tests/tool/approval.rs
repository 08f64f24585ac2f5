use std::{
    error::Error,
    future::{Ready, pending, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use codex_telemetry::{ApprovalRequest, BoxError, Decision, ErrorClass, ToolCall, ToolError};
use serde_json::json;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{Service, ServiceExt, service_fn};
use tower_test::mock;

use crate::support::{DEADLINE, Runs, call, decline, guarded, only, run, spawn};

/// An approver that fails or panics before it is ready.
#[derive(Clone)]
struct Unready<F>(F);

impl<F: Fn() -> Result<(), BoxError>> Service<ApprovalRequest> for Unready<F> {
    type Response = Decision;
    type Error = BoxError;
    type Future = Ready<Result<Decision, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready((self.0)())
    }

    fn call(&mut self, _: ApprovalRequest) -> Self::Future {
        ready(Ok(Decision::Accept))
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

#[tokio::test]
async fn an_accepted_tool_runs_once_with_its_arguments() {
    let (approver, mut requests) = mock::pair::<ApprovalRequest, Decision>();
    let service = only("echo", guarded(crate::support::echo(), approver));
    let approving = async {
        let (request, answer) = requests.next_request().await.unwrap();
        assert_eq!(&*request.tool, "echo");
        assert_eq!(request.action.arguments(), Some(&json!([1, 2])));
        answer.send_response(Decision::Accept);
    };
    let (output, ()) = tokio::join!(run(&service, "echo", json!([1, 2])), approving);
    assert_eq!(output.unwrap().content, json!([1, 2]));
}

#[tokio::test]
async fn a_declined_tool_does_not_run_and_the_error_has_the_reason() {
    let runs = Runs::default();
    let service = only("delete", guarded(runs.tool(), decline("not on a Friday")));
    let error = run(&service, "delete", json!(1)).await.unwrap_err();

    assert!(matches!(&error, ToolError::Denied { reason, .. } if reason == "not on a Friday"));
    assert_eq!(error.class(), ErrorClass::ApprovalDenied);
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn only_the_two_plain_acceptances_run_the_tool() {
    for (decision, expected) in [
        (Decision::Accept, Ok(())),
        (Decision::AcceptForSession, Ok(())),
        (
            Decision::AcceptWithExecpolicyAmendment,
            Err("it accepted with a rule, and only a command of Codex can have one"),
        ),
        (Decision::decline("on a Friday"), Err("on a Friday")),
        (Decision::Cancel, Err("it asks to end the turn")),
    ] {
        let runs = Runs::default();
        let answer = decision.clone();
        let approver =
            service_fn(move |_: ApprovalRequest| ready(Ok::<_, BoxError>(answer.clone())));
        let result = guarded(runs.tool(), approver).oneshot(call("delete")).await;
        match (&result, expected) {
            (Ok(_), Ok(())) => assert_eq!(runs.count(), 1, "{decision:?}"),
            (Err(ToolError::Denied { reason, .. }), Err(expected)) => {
                assert_eq!(reason, expected, "{decision:?}");
                assert_eq!(runs.count(), 0, "{decision:?}");
            }
            _ => panic!("{decision:?}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn a_tool_that_was_accepted_for_the_session_is_asked_about_again() {
    let (approver, mut requests) = mock::pair::<ApprovalRequest, Decision>();
    let runs = Runs::default();
    let service = only("delete", guarded(runs.tool(), approver));
    for _ in 0..2 {
        let mut deleting = spawn(&service, call("delete"));
        assert_pending!(deleting.poll());
        let (_request, answer) = requests.next_request().await.unwrap();
        answer.send_response(Decision::AcceptForSession);
        assert_ready_ok!(deleting.poll());
    }
    assert_eq!(runs.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_tool_whose_approver_misses_the_deadline_does_not_run() {
    let runs = Runs::default();
    let silent = service_fn(|_: ApprovalRequest| pending::<Result<Decision, BoxError>>());
    let service = only("delete", guarded(runs.tool(), silent));
    let mut deleting = spawn(&service, call("delete"));

    assert_pending!(deleting.poll());
    tokio::time::advance(DEADLINE - Duration::from_millis(1)).await;
    assert_pending!(deleting.poll());
    tokio::time::advance(Duration::from_millis(2)).await;
    let error = assert_ready_err!(deleting.poll());

    assert!(matches!(error, ToolError::ApprovalTimeout { after, .. } if after == DEADLINE));
    assert_eq!(error.class(), ErrorClass::ApprovalDenied);
    assert_eq!(runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tool_whose_approver_is_never_ready_does_not_run() {
    let runs = Runs::default();
    let (approver, mut handle) = mock::pair::<ApprovalRequest, Decision>();
    handle.allow(0);
    let service = guarded(runs.tool(), approver);
    let error = service.oneshot(call("delete")).await.unwrap_err();
    assert!(matches!(error, ToolError::ApprovalTimeout { after, .. } if after == DEADLINE));
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn a_tool_whose_approver_fails_does_not_run() {
    let runs = Runs::default();
    let no_signal = || ready(Err::<Decision, BoxError>("no signal".into()));
    let errors = [
        guarded(
            runs.tool(),
            service_fn(move |_: ApprovalRequest| no_signal()),
        )
        .oneshot(call("delete"))
        .await,
        guarded(runs.tool(), Unready(|| Err("no signal".into())))
            .oneshot(call("delete"))
            .await,
    ];
    for error in errors.map(Result::unwrap_err) {
        assert!(matches!(&error, ToolError::ApprovalFailed { .. }));
        assert_eq!(error.class(), ErrorClass::ApprovalDenied);
        assert_eq!(error.source().unwrap().to_string(), "no signal");
    }
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn a_tool_whose_approver_panics_does_not_run() {
    /// An error of the approver whose conversion panics.
    struct Fragile;
    impl From<Fragile> for BoxError {
        fn from(_: Fragile) -> Self {
            panic!("the window was closed")
        }
    }
    let runs = Runs::default();
    let panics_in_poll = service_fn(|_: ApprovalRequest| async {
        if true {
            panic!("the window was closed");
        }
        Ok::<_, BoxError>(Decision::Accept)
    });
    let panics_in_call = service_fn(
        |_: ApprovalRequest| -> std::future::Ready<Result<Decision, BoxError>> {
            panic!("the window was closed")
        },
    );
    let panics_in_poll_ready = Unready(|| panic!("the window was closed"));
    let panics_in_its_error = service_fn(|_: ApprovalRequest| ready(Err::<Decision, _>(Fragile)));
    let errors = [
        guarded(runs.tool(), panics_in_poll)
            .oneshot(call("a"))
            .await,
        guarded(runs.tool(), panics_in_call)
            .oneshot(call("a"))
            .await,
        guarded(runs.tool(), panics_in_poll_ready)
            .oneshot(call("a"))
            .await,
        guarded(runs.tool(), panics_in_its_error)
            .oneshot(call("a"))
            .await,
    ];
    for error in errors.map(Result::unwrap_err) {
        assert_eq!(error.class(), ErrorClass::ApprovalDenied);
        let cause = error.source().unwrap().to_string();
        assert_eq!(cause, "the approver panicked: the window was closed");
    }
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn a_tool_whose_approver_is_closed_while_it_decides_does_not_run() {
    let runs = Runs::default();
    let (approver, handle) = mock::pair::<ApprovalRequest, Decision>();
    let service = only("delete", guarded(runs.tool(), approver));
    let mut deleting = spawn(&service, call("delete"));
    assert_pending!(deleting.poll());
    drop(handle);

    let error = assert_ready_err!(deleting.poll());
    assert!(matches!(error, ToolError::ApprovalFailed { .. }));
    assert_eq!(runs.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tool_whose_approver_panics_on_drop_does_not_run() {
    let runs = Runs::default();
    let accepts = service_fn(|_: ApprovalRequest| {
        let bomb = Bomb;
        async move {
            let _bomb = bomb;
            Ok::<_, BoxError>(Decision::Accept)
        }
    });
    let hangs = service_fn(|_: ApprovalRequest| {
        let bomb = Bomb;
        async move {
            let _bomb = bomb;
            pending::<Result<Decision, BoxError>>().await
        }
    });
    let errors = [
        guarded(runs.tool(), accepts).oneshot(call("a")).await,
        guarded(runs.tool(), hangs).oneshot(call("a")).await,
    ];
    for error in errors.map(Result::unwrap_err) {
        let cause = error.source().expect("the panic").to_string();
        assert_eq!(cause, "the approver panicked: in drop");
    }
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn a_panic_of_a_dropped_approver_does_not_reach_who_drops_the_call() {
    let hangs = service_fn(|_: ApprovalRequest| {
        let bomb = Bomb;
        async move {
            let _bomb = bomb;
            pending::<Result<Decision, BoxError>>().await
        }
    });
    let runs = Runs::default();
    let mut deleting = spawn(&guarded(runs.tool(), hangs), call("delete"));
    assert_pending!(deleting.poll());
    drop(deleting);
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn dropping_the_call_drops_the_request_to_the_approver() {
    let active = Arc::new(());
    let held = Arc::clone(&active);
    let hangs = service_fn(move |_: ApprovalRequest| {
        let held = Arc::clone(&held);
        async move {
            let _held = held;
            pending::<Result<Decision, BoxError>>().await
        }
    });
    let runs = Runs::default();
    let service = only("delete", guarded(runs.tool(), hangs));
    let before = Arc::strong_count(&active);
    let mut deleting = spawn(&service, call("delete"));
    assert_pending!(deleting.poll());
    assert!(Arc::strong_count(&active) > before);
    drop(deleting);
    assert_eq!(Arc::strong_count(&active), before);
    assert_eq!(runs.count(), 0);
}

#[tokio::test]
async fn a_tool_is_not_reserved_while_the_approver_decides() {
    let (approver, mut requests) = mock::pair::<ApprovalRequest, Decision>();
    let (tool, mut running) = mock::pair::<ToolCall, codex_telemetry::ToolOutput>();
    running.allow(0);
    let service = only("one", guarded(tool, approver));

    // The tool is not ready, but the approver is asked.
    let mut waiting = spawn(&service, call("one"));
    assert_pending!(waiting.poll());
    let (_request, answer) = requests.next_request().await.unwrap();
    answer.send_response(Decision::Accept);
    assert_pending!(waiting.poll());

    // The tool runs once it is ready.
    running.allow(1);
    assert!(waiting.is_woken());
    assert_pending!(waiting.poll());
    let (_call, response) = running.next_request().await.unwrap();
    response.send_response(json!("done").into());
    let output = assert_ready_ok!(waiting.poll());
    assert_eq!(output.content, json!("done"));
}

#[tokio::test]
async fn the_inner_service_is_accessible() {
    let mut service = guarded(1, 2);
    *service.get_mut() += 1;
    assert_eq!(*service.get_ref(), 2);
    assert_eq!(service.into_inner(), 2);
}
