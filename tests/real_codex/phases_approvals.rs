//! The time that a turn waits for somebody's decision.
#![cfg(unix)]

use std::{future::Future, time::Duration};

use codex_telemetry::{
    ApprovalLayer, BoxError, Decision, Phase, Phases,
    approval::ApprovalRequest,
    tool::{ToolCall, ToolOutput, tool_fn},
    turn::ApprovalPolicy,
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tower::{Layer, Service, service_fn};

use crate::{
    app_server::AppServer,
    bench::{Bench, DEADLINE, in_time, until},
    host_rig::registry_of,
    phases_rig::{assert_held, hold_for, order, until_let_go},
    reply::Reply,
};

/// How long a test holds an answer.
const HOLD: Duration = Duration::from_millis(500);

/// What an approver was asked, until the test answers.
pub(crate) struct Asked(mpsc::UnboundedReceiver<oneshot::Sender<Decision>>);

/// Returns an approver that the test answers for.
pub(crate) fn held_approver() -> (
    impl Service<ApprovalRequest, Response = Decision, Error = BoxError, Future: Send>
    + Clone
    + Send
    + Sync,
    Asked,
) {
    let (ask, asked) = mpsc::unbounded_channel();
    let approver = service_fn(move |_: ApprovalRequest| {
        let (answer, answered) = oneshot::channel();
        let sent = ask.send(answer);
        async move {
            sent?;
            Ok(answered.await?)
        }
    });
    (approver, Asked(asked))
}

// === impl Asked ===

impl Asked {
    /// Waits until the approver is asked.
    pub(crate) async fn next(&mut self) -> oneshot::Sender<Decision> {
        in_time(self.0.recv()).await.unwrap()
    }

    /// Holds the answer to the next question, and returns how long.
    pub(crate) async fn hold(&mut self, decision: Decision) -> Duration {
        let answer = self.next().await;
        let held = hold_for(HOLD).await;
        answer.send(decision).unwrap();
        held
    }
}

/// Returns a tool behind an approver that the test answers for.
pub(crate) fn held_tool() -> (
    impl Service<ToolCall, Response = ToolOutput, Error: Into<BoxError>, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static,
    Asked,
) {
    let (approver, asked) = held_approver();
    let tool = tool_fn(|_: Value, _| async { Ok::<_, BoxError>(json!("paid")) });
    (ApprovalLayer::new(approver, DEADLINE).layer(tool), asked)
}

impl Bench {
    /// Returns a service that asks about every command.
    pub(crate) fn asking_held(&self, deadline: Duration) -> (AppServer<'_>, Asked) {
        let (approver, asked) = held_approver();
        let server = self.app_server(|builder| {
            builder
                .approval_policy(ApprovalPolicy::Untrusted)
                .approver(approver, deadline)
        });
        (server, asked)
    }
}

/// Runs a turn that completes, beside what holds it.
async fn run<T>(
    bench: &Bench,
    server: AppServer<'_>,
    holds: impl Future<Output = T>,
) -> (Phases, T) {
    let (turn, held) = tokio::join!(server.complete(bench.ask("Go")), holds);
    server.end().await;
    (bench.phases(&turn), held)
}

#[tokio::test]
async fn a_command_whose_approver_takes_its_time_is_approval_and_then_tools() {
    let command = format!("touch one; {}", until_let_go("go"));
    let Some(bench) = Bench::start([Reply::shell(&command), Reply::done()]) else {
        return;
    };
    let (server, mut asked) = bench.asking_held(DEADLINE);
    let holds = async {
        let approval = asked.hold(Decision::Accept).await;
        until("the command runs", || bench.has("one")).await;
        let tools = hold_for(HOLD).await;
        bench.let_go("go");
        (approval, tools)
    };
    let (phases, (approval, tools)) = run(&bench, server, holds).await;
    assert_held(&phases, Phase::Approval, approval);
    assert_held(&phases, Phase::Tools, tools);
    let end = [Phase::Approval, Phase::Tools, Phase::Model, Phase::Other];
    assert!(order(&phases).ends_with(&end), "{phases:?}");
    let waits = order(&phases);
    let waits = waits.iter().filter(|phase| **phase == Phase::Approval);
    assert_eq!(waits.count(), 1, "{phases:?}");
}

#[tokio::test]
async fn an_approval_beside_a_command_that_runs_is_approval() {
    let in_background = format!("sh -c {:?}", until_let_go("go"));
    let script = [
        Reply::shell_in_background(&in_background),
        Reply::shell("touch one"),
        Reply::done(),
    ];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let (server, mut asked) = bench.asking_held(DEADLINE);
    let holds = async {
        let first = asked.hold(Decision::Accept).await;
        let second = asked.hold(Decision::Accept).await;
        first + second
    };
    let (phases, held) = run(&bench, server, holds).await;
    bench.let_go("go");
    assert_held(&phases, Phase::Approval, held);
}

#[tokio::test]
async fn an_approver_that_does_not_answer_is_approval_until_its_deadline() {
    let Some(bench) = Bench::start([Reply::shell("touch one"), Reply::done()]) else {
        return;
    };
    let (server, mut asked) = bench.asking_held(HOLD);
    let (phases, _unanswered) = run(&bench, server, asked.next()).await;
    assert_held(&phases, Phase::Approval, HOLD);
    assert!(!bench.has("one"));
}

#[tokio::test]
async fn a_tool_of_the_program_whose_approver_takes_its_time_is_approval() {
    let script = [Reply::call("pay", "{}"), Reply::done()];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let (tool, mut asked) = held_tool();
    let server = bench.hosting(&registry_of("pay", tool));
    let (phases, held) = run(&bench, server, asked.hold(Decision::Accept)).await;
    assert_held(&phases, Phase::Approval, held);
    assert_eq!(bench.told_of("pay"), ["paid"]);
}

/// By the program's MCP server, of which `.ci/run` runs the tests with their feature.
#[cfg(feature = "mcp")]
mod mcp {
    use codex_telemetry::mcp::McpServer;

    use super::*;
    use crate::app_server::Transport;

    #[tokio::test]
    async fn a_tool_of_the_program_whose_approver_takes_its_time_is_approval_by_both_transports() {
        for transport in Transport::ALL {
            let call = Reply::calls([("mcp__codex_telemetry.pay", json!({}))]);
            let Some(bench) = Bench::start([call, Reply::done()]) else {
                return;
            };
            let (tool, mut asked) = held_tool();
            let tools = bench.host_tools(&registry_of("pay", tool));
            let tools = McpServer::start(tools).await.unwrap();
            let holds = asked.hold(Decision::Accept);
            let (phases, held) = match transport {
                Transport::Exec => {
                    let request = bench.request("Go").with_mcp_server(&tools);
                    let (turn, held) = tokio::join!(bench.run(request), holds);
                    (bench.phases(&turn.unwrap()), held)
                }
                Transport::AppServer => {
                    let server = bench.app_server(|builder| builder);
                    let request = bench.ask("Go").with_mcp_server(&tools);
                    let (turn, held) = tokio::join!(server.complete(request), holds);
                    server.end().await;
                    (bench.phases(&turn), held)
                }
            };
            assert_held(&phases, Phase::Approval, held);
            // The call may come in before Codex tells of it.
            let end = [Phase::Approval, Phase::Tools, Phase::Model, Phase::Other];
            let order = order(&phases);
            assert!(order.ends_with(&end), "{transport:?}: {phases:?}");
        }
    }
}
