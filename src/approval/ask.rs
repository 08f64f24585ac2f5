use std::{
    future::Future,
    pin::Pin,
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
    error::{BoxError, poll_catching_panics},
    event::{millis, names},
};

pin_project! {
    /// Asks an approver, with a deadline. It never panics: an approver that does has failed.
    pub(crate) struct Ask<A>
    where
        A: Service<ApprovalRequest>,
    {
        // The approver's future is dropped when it has answered, so its call ends before the tool runs.
        #[pin]
        approval: Option<Deadline<Oneshot<A, ApprovalRequest>>>,
    }
}

/// What came of a question.
#[derive(Debug)]
pub(crate) enum Answer {
    Decided(Decision),
    /// The deadline passed without an answer.
    TimedOut,
    /// The approver failed or panicked.
    Failed(BoxError),
}

/// How long a tool call waits for an approval, and how the wait ends. It is no part of the time that the tool
/// takes.
///
/// It is recorded on the call of the tool when this is dropped.
pub(crate) struct Wait {
    tool: CallContext,
    began: Instant,
    decision: &'static str,
}

// === impl Ask ===

impl<A: Service<ApprovalRequest>> Ask<A> {
    /// Starts the time now.
    pub(crate) fn new(approver: A, request: ApprovalRequest, deadline: Duration) -> Self {
        Self {
            approval: Some(Deadline::new(deadline, approver.oneshot(request))),
        }
    }
}

impl<A> Future for Ask<A>
where
    A: Service<ApprovalRequest, Response = Decision>,
    A::Error: Into<BoxError>,
{
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let answer = ready!(poll_catching_panics(self.project().approval, cx));
        Poll::Ready(match answer {
            Ok(Ok(Ok(decision))) => Answer::Decided(decision),
            Ok(Ok(Err(error))) => Answer::Failed(error.into()),
            Ok(Err(Elapsed)) => Answer::TimedOut,
            Err(panic) => Answer::Failed(format!("the approver panicked: {panic}").into()),
        })
    }
}

// === impl Answer ===

impl Answer {
    /// Returns the name, as `codex.approval.decision` has it.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Decided(decision) => decision.as_str(),
            Self::TimedOut => "timeout",
            Self::Failed(_) => "error",
        }
    }
}

// === impl Wait ===

impl Wait {
    /// Starts the time now.
    pub(crate) fn begin(tool: &CallContext) -> Self {
        Self {
            tool: tool.clone(),
            began: Instant::now(),
            decision: "unanswered",
        }
    }

    pub(crate) fn end(&mut self, answer: &Answer) {
        self.decision = answer.as_str();
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let wait = millis(self.began.elapsed());
        self.tool.record(names::APPROVAL_WAIT, wait);
        self.tool.record(names::APPROVAL_DECISION, self.decision);
    }
}
