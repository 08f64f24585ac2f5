//! What a turn waited for that did not complete: the phase in which it ended.
#![cfg(target_os = "linux")]

use std::time::Duration;

use codex_telemetry::{Decision, ErrorClass, Event, Outcome, Phase, event::names, turn::TurnError};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    app_server::Transport,
    bench::{Bench, DEADLINE},
    gate::Gate,
    host_rig::registry_of,
    phases_approvals::held_tool,
    phases_rig::{HOLD, Watch, assert_held, hold, until_let_go},
    reply::{Ending, Reply},
};

#[track_caller]
fn assert_ended_in(event: &Event, phase: Phase) {
    let told = event.attribute(names::PHASE).map(ToString::to_string);
    assert_eq!(
        told.as_deref(),
        Some(phase.as_str()),
        "{:?}",
        event.phases()
    );
    assert_eq!(event.phases().unwrap().last(), Some(phase));
}

/// Checks that a turn, the only one, was cancelled in a phase, and was in it for a time.
#[track_caller]
fn assert_cancelled_in(bench: &Bench, phase: Phase, held: Duration) {
    let calls = bench.calls(1);
    let turn = calls.turn();
    assert_eq!(turn.outcome(), Some(Outcome::Cancelled));
    assert_ended_in(turn, phase);
    assert_held(turn.phases().unwrap(), phase, held);
}

/// Checks that a turn, the only one, failed in a phase, and was in it for a time.
#[track_caller]
fn assert_failed_in(bench: &Bench, class: ErrorClass, phase: Phase, held: Duration) {
    let calls = bench.calls(1);
    let turn = calls.turn();
    assert_eq!(turn.error_class(), Some(class), "{turn:?}");
    assert_ended_in(turn, phase);
    assert_held(turn.phases().unwrap(), phase, held);
}

// === dropped ===

#[tokio::test]
async fn a_turn_that_is_dropped_while_the_model_is_held_was_in_model() {
    for transport in Transport::ALL {
        let gate = Gate::new();
        let Some(bench) = Bench::start([Reply::done().held(&gate)]) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = watch.hold_model(&gate);
        let request = bench.request("Go").with_progress(progress);
        let held = bench.drop_on(transport, request, holds).await;
        assert_cancelled_in(&bench, Phase::Model, held);
    }
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_a_command_runs_was_in_tools() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::shell(&until_let_go("go"))]) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = watch.hold_command();
        let request = bench.request("Go").with_progress(progress);
        let held = bench.drop_on(transport, request, holds).await;
        assert_cancelled_in(&bench, Phase::Tools, held);
    }
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_codex_starts_was_in_startup() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let codex = bench.codex_after(&bench.wait_for("go"));
        let holds = async {
            bench.waits("go").await;
            hold().await
        };
        let request = bench.request("Go");
        let held = bench.drop_by(transport, &codex, request, holds).await;
        assert_cancelled_in(&bench, Phase::Startup, held);
    }
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_codex_tries_again_was_in_retry() {
    for transport in Transport::ALL {
        let gate = Gate::new();
        let script = [Reply::unfinished(Ending::Closed), Reply::done().held(&gate)];
        let Some(bench) = Bench::start(script) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = async {
            watch.retrying().await;
            gate.reached().await;
            hold().await
        };
        let request = bench.request("Go").with_progress(progress);
        let request = request.with_config("model_providers.mock.stream_max_retries", 2);
        let held = bench.drop_on(transport, request, holds).await;
        assert_cancelled_in(&bench, Phase::Retry, held);
    }
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_it_waits_for_the_one_before_it_was_in_wait() {
    let gate = Gate::new();
    let script = [Reply::done(), Reply::done().held(&gate)];
    let Some(bench) = Bench::start(script) else {
        return;
    };
    let server = bench.app_server(|builder| builder);
    let first = server.complete(bench.ask("Go")).await;
    let second = server.complete(bench.ask_on(&first, "On"));
    let third = async {
        gate.reached().await;
        let holds = async {
            bench.begun(3).await;
            hold().await
        };
        let held = server
            .drop_held(bench.ask_on(&first, "And on"), holds)
            .await;
        gate.open();
        held
    };
    let (_, held) = tokio::join!(second, third);
    server.end().await;
    let calls = bench.calls(3);
    let dropped = &calls.turns[2];
    assert_eq!(dropped.outcome(), Some(Outcome::Cancelled));
    assert_ended_in(dropped, Phase::Wait);
    assert_held(dropped.phases().unwrap(), Phase::Wait, held);
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_its_approver_decides_was_in_approval() {
    let Some(bench) = Bench::start([Reply::shell("touch one")]) else {
        return;
    };
    let (server, mut asked) = bench.asking_held(DEADLINE);
    let holds = async {
        let _unanswered = asked.next().await;
        hold().await
    };
    let held = server.drop_held(bench.ask("Go"), holds).await;
    server.end().await;
    assert_cancelled_in(&bench, Phase::Approval, held);
    assert!(!bench.has("one"));
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_a_tool_of_the_program_waits_for_its_approver_was_in_approval()
{
    let Some(bench) = Bench::start([Reply::call("pay", "{}")]) else {
        return;
    };
    let (tool, mut asked) = held_tool();
    let server = bench.hosting(&registry_of("pay", tool));
    let holds = async {
        let _unanswered = asked.next().await;
        hold().await
    };
    let held = server.drop_held(bench.ask("Go"), holds).await;
    server.end().await;
    assert_cancelled_in(&bench, Phase::Approval, held);
}

/// By the program's MCP server, of which `.ci/run` runs the tests with their feature.
#[cfg(feature = "mcp")]
mod mcp {
    use codex_telemetry::mcp::McpServer;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_turn_by_exec_that_is_dropped_while_a_tool_waits_for_its_approver_was_in_approval() {
        let call = Reply::calls([("mcp__codex_telemetry.pay", json!({}))]);
        let Some(bench) = Bench::start([call]) else {
            return;
        };
        let (tool, mut asked) = held_tool();
        let tools = bench.host_tools(&registry_of("pay", tool));
        let tools = McpServer::start(tools).await.unwrap();
        let holds = async {
            let _unanswered = asked.next().await;
            hold().await
        };
        let request = bench.request("Go").with_mcp_server(&tools);
        let held = bench.drop_on(Transport::Exec, request, holds).await;
        assert_cancelled_in(&bench, Phase::Approval, held);
    }
}

// === failed ===

#[tokio::test]
async fn a_turn_whose_service_is_shut_down_while_a_command_runs_was_in_tools() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::shell(&until_let_go("go"))]) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = watch.hold_command();
        let request = bench.request("Go").with_progress(progress);
        let (turn, held) = match transport {
            Transport::Exec => {
                let turns = bench.turns().build();
                let stops = async {
                    let held = holds.await;
                    turns.shutdown(DEADLINE).await;
                    held
                };
                tokio::join!(bench.run_by(turns.clone(), request), stops)
            }
            Transport::AppServer => {
                let (server, request) = bench.app_server_of(&request);
                let turns = server.turns.clone();
                let run = server.run(request);
                let stops = async {
                    let held = holds.await;
                    turns.shutdown(DEADLINE).await;
                    held
                };
                let ended = tokio::join!(run, stops);
                server.end().await;
                ended
            }
        };
        let error = turn.unwrap_err();
        assert!(matches!(error, TurnError::Stopped), "{error:?}");
        assert_failed_in(&bench, ErrorClass::Interrupted, Phase::Tools, held);
    }
}

