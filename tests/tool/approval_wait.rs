//! What the call of a tool tells about the wait for its approval.

use std::{future::pending, time::Duration};

use codex_telemetry::{
    ApprovalRequest, BoxError, Decision, Event, RetryPolicy, ToolCall, event::names,
};
use opentelemetry::Value;
use serde_json::json;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    checked::MemorySink,
    support::{echo, guarded, layered, only},
};

const WAIT: Duration = Duration::from_secs(7);

/// How an approver answers after a while.
#[derive(Clone, Debug)]
enum Reaction {
    Answers(Decision),
    Fails,
    Panics,
    Hangs,
}

/// Returns an approver that reacts after `after`.
fn approver(
    after: Duration,
    reaction: Reaction,
) -> impl Service<ApprovalRequest, Response = Decision, Error = BoxError, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |_: ApprovalRequest| {
        let reaction = reaction.clone();
        async move {
            tokio::time::sleep(after).await;
            match reaction {
                Reaction::Answers(decision) => Ok(decision),
                Reaction::Fails => Err("no signal".into()),
                Reaction::Panics => panic!("the window was closed"),
                Reaction::Hangs => pending().await,
            }
        }
    })
}

fn echo_call() -> ToolCall {
    ToolCall::new("echo", json!(1))
}

/// Returns how long the call waited in milliseconds, and how its wait ended.
fn wait_of(event: &Event) -> [Option<Value>; 2] {
    [names::APPROVAL_WAIT, names::APPROVAL_DECISION].map(|key| event.attribute(key).cloned())
}

fn wait(millis: f64, decision: &'static str) -> [Option<Value>; 2] {
    [Some(millis.into()), Some(decision.into())]
}

#[tokio::test(start_paused = true)]
async fn a_call_tells_how_long_it_waited_for_its_approval_however_the_wait_ended() {
    let answers = Reaction::Answers;
    for (reaction, millis, name) in [
        (answers(Decision::Accept), 7_000.0, "accept"),
        (
            answers(Decision::AcceptForSession),
            7_000.0,
            "accept_for_session",
        ),
        (
            answers(Decision::AcceptWithExecpolicyAmendment),
            7_000.0,
            "accept_with_execpolicy_amendment",
        ),
        (answers(Decision::decline("no")), 7_000.0, "decline"),
        (answers(Decision::Cancel), 7_000.0, "cancel"),
        (Reaction::Fails, 7_000.0, "error"),
        (Reaction::Panics, 7_000.0, "error"),
        (Reaction::Hangs, 30_000.0, "timeout"),
    ] {
        let sink = MemorySink::new();
        let guarded = guarded(echo(), approver(WAIT, reaction.clone()));
        let service = layered(&sink, only("echo", guarded));
        let _ = service.clone().oneshot(echo_call()).await;
        let caller = service.oneshot(echo_call());
        let given_up = tokio::time::timeout(Duration::from_secs(1), caller).await;
        given_up.unwrap_err();

        let events = sink.events();
        let ended = events.iter().filter(|event| event.kind().is_terminal());
        let waits: Vec<_> = ended.map(wait_of).collect();
        let expected = [wait(millis, name), wait(1_000.0, "unanswered")];
        assert_eq!(waits, expected, "{reaction:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_approval_tells_no_wait() {
    let sink = MemorySink::new();
    let call = layered(&sink, only("echo", echo())).oneshot(echo_call());
    call.await.unwrap();
    assert_eq!(wait_of(&sink.events()[1]), [None, None]);
}

#[tokio::test(start_paused = true)]
async fn a_call_with_two_approvals_tells_how_long_both_took_and_how_the_last_one_ended() {
    let sink = MemorySink::new();
    let inner = approver(WAIT, Reaction::Answers(Decision::AcceptForSession));
    let outer = approver(Duration::from_secs(2), Reaction::Answers(Decision::Accept));
    let both = guarded(guarded(echo(), inner), outer);
    let call = layered(&sink, only("echo", both)).oneshot(echo_call());
    call.await.unwrap();
    assert_eq!(
        wait_of(&sink.events()[1]),
        wait(9_000.0, "accept_for_session")
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_tried_again_tells_how_long_all_its_approvals_took() {
    let sink = MemorySink::new();
    let guarded = guarded(echo(), approver(WAIT, Reaction::Fails));
    let policy = RetryPolicy::new()
        .retry_if(|_, _| true)
        .backoff(Duration::from_millis(1), Duration::from_millis(1));
    let tried_thrice = ServiceBuilder::new().retry(policy).service(guarded);
    let call = layered(&sink, tried_thrice).oneshot(echo_call());
    call.await.unwrap_err();
    assert_eq!(wait_of(&sink.events()[1]), wait(21_000.0, "error"));
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_with_the_answer_and_not_with_the_future_of_the_call() {
    let sink = MemorySink::new();
    let declines = approver(WAIT, Reaction::Answers(Decision::decline("no")));
    let tool = guarded(echo(), declines);
    // A service that keeps the future of the call for a while after it is done.
    let keeps = service_fn(move |call: ToolCall| {
        let mut response = Box::pin(tool.clone().call(call));
        async move {
            let result = response.as_mut().await;
            tokio::time::sleep(WAIT).await;
            result
        }
    });
    let call = layered(&sink, keeps).oneshot(echo_call());
    call.await.unwrap_err();
    assert_eq!(wait_of(&sink.events()[1]), wait(7_000.0, "decline"));
}
