use std::{
    task::{Context, Poll},
    time::Duration,
};

use tower_service::Service;

use super::future::ResponseFuture;
use crate::{
    approval::{ApprovalRequest, Decision},
    error::BoxError,
    tool::{ToolCall, ToolError},
};

/// A service that asks an approver before each tool call.
///
/// [`ApprovalLayer`](super::ApprovalLayer) describes it and its backpressure.
///
/// ```
/// use codex_telemetry::{
///     approval::{ApprovalRequest, Decision},
///     tool::{ToolCall, ToolError, approval::ApprovalService, tool_fn},
/// };
/// use serde_json::json;
/// use std::{convert::Infallible, time::Duration};
/// use tower::{Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ToolError> {
/// let nobody = service_fn(|_: ApprovalRequest| std::future::pending::<Result<Decision, Infallible>>());
/// let delete = tool_fn(|path: String, _context| async move { Ok::<_, ToolError>(path.len()) });
/// let call = || ToolCall::new("delete", json!("/tmp/a"));
///
/// let mut guarded = ApprovalService::new(delete, nobody, Duration::from_millis(1));
/// let late = guarded.ready().await?.call(call()).await;
/// assert!(matches!(late, Err(ToolError::ApprovalTimeout { .. })));
///
/// // The tool itself asks nobody.
/// assert_eq!(guarded.get_mut().call(call()).await?.content, 6);
/// assert_eq!(guarded.get_ref().clone().oneshot(call()).await?.content, 6);
/// assert_eq!(guarded.into_inner().oneshot(call()).await?.content, 6);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ApprovalService<S, A> {
    inner: S,
    approver: A,
    deadline: Duration,
}

impl<S, A> ApprovalService<S, A> {
    /// Returns a service that asks `approver` before it calls `inner`, with a
    /// [deadline](super::ApprovalLayer#the-deadline) for the answer.
    pub const fn new(inner: S, approver: A, deadline: Duration) -> Self {
        Self {
            inner,
            approver,
            deadline,
        }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// The error is always a [`ToolError`]. An inner `ToolError` is returned unchanged; any other inner
/// error becomes [`ToolError::Failed`].
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

    /// Returns ready always.
    ///
    /// A reserved inner service would hold its capacity, such as the permit of a `ConcurrencyLimit`,
    /// while a person decides. The response future waits for the readiness of the approver and then
    /// of the inner service.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    /// Asks the approver, then calls the inner service. The deadline starts here.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with time enabled, as [`tokio::time::sleep`] does.
    fn call(&mut self, call: ToolCall) -> Self::Future {
        ResponseFuture::new(
            self.inner.clone(),
            self.approver.clone(),
            call,
            self.deadline,
        )
    }
}
