//! The future of [`ToolService`](super::ToolService).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tower::util::Oneshot;

use super::{ToolCall, ToolError, ToolOutput, service::BoxTool, stats::StatsGuard};
use crate::{call::CallContext, error::poll_catching_panics, event::names};

/// The response future of [`ToolService`](super::ToolService).
///
/// ```
/// use codex_telemetry::{
///     ErrorClass,
///     tool::{ToolCall, ToolError, ToolService, ToolSpec, future::ResponseFuture, tool_fn},
/// };
/// use serde_json::{Value, json};
/// use tower::Service;
///
/// # fn main() -> Result<(), codex_telemetry::tool::ToolSpecError> {
/// let echo = tool_fn(|value: Value, _context| async move { Ok::<_, ToolError>(value) });
/// let mut tools = ToolService::builder().tool(ToolSpec::new("echo", "Returns it"), echo).build()?;
///
/// let response: ResponseFuture = tools.call(ToolCall::new("echo", json!("hello")));
/// drop(response);
/// assert_eq!(tools.stats()["echo"].last_error_class, Some(ErrorClass::Cancelled));
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the future drops the tool's future and then counts the call as cancelled.
///
/// # Panics
///
/// When it is polled after it has completed.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    tool: Arc<str>,
    // Declared before the guard, so that it is dropped first: the latency of a cancelled call includes
    // the drop of the tool's future.
    state: State,
    /// `None` if the tool is unknown.
    guard: Option<StatsGuard>,
    /// The context of a running call whose result is recorded.
    recorder: Option<CallContext>,
}

enum State {
    Running(Option<Oneshot<BoxTool, ToolCall>>),
    /// The call failed before a tool ran.
    Failed(Option<ToolError>),
}

// === impl ResponseFuture ===

impl ResponseFuture {
    pub(super) fn failed(tool: Arc<str>, error: ToolError, guard: Option<StatsGuard>) -> Self {
        Self {
            tool,
            state: State::Failed(Some(error)),
            guard,
            recorder: None,
        }
    }

    pub(super) fn running(
        tool: Arc<str>,
        running: Oneshot<BoxTool, ToolCall>,
        guard: StatsGuard,
        recorder: Option<CallContext>,
    ) -> Self {
        Self {
            tool,
            state: State::Running(Some(running)),
            guard: Some(guard),
            recorder,
        }
    }
}

impl Future for ResponseFuture {
    type Output = Result<ToolOutput, ToolError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let result = match &mut this.state {
            State::Running(running) => match ready!(poll_catching_panics(Pin::new(running), cx)) {
                Ok(result) => result.map_err(|error| ToolError::from_tool(&this.tool, error)),
                Err(message) => Err(ToolError::Panicked {
                    tool: Arc::clone(&this.tool),
                    message,
                }),
            },
            State::Failed(error) => Err(error.take().expect("polled after completion")),
        };
        if let (Some(context), Ok(output)) = (&this.recorder, &result) {
            context.record_content(names::TOOL_CALL_RESULT, || output.to_text());
        }
        if let Some(guard) = &mut this.guard {
            guard.finish(result.as_ref().err().map(ToolError::class));
        }
        Poll::Ready(result)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("tool", &self.tool)
            .finish_non_exhaustive()
    }
}
