//! Tools that succeed, fail, panic, are denied or never return, and a service that panics.

use std::{convert::Infallible, panic::resume_unwind, time::Duration};

use codex_telemetry::{
    ApprovalLayer, ApprovalRequest, BoxError, Call, CallContext, CodexClassifier, Decision,
    Operation, Originator, ServiceBuilderExt, Sink, ToolCall, ToolService, ToolSpec, tool_fn,
};
use fastrand::Rng;
use serde_json::{Value, json};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::calls::{Caller, Calls, Gate};

/// The operation of the service that panics.
pub(crate) const WORK: Operation = Operation::Custom("soak.work");

pub(crate) fn begin(
    calls: &mut Calls,
    count: usize,
    sink: impl Sink + Clone + 'static,
    gate: &Gate,
    rng: &mut Rng,
) {
    let (tools, tool_gate) = (tools(), gate.clone());
    let tools = ServiceBuilder::new()
        .originator(Originator::Sdk)
        .timing(sink)
        .error_class(CodexClassifier)
        .service_fn(move |call: ToolCall| {
            let (tools, gate) = (tools.clone(), tool_gate.clone());
            async move {
                gate.pass().await;
                tools.oneshot(call).await
            }
        });
    for _ in 0..count {
        let name = *rng
            .choice(&[
                "echoes", "echoes", "sleeps", "fails", "panics", "denied", "hangs", "unknown",
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
    let work_gate = gate.clone();
    let work = ServiceBuilder::new()
        .timing(sink)
        .service_fn(move |call: Call<bool>| {
            let gate = work_gate.clone();
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
    let echo = || tool_fn(|value: Value, _: CallContext| async move { Ok::<_, BoxError>(value) });
    let decline = service_fn(async |_: ApprovalRequest| {
        Ok::<_, Infallible>(Decision::decline("not under load"))
    });
    ToolService::builder()
        .tool(ToolSpec::new("echoes", "A tool of the tests"), echo())
        .tool(
            ToolSpec::new("denied", "A tool of the tests"),
            ApprovalLayer::new(decline, Duration::from_secs(60)).layer(echo()),
        )
        .tool(
            ToolSpec::new("sleeps", "A tool of the tests"),
            tool_fn(|millis: u64, _: CallContext| async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok::<_, BoxError>(millis)
            }),
        )
        .tool(
            ToolSpec::new("fails", "A tool of the tests"),
            tool_fn(|_: Value, _: CallContext| async {
                Err::<(), BoxError>("the disk is full".into())
            }),
        )
        .tool(
            ToolSpec::new("panics", "A tool of the tests"),
            tool_fn(|_: Value, _: CallContext| async {
                panic();
                Ok::<_, BoxError>(())
            }),
        )
        .tool(
            ToolSpec::new("hangs", "A tool of the tests"),
            tool_fn(|_: Value, _: CallContext| std::future::pending::<Result<(), BoxError>>()),
        )
        .build()
        .unwrap()
}

/// Panics without printing a message, because there are thousands of panics.
fn panic() {
    resume_unwind(Box::new("under load"));
}
