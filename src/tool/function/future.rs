//! The future of [`ToolFn`](super::ToolFn).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use serde::Serialize;

use crate::{
    error::BoxError,
    tool::{ToolError, ToolOutput},
};

pin_project! {
    /// The response future of [`ToolFn`](super::ToolFn).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the function's future. It is as cancel safe as that one.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Running {
            #[pin]
            running: F,
            tool: Arc<str>,
        },
        Failed {
            error: Option<ToolError>,
        },
    }
}

// === impl ResponseFuture ===

impl<F> ResponseFuture<F> {
    pub(super) fn running(running: F, tool: Arc<str>) -> Self {
        Self {
            state: State::Running { running, tool },
        }
    }

    pub(super) fn failed(error: ToolError) -> Self {
        Self {
            state: State::Failed { error: Some(error) },
        }
    }
}

impl<F, O, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<O, E>>,
    O: Serialize,
    E: Into<BoxError>,
{
    type Output = Result<ToolOutput, ToolError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (running, tool) = match self.project().state.project() {
            StateProjection::Running { running, tool } => (running, tool),
            StateProjection::Failed { error } => {
                return Poll::Ready(Err(error.take().expect("polled after completion")));
            }
        };
        let output = match ready!(running.poll(cx)) {
            Ok(result) => serde_json::to_value(result).map_err(Into::into),
            Err(error) => Err(error.into()),
        };
        Poll::Ready(
            output
                .map(ToolOutput::new)
                .map_err(|error| ToolError::from_tool(tool, error)),
        )
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
