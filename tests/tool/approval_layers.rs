use std::{future::ready, time::Duration};

use codex_telemetry::{
    ApprovalLayer, ApprovalRequest, BoxError, CallContext, Clock, Decision, ErrorClass,
    ErrorClassLayer, EventKind, Operation, TimingLayer, ToolCall, event::names,
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
    let accept = service_fn(|_: ApprovalRequest| ready(Ok::<_, BoxError>(Decision::Accept)));
    let approver = TimingLayer::new(sink.clone()).layer(accept);
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

#[tokio::test]
async fn a_layered_approver_has_a_call_with_its_own_class_and_without_the_decision() {
    let sink = MemorySink::new();
    let fails = service_fn(|_: ApprovalRequest| ready(Err::<Decision, BoxError>("full".into())));
    let approver = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(|_: &BoxError| ErrorClass::Overloaded))
        .service(fails);
    let guarded = ApprovalLayer::new(approver, DEADLINE).layer(echo());
    let call = layered(&sink, only("echo", guarded)).oneshot(ToolCall::new("echo", json!(1)));
    call.await.unwrap_err();

    let events = sink.events();
    let ended: Vec<_> = events
        .iter()
        .filter(|event| event.kind().is_terminal())
        .collect();
    let [approval, tool] = &ended[..] else {
        panic!("two calls: {ended:?}")
    };
    assert_eq!(approval.operation(), Operation::Approval);
    assert_eq!(approval.parent_span_id(), Some(tool.span_id()));
    assert_eq!(approval.error_class(), Some(ErrorClass::Overloaded));
    assert_eq!(approval.attribute(names::APPROVAL_DECISION), None);
    assert_eq!(tool.error_class(), Some(ErrorClass::ApprovalDenied));
    let decision = tool.attribute(names::APPROVAL_DECISION);
    assert_eq!(decision, Some(&"error".into()));
}
