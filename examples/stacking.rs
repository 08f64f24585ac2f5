//! Retry and timeout among the layers: one call as its caller sees it, and inside of it one call for
//! each attempt.
//!
//! Run with `cargo run --example stacking`.

use std::{
    future::{Ready, ready},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use codex_telemetry::{
    BoxError, CodexClassifier, CodexRequest, MemorySink, Originator, ServiceBuilderExt,
    tool::{ToolCall, ToolService, tool_fn},
};
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt, retry::Policy};

/// Tries again, up to a number of attempts, what the class of the error says may well succeed.
#[derive(Clone)]
struct RetryByClass {
    attempts: u32,
}

impl<T> Policy<ToolCall, T, BoxError> for RetryByClass {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        call: &mut ToolCall,
        result: &mut Result<T, BoxError>,
    ) -> Option<Ready<()>> {
        let error = result.as_ref().err()?;
        let context = call.context_mut();
        let hopeless = !CodexClassifier.of(&**error).class.is_retryable();
        if hopeless || context.attempt() >= self.attempts {
            return None;
        }
        // The next attempt's event says which it is, and the outer call notes that there was one.
        context.add_event(format!("attempt {} failed: {error}", context.attempt()));
        *context = context.clone().with_attempt(context.attempt() + 1);
        Some(ready(()))
    }

    fn clone_request(&mut self, call: &ToolCall) -> Option<ToolCall> {
        Some(call.clone())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let forecast = tool_fn(|city: String, _| async move {
        if ASKED.fetch_add(1, Relaxed) < 2 {
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
        .retry(RetryByClass { attempts: 3 })
        // Each attempt.
        .timing(sink.clone())
        .error_class(CodexClassifier)
        .timeout(Duration::from_millis(30))
        .service(tools);

    let answer = stack
        .oneshot(ToolCall::new("forecast", json!("Lisbon")))
        .await?;
    println!("{}\n\n{}", answer.content, sink.timeline());
    Ok(())
}
