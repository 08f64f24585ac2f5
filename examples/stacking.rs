//! Retry by class and timeout among the layers: one call as its caller sees it, and inside of it one call
//! for each attempt.
//!
//! Run with `cargo run --example stacking`.

use std::time::Duration;

use codex_telemetry::{
    BoxError, CallContext, CodexClassifier, MemorySink, Operation, Originator, Outcome,
    RetryPolicy, ServiceBuilderExt,
    tool::{ToolCall, ToolService, tool_fn},
};
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let forecast = tool_fn(|city: String, context: CallContext| async move {
        if context.attempt() < 3 {
            // Does not answer; the timeout ends it.
            std::future::pending::<()>().await;
        }
        Ok::<_, BoxError>(format!("sunny in {city}"))
    });
    let tools = ToolService::builder().tool("forecast", forecast).build();

    let sink = MemorySink::new();
    let stack = ServiceBuilder::new()
        .originator(Originator::Sdk)
        // The whole call, retries and all.
        .timing(sink.clone())
        .error_class(CodexClassifier)
        // A timeout may not happen again; a tool that does not exist will not exist in a second either.
        .retry(RetryPolicy::new().backoff(Duration::from_millis(20), Duration::from_secs(1)))
        // Each attempt.
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .timeout(Duration::from_millis(30))
        .service(tools);

    let answer = stack
        .oneshot(ToolCall::new("forecast", json!("Lisbon")))
        .await?;
    println!("{}\n\n{}", answer.content, sink.timeline());
    for whole in sink.find(Operation::Tool, Outcome::Ok) {
        for moment in whole.span_events() {
            println!("{}", moment.name);
        }
    }
    Ok(())
}
