use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use opentelemetry::KeyValue;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::{Layer, ServiceBuilder, service_fn};

use super::*;
use crate::{
    approval::{ApprovalRequest, Decision},
    call::{Call, CallContext},
    error_class::ErrorClassLayer,
    event::{ErrorClass, Event, EventKind, Operation, Originator, Outcome},
    sink::MemorySink,
    timing::TimingLayer,
    tool::{ApprovalLayer, tool_fn},
};

const DEADLINE: Duration = Duration::from_secs(60);

/// Returns host tools with the tool `t` alone.
fn tools<S>(stack: S) -> HostTools
where
    S: Service<ToolCall, Response = ToolOutput> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    HostTools::new(&ToolService::builder().build().unwrap(), stack, DEADLINE)
}

fn call() -> ToolCall {
    ToolCall::new("t", json!({}))
}

/// Calls the tool as a turn without an open call does.
async fn run(tools: &HostTools) -> (Result<ToolOutput, ToolError>, Ticket) {
    let (context, ticket) = CallContext::new().with_ticket_of_child(Vec::new());
    let result = tools.call(call().with_context(context), ticket.clone());
    (result.await, ticket)
}

/// Calls the tool from a turn.
async fn run_in_turn(sink: &MemorySink, tools: &HostTools) -> Result<ToolOutput, ToolError> {
    let (tools, result) = (tools.clone(), Arc::new(Mutex::new(None)));
    let given = Arc::clone(&result);
    let turn = service_fn(move |turn: Call<()>| {
        let (tools, given) = (tools.clone(), Arc::clone(&given));
        async move {
            let attribute = KeyValue::new("of.host", true);
            let (context, ticket) = turn.context.with_ticket_of_child(vec![attribute]);
            let result = tools.call(call().with_context(context), ticket).await;
            *given.lock().unwrap() = Some(result);
            Ok::<_, Infallible>(())
        }
    });
    let turn = TimingLayer::new(sink.clone()).layer(turn);
    let mut request = Call::new(Operation::Turn, ()).with_name("agent");
    request.context = CallContext::new().with_originator(Originator::Sdk);
    turn.oneshot(request).await.unwrap();
    check_nested(&sink.events());
    let result = result.lock().unwrap().take();
    result.expect("the turn has run")
}

