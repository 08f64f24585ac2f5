use std::{
    error::Error,
    future::{pending, ready},
    time::Duration,
};

use codex_telemetry::{ApprovalRequest, BoxError, Decision, ErrorClass, ToolCall, ToolError};
use serde_json::json;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{ServiceExt, service_fn};
use tower_test::mock;

use crate::support::{DEADLINE, Ran, call, deny, guarded, only, run, spawn};

#[tokio::test]
async fn an_allowed_tool_runs_once_with_its_arguments() {
    let (approver, mut asked) = mock::pair::<ApprovalRequest, Decision>();
    let service = only("echo", guarded(crate::support::echo(), approver));
    let answering = async {
        let (request, answer) = asked.next_request().await.unwrap();
        assert_eq!(&*request.tool, "echo");
        assert_eq!(request.arguments, json!([1, 2]));
        answer.send_response(Decision::Allow);
    };
    let (output, ()) = tokio::join!(run(&service, "echo", json!([1, 2])), answering);
    assert_eq!(output.unwrap().content, json!([1, 2]));
}

#[tokio::test]
async fn a_denied_tool_does_not_run_and_the_reason_is_told() {
    let ran = Ran::default();
    let service = only("delete", guarded(ran.tool(), deny("not on a Friday")));
    let error = run(&service, "delete", json!(1)).await.unwrap_err();

    assert!(matches!(&error, ToolError::Denied { reason, .. } if reason == "not on a Friday"));
    assert_eq!(error.class(), ErrorClass::ApprovalDenied);
    assert_eq!(ran.times(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_denies() {
    let ran = Ran::default();
    let silent = service_fn(|_: ApprovalRequest| pending::<Result<Decision, BoxError>>());
    let service = only("delete", guarded(ran.tool(), silent));
    let mut deleting = spawn(&service, call("delete"));

    assert_pending!(deleting.poll());
    tokio::time::advance(DEADLINE - Duration::from_millis(1)).await;
    assert_pending!(deleting.poll());
    tokio::time::advance(Duration::from_millis(2)).await;
    let error = assert_ready_err!(deleting.poll());

    assert!(matches!(error, ToolError::ApprovalTimeout { after, .. } if after == DEADLINE));
    assert_eq!(error.class(), ErrorClass::ApprovalDenied);
    assert_eq!(ran.times(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_approver_that_never_gets_ready_meets_the_deadline_too() {
    let (approver, mut handle) = mock::pair::<ApprovalRequest, Decision>();
    handle.allow(0);
    let service = guarded(crate::support::echo(), approver);
    let error = service.oneshot(call("echo")).await.unwrap_err();
    assert!(matches!(error, ToolError::ApprovalTimeout { .. }));
}

#[tokio::test]
async fn an_approver_that_errs_allows_nothing() {
    let ran = Ran::default();
    let broken =
        service_fn(|_: ApprovalRequest| ready(Err::<Decision, BoxError>("no signal".into())));
    let service = only("delete", guarded(ran.tool(), broken));
    let error = run(&service, "delete", json!(1)).await.unwrap_err();

    assert!(matches!(&error, ToolError::ApprovalFailed { .. }));
    assert_eq!(error.class(), ErrorClass::ApprovalDenied);
    assert_eq!(error.source().unwrap().to_string(), "no signal");
    assert_eq!(ran.times(), 0);
}

#[tokio::test]
async fn an_approver_that_panics_allows_nothing() {
    let ran = Ran::default();
    let panics_in_poll = service_fn(|_: ApprovalRequest| async {
        if true {
            panic!("the window was closed");
        }
        Ok::<_, BoxError>(Decision::Allow)
    });
    let panics_in_call = service_fn(
        |_: ApprovalRequest| -> std::future::Ready<Result<Decision, BoxError>> {
            panic!("the window was closed")
        },
    );
    let errors = [
        guarded(ran.tool(), panics_in_poll).oneshot(call("a")).await,
        guarded(ran.tool(), panics_in_call).oneshot(call("a")).await,
    ];
    for error in errors.map(Result::unwrap_err) {
        assert_eq!(error.class(), ErrorClass::ApprovalDenied);
        let cause = error.source().unwrap().to_string();
        assert_eq!(cause, "the approver panicked: the window was closed");
    }
    assert_eq!(ran.times(), 0);
}

#[tokio::test]
async fn an_approver_that_is_gone_allows_nothing() {
    let ran = Ran::default();
    let (approver, handle) = mock::pair::<ApprovalRequest, Decision>();
    let service = only("delete", guarded(ran.tool(), approver));
    let mut deleting = spawn(&service, call("delete"));
    assert_pending!(deleting.poll());
    drop(handle);

    let error = assert_ready_err!(deleting.poll());
    assert!(matches!(error, ToolError::ApprovalFailed { .. }));
    assert_eq!(ran.times(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_approver_that_panics_while_it_is_put_away_allows_nothing() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in the drop");
        }
    }
    let ran = Ran::default();
    let says_yes = service_fn(|_: ApprovalRequest| {
        let bomb = Bomb;
        async move {
            let _bomb = bomb;
            Ok::<_, BoxError>(Decision::Allow)
        }
    });
    let says_nothing = service_fn(|_: ApprovalRequest| {
        let bomb = Bomb;
        async move {
            let _bomb = bomb;
            pending::<Result<Decision, BoxError>>().await
        }
    });
    let errors = [
        guarded(ran.tool(), says_yes).oneshot(call("a")).await,
        guarded(ran.tool(), says_nothing).oneshot(call("a")).await,
    ];
    for error in errors.map(Result::unwrap_err) {
        let cause = error.source().expect("the panic").to_string();
        assert_eq!(cause, "the approver panicked: in the drop");
    }
    assert_eq!(ran.times(), 0);
}

#[tokio::test]
async fn the_question_is_withdrawn_when_the_call_is_dropped() {
    let (approver, mut asked) = mock::pair::<ApprovalRequest, Decision>();
    let ran = Ran::default();
    let service = only("delete", guarded(ran.tool(), approver));
    let mut deleting = spawn(&service, call("delete"));
    assert_pending!(deleting.poll());
    let (_request, answer) = asked.next_request().await.unwrap();
    drop(deleting);
    answer.send_response(Decision::Allow);
    tokio::task::yield_now().await;
    assert_eq!(ran.times(), 0);
}

#[tokio::test]
async fn a_tool_is_not_reserved_while_the_approver_thinks() {
    let (approver, mut asked) = mock::pair::<ApprovalRequest, Decision>();
    let (tool, mut running) = mock::pair::<ToolCall, codex_telemetry::ToolOutput>();
    running.allow(0);
    let service = only("one", guarded(tool, approver));

    // The tool is not ready, and the approver is asked all the same.
    let mut waiting = spawn(&service, call("one"));
    assert_pending!(waiting.poll());
    let (_request, answer) = asked.next_request().await.unwrap();
    answer.send_response(Decision::Allow);
    assert_pending!(waiting.poll());

    // Once it is ready, it runs.
    running.allow(1);
    assert!(waiting.is_woken());
    assert_pending!(waiting.poll());
    let (_call, done) = running.next_request().await.unwrap();
    done.send_response(json!("done").into());
    let output = assert_ready_ok!(waiting.poll());
    assert_eq!(output.content, json!("done"));
}

#[tokio::test]
async fn the_service_inside_can_be_reached() {
    let mut service = guarded(1, 2);
    *service.get_mut() += 1;
    assert_eq!(*service.get_ref(), 2);
    assert_eq!(service.into_inner(), 2);
}
