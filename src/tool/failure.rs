/// A failure of a tool in words for the model that called it.
///
/// The text of any other error stays in the program: it may name paths, hosts or queries. The model is then told that the
/// tool failed, and no more.
///
/// ```
/// use codex_telemetry::tool::{ToolCall, ToolFailure, tool_fn};
/// use serde_json::{Value, json};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let lookup = tool_fn(|id: u32, _context| async move {
///     Err::<Value, _>(ToolFailure::new(format!("there is no ticket {id}: list the tickets first")))
/// });
/// let failed = lookup.oneshot(ToolCall::new("lookup", json!(7))).await.unwrap_err();
/// assert_eq!(
///     failed.message_for_model(),
///     "tool `lookup` failed: there is no ticket 7: list the tickets first"
/// );
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ToolFailure(String);

impl ToolFailure {
    /// Returns a failure with a message for the model: what happened, and what it can do.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
