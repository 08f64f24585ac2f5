use std::{
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

use super::{ApprovalRequest, Decision, future::ResponseFuture};
use crate::{
    error::BoxError,
    tool::{ToolCall, ToolError},
};

/// The service that [`ApprovalLayer`](super::ApprovalLayer) makes.
#[derive(Clone, Debug)]
pub struct ApprovalService<S, A> {
    inner: S,
    approver: A,
    deadline: Duration,
}

impl<S, A> ApprovalService<S, A> {
    pub(super) fn new(inner: S, approver: A, deadline: Duration) -> Self {
        Self {
            inner,
            approver,
            deadline,
        }
    }

    /// Returns the service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the service inside, to change.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the service inside, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// The error is a [`ToolError`] whatever the inner one is: an inner `ToolError` passes unchanged, any
/// other becomes [`ToolError::Failed`]. That is why it fits around a tool as well as around the registry.
impl<S, A> Service<ToolCall> for ApprovalService<S, A>
where
    S: Service<ToolCall> + Clone,
    S::Error: Into<BoxError>,
    A: Service<ApprovalRequest, Response = Decision> + Clone,
    A::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = ToolError;
    type Future = ResponseFuture<S, A>;

    /// Always ready: to reserve the inner service now would hold its place, such as a permit of a
    /// concurrency limit, for as long as a person thinks. The future waits until approver and inner
    /// service are ready, each when it is its turn.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    /// Asks, then runs the inner service; the deadline runs from here.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time enabled, as [`tokio::time::timeout`] does.
    fn call(&mut self, call: ToolCall) -> Self::Future {
        ResponseFuture::new(
            self.inner.clone(),
            self.approver.clone(),
            call,
            self.deadline,
        )
    }
}
