use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_service::Service;

use super::{
    ToolCall, ToolError, ToolOutput, ToolServiceBuilder, ToolSpec, ToolStats,
    future::ResponseFuture, stats::SharedStats,
};
use crate::{
    error::BoxError,
    event::{content::to_json, names},
};

/// A registry of tools, as a service that routes each [`ToolCall`] to the tool of that name.
///
/// Clones share the tools, their enabled state and their [stats](Self::stats).
///
/// A panic in a tool becomes [`ToolError::Panicked`], unless the program is built with
/// `panic = "abort"`. The service spawns no task: a tool runs in the response future, and dropping
/// that future cancels the tool.
///
/// # Backpressure
///
/// The service is always ready. The response future waits until the called tool is ready, so the
/// number of waiting calls is not bounded. To bound it, put tower's `ConcurrencyLimit` around the
/// service, with `LoadShed` outside to fail at once instead of waiting.
///
/// ```
/// use codex_telemetry::tool::{ToolCall, ToolError, ToolService, ToolSpec, tool_fn};
/// use serde_json::{Value, json};
/// use tower::{ServiceExt, util::BoxCloneSyncService};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let echo = tool_fn(|value: Value, _context| async move { Ok::<_, ToolError>(value) });
/// let tools = ToolService::builder().tool(ToolSpec::new("echo", "Returns its arguments"), echo).build()?;
///
/// tools.set_enabled("echo", false)?;
/// let disabled = tools.clone().oneshot(ToolCall::new("echo", json!("hello"))).await;
/// assert!(matches!(disabled, Err(ToolError::Disabled { .. })));
///
/// let unknown = tools.oneshot(ToolCall::new("ecko", json!("hello"))).await;
/// assert_eq!(
///     unknown.unwrap_err().to_string(),
///     "unknown tool `ecko`: use one of `echo`"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ToolService(Arc<Registry>);

struct Registry {
    tools: BTreeMap<Arc<str>, RegisteredTool>,
    /// The keys of `tools`, shared with errors.
    names: Arc<[Arc<str>]>,
    /// What the tools of each namespace have in common.
    namespaces: BTreeMap<Arc<str>, String>,
}

pub(super) type BoxTool = BoxCloneSyncService<ToolCall, ToolOutput, BoxError>;

/// A tool of the registry with the state that all of its callers share.
#[derive(Debug)]
pub(super) struct RegisteredTool {
    pub(super) spec: ToolSpec,
    pub(super) service: BoxTool,
    pub(super) enabled: AtomicBool,
    pub(super) stats: SharedStats,
}

// === impl ToolService ===

impl ToolService {
    /// Returns a builder without tools.
    pub fn builder() -> ToolServiceBuilder {
        ToolServiceBuilder::default()
    }

    pub(super) fn new(
        tools: BTreeMap<Arc<str>, RegisteredTool>,
        namespaces: BTreeMap<Arc<str>, String>,
    ) -> Self {
        let names = tools.keys().cloned().collect();
        Self(Arc::new(Registry {
            tools,
            names,
            namespaces,
        }))
    }

