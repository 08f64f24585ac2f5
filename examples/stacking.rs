//! Retry and timeout between the layers: one call for the caller's request, with one child call for each
//! attempt.
//!
//! Run with `cargo run --example stacking`.

use std::time::Duration;

use codex_telemetry::{
    BoxError, CallContext, CodexClassifier, MemorySink, Operation, Originator, Outcome,
    RetryPolicy, ServiceBuilderExt,
    tool::{ToolCall, ToolService, ToolSpec, tool_fn},
};
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let forecast = tool_fn(|city: String, context: CallContext| async move {
        if context.attempt() < 3 {
            // The timeout ends the first two attempts.
            std::future::pending::<()>().await;
        }
        Ok::<_, BoxError>(format!("sunny in {city}"))
    });
    let tools = ToolService::builder()
        .tool(
            ToolSpec::new("forecast", "Returns the weather of tomorrow"),
            forecast,
        )
        .build()?;

    let sink = MemorySink::new();
    let stack = ServiceBuilder::new()
        .originator(Originator::Sdk)
        // The request, including all attempts.
        .timing(sink.clone())
        .error_class(CodexClassifier)
        // Retries only errors whose class is retryable, such as a timeout.
        .retry(RetryPolicy::new().backoff(Duration::from_millis(20), Duration::from_secs(1)))
        // Each attempt.
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .timeout(Duration::from_millis(30))
        .service(tools);

    let response = stack
        .oneshot(ToolCall::new("forecast", json!("Lisbon")))
        .await?;
    println!("{}\n\n{}", response.content, sink.timeline());
    for event in sink.find(Operation::Tool, Outcome::Ok) {
        for span_event in event.span_events() {
            println!("{}", span_event.name);
        }
    }
    Ok(())
}
