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
use tokio::time::Instant;
use tower::{ServiceExt, util::Oneshot};
use tower_service::Service;

use super::{
    ApprovalRequest, Decision,
    deadline::{Deadline, Elapsed},
};
use crate::{
    call::CallContext,
    error::BoxError,
    event::{millis, names},
    tool::{ToolCall, ToolError, panic::poll_catching_panics},
};

pin_project! {
    /// The response future of [`ApprovalService`](super::ApprovalService).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the approver's future or the inner service's, whichever is active.
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
        AwaitingApproval {
            wait: Wait,
            #[pin]
            approval: Option<Deadline<Oneshot<A, ApprovalRequest>>>,
            // Taken when the approver answers.
            call: Option<(S, ToolCall)>,
        },
        Running {
            #[pin]
            response: Oneshot<S, ToolCall>,
        },
    }
}

/// Records how long a call waits for its approval, however the wait ends: it is no part of the time that
/// the tool takes.
struct Wait {
    context: CallContext,
    began: Instant,
}

// === impl Wait ===

impl Wait {
    fn begin(context: &CallContext) -> Self {
        Self {
            context: context.clone(),
            began: Instant::now(),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let wait = millis(self.began.elapsed());
        self.context.record(names::APPROVAL_WAIT, wait);
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
            state: State::AwaitingApproval {
                wait: Wait::begin(&call.context),
                approval: Some(Deadline::new(deadline, approver.oneshot(request))),
                call: Some((inner, call)),
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
                StateProjection::AwaitingApproval { approval, call, .. } => {
                    // The approver's future is dropped here, so its call ends before the tool runs.
                    let answer = ready!(poll_catching_panics(approval, cx));
                    let call = call.take();
                    check_approval(answer, this.tool, *this.deadline)?;
                    let (inner, call) = call.expect("the approver answers once");
                    let response = inner.oneshot(call);
                    this.state.set(State::Running { response });
                }
                StateProjection::Running { response } => {
                    let result = ready!(response.poll(cx));
                    let result =
                        result.map_err(|error| ToolError::from_tool(this.tool, error.into()));
                    return Poll::Ready(result);
                }
            }
        }
    }
}

/// Returns `Ok` only if the approver allowed the call.
fn check_approval<E: Into<BoxError>>(
    answer: Result<Result<Result<Decision, E>, Elapsed>, String>,
    tool: &Arc<str>,
    deadline: Duration,
) -> Result<(), ToolError> {
    let tool = Arc::clone(tool);
    let source = match answer {
        Ok(Ok(Ok(Decision::Allow))) => return Ok(()),
        Ok(Ok(Ok(Decision::Deny { reason }))) => return Err(ToolError::Denied { tool, reason }),
        Ok(Err(Elapsed)) => {
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
            State::AwaitingApproval { .. } => "awaiting approval",
            State::Running { .. } => "running",
        };
        f.debug_struct("ResponseFuture")
            .field("tool", &self.tool)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
