use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use codex_telemetry::{
    ApprovalLayer, ApprovalRequest, BoxError, CallContext, Decision, ErrorClassLayer, Originator,
    OriginatorLayer, TimingLayer, ToolCall, ToolError, ToolOutput, ToolService,
    tool::ToolServiceBuilder, tool_fn,
};
use serde_json::{Value, json};
use tokio_test::task;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::checked::MemorySink;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What a test knows of a tool: all that a registry asks of it.
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

/// A tool that answers what it is given.
pub(crate) fn echo() -> impl Tool {
    tool_fn(|said: Value, _: CallContext| async move { Ok::<_, BoxError>(said) })
}

/// A tool that takes as many (virtual) milliseconds as it is told, then fails if that is odd.
pub(crate) fn sleeper() -> impl Tool {
    tool_fn(|millis: u64, _: CallContext| async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        if millis % 2 == 1 {
            return Err::<u64, BoxError>("odd".into());
        }
        Ok(millis)
    })
}

/// A tool of one name, built.
pub(crate) fn only<S>(name: &'static str, tool: S) -> ToolService
where
    S: Service<ToolCall, Response = ToolOutput> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + 'static,
    S::Future: Send + 'static,
{
    ToolService::builder().tool(name, tool).build()
}

/// One tool for each way to fail, and `echo`, `switched_off`.
pub(crate) fn every_way_to_fail() -> ToolServiceBuilder {
    ToolService::builder()
        .tool("echo", echo())
        .tool("switched_off", echo())
        .tool(
            "fails",
            tool_fn(|_: Value, _: CallContext| async {
                Err::<Value, BoxError>("the disk is full".into())
            }),
        )
        .tool(
            "panics",
            tool_fn(|_: Value, _: CallContext| async {
                if true {
                    panic!("index out of bounds");
                }
                Ok::<_, BoxError>(())
            }),
        )
        .tool(
            "typed",
            tool_fn(|number: u32, _: CallContext| async move { Ok::<_, BoxError>(number) }),
        )
        .tool("denied", guarded(echo(), deny("not on a Friday")))
}

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

/// The layers as an application stacks them.
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

pub(crate) fn guarded<S, A>(
    inner: S,
    approver: A,
) -> codex_telemetry::tool::approval::ApprovalService<S, A>
where
    A: Clone,
{
    use tower::Layer;
    ApprovalLayer::new(approver, DEADLINE).layer(inner)
}

pub(crate) fn deny(
    reason: &'static str,
) -> impl Service<ApprovalRequest, Response = Decision, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |_| async move { Ok(Decision::deny(reason)) })
}

/// A tool that counts how often it ran.
#[derive(Clone, Default)]
pub(crate) struct Ran(Arc<AtomicUsize>);

impl Ran {
    pub(crate) fn times(&self) -> usize {
        self.0.load(SeqCst)
    }

    pub(crate) fn tool(&self) -> impl Tool {
        let count = Arc::clone(&self.0);
        tool_fn(move |_: Value, _: CallContext| {
            count.fetch_add(1, SeqCst);
            async { Ok::<_, BoxError>("ran") }
        })
    }
}

pub(crate) fn call(name: &'static str) -> ToolCall {
    ToolCall::new(name, json!({ "some": "thing" }))
}

/// Starts a call without a runtime's task, to be polled by hand.
pub(crate) fn spawn<S>(service: &S, call: ToolCall) -> task::Spawn<S::Future>
where
    S: Service<ToolCall> + Clone,
{
    task::spawn(service.clone().call(call))
}
