use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tower::{ServiceExt, util::Oneshot};
use tower_service::Service;

use super::{
    ApprovalRequest, Decision,
    deadline::{Deadline, Elapsed},
};
use crate::error::{BoxError, catch_panic, poll_catching_panics};

pin_project! {
    /// Asks an approver, with a deadline. An approver that panics has failed.
    ///
    /// The output is ready only after the approver's future has been dropped, so that a call `codex.approval` ends
    /// before the tool runs.
    ///
    /// # Panics
    ///
    /// Panics if it is polled after completion, and in no other case.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the approver's future. A panic of that drop has no one to be reported to: it ends here.
    pub(crate) struct Ask<A>
    where
        A: Service<ApprovalRequest>,
    {
        #[pin]
        approval: Option<Deadline<Oneshot<A, ApprovalRequest>>>,
    }

    impl<A> PinnedDrop for Ask<A>
    where
        A: Service<ApprovalRequest>,
    {
        fn drop(this: Pin<&mut Self>) {
            // Two of them that panic while a turn is dropped would abort the program.
            let _ = catch_panic(|| this.project().approval.set(None));
        }
    }
}

/// What came of a question.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The approver has decided in time.
    Decided(Decision),
    /// The deadline passed without an answer that was read before it.
    TimedOut,
    /// The approver failed or panicked.
    Failed(BoxError),
}

// === impl Ask ===

impl<A: Service<ApprovalRequest>> Ask<A> {
    /// Starts the time now. The approver is asked by the first poll, unless the deadline has passed by then.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime with time enabled.
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
        let error = match answer {
            Ok(Ok(Ok(decision))) => return Poll::Ready(Answer::Decided(decision)),
            Ok(Err(Elapsed)) => return Poll::Ready(Answer::TimedOut),
            // The conversion is code of the approver as well.
            Ok(Ok(Err(error))) => catch_panic(|| error.into()),
            Err(panic) => Err(panic),
        };
        Poll::Ready(Answer::Failed(error.unwrap_or_else(|panic| {
            format!("the approver panicked: {panic}").into()
        })))
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
