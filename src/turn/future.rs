use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{Turn, TurnError};
use crate::event::PhaseClock;

/// The future of the turn services.
///
/// ```
/// use codex_telemetry::turn::{CodexExec, TurnFuture, TurnRequest};
/// use tower::Service;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut turns = CodexExec::new();
/// let turn: TurnFuture = turns.call(TurnRequest::new("Say hi"));
/// assert_eq!(turns.active(), 1);
/// // It was not polled: Codex was not started.
/// drop(turn);
/// assert_eq!(turns.active(), 0);
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping it before it is ready cancels the turn; see [`CodexExec`](super::CodexExec#cancel-safety) and
/// [`CodexAppServer`](super::CodexAppServer#cancel-safety).
#[must_use = "futures do nothing unless polled"]
pub struct TurnFuture {
    // Boxed: the state of a turn is large next to the layers around it, and an allocation is cheap next to a
    // process.
    run: Pin<Box<dyn Future<Output = Result<Turn, TurnError>> + Send>>,
    /// `None` once the turn has returned: the clock may be that of its next attempt by the time this is dropped.
    phases: Option<Arc<PhaseClock>>,
}

impl TurnFuture {
    pub(super) fn new(
        phases: Arc<PhaseClock>,
        run: impl Future<Output = Result<Turn, TurnError>> + Send + 'static,
    ) -> Self {
        let run = Box::pin(run);
        Self {
            run,
            phases: Some(phases),
        }
    }
}

impl Future for TurnFuture {
    type Output = Result<Turn, TurnError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut result = ready!(self.run.as_mut().poll(cx));
        if let Some(phases) = self.phases.take() {
            phases.freeze();
            if let Ok(turn) = &mut result {
                turn.phases = phases.phases();
            }
        }
        Poll::Ready(result)
    }
}

impl Drop for TurnFuture {
    fn drop(&mut self) {
        // Before the turn, which ends its tools and questions.
        if let Some(phases) = &self.phases {
            phases.freeze();
        }
    }
}

impl fmt::Debug for TurnFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnFuture").finish_non_exhaustive()
    }
}
