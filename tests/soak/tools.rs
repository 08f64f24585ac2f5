//! Tools that answer, fail, panic, are denied, or never end; and work that panics past all layers.

use std::{convert::Infallible, panic::resume_unwind, time::Duration};

use codex_telemetry::{
    ApprovalLayer, ApprovalRequest, BoxError, Call, CallContext, CodexClassifier, Decision,
    Operation, Originator, ServiceBuilderExt, Sink, ToolCall, ToolService, tool_fn,
};
use fastrand::Rng;
use serde_json::{Value, json};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::calls::{Caller, Calls, Gate};

/// The operation of the work that panics.
pub(crate) const WORK: Operation = Operation::Custom("soak.work");

pub(crate) fn begin(
    calls: &mut Calls,
    count: usize,
    sink: impl Sink + Clone + 'static,
    gate: &Gate,
    rng: &mut Rng,
) {
    let (tools, closed) = (tools(), gate.clone());
    let tools = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink)
        .error_class(CodexClassifier)
        .service_fn(move |call: ToolCall| {
            let (tools, gate) = (tools.clone(), closed.clone());
            async move {
                gate.pass().await;
                tools.oneshot(call).await
            }
        });
    for _ in 0..count {
        let name = *rng
            .choice(&[
                "answers", "answers", "sleeps", "fails", "panics", "denied", "hangs", "nobody",
            ])
            .unwrap();
        let caller = match name {
            "hangs" => Caller::impatient(rng),
            _ => Caller::any(rng),
        };
        let call = ToolCall::new(name, json!(rng.u64(..50)));
        calls.begin(caller, gate, tools.clone().oneshot(call));
    }
}

pub(crate) fn begin_work(
    calls: &mut Calls,
    count: usize,
    sink: impl Sink + Clone + 'static,
    gate: &Gate,
    rng: &mut Rng,
) {
    let closed = gate.clone();
    let work = ServiceBuilder::new()
        .timing(sink)
        .service_fn(move |call: Call<bool>| {
            let gate = closed.clone();
            async move {
                gate.pass().await;
                if call.request {
                    panic();
                }
                Ok::<_, Infallible>(())
            }
        });
    for _ in 0..count {
        let call = Call::new(WORK, rng.bool());
        calls.begin(Caller::any(rng), gate, work.clone().oneshot(call));
    }
}

fn tools() -> ToolService {
    let echo = || tool_fn(|said: Value, _: CallContext| async move { Ok::<_, BoxError>(said) });
    let deny = service_fn(async |_: ApprovalRequest| {
        Ok::<_, Infallible>(Decision::deny("not under load"))
    });
    ToolService::builder()
        .tool("answers", echo())
        .tool(
            "denied",
            ApprovalLayer::new(deny, Duration::from_secs(60)).layer(echo()),
        )
        .tool(
            "sleeps",
            tool_fn(|millis: u64, _: CallContext| async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok::<_, BoxError>(millis)
            }),
        )
        .tool(
            "fails",
            tool_fn(|_: Value, _: CallContext| async {
                Err::<(), BoxError>("the disk is full".into())
            }),
        )
        .tool(
            "panics",
            tool_fn(|_: Value, _: CallContext| async {
                panic();
                Ok::<_, BoxError>(())
            }),
        )
        .tool(
            "hangs",
            tool_fn(|_: Value, _: CallContext| std::future::pending::<Result<(), BoxError>>()),
        )
        .build()
}

/// A panic without its message and backtrace, of which there would be thousands.
fn panic() {
    resume_unwind(Box::new("under load"));
}
