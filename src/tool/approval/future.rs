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
use tower::{ServiceExt, util::Oneshot};
use tower_service::Service;

use crate::{
    approval::{Answer, ApprovalRequest, Ask, Decision, Wait},
    error::BoxError,
    tool::{ToolCall, ToolError},
};

pin_project! {
    /// The response future of [`ApprovalService`](super::ApprovalService).
    ///
    /// ```
    /// use codex_telemetry::{
    ///     approval::{ApprovalRequest, Decision},
    ///     tool::{ToolCall, ToolError, approval::{ApprovalService, future::ResponseFuture}, tool_fn},
    /// };
    /// use serde_json::json;
    /// use std::{convert::Infallible, future::ready, time::Duration};
    /// use tower::Service;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), ToolError> {
    /// let yes = tower::service_fn(|_: ApprovalRequest| ready(Ok::<_, Infallible>(Decision::Accept)));
    /// let delete = tool_fn(|path: String, _context| ready(Ok::<_, ToolError>(path.len())));
    /// let mut guarded = ApprovalService::new(delete, yes, Duration::from_secs(60));
    ///
    /// let response: ResponseFuture<_, _> = guarded.call(ToolCall::new("delete", json!("/tmp/a")));
    /// assert!(format!("{response:?}").contains("awaiting approval"));
    /// assert_eq!(response.await?.content, 6);
    /// # Ok(())
    /// # }
    /// ```
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
            ask: Ask<A>,
            // Taken when the approver answers.
            call: Option<(S, ToolCall)>,
        },
        Running {
            #[pin]
            response: Oneshot<S, ToolCall>,
        },
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
        let request = ApprovalRequest::from(&call);
        Self {
            state: State::AwaitingApproval {
                wait: Wait::begin(&call.context),
                ask: Ask::new(approver, request, deadline),
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
                StateProjection::AwaitingApproval { wait, ask, call } => {
                    let answer = ready!(ask.poll(cx));
                    wait.end(&answer);
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

/// Returns `Ok` only if the approver accepted the call.
fn check_approval(answer: Answer, tool: &Arc<str>, deadline: Duration) -> Result<(), ToolError> {
    let tool = Arc::clone(tool);
    let reason = match answer {
        Answer::Decided(Decision::Accept | Decision::AcceptForSession) => return Ok(()),
        Answer::Decided(Decision::Decline { reason }) => reason,
        Answer::Decided(Decision::Cancel) => "it asks to end the turn".to_owned(),
        Answer::Decided(Decision::AcceptWithExecpolicyAmendment) => {
            "it accepted with a rule, and only a command of Codex can have one".to_owned()
        }
        Answer::TimedOut => {
            return Err(ToolError::ApprovalTimeout {
                tool,
                after: deadline,
            });
        }
        Answer::Failed(source) => return Err(ToolError::ApprovalFailed { tool, source }),
    };
    Err(ToolError::Denied { tool, reason })
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
