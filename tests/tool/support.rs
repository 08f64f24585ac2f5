use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use codex_telemetry::{
    ApprovalRequest, BoxError, CallContext, Decision, ErrorClassLayer, Originator, OriginatorLayer,
    TimingLayer, ToolCall, ToolError, ToolOutput, ToolService, ToolSpec,
    tool::{ToolServiceBuilder, approval::ApprovalService},
    tool_fn,
};
use serde_json::{Value, json};
use tokio_test::task;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::checked::MemorySink;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A tool as the registry needs it.
pub(crate) trait Tool:
    Service<ToolCall, Response = ToolOutput, Error = ToolError, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Tool for S where
    S: Service<ToolCall, Response = ToolOutput, Error = ToolError, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Returns a tool that returns its arguments.
pub(crate) fn echo() -> impl Tool {
    tool_fn(|value: Value, _: CallContext| async move { Ok::<_, BoxError>(value) })
}

/// Returns a tool that sleeps for the given milliseconds, and then fails if the number is odd.
pub(crate) fn sleeper() -> impl Tool {
    tool_fn(|millis: u64, _: CallContext| async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        if millis % 2 == 1 {
            return Err::<u64, BoxError>("odd".into());
        }
        Ok(millis)
    })
}

/// Returns a specification.
pub(crate) fn spec(name: impl Into<Arc<str>>) -> ToolSpec {
    ToolSpec::new(name, "A tool of the tests")
}

/// Returns a registry with a single tool.
pub(crate) fn only<S>(name: &'static str, tool: S) -> ToolService
where
    S: Service<ToolCall, Response = ToolOutput> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + 'static,
    S::Future: Send + 'static,
{
    ToolService::builder()
        .tool(spec(name), tool)
        .build()
        .unwrap()
}

/// Returns a registry with one tool for each failure, and `echo` and `switched_off`.
pub(crate) fn every_way_to_fail() -> ToolServiceBuilder {
    ToolService::builder()
        .tool(spec("echo"), echo())
        .tool(spec("switched_off"), echo())
        .tool(
            spec("fails"),
            tool_fn(|_: Value, _: CallContext| async {
                Err::<Value, BoxError>("the disk is full".into())
            }),
        )
        .tool(
            spec("panics"),
            tool_fn(|_: Value, _: CallContext| async {
                if true {
                    panic!("index out of bounds");
                }
                Ok::<_, BoxError>(())
            }),
        )
        .tool(
            spec("typed"),
            tool_fn(|number: u32, _: CallContext| async move { Ok::<_, BoxError>(number) }),
        )
        .tool(spec("denied"), guarded(echo(), decline("not on a Friday")))
}

/// Calls a tool and waits for its result.
pub(crate) async fn run(
    service: &ToolService,
    name: &'static str,
    arguments: Value,
) -> Result<ToolOutput, ToolError> {
    service
        .clone()
        .oneshot(ToolCall::new(name, arguments))
        .await
}

/// Wraps a service in the crate's layers, as an application does.
pub(crate) fn layered<S>(
    sink: &MemorySink,
    service: S,
) -> impl Service<
    ToolCall,
    Response = ToolOutput,
    Error = ToolError,
    Future = impl Future<Output = Result<ToolOutput, ToolError>>,
> + Clone
where
    S: Service<ToolCall, Response = ToolOutput, Error = ToolError> + Clone,
{
    ServiceBuilder::new()
        .layer(OriginatorLayer::new(Originator::Sdk))
        .layer(TimingLayer::new(sink.clone()))
        .layer(ErrorClassLayer::new(|error: &ToolError| {
            error.classification()
        }))
        .service(service)
}

/// Wraps a service in an approval by `approver`.
pub(crate) fn guarded<S, A>(inner: S, approver: A) -> ApprovalService<S, A> {
    ApprovalService::new(inner, approver, DEADLINE)
}

/// An approver that does not fail.
pub(crate) trait Approver:
    Service<ApprovalRequest, Response = Decision, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Approver for S where
    S: Service<ApprovalRequest, Response = Decision, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Returns an approver that declines every call.
pub(crate) fn decline(reason: &'static str) -> impl Approver {
    service_fn(move |_| async move { Ok(Decision::decline(reason)) })
}

/// Counts the runs of its tool.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<AtomicUsize>);

impl Runs {
    pub(crate) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }

    pub(crate) fn tool(&self) -> impl Tool {
        let runs = Arc::clone(&self.0);
        tool_fn(move |_: Value, _: CallContext| {
            runs.fetch_add(1, SeqCst);
            async { Ok::<_, BoxError>("ran") }
        })
    }
}

/// Returns a call with some arguments.
pub(crate) fn call(name: &'static str) -> ToolCall {
    ToolCall::new(name, json!({ "some": "thing" }))
}

/// Starts a call whose future the test polls by hand.
pub(crate) fn spawn<S>(service: &S, call: ToolCall) -> task::Spawn<S::Future>
where
    S: Service<ToolCall> + Clone,
{
    task::spawn(service.clone().call(call))
}
