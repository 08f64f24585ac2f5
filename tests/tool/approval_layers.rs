use std::{
    future::{pending, ready},
    time::Duration,
};

use codex_telemetry::{
    ApprovalLayer, ApprovalRequest, BoxError, CallContext, Clock, Decision, ErrorClass, EventKind,
    Operation, TimingLayer, ToolCall, event::names,
};
use serde_json::json;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    checked::MemorySink,
    support::{DEADLINE, echo, layered, only},
};

#[tokio::test]
async fn the_approval_is_a_child_of_the_tool_call() {
    let sink = MemorySink::new();
    let allow = service_fn(|_: ApprovalRequest| ready(Ok::<_, BoxError>(Decision::Accept)));
    let approver = TimingLayer::new(sink.clone()).layer(allow);
    let approval = ApprovalLayer::new(approver, DEADLINE);

    // The layer goes around one tool, and around the registry.
    let inside = layered(&sink, only("echo", approval.layer(echo())));
    let outside = layered(&sink, approval.layer(only("echo", echo())));
    let call = || {
        let context = CallContext::new().with_thread_id("thread_1");
        ToolCall::new("echo", json!(1))
            .with_context(context)
            .with_call_id("call_1")
    };
    inside.oneshot(call()).await.unwrap();
    let first = sink.take();
    outside.oneshot(call()).await.unwrap();
    for events in [first, sink.take()] {
        let names: Vec<_> = events.iter().map(|event| event.name()).collect();
        assert_eq!(
            names,
            [
                "codex.tool.start",
                "codex.approval.start",
                "codex.approval.stop",
                "codex.tool.stop"
            ]
        );
        let (tool, approval) = (&events[0], &events[1]);
        assert_eq!(approval.parent_span_id(), Some(tool.span_id()));
        assert_eq!(approval.trace_id(), tool.trace_id());
        assert_eq!(approval.call_name(), Some("echo"));
        assert_eq!(approval.thread_id(), Some("thread_1"));
        assert_eq!(approval.call_id(), None);
        assert_eq!(approval.originator(), tool.originator());
    }
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_times_out_is_cancelled_before_the_tool_call_ends() {
    let sink = MemorySink::new();
    let slow = service_fn(|_: ApprovalRequest| async {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        Ok::<_, BoxError>(Decision::Accept)
    });
    let (clock, _) = Clock::manual(std::time::UNIX_EPOCH);
    let approver = ServiceBuilder::new()
        .layer(TimingLayer::with_clock(sink.clone(), clock))
        .service(slow);
    let guarded = ApprovalLayer::new(approver, DEADLINE).layer(echo());
    let service = layered(&sink, only("echo", guarded));
    service
        .oneshot(ToolCall::new("echo", json!(1)))
        .await
        .unwrap_err();

    let ended: Vec<_> = sink
        .events()
        .iter()
        .filter(|event| event.kind() == EventKind::Exception)
        .map(|event| (event.operation(), event.error_class().unwrap()))
        .collect();
    assert_eq!(
        ended,
        [
            (Operation::Approval, ErrorClass::Cancelled),
            (Operation::Tool, ErrorClass::ApprovalDenied),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_tells_how_long_it_waited_for_its_approval_however_the_wait_ended() {
    const WAIT: Duration = Duration::from_secs(7);
    for (decision, name) in [
        (Decision::Accept, "accept"),
        (Decision::decline("no"), "decline"),
    ] {
        let sink = MemorySink::new();
        let slow = service_fn(move |_: ApprovalRequest| {
            let decision = decision.clone();
            async move {
                tokio::time::sleep(WAIT).await;
                Ok::<_, BoxError>(decision)
            }
        });
        let guarded = ApprovalLayer::new(slow, DEADLINE).layer(echo());
        let service = layered(&sink, only("echo", guarded));
        let call = || service.clone().oneshot(ToolCall::new("echo", json!(1)));
        let _ = call().await;
        // The caller gives up after a second.
        tokio::time::timeout(Duration::from_secs(1), call())
            .await
            .unwrap_err();
        let events = sink.events();
        let ended = events.iter().filter(|event| event.kind().is_terminal());
        let waits: Vec<_> = ended
            .map(|event| {
                let keys = [names::APPROVAL_WAIT, names::APPROVAL_DECISION];
                keys.map(|key| event.attribute(key).cloned().unwrap())
            })
            .collect();
        let answered = [7000.0.into(), name.into()];
        let given_up = [1000.0.into(), "cancelled".into()];
        assert_eq!(waits, [answered, given_up]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_tells_that_its_approver_failed_or_was_too_late() {
    let sink = MemorySink::new();
    let fails = service_fn(|_: ApprovalRequest| ready(Err::<Decision, BoxError>("no".into())));
    let hangs = service_fn(|_: ApprovalRequest| pending::<Result<Decision, BoxError>>());
    let failing = only("echo", ApprovalLayer::new(fails, DEADLINE).layer(echo()));
    let hanging = only("echo", ApprovalLayer::new(hangs, DEADLINE).layer(echo()));
    for tools in [failing, hanging] {
        let call = layered(&sink, tools).oneshot(ToolCall::new("echo", json!(1)));
        call.await.unwrap_err();
    }
    let events = sink.events();
    let ended = events.iter().filter(|event| event.kind().is_terminal());
    let decisions: Vec<_> = ended
        .map(|event| event.attribute(names::APPROVAL_DECISION).cloned().unwrap())
        .collect();
    assert_eq!(decisions, ["error".into(), "timeout".into()]);
}