    /// Returns the names of all tools, sorted, including disabled tools.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.0.names
    }

    /// Returns the specification of a tool.
    #[must_use]
    pub fn spec(&self, name: &str) -> Option<&ToolSpec> {
        Some(&self.0.tools.get(name)?.spec)
    }

    /// Returns what the tools of a namespace have in common.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&str> {
        self.0.namespaces.get(name).map(String::as_str)
    }

    /// Returns the specifications of the tools that are enabled, in the order of their names.
    #[cfg(all(feature = "turn", unix))]
    pub(crate) fn enabled_specs(&self) -> impl Iterator<Item = &ToolSpec> {
        let tools = self.0.tools.values();
        tools
            .filter(|tool| tool.enabled.load(Relaxed))
            .map(|tool| &tool.spec)
    }

    /// Returns whether the tool is registered and enabled.
    #[must_use]
    pub fn is_enabled(&self, name: &str) -> bool {
        let tool = self.0.tools.get(name);
        tool.is_some_and(|tool| tool.enabled.load(Relaxed))
    }

    /// Enables or disables a tool for all clones. Active calls continue.
    ///
    /// # Errors
    ///
    /// Returns [`ToolError::NotFound`] if the tool is not registered.
    pub fn set_enabled(&self, name: &str, enabled: bool) -> Result<(), ToolError> {
        self.find(name)?.enabled.store(enabled, Relaxed);
        Ok(())
    }

    /// Returns the stats of each tool by name.
    ///
    /// A call is counted exactly once, when it ends. A call of a disabled tool is a failure of class
    /// `policy_denied`, and a dropped call is a failure of class `cancelled`. The latency starts when
    /// `call` is called and includes the time in the tool's own layers, such as an approval. Calls of
    /// unknown tools are not counted.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<Arc<str>, ToolStats> {
        self.map_stats(|stats| stats.clone())
    }

    /// Returns the stats of each tool by name and resets them.
    ///
    /// Each tool is read and reset in one step, so no call is lost. An active call is counted when it
    /// ends, after the reset.
    ///
    /// ```
    /// use codex_telemetry::tool::{ToolCall, ToolError, ToolService, ToolSpec, tool_fn};
    /// use serde_json::{Value, json};
    /// use tower::ServiceExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let echo = tool_fn(|value: Value, _context| async move { Ok::<_, ToolError>(value) });
    /// let tools = ToolService::builder()
    ///     .namespace("words", "What to do with words")
    ///     .tool(ToolSpec::new("words.echo", "Returns its arguments"), echo)
    ///     .build()?;
    /// tools.clone().oneshot(ToolCall::new("words.echo", json!("hello"))).await?;
    ///
    /// // A page of all tools, which counts from its last reading.
    /// let stats = tools.take_stats();
    /// for name in tools.names() {
    ///     let what = tools.spec(name).map(|spec| spec.description()).unwrap_or_default();
    ///     println!("{name} ({what}): {} calls", stats[name].success);
    /// }
    /// assert_eq!(stats["words.echo"].success, 1);
    /// assert_eq!(tools.stats()["words.echo"].success, 0);
    /// assert_eq!(tools.namespace("words"), Some("What to do with words"));
    /// assert!(tools.is_enabled("words.echo"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn take_stats(&self) -> BTreeMap<Arc<str>, ToolStats> {
        self.map_stats(std::mem::take)
    }

    fn find(&self, name: &str) -> Result<&RegisteredTool, ToolError> {
        self.0.tools.get(name).ok_or_else(|| ToolError::NotFound {
            name: name.into(),
            known: Arc::clone(&self.0.names),
        })
    }

    fn map_stats(
        &self,
        read: impl Fn(&mut ToolStats) -> ToolStats,
    ) -> BTreeMap<Arc<str>, ToolStats> {
        let tools = self.0.tools.iter();
        tools
            .map(|(name, tool)| (Arc::clone(name), read(&mut tool.stats.lock())))
            .collect()
    }
}

impl Service<ToolCall> for ToolService {
    type Response = ToolOutput;
    type Error = ToolError;
    type Future = ResponseFuture;

    /// Returns ready always: the tool is not known before the call. See
    /// [Backpressure](Self#backpressure).
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ToolCall) -> Self::Future {
        let name = Arc::clone(&call.name);
        let recorder = call.context.captures_content();
        let recorder = recorder.then(|| call.context.clone());
        if let Some(context) = &recorder {
            context.record_content(names::TOOL_CALL_ARGUMENTS, || to_json(&call.arguments));
        }
        let tool = match self.find(&name) {
            Ok(tool) => tool,
            Err(error) => return ResponseFuture::failed(name, error, None),
        };
        call.context.record(names::TOOL_TYPE, "function");
        let guard = tool.stats.start();
        if tool.enabled.load(Relaxed) {
            // The clone does not share the readiness of the original: `oneshot` waits for it.
            return ResponseFuture::running(
                name,
                tool.service.clone().oneshot(call),
                guard,
                recorder,
            );
        }
        let error = ToolError::Disabled { tool: call.name };
        ResponseFuture::failed(name, error, Some(guard))
    }
}

impl fmt::Debug for ToolService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolService")
            .field("tools", &self.0.names)
            .finish_non_exhaustive()
    }
}
