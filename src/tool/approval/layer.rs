use std::time::Duration;

use tower_layer::Layer;

use super::ApprovalService;

/// Asks an approver before each call of a tool, and runs the tool only when the answer is
/// [`Decision::Allow`](super::Decision::Allow).
///
/// The approver is a tower service of [`ApprovalRequest`](super::ApprovalRequest). It fails closed: an
/// approver that denies, errs, panics or lets the deadline pass allows nothing, and each is its own
/// [`ToolError`](crate::tool::ToolError).
///
/// Around one tool, the registry has looked before that the tool exists and is enabled, and the time
/// of asking counts in the tool's stats. Around the whole
/// [`ToolService`](crate::tool::ToolService), the approver is asked about every call, also of unknown
/// names, and one that is not approved leaves the stats as they were.
///
/// ```
/// use codex_telemetry::tool::{
///     ApprovalLayer, ApprovalRequest, Decision, ToolCall, ToolError, ToolService, tool_fn,
/// };
/// use serde_json::json;
/// use std::{convert::Infallible, time::Duration};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let approver = service_fn(|request: ApprovalRequest| async move {
///     Ok::<_, Infallible>(match request.arguments.as_str() {
///         Some(path) if path.starts_with("/tmp/") => Decision::Allow,
///         _ => Decision::deny("only files in /tmp"),
///     })
/// });
/// let delete = tool_fn(|path: String, _context| async move { Ok::<_, ToolError>(path.len()) });
/// let guarded = ServiceBuilder::new()
///     .layer(ApprovalLayer::new(approver, Duration::from_secs(60)))
///     .service(delete);
/// let tools = ToolService::builder().tool("delete", guarded).build();
///
/// let done = tools.clone().oneshot(ToolCall::new("delete", json!("/tmp/a"))).await;
/// assert!(done.is_ok());
/// let denied = tools.oneshot(ToolCall::new("delete", json!("/etc/passwd"))).await;
/// assert!(matches!(denied, Err(ToolError::Denied { .. })));
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ApprovalLayer<A> {
    approver: A,
    deadline: Duration,
}

impl<A> ApprovalLayer<A> {
    /// Returns a layer that gives `approver` until `deadline` after the call to answer, the time until
    /// it is ready included.
    pub const fn new(approver: A, deadline: Duration) -> Self {
        Self { approver, deadline }
    }
}

impl<S, A: Clone> Layer<S> for ApprovalLayer<A> {
    type Service = ApprovalService<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        ApprovalService::new(inner, self.approver.clone(), self.deadline)
    }
}
