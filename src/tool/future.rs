//! The future of [`ToolService`](super::ToolService).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower::util::Oneshot;

use super::{
    ToolCall, ToolError, ToolOutput,
    entry::{BoxTool, Tally},
    panic::caught,
};

pin_project! {
    /// The future of [`ToolService`](super::ToolService).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it drops the tool's future and then counts the call as cancelled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture {
        // Declared before the tally, so that it is dropped first: what the tool does while it is
        // dropped is time of the call.
        #[pin]
        running: Option<Oneshot<BoxTool, ToolCall>>,
        // The answer, when no tool runs.
        refusal: Option<ToolError>,
        // `None` for a tool that is unknown.
        tally: Option<Tally>,
    }
}

// === impl ResponseFuture ===

impl ResponseFuture {
    pub(super) fn refused(error: ToolError) -> Self {
        Self {
            running: None,
            refusal: Some(error),
            tally: None,
        }
    }

    pub(super) fn disabled(tally: Tally) -> Self {
        Self {
            running: None,
            refusal: Some(ToolError::Disabled {
                tool: Arc::clone(tally.tool()),
            }),
            tally: Some(tally),
        }
    }

    pub(super) fn running(tool: Oneshot<BoxTool, ToolCall>, tally: Tally) -> Self {
        Self {
            running: Some(tool),
            refusal: None,
            tally: Some(tally),
        }
    }
}

impl Future for ResponseFuture {
    type Output = Result<ToolOutput, ToolError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = match (this.running.as_mut().as_pin_mut(), &this.tally) {
            (Some(running), Some(tally)) => {
                let polled = match caught(|| running.poll(cx)) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(result)) => Ok(result),
                    Err(panic) => Err(panic),
                };
                // The tool's future goes before the call is counted; it may panic in that, too.
                let dropped = caught(|| this.running.set(None));
                match polled.and_then(|result| dropped.map(|()| result)) {
                    Ok(result) => result.map_err(|error| ToolError::from_tool(tally.tool(), error)),
                    Err(panic) => Err(ToolError::panicked(tally.tool(), panic)),
                }
            }
            _ => Err(this.refusal.take().expect("polled after it was done")),
        };
        if let Some(tally) = this.tally {
            tally.count(result.as_ref().err().map(ToolError::class));
        }
        Poll::Ready(result)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("tool", &self.tally.as_ref().map(Tally::tool))
            .finish_non_exhaustive()
    }
}
