use std::{collections::BTreeMap, sync::Arc};

use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_service::Service;

use super::{ToolCall, ToolOutput, ToolService, entry::Entry};
use crate::error::BoxError;

/// Collects the tools of a [`ToolService`].
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
/// // Any service of `ToolCall` is a tool, with layers of its own.
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
    tools: BTreeMap<Arc<str>, Arc<Entry>>,
}

impl ToolServiceBuilder {
    /// Adds a tool: a service of [`ToolCall`], with all of its own layers around it.
    ///
    /// Each call runs on a clone of it, so what limits the calls, such as tower's concurrency limit,
    /// must be shared between clones. Its error becomes
    /// [`ToolError::Failed`](super::ToolError::Failed), unless it is a
    /// [`ToolError`](super::ToolError) itself.
    ///
    /// # Panics
    ///
    /// If a tool of this name was added before: one of the two could never be called, and which one
    /// is not for a registry to choose. Ask [`contains`](Self::contains) when names come from elsewhere.
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
            "two tools are named `{name}`: give one of them another name"
        );
        let boxed = BoxCloneSyncService::new(service.map_err(Into::into));
        let entry = Entry::new(Arc::clone(&name), boxed);
        self.tools.insert(name, Arc::new(entry));
        self
    }

    /// Returns whether a tool of this name was added.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tools.contains_key(name)
    }

    /// Returns the service; all tools are enabled.
    #[must_use]
    pub fn build(self) -> ToolService {
        ToolService::new(self.tools)
    }
}
