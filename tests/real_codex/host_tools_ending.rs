//! Turns that end while tools of this program run, and tools that end after their turn.
#![cfg(target_os = "linux")]

use std::{convert::Infallible, sync::Arc};

use codex_telemetry::{
    ApprovalRequest, CallContext, Decision, ErrorClass, Event, Outcome,
    tool::{ToolCall, ToolError, ToolOutput, tool_fn},
    turn::{ApprovalPolicy, TurnError},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tower::{Service, ServiceExt, service_fn};

use crate::{
    app_server_cancel::run_until,
    bench::{Bench, DEADLINE, in_time},
    calls::{Calls, assert_ok},
    gate::Gate,
    host_rig::{Endless, Stack, registry_of},
    reply::Reply,
};

/// What Codex tells the model of a call that an interrupt has ended, as far as Codex itself has come by then.
const CANCELLED: [&str; 2] = [
    "dynamic tool call was cancelled before receiving a response",
    "aborted",
];

fn ponders(calls: usize) -> Reply {
    Reply::calls((0..calls).map(|_| ("ponder", json!({}))))
}

/// Asserts that the only tool call has ended with its turn: the future of the layers was dropped, and what Codex tells
/// is the end of the turn.
#[track_caller]
fn assert_ended_with_turn(stack: Stack, tool: &Event) {
    let (outcome, class) = match stack {
        Stack::Layered => (Outcome::Cancelled, ErrorClass::Cancelled),
        Stack::Bare => (Outcome::Error, ErrorClass::Interrupted),
    };
    assert_eq!(tool.outcome(), Some(outcome), "{stack:?}: {tool:?}");
    assert_eq!(tool.error_class(), Some(class), "{stack:?}");
}

fn thread(calls: &Calls) -> String {
    calls.turns[0].thread_id().unwrap().to_owned()
}

#[tokio::test]
async fn a_turn_that_is_dropped_while_its_host_tools_run_drops_them_and_its_thread_goes_on() {
    for stack in Stack::ALL {
        let Some(bench) = Bench::start([ponders(2)]) else {
            return;
        };
        let tool = Endless::new();
        let registry = registry_of("ponder", tool.service());
        let server = bench.hosting_by(stack, &registry);
        server.drop_at(bench.ask("Go"), tool.begun(2)).await;
        assert_eq!(tool.dropped(), 2);
        let calls = bench.calls(1);
        assert_eq!(calls.tools.len(), 2, "{stack:?}");
        for event in calls.tools.iter().chain([calls.turn()]) {
            assert_eq!(
                event.outcome(),
                Some(Outcome::Cancelled),
                "{stack:?}: {event:?}"
            );
            assert_eq!(event.error_class(), Some(ErrorClass::Cancelled));
        }
        assert_eq!(registry.stats()["ponder"].failure, 2);
        let pid = bench.server().unwrap();
        server.assert_free(Some(&thread(&calls)), pid).await;
        let told = bench.told_of("ponder");
        assert_eq!(told.len(), 2);
        for told in told {
            assert!(CANCELLED.iter().any(|text| told == *text), "{told}");
        }
        // What Codex tells of the ended calls is not of the next turn.
        assert_eq!(bench.calls(2).tools.len(), 2);
        server.end().await;
    }
}

/// An approver that cancels the turn once it is told to.
fn cancelling(
    reached: Arc<Notify>,
    before: impl Fn() + Clone + Send + Sync + 'static,
) -> impl Service<ApprovalRequest, Response = Decision, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync {
    service_fn(move |_: ApprovalRequest| {
        let (reached, before) = (Arc::clone(&reached), before.clone());
        async move {
            reached.notified().await;
            before();
            Ok(Decision::Cancel)
        }
    })
}

#[tokio::test]
async fn a_turn_that_is_cancelled_by_an_approver_while_its_host_tool_runs_drops_the_tool() {
    for stack in Stack::ALL {
        let calls = Reply::calls([
            ("ponder", json!({})),
            ("exec_command", json!({"cmd": "touch one"})),
        ]);
        let Some(bench) = Bench::start([calls]) else {
            return;
        };
        let tool = Endless::new();
        let registry = registry_of("ponder", tool.service());
        let reached = Arc::new(Notify::new());
        let server = bench.app_server(|builder| {
            builder
                .tools(bench.host_tools_of(stack, &registry, DEADLINE))
                .approval_policy(ApprovalPolicy::Untrusted)
                .approver(cancelling(Arc::clone(&reached), || {}), DEADLINE)
        });
        let reach = async {
            tool.begun(1).await;
            reached.notify_one();
        };
        let (result, ()) = tokio::join!(server.run(bench.ask("Go")), reach);
        let error = result.unwrap_err();
        assert!(
            matches!(error, TurnError::CancelledByApprover { .. }),
            "{error:?}"
        );
        assert_eq!(tool.dropped(), 1);
        let calls = bench.calls(1);
        let mut tools = calls.tools.iter();
        let event = tools
            .find(|event| event.call_name() == Some("ponder"))
            .unwrap();
        assert_ended_with_turn(stack, event);
        assert_eq!(calls.tools.len(), 2);
        let pid = bench.server().unwrap();
        server.assert_free(Some(&thread(&calls)), pid).await;
        server.end().await;
    }
}

/// Returns a tool that says that it has begun, and ends when it is told to.
fn finishing(
    began: &Arc<Notify>,
    go: &Arc<Notify>,
) -> impl Service<ToolCall, Response = ToolOutput, Error = ToolError, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ use<> {
    let (began, go) = (Arc::clone(began), Arc::clone(go));
    tool_fn(move |_: Value, _: CallContext| {
        let (began, go) = (Arc::clone(&began), Arc::clone(&go));
        async move {
            began.notify_one();
            go.notified().await;
            Ok::<_, ToolError>("finished")
        }
    })
}

#[tokio::test]
async fn an_answer_after_the_interrupt_does_nothing_and_the_thread_goes_on() {
    let calls = Reply::calls([
        ("finish", json!({})),
        ("exec_command", json!({"cmd": "touch one"})),
    ]);
    let Some(bench) = Bench::start([calls]) else {
        return;
    };
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let registry = registry_of("finish", finishing(&began, &go));
    // The tool is polled again after the approver has cancelled.
    let approver = cancelling(began, move || go.notify_one());
    let server = bench.app_server(|builder| {
        builder
            .tools(bench.host_tools(&registry))
            .approval_policy(ApprovalPolicy::Untrusted)
            .approver(approver, DEADLINE)
    });
    let error = server.run(bench.ask("Go")).await.unwrap_err();
    assert!(
        matches!(error, TurnError::CancelledByApprover { .. }),
        "{error:?}"
    );
    let calls = bench.calls(1);
    let mut tools = calls.tools.iter();
    let event = tools
        .find(|event| event.call_name() == Some("finish"))
        .unwrap();
    assert_ok(event);
    let pid = bench.server().unwrap();
    server.assert_free(Some(&thread(&calls)), pid).await;
    assert_eq!(bench.calls(2).tools.len(), 2);
    server.end().await;
}

#[tokio::test]
async fn a_service_that_stops_while_a_host_tool_runs_ends_the_turn_and_drops_the_tool() {
    for stack in Stack::ALL {
        let Some(bench) = Bench::start([ponders(1)]) else {
            return;
        };
        let tool = Endless::new();
        let registry = registry_of("ponder", tool.service());
        let server = bench.hosting_by(stack, &registry);
        let turn = bench.layered(server.turns.clone()).oneshot(bench.ask("Go"));
        let turn = run_until(turn, tool.begun(1)).await;
        let drained = in_time(server.turns.shutdown(DEADLINE)).await;
        assert!(drained.orphans.is_empty(), "{drained:?}");
        let error = turn.await.unwrap_err();
        assert!(matches!(error, TurnError::Stopped), "{error:?}");
        assert_eq!(tool.dropped(), 1);
        let calls = bench.calls(1);
        assert_eq!(calls.turn().error_class(), Some(ErrorClass::Interrupted));
        assert_ended_with_turn(stack, calls.tool());
        server.end().await;
    }
}

#[tokio::test]
async fn a_server_that_dies_while_a_host_tool_runs_ends_the_turn_and_drops_the_tool() {
    for stack in Stack::ALL {
        let Some(bench) = Bench::start([ponders(1)]) else {
            return;
        };
        let tool = Endless::new();
        let registry = registry_of("ponder", tool.service());
        let server = bench.hosting_by(stack, &registry);
        let kill = async {
            tool.begun(1).await;
            let pid = bench.server().unwrap().try_into().unwrap();
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        };
        let (result, ()) = tokio::join!(server.run(bench.ask("Go")), kill);
        let error = result.unwrap_err();
        assert!(matches!(error, TurnError::ServerExited { .. }), "{error:?}");
        assert_eq!(tool.dropped(), 1);
        let calls = bench.calls(1);
        assert_ended_with_turn(stack, calls.tool());
        // The thread has its tools in the next server.
        bench.model.then([ponders(1)]);
        let again = bench.ask("Again").with_resume(thread(&calls));
        server.drop_at(again, tool.begun(2)).await;
        assert_eq!(tool.dropped(), 2);
        server.end().await;
    }
}

#[tokio::test]
async fn a_response_that_fails_while_its_host_tool_runs_fails_the_turn_after_the_tool() {
    let failed = Gate::new();
    let reply = Reply::calls([("finish", json!({}))]).failing_after(2, &failed);
    let Some(bench) = Bench::start([reply]) else {
        return;
    };
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let registry = registry_of("finish", finishing(&began, &go));
    let server = bench.hosting(&registry);
    let end = async {
        began.notified().await;
        failed.open();
        go.notify_one();
    };
    let (result, ()) = tokio::join!(server.run(bench.ask("Go")), end);
    let error = result.unwrap_err();
    assert!(matches!(error, TurnError::Failed { .. }), "{error:?}");
    let calls = bench.calls(1);
    assert_ok(calls.tool());
    let pid = bench.server().unwrap();
    server.assert_free(Some(&thread(&calls)), pid).await;
    server.end().await;
}