/// Checks that each call has one start and one end, and ends before its parent.
fn check_nested(events: &[Event]) {
    let mut open = Vec::new();
    for event in events {
        if event.kind() == EventKind::Start {
            open.push((event.span_id(), event.parent_span_id()));
        } else {
            let place = open.iter().position(|(id, _)| *id == event.span_id());
            open.remove(place.expect("a start before the end"));
            let has_child = open
                .iter()
                .any(|(_, parent)| *parent == Some(event.span_id()));
            assert!(!has_child, "{event:?} ends before its child: {events:?}");
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// Returns the terminal events of an operation.
fn ends(sink: &MemorySink, operation: Operation) -> Vec<Event> {
    let mut events = sink.events();
    events.retain(|event| event.kind().is_terminal() && event.operation() == operation);
    events
}

#[track_caller]
fn check_late<T: std::fmt::Debug>(result: &Result<T, ToolError>) {
    let is_late = matches!(result, Err(ToolError::TimedOut { tool, after }) if &**tool == "t" && *after == DEADLINE);
    assert!(is_late, "{result:?}");
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("boom");
    }
}

type Answer = Result<ToolOutput, BoxError>;

// --- The deadline

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_fails_at_the_deadline_and_its_open_call_as_a_timeout() {
    let sink = MemorySink::new();
    let stack = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(|_: &BoxError| ErrorClass::Other))
        .service(service_fn(|_: ToolCall| pending::<Answer>()));
    let began = Instant::now();
    check_late(&run_in_turn(&sink, &tools(stack)).await);
    assert_eq!(began.elapsed(), DEADLINE);
    let [tool] = &ends(&sink, Operation::Tool)[..] else {
        panic!("{:?}", sink.events())
    };
    assert_eq!(tool.outcome(), Some(Outcome::Error));
    assert_eq!(tool.error_class(), Some(ErrorClass::Timeout));
    let message = "tool `t` did not finish within 60s: make it faster, or extend the deadline";
    assert_eq!(tool.error_message(), Some(message));
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_the_calls_in_the_tools_call_end_before_it() {
    let sink = MemorySink::new();
    let timing = TimingLayer::new(sink.clone());
    let inner = timing
        .clone()
        .layer(service_fn(|_: Call<()>| pending::<Answer>()));
    let stack = timing.layer(service_fn(move |call: ToolCall| {
        let mut request = Call::new(Operation::Chat, ());
        request.context = call.context.child();
        inner.clone().oneshot(request)
    }));
    // It checks the order of the ends.
    check_late(&run_in_turn(&sink, &tools(stack)).await);
    let [inner] = &ends(&sink, Operation::Chat)[..] else {
        panic!("{:?}", sink.events())
    };
    assert_eq!(inner.outcome(), Some(Outcome::Cancelled));
    assert_eq!(
        ends(&sink, Operation::Tool)[0].error_class(),
        Some(ErrorClass::Timeout)
    );
}

#[tokio::test(start_paused = true)]
async fn the_call_of_a_stack_that_runs_it_in_a_task_ends_at_the_deadline_as_well() {
    let sink = MemorySink::new();
    let timed = TimingLayer::new(sink.clone()).layer(service_fn(|_: ToolCall| pending::<Answer>()));
    let stack = service_fn(move |call: ToolCall| {
        let running = tokio::spawn(timed.clone().oneshot(call));
        async { running.await.unwrap() }
    });
    check_late(&run_in_turn(&sink, &tools(stack)).await);
    assert_eq!(
        ends(&sink, Operation::Tool)[0].error_class(),
        Some(ErrorClass::Timeout)
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_with_the_deadline_counts() {
    for early in [Duration::ZERO, Duration::from_millis(1)] {
        let stack = service_fn(move |_: ToolCall| async move {
            tokio::time::sleep(DEADLINE - early).await;
            Answer::Ok(ToolOutput::new(json!(7)))
        });
        assert_eq!(run(&tools(stack)).await.0.unwrap().content, 7);
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_deadline_is_none() {
    let stack = service_fn(|_: ToolCall| async {
        tokio::time::sleep(Duration::from_secs(60 * 60 * 24 * 365)).await;
        Answer::Ok(ToolOutput::new(json!(7)))
    });
    let registry = ToolService::builder().build().unwrap();
    let tools = HostTools::new(&registry, stack, Duration::MAX);
    assert_eq!(tools.deadline(), Duration::MAX);
    assert_eq!(run(&tools).await.0.unwrap().content, 7);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_zero_is_enough_for_a_tool_that_does_not_wait() {
    let registry = ToolService::builder().build().unwrap();
    let at_once = service_fn(|_: ToolCall| ready(Answer::Ok(ToolOutput::new(json!(7)))));
    let tools = HostTools::new(&registry, at_once, Duration::ZERO);
    assert_eq!(run(&tools).await.0.unwrap().content, 7);
    let never = HostTools::new(
        &registry,
        service_fn(|_: ToolCall| pending::<Answer>()),
        Duration::ZERO,
    );
    assert!(matches!(
        run(&never).await.0,
        Err(ToolError::TimedOut { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_takes_too_long_is_a_late_call() {
    let sink = MemorySink::new();
    let approver = TimingLayer::new(sink.clone()).layer(service_fn(|_: ApprovalRequest| {
        pending::<Result<Decision, Infallible>>()
    }));
    let stack = ServiceBuilder::new()
        .layer(TimingLayer::new(sink.clone()))
        .layer(ApprovalLayer::new(approver, 2 * DEADLINE))
        .service(service_fn(|_: ToolCall| {
            ready(Answer::Ok(ToolOutput::new(Value::Null)))
        }));
    check_late(&run_in_turn(&sink, &tools(stack)).await);
    assert_eq!(
        ends(&sink, Operation::Approval)[0].outcome(),
        Some(Outcome::Cancelled)
    );
    assert_eq!(
        ends(&sink, Operation::Tool)[0].error_class(),
        Some(ErrorClass::Timeout)
    );
}

// --- Readiness

/// A service that is never ready.
#[derive(Clone)]
struct Busy;

impl Service<ToolCall> for Busy {
    type Response = ToolOutput;
    type Error = BoxError;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Pending
    }

    fn call(&mut self, _: ToolCall) -> Self::Future {
        panic!("it is not ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_is_never_ready_is_late_and_has_opened_no_call() {
    let sink = MemorySink::new();
    let (result, ticket) = run(&tools(TimingLayer::new(sink.clone()).layer(Busy))).await;
    check_late(&result);
    assert!(!ticket.is_used());
    assert!(sink.events().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_turn_is_late_and_gives_its_place_up() {
    let is_first = Arc::new(AtomicU32::new(0));
    let stack = ServiceBuilder::new()
        .concurrency_limit(1)
        .service(service_fn(move |_: ToolCall| {
            let place = is_first.fetch_add(1, Relaxed);
            async move {
                if place == 0 {
                    tokio::time::sleep(DEADLINE / 2).await;
                    pending::<()>().await;
                }
                Answer::Ok(ToolOutput::new(place.into()))
            }
        }));
    let tools = tools(stack);
    let first = {
        let tools = tools.clone();
        tokio::spawn(async move { run(&tools).await.0 })
    };
    tokio::task::yield_now().await;
    check_late(&run(&tools).await.0);
    check_late(&first.await.unwrap());
    assert_eq!(run(&tools).await.0.unwrap().content, 1);
}

#[tokio::test(start_paused = true)]
async fn a_buffer_in_the_stack_passes_calls_and_their_ends_on() {
    let sink = MemorySink::new();
    let stack = ServiceBuilder::new()
        .buffer(4)
        .layer(TimingLayer::new(sink.clone()))
        .service(service_fn(|_: ToolCall| pending::<Answer>()));
    check_late(&run_in_turn(&sink, &tools(stack)).await);
    assert_eq!(
        ends(&sink, Operation::Tool)[0].error_class(),
        Some(ErrorClass::Timeout)
    );
}

// --- Panics

/// A service that panics in a way.
#[derive(Clone)]
struct Panicking(&'static str);

impl Service<ToolCall> for Panicking {
    type Response = ToolOutput;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        assert_ne!(self.0, "ready", "panic");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: ToolCall) -> Self::Future {
        assert_ne!(self.0, "call", "panic");
        let when = self.0;
        Box::pin(async move {
            assert_ne!(when, "first poll", "panic");
            tokio::task::yield_now().await;
            assert_ne!(when, "later poll", "panic");
            let _bomb = (when == "drop").then_some(Bomb);
            Ok(ToolOutput::new(Value::Null))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_stack_is_an_error_wherever_it_is() {
    for when in ["ready", "call", "first poll", "later poll", "drop"] {
        let (result, _) = run(&tools(Panicking(when))).await;
        assert!(
            matches!(&result, Err(ToolError::Panicked { .. })),
            "{when}: {result:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_panics_when_it_is_dropped_at_the_deadline_is_late() {
    let sink = MemorySink::new();
    let timed = TimingLayer::new(sink.clone()).layer(service_fn(|_: ToolCall| async {
        let _bomb = Bomb;
        pending::<Answer>().await
    }));
    check_late(&run_in_turn(&sink, &tools(timed)).await);
    assert_eq!(
        ends(&sink, Operation::Tool)[0].error_class(),
        Some(ErrorClass::Timeout)
    );
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_panics_when_it_is_dropped_with_its_turn_does_not_panic_there() {
    let stack = service_fn(|_: ToolCall| async {
        let _bomb = Bomb;
        pending::<Answer>().await
    });
    let tools = tools(stack);
    let mut running = Box::pin(run(&tools));
    assert!(poll_once(running.as_mut()).is_pending());
    drop(running);
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_ends_as_cancelled() {
    let sink = MemorySink::new();
    let tools =
        tools(TimingLayer::new(sink.clone()).layer(service_fn(|_: ToolCall| pending::<Answer>())));
    let mut running = Box::pin(run(&tools));
    assert!(poll_once(running.as_mut()).is_pending());
    drop(running);
    assert_eq!(
        ends(&sink, Operation::Tool)[0].outcome(),
        Some(Outcome::Cancelled)
    );
}

// --- Tickets

#[tokio::test(start_paused = true)]
async fn an_error_of_a_tool_is_returned_as_the_registry_returns_it() {
    let known = service_fn(|_: ToolCall| {
        ready(Err::<ToolOutput, BoxError>(Box::new(ToolError::Disabled {
            tool: "t".into(),
        })))
    });
    assert!(matches!(
        run(&tools(known)).await.0,
        Err(ToolError::Disabled { .. })
    ));
    let other = service_fn(|_: ToolCall| ready(Err::<ToolOutput, BoxError>("broken".into())));
    let (result, _) = run(&tools(other)).await;
    assert!(matches!(result, Err(ToolError::Failed { tool, .. }) if &*tool == "t"));
}

#[tokio::test(start_paused = true)]
async fn the_call_of_a_ticket_is_a_child_of_the_turn_for_its_agent_with_the_attributes() {
    let sink = MemorySink::new();
    let stack = TimingLayer::new(sink.clone()).layer(service_fn(|_: ToolCall| {
        ready(Answer::Ok(ToolOutput::new(Value::Null)))
    }));
    run_in_turn(&sink, &tools(stack)).await.unwrap();
    let ([tool], [turn]) = (
        &ends(&sink, Operation::Tool)[..],
        &ends(&sink, Operation::Turn)[..],
    ) else {
        panic!("{:?}", sink.events())
    };
    assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
    assert_eq!(tool.trace_id(), turn.trace_id());
    assert_eq!(tool.agent_name(), Some("agent"));
    assert_eq!(tool.originator(), Some(&Originator::Sdk));
    assert_eq!(tool.attribute("of.host"), Some(&true.into()));
    assert_eq!(turn.attribute("of.host"), None);
    assert!(!tool.has_remote_parent());
    assert_eq!(tool.attempt(), 1);
}

/// A retry outside of the timing, as tower's `Retry` makes it: with clones of the call.
#[tokio::test(start_paused = true)]
async fn each_attempt_has_a_call_and_the_deadline_ends_the_last_one() {
    let sink = MemorySink::new();
    let attempts = Arc::new(AtomicU32::new(0));
    let timed = TimingLayer::new(sink.clone()).layer(service_fn(move |_: ToolCall| {
        let attempt = attempts.fetch_add(1, Relaxed);
        async move {
            if attempt < 2 {
                return Err("once more".into());
            }
            pending::<Answer>().await
        }
    }));
    let stack = service_fn(move |call: ToolCall| {
        let timed = timed.clone();
        async move {
            loop {
                let answer = timed.clone().oneshot(call.clone()).await;
                if answer.is_ok() {
                    return answer;
                }
            }
        }
    });
    check_late(&run_in_turn(&sink, &tools(stack)).await);
    let classes: Vec<_> = ends(&sink, Operation::Tool)
        .iter()
        .map(Event::error_class)
        .collect();
    // Nothing in the stack classifies errors.
    assert_eq!(classes, [None, None, Some(ErrorClass::Timeout)]);
    let turn = &ends(&sink, Operation::Turn)[0];
    for tool in ends(&sink, Operation::Tool) {
        assert_eq!(tool.parent_span_id(), Some(turn.span_id()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_timing_in_the_stack_is_a_child_of_the_first_which_has_the_ticket() {
    let sink = MemorySink::new();
    let timing = TimingLayer::new(sink.clone());
    let inner = timing
        .clone()
        .layer(service_fn(|_: ToolCall| pending::<Answer>()));
    check_late(&run_in_turn(&sink, &tools(timing.layer(inner))).await);
    let [inner, outer] = &ends(&sink, Operation::Tool)[..] else {
        panic!("{:?}", sink.events())
    };
    assert_eq!(inner.parent_span_id(), Some(outer.span_id()));
    assert_eq!(inner.outcome(), Some(Outcome::Cancelled));
    assert_eq!(outer.error_class(), Some(ErrorClass::Timeout));
    assert_eq!(inner.attribute("of.host"), None);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_not_that_of_what_the_approver_or_the_tool_calls() {
    let sink = MemorySink::new();
    let timing = TimingLayer::new(sink.clone());
    let approver = timing.clone().layer(service_fn(|_: ApprovalRequest| {
        ready(Ok::<_, Infallible>(Decision::Accept))
    }));
    let chat = timing
        .clone()
        .layer(service_fn(|_: Call<()>| ready(Ok::<_, Infallible>(()))));
    let tool = tool_fn(move |_: Value, context: CallContext| {
        let mut request = Call::new(Operation::Chat, ());
        request.context = context.child();
        let chat = chat.clone();
        async move {
            chat.oneshot(request).await?;
            Ok::<_, BoxError>(7)
        }
    });
    // Without a timing around it, no call is open where the approver is asked and where the tool calls.
    let bare = ServiceBuilder::new()
        .layer(ApprovalLayer::new(approver, DEADLINE))
        .service(tool);
    let parent = CallContext::new()
        .with_originator(Originator::Sdk)
        .with_thread_id("thread");
    let (context, ticket) = parent.with_ticket_of_child(Vec::new());
    let answer = tools(bare.clone())
        .call(call().with_context(context), ticket.clone())
        .await;
    assert_eq!(answer.unwrap().content, 7);
    assert!(!ticket.is_used());
    assert_eq!(sink.events().len(), 4);
    for event in sink.events() {
        assert_eq!(event.thread_id(), Some("thread"));
        assert_eq!(event.originator(), Some(&Originator::Sdk));
    }
    // With one, they are in the tool's call.
    let timed = TimingLayer::new(sink.clone()).layer(bare);
    let (context, ticket) = parent.with_ticket_of_child(Vec::new());
    let answer = tools(timed)
        .call(call().with_context(context), ticket.clone())
        .await;
    answer.unwrap();
    assert!(ticket.is_used());
    check_nested(&sink.events());
    let tool = &ends(&sink, Operation::Tool)[0];
    for operation in [Operation::Approval, Operation::Chat] {
        let [outside, inside] = &ends(&sink, operation)[..] else {
            panic!("{:?}", sink.events())
        };
        assert_eq!(outside.parent_span_id(), None);
        assert_eq!(inside.parent_span_id(), Some(tool.span_id()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_failed_after_its_call_has_ended_changes_nothing() {
    let sink = MemorySink::new();
    let stack = TimingLayer::new(sink.clone()).layer(service_fn(|_: ToolCall| {
        ready(Answer::Ok(ToolOutput::new(Value::Null)))
    }));
    let (result, ticket) = run(&tools(stack)).await;
    result.unwrap();
    ticket.fail_when_dropped(ErrorClass::Timeout.into());
    ticket.fail();
    let [tool] = &ends(&sink, Operation::Tool)[..] else {
        panic!("{:?}", sink.events())
    };
    assert_eq!(
        (tool.outcome(), tool.error_class()),
        (Some(Outcome::Ok), None)
    );
}

#[test]
fn the_debug_output_has_the_names_and_the_limits_alone() {
    let shown = format!("{:?}", tools(Busy));
    assert_eq!(
        shown,
        "HostTools { registry: ToolService { tools: [], .. }, deadline: 60s, output_limit: 16777216, .. }"
    );
}
