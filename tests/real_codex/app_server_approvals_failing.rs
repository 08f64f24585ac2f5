//! An approver that does not say yes in time is a no, and the call of the tool says which.

use std::{
    convert::Infallible,
    error::Error,
    future::pending,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use codex_telemetry::{
    CodexClassifier, ErrorClass, ServiceBuilderExt,
    approval::{Action, ApprovalRequest, Decision},
    turn::{ApprovalPolicy, CodexAppServerBuilder},
};
use tower::{Service, ServiceBuilder, service_fn};

use crate::{
    app_server_approvals::{adds, assert_denied, decision},
    bench::{Bench, DEADLINE},
    calls::assert_ok,
    reply::Reply,
};

/// The deadline of an approver that is to miss it.
const SHORT: Duration = Duration::from_millis(50);

/// Runs a turn with a command that is asked about. It must not run, and its call has to say why.
async fn refused(
    configure: impl FnOnce(CodexAppServerBuilder) -> CodexAppServerBuilder,
    decided: &str,
    message: &str,
) {
    let Some(bench) = Bench::start([Reply::shell("touch one"), Reply::done()]) else {
        return;
    };
    let server =
        bench.app_server(|builder| configure(builder.approval_policy(ApprovalPolicy::Untrusted)));
    let turn = server.complete(bench.ask("Go")).await;
    assert_eq!(turn.final_message.as_deref(), Some("done"));
    assert!(!bench.has("one"), "the command ran");
    let calls = bench.calls(1);
    assert_ok(calls.turn());
    assert_denied(calls.tool(), message);
    assert_eq!(decision(calls.tool()).as_deref(), Some(decided));
    server.end().await;
}

#[tokio::test]
async fn no_approver_is_a_no() {
    let message = "the approver declined command_execution: the program has no approver";
    refused(|builder| builder, "decline", message).await;
}

#[tokio::test]
async fn an_approver_that_fails_is_a_no() {
    let approver = service_fn(|_: ApprovalRequest| async {
        Err::<Decision, Box<dyn Error + Send + Sync>>("the line is dead".into())
    });
    refused(
        |builder| builder.approver(approver, DEADLINE),
        "error",
        "the approver of command_execution failed: the line is dead",
    )
    .await;
}

#[tokio::test]
async fn an_approver_that_panics_is_a_no() {
    let approver = service_fn(|_: ApprovalRequest| async {
        assert!(std::hint::black_box(false), "out of order");
        Ok::<_, Infallible>(Decision::Accept)
    });
    refused(
        |builder| builder.approver(approver, DEADLINE),
        "error",
        "the approver of command_execution failed: the approver panicked: out of order",
    )
    .await;
}

#[tokio::test]
async fn an_approver_that_does_not_answer_is_a_no() {
    let approver =
        service_fn(|_: ApprovalRequest| async { Ok::<_, Infallible>(pending::<Decision>().await) });
    refused(
        |builder| builder.approver(approver, SHORT),
        "timeout",
        "the approver of command_execution did not answer in time",
    )
    .await;
}

#[tokio::test]
async fn a_yes_after_the_deadline_is_a_no() {
    let approver = service_fn(|_: ApprovalRequest| async {
        // It blocks, so that its answer is there before the deadline is looked at.
        let late = Instant::now() + SHORT + SHORT;
        while Instant::now() < late {
            std::thread::yield_now();
        }
        Ok::<_, Infallible>(Decision::Accept)
    });
    refused(
        |builder| builder.approver(approver, SHORT),
        "timeout",
        "the approver of command_execution did not answer in time",
    )
    .await;
}

/// An approver that is never ready.
#[derive(Clone)]
struct NeverReady;

impl Service<ApprovalRequest> for NeverReady {
    type Response = Decision;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Decision, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: ApprovalRequest) -> Self::Future {
        std::future::ready(Ok(Decision::Accept))
    }
}

#[tokio::test]
async fn an_approver_that_is_never_ready_is_a_no() {
    refused(
        |builder| builder.approver(NeverReady, SHORT),
        "timeout",
        "the approver of command_execution did not answer in time",
    )
    .await;
}

#[tokio::test]
async fn an_approver_that_fails_refuses_edits_and_tools_of_servers_as_well() {
    let Some(bench) = Bench::start([adds("one"), Reply::mcp("stub", "two"), Reply::done()]) else {
        return;
    };
    let stub = bench.mcp_server(&crate::app_server_approvals_mcp::server(bench.work.path()));
    let approver = service_fn(|_: ApprovalRequest| async {
        Err::<Decision, Box<dyn Error + Send + Sync>>("no".into())
    });
    let server = bench.app_server(|builder| {
        builder
            .config("mcp_servers.stub", stub)
            .approval_policy(ApprovalPolicy::Untrusted)
            .approver(approver, DEADLINE)
    });
    server.complete(bench.ask("Go")).await;
    assert!(!bench.has("one") && !bench.has("two"));
    let calls = bench.calls(1);
    let [edit, tool] = &calls.tools[..] else {
        panic!("{:?}", calls.tools);
    };
    assert_denied(edit, "the approver of file_change failed: no");
    assert_denied(tool, "the approver of two failed: no");
    server.end().await;
}

#[tokio::test]
async fn the_failure_of_a_layered_approver_is_on_its_own_call_as_well() {
    let Some(bench) = Bench::start([Reply::shell("touch one"), Reply::done()]) else {
        return;
    };
    let approver = ServiceBuilder::new()
        .timing(bench.sink.clone())
        .error_class(CodexClassifier)
        .service(service_fn(|_: ApprovalRequest| async {
            Err::<Decision, _>(std::io::Error::other("the line is dead"))
        }));
    let server = bench.app_server(|builder| {
        builder
            .approval_policy(ApprovalPolicy::Untrusted)
            .approver(approver, DEADLINE)
    });
    server.complete(bench.ask("Go")).await;
    let calls = bench.calls(1);
    let [approval] = &calls.approvals[..] else {
        panic!("{:?}", calls.approvals);
    };
    assert_eq!(approval.error_class(), Some(ErrorClass::Io));
    assert_eq!(approval.parent_span_id(), Some(calls.tool().span_id()));
    let message = "the approver of command_execution failed: the line is dead";
    assert_denied(calls.tool(), message);
    server.end().await;
}

#[tokio::test]
async fn two_questions_of_a_turn_have_a_deadline_each() {
    let script = [Reply::shells(["touch one", "touch two"]), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let approver = service_fn(|request: ApprovalRequest| async move {
        match &request.action {
            Action::Command { command, .. } if command.contains("one") => {
                pending::<()>().await;
                Ok::<_, Infallible>(Decision::Accept)
            }
            _ => Ok(Decision::Accept),
        }
    });
    let server = bench.app_server(|builder| {
        builder
            .approval_policy(ApprovalPolicy::Untrusted)
            .approver(approver, Duration::from_millis(500))
    });
    server.complete(bench.ask("Go")).await;
    assert!(!bench.has("one") && bench.has("two"));
    let calls = bench.calls(1);
    let mut decisions: Vec<_> = calls.tools.iter().filter_map(decision).collect();
    decisions.sort();
    assert_eq!(decisions, ["accept", "timeout"]);
    server.end().await;
}