#[tokio::test]
async fn a_turn_that_the_provider_fails_was_in_model() {
    for transport in Transport::ALL {
        let gate = Gate::new();
        let failure = Reply::failure("rate_limit_exceeded", "slow down");
        let Some(bench) = Bench::start([failure.held(&gate)]) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = async {
            let held = watch.hold_model(&gate).await;
            gate.open();
            held
        };
        let request = bench.request("Go").with_progress(progress);
        let (turn, held) = tokio::join!(bench.run_on(transport, request), holds);
        turn.unwrap_err();
        assert_failed_in(&bench, ErrorClass::RateLimit, Phase::Model, held);
    }
}

#[tokio::test]
async fn a_turn_whose_codex_dies_while_a_command_runs_was_in_tools() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([Reply::shell(&until_let_go("go"))]) else {
            return;
        };
        let (progress, mut watch) = Watch::new();
        let holds = async {
            let held = watch.hold_command().await;
            let pid = bench.codex().unwrap().try_into().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
            held
        };
        let request = bench.request("Go").with_progress(progress);
        let (turn, held) = tokio::join!(bench.run_on(transport, request), holds);
        turn.unwrap_err();
        assert_failed_in(&bench, ErrorClass::Transport, Phase::Tools, held);
    }
}

#[tokio::test]
async fn a_turn_whose_codex_does_not_start_was_in_startup() {
    for transport in Transport::ALL {
        let Some(bench) = Bench::start([]) else {
            return;
        };
        let codex = bench.codex_after("sleep 1; echo no >&2; exit 3");
        let turn = bench.run_binary(transport, &codex, bench.request("Go"));
        turn.await.unwrap_err();
        let second = Duration::from_secs(1);
        let class = bench.calls(1).turn().error_class().unwrap();
        assert_failed_in(&bench, class, Phase::Startup, second);
    }
}

#[tokio::test]
async fn a_turn_whose_service_is_shut_down_while_its_approver_decides_was_in_approval() {
    let Some(bench) = Bench::start([Reply::shell("touch one")]) else {
        return;
    };
    let (server, mut asked) = bench.asking_held(DEADLINE);
    let turns = server.turns.clone();
    let stops = async {
        let _unanswered = asked.next().await;
        let held = hold().await;
        turns.shutdown(DEADLINE).await;
        held
    };
    let (turn, held) = tokio::join!(server.run(bench.ask("Go")), stops);
    server.end().await;
    let error = turn.unwrap_err();
    assert!(matches!(error, TurnError::Stopped), "{error:?}");
    assert_failed_in(&bench, ErrorClass::Interrupted, Phase::Approval, held);
}

#[tokio::test]
async fn a_turn_whose_deadline_passes_while_a_command_runs_was_in_tools() {
    let by = |transport| async move {
        let Some(bench) = Bench::start([Reply::shell(&until_let_go("go"))]) else {
            return;
        };
        // So that a busy machine has time for the start.
        let deadline = 8 * HOLD;
        let request = bench.request("Go");
        bench.run_until(transport, deadline, request).await;
        assert_failed_in(&bench, ErrorClass::Timeout, Phase::Tools, Duration::ZERO);
    };
    tokio::join!(by(Transport::Exec), by(Transport::AppServer));
}

#[tokio::test]
async fn a_turn_that_its_approver_cancels_was_in_approval() {
    let Some(bench) = Bench::start([Reply::shell("touch one")]) else {
        return;
    };
    let (server, mut asked) = bench.asking_held(DEADLINE);
    let (turn, held) = tokio::join!(server.run(bench.ask("Go")), asked.hold(Decision::Cancel));
    server.end().await;
    let error = turn.unwrap_err();
    assert!(
        matches!(error, TurnError::CancelledByApprover { .. }),
        "{error:?}"
    );
    assert_failed_in(&bench, ErrorClass::ApprovalDenied, Phase::Approval, held);
}
