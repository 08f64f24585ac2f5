use std::time::Duration;

use tower_layer::Layer;

use super::ApprovalService;

/// A layer that asks an approver before each tool call, and runs the tool only if it accepts in time.
///
/// The approver is a tower service of [`ApprovalRequest`](crate::approval::ApprovalRequest); see
/// [`approval`](crate::approval). The layer fails closed:
///
/// | answer | the tool | [`ToolError`](crate::tool::ToolError) |
/// |---|---|---|
/// | `Accept`, `AcceptForSession` | runs this once | |
/// | `Decline` | does not run | `Denied`, with the approver's reason |
/// | `Cancel` | does not run | `Denied`; to end its turn, if there is one, is up to the program |
/// | `AcceptWithExecpolicyAmendment` | does not run: there is no rule to write | `Denied` |
/// | an error or a panic | does not run | `ApprovalFailed` |
/// | none before the [deadline](#the-deadline) | does not run | `ApprovalTimeout` |
///
/// Put the layer around one tool or around the whole registry:
///
/// - Around one tool, the approver sees only calls of that tool while it is enabled. The tool's stats
///   count the call, and its latency includes the wait for the approver.
/// - Around a [`ToolService`](crate::tool::ToolService), the approver sees every call, including those
///   of unknown and disabled tools. The stats count only approved calls.
///
/// # The deadline
///
/// The time starts when the service is called, and not with the first poll. Inside of a
/// [`ToolService`](crate::tool::ToolService), whose future calls the tool when it is first polled, it starts
/// then. It includes the wait until the approver is ready.
///
/// An answer counts only if it is read before the deadline. So a late yes is a no, even if it was given in
/// time and the future was not polled until later; an approver that was not asked by then is not asked. Once
/// a call is accepted, the deadline is over: to bound the tool and the wait for its readiness, put a timeout
/// around the tool. The clock is tokio's, which on Linux stands still while the machine is suspended.
///
/// # Backpressure
///
/// [`ApprovalService`] is always ready. The response future waits for the approver and then for the
/// inner service, so the number of waiting calls is not bounded. To bound it, put tower's
/// `ConcurrencyLimit` outside this layer, with `LoadShed` around that to fail at once instead of
/// waiting. A limit inside this layer bounds only the running tools.
///
/// ```
/// use codex_telemetry::{
///     approval::{ApprovalRequest, Decision},
///     tool::{ApprovalLayer, ToolCall, ToolError, ToolService, ToolSpec, tool_fn},
/// };
/// use serde_json::{Value, json};
/// use std::{convert::Infallible, time::Duration};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let approver = service_fn(|request: ApprovalRequest| async move {
///     Ok::<_, Infallible>(match request.action.arguments().and_then(Value::as_str) {
///         Some(path) if path.starts_with("/tmp/") => Decision::Accept,
///         _ => Decision::decline("only files in /tmp"),
///     })
/// });
/// let delete = tool_fn(|path: String, _context| async move { Ok::<_, ToolError>(path.len()) });
/// let guarded = ServiceBuilder::new()
///     .layer(ApprovalLayer::new(approver, Duration::from_secs(60)))
///     .service(delete);
/// let tools = ToolService::builder().tool(ToolSpec::new("delete", "Deletes a file"), guarded).build()?;
///
/// let accepted = tools.clone().oneshot(ToolCall::new("delete", json!("/tmp/a"))).await;
/// assert!(accepted.is_ok());
/// let declined = tools.oneshot(ToolCall::new("delete", json!("/etc/passwd"))).await;
/// assert!(matches!(declined, Err(ToolError::Denied { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ApprovalLayer<A> {
    approver: A,
    deadline: Duration,
}

impl<A> ApprovalLayer<A> {
    /// Returns a layer that asks `approver`, with a [`deadline`](Self#the-deadline) for the answer.
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
