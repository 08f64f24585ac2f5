//! The future of [`ToolService`](super::ToolService).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::util::Oneshot;

use super::{
    ToolCall, ToolError, ToolOutput,
    panic::poll_catching_panics,
    registered_tool::{BoxTool, StatsGuard},
};

pin_project! {
    /// The response future of [`ToolService`](super::ToolService).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the tool's future and then counts the call as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture {
        #[pin]
        state: State,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State {
        Running {
            // Declared before the guard, so that it is dropped first: the latency of a cancelled call
            // includes the drop of the tool's future.
            #[pin]
            tool: Option<Oneshot<BoxTool, ToolCall>>,
            guard: StatsGuard,
        },
        // The call failed before a tool ran. There is no guard if the tool is unknown.
        Failed {
            error: Option<ToolError>,
            guard: Option<StatsGuard>,
        },
    }
}

// === impl ResponseFuture ===

impl ResponseFuture {
    pub(super) fn failed(error: ToolError, guard: Option<StatsGuard>) -> Self {
        let error = Some(error);
        let state = State::Failed { error, guard };
        Self { state }
    }

    pub(super) fn running(tool: Oneshot<BoxTool, ToolCall>, guard: StatsGuard) -> Self {
        let tool = Some(tool);
        let state = State::Running { tool, guard };
        Self { state }
    }
}

impl Future for ResponseFuture {
    type Output = Result<ToolOutput, ToolError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (result, guard) = match self.project().state.project() {
            StateProjection::Running { tool, guard } => {
                let name = guard.tool();
                let result = match ready!(poll_catching_panics(tool, cx)) {
                    Ok(result) => result.map_err(|error| ToolError::from_tool(name, error)),
                    Err(message) => Err(ToolError::Panicked {
                        tool: Arc::clone(name),
                        message,
                    }),
                };
                (result, Some(guard))
            }
            StateProjection::Failed { error, guard } => {
                let error = error.take().expect("polled after completion");
                (Err(error), guard.as_mut())
            }
        };
        if let Some(guard) = guard {
            guard.finish(result.as_ref().err().map(ToolError::class));
        }
        Poll::Ready(result)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = match &self.state {
            State::Running { guard, .. } => Some(guard),
            State::Failed { guard, .. } => guard.as_ref(),
        };
        f.debug_struct("ResponseFuture")
            .field("tool", &guard.map(StatsGuard::tool))
            .finish_non_exhaustive()
    }
}
