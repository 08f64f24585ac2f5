//! The future of [`ApprovalService`](super::ApprovalService).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Timeout, error::Elapsed, timeout};
use tower::{ServiceExt, util::Oneshot};
use tower_service::Service;

use super::{ApprovalRequest, Decision};
use crate::{
    error::BoxError,
    tool::{ToolCall, ToolError, panic::caught},
};

pin_project! {
    /// The future of [`ApprovalService`](super::ApprovalService).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it drops the approver's future or the tool's, whichever is at work.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, A>
    where
        S: Service<ToolCall>,
        A: Service<ApprovalRequest>,
    {
        #[pin]
        state: State<S, A>,
        tool: Arc<str>,
        deadline: Duration,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, A>
    where
        S: Service<ToolCall>,
        A: Service<ApprovalRequest>,
    {
        Asking {
            #[pin]
            answer: Timeout<Oneshot<A, ApprovalRequest>>,
            // What runs if the answer is yes.
            waiting: Option<(S, ToolCall)>,
        },
        Running {
            #[pin]
            running: Oneshot<S, ToolCall>,
        },
        Done,
    }
}

// === impl ResponseFuture ===

impl<S, A> ResponseFuture<S, A>
where
    S: Service<ToolCall>,
    A: Service<ApprovalRequest>,
{
    pub(super) fn new(inner: S, approver: A, call: ToolCall, deadline: Duration) -> Self {
        let tool = Arc::clone(&call.name);
        let request = ApprovalRequest::new(&call);
        Self {
            state: State::Asking {
                answer: timeout(deadline, approver.oneshot(request)),
                waiting: Some((inner, call)),
            },
            tool,
            deadline,
        }
    }
}

impl<S, A> Future for ResponseFuture<S, A>
where
    S: Service<ToolCall>,
    S::Error: Into<BoxError>,
    A: Service<ApprovalRequest, Response = Decision>,
    A::Error: Into<BoxError>,
{
    type Output = Result<S::Response, ToolError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Asking { answer, waiting } => {
                    let answer = match caught(|| answer.poll(cx)) {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(answer)) => Ok(answer),
                        Err(panic) => Err(panic),
                    };
                    let waiting = waiting.take();
                    // The approver's call ends before the tool's goes on; to panic in that is no
                    // approval either.
                    let dropped = caught(|| this.state.set(State::Done));
                    let answer = answer.and_then(|answer| dropped.map(|()| answer));
                    verdict(answer, this.tool, *this.deadline)?;

                    let (inner, call) = waiting.expect("an answer comes once");
                    let running = inner.oneshot(call);
                    this.state.set(State::Running { running });
                }
                StateProjection::Running { running } => {
                    let result = ready!(running.poll(cx));
                    this.state.set(State::Done);
                    let failed = |error: S::Error| ToolError::from_tool(this.tool, error.into());
                    return Poll::Ready(result.map_err(failed));
                }
                StateProjection::Done => panic!("polled after it was done"),
            }
        }
    }
}

/// `Ok` is the only yes; all else is an error of `tool`.
fn verdict<E: Into<BoxError>>(
    answer: Result<Result<Result<Decision, E>, Elapsed>, String>,
    tool: &Arc<str>,
    deadline: Duration,
) -> Result<(), ToolError> {
    let tool = Arc::clone(tool);
    let source = match answer {
        Ok(Ok(Ok(Decision::Allow))) => return Ok(()),
        Ok(Ok(Ok(Decision::Deny { reason }))) => return Err(ToolError::Denied { tool, reason }),
        Ok(Err(_)) => {
            return Err(ToolError::ApprovalTimeout {
                tool,
                after: deadline,
            });
        }
        Ok(Ok(Err(error))) => error.into(),
        Err(panic) => format!("the approver panicked: {panic}").into(),
    };
    Err(ToolError::ApprovalFailed { tool, source })
}

impl<S, A> fmt::Debug for ResponseFuture<S, A>
where
    S: Service<ToolCall>,
    A: Service<ApprovalRequest>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Asking { .. } => "asking",
            State::Running { .. } => "running",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture")
            .field("tool", &self.tool)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
