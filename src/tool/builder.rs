use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_service::Service;

use super::{
    ToolCall, ToolOutput, ToolService, ToolSpec, ToolSpecError, service::RegisteredTool,
    stats::SharedStats, validation,
};
use crate::error::BoxError;

/// A builder that registers the tools of a [`ToolService`].
///
/// ```
/// use codex_telemetry::{
///     BoxError,
///     tool::{ToolCall, ToolOutput, ToolService, ToolSpec, tool_fn},
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
/// let tools = ToolService::builder()
///     .namespace("maths", "Exact arithmetic")
///     .tool(ToolSpec::new("maths.sum", "Adds numbers"), sum)
///     .tool(ToolSpec::new("echo", "Returns its arguments"), echo)
///     .build()?;
/// let output = tools.oneshot(ToolCall::new("echo", json!("hello"))).await?;
/// assert_eq!(output.content, "hello");
///
/// let wrong = ToolService::builder().namespace("maths and more", "Exact arithmetic").build();
/// assert_eq!(
///     wrong.unwrap_err().to_string(),
///     "the name \"maths and more\" of a namespace is invalid: use 1 to 64 of the characters a-z, A-Z, 0-9, _ and -"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct ToolServiceBuilder {
    tools: BTreeMap<Arc<str>, RegisteredTool>,
    namespaces: BTreeMap<Arc<str>, String>,
    /// What is wrong with what was added first of what is wrong.
    fault: Option<ToolSpecError>,
}

impl ToolServiceBuilder {
    /// Registers a tool: its specification, and a service of [`ToolCall`], including its own layers.
    ///
    /// Each call runs on a clone of the service. Clones must share what limits the calls, as those of
    /// tower's `ConcurrencyLimit` do. An error that is a [`ToolError`](super::ToolError) is returned
    /// unchanged; any other error becomes [`ToolError::Failed`](super::ToolError::Failed).
    pub fn tool<S>(mut self, spec: ToolSpec, service: S) -> Self
    where
        S: Service<ToolCall, Response = ToolOutput> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError> + 'static,
        S::Future: Send + 'static,
    {
        let name = Arc::clone(spec.shared_name());
        let tool = RegisteredTool {
            spec,
            service: BoxCloneSyncService::new(service.map_err(Into::into)),
            enabled: AtomicBool::new(true),
            stats: SharedStats::default(),
        };
        if self.tools.insert(Arc::clone(&name), tool).is_some() {
            self.fault.get_or_insert(ToolSpecError::Duplicate { name });
        }
        self
    }

    /// Registers a namespace, for tools whose names begin with its name and a dot, and says what they have in common.
    pub fn namespace(mut self, name: impl Into<Arc<str>>, description: impl Into<String>) -> Self {
        let name = name.into();
        let before = self
            .namespaces
            .insert(Arc::clone(&name), description.into());
        if before.is_some() {
            self.fault.get_or_insert(ToolSpecError::Duplicate { name });
        }
        self
    }

    /// Returns whether the name is registered.
    ///
    /// ```
    /// use codex_telemetry::tool::{ToolError, ToolService, ToolSpec, tool_fn};
    ///
    /// // A plugin does not replace a tool of the program.
    /// let echo = tool_fn(|value: String, _context| async move { Ok::<_, ToolError>(value) });
    /// let mut tools = ToolService::builder().tool(ToolSpec::new("echo", "Of the program"), echo.clone());
    /// for name in ["echo", "shout"] {
    ///     if !tools.contains(name) {
    ///         tools = tools.tool(ToolSpec::new(name, "Of a plugin"), echo.clone());
    ///     }
    /// }
    /// let tools = tools.build()?;
    /// assert_eq!(tools.spec("echo").map(|spec| spec.description()), Some("Of the program"));
    /// # Ok::<(), codex_telemetry::tool::ToolSpecError>(())
    /// ```
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tools.contains_key(name)
    }

    /// Returns the service. All tools are enabled.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the specification of a tool or with a namespace: a name that Codex or the models do not
    /// take, that belongs to Codex or that is registered twice, an unknown namespace, no description, or an invalid schema.
    pub fn build(self) -> Result<ToolService, ToolSpecError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        for (name, description) in &self.namespaces {
            validation::check_namespace(name, description)?;
            if self.tools.contains_key(name) {
                return Err(ToolSpecError::Duplicate {
                    name: Arc::clone(name),
                });
            }
        }
        let mut names_in_scripts = BTreeMap::new();
        for (name, tool) in &self.tools {
            let other = names_in_scripts.insert(validation::name_in_scripts(name), name);
            if let Some(other) = other {
                return Err(ToolSpecError::Ambiguous {
                    name: Arc::clone(name),
                    other: Arc::clone(other),
                });
            }
            let (namespace, _) = tool.spec.parts();
            if namespace.is_some_and(|namespace| !self.namespaces.contains_key(namespace)) {
                return Err(ToolSpecError::UnknownNamespace {
                    tool: Arc::clone(name),
                });
            }
            validation::check(&tool.spec)?;
        }
        Ok(ToolService::new(self.tools, self.namespaces))
    }
}
