use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_service::Service;

use super::{ToolCall, ToolOutput, ToolService, service::RegisteredTool, stats::SharedStats};
use crate::error::BoxError;

/// A builder that registers the tools of a [`ToolService`].
///
/// ```
/// use codex_telemetry::{
///     BoxError,
///     tool::{ToolCall, ToolOutput, ToolService, tool_fn},
/// };
/// use serde_json::json;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let sum = tool_fn(|terms: Vec<i64>, _context| async move {
///     Ok::<i64, BoxError>(terms.iter().sum())
/// });
/// // Any service of `ToolCall` is a tool, including its own layers.
/// let echo = ServiceBuilder::new().concurrency_limit(4).service(service_fn(
///     |call: ToolCall| async move { Ok::<_, BoxError>(ToolOutput::new(call.arguments)) },
/// ));
/// let tools = ToolService::builder().tool("sum", sum).tool("echo", echo).build();
/// let output = tools.oneshot(ToolCall::new("echo", json!("hello"))).await?;
/// assert_eq!(output.content, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct ToolServiceBuilder {
    tools: BTreeMap<Arc<str>, RegisteredTool>,
}

impl ToolServiceBuilder {
    /// Registers a tool: a service of [`ToolCall`], including its own layers.
    ///
    /// Each call runs on a clone of the service. Clones must share what limits the calls, as those of
    /// tower's `ConcurrencyLimit` do. An error that is a [`ToolError`](super::ToolError) is returned
    /// unchanged; any other error becomes [`ToolError::Failed`](super::ToolError::Failed).
    ///
    /// # Panics
    ///
    /// Panics if the name is registered already. Check names from outside the program with
    /// [`contains`](Self::contains).
    #[track_caller]
    pub fn tool<S>(mut self, name: impl Into<Arc<str>>, service: S) -> Self
    where
        S: Service<ToolCall, Response = ToolOutput> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError> + 'static,
        S::Future: Send + 'static,
    {
        let name = name.into();
        assert!(
            !self.contains(&name),
            "tool `{name}` is registered already: give one of the two another name"
        );
        let tool = RegisteredTool {
            service: BoxCloneSyncService::new(service.map_err(Into::into)),
            enabled: AtomicBool::new(true),
            stats: SharedStats::default(),
        };
        self.tools.insert(name, tool);
        self
    }

    /// Returns whether the name is registered.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tools.contains_key(name)
    }

    /// Returns the service. All tools are enabled.
    #[must_use]
    pub fn build(self) -> ToolService {
        ToolService::new(self.tools)
    }
}
