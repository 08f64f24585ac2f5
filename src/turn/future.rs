use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{Turn, TurnError};

/// The future of the turn services.
///
/// # Cancel safety
///
/// Dropping it before it is ready cancels the turn; see [`CodexExec`](super::CodexExec#cancel-safety).
#[must_use = "futures do nothing unless polled"]
pub struct TurnFuture {
    // Boxed: the state of a turn is large next to the layers around it, and an allocation is cheap next to a
    // process.
    run: Pin<Box<dyn Future<Output = Result<Turn, TurnError>> + Send>>,
}

impl TurnFuture {
    pub(super) fn new(run: impl Future<Output = Result<Turn, TurnError>> + Send + 'static) -> Self {
        Self { run: Box::pin(run) }
    }
}

impl Future for TurnFuture {
    type Output = Result<Turn, TurnError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.run.as_mut().poll(cx)
    }
}

impl fmt::Debug for TurnFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnFuture").finish_non_exhaustive()
    }
}
