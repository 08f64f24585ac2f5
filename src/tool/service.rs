use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use tower::ServiceExt;
use tower_service::Service;

use super::{
    ToolCall, ToolError, ToolOutput, ToolServiceBuilder, ToolStats,
    entry::{Entry, Tally},
    future::ResponseFuture,
};
use crate::event::names;

/// Runs tools by name.
///
/// Clones share the tools, which of them are enabled, and the counts.
///
/// A panic in a tool is caught and becomes [`ToolError::Panicked`], where panics unwind: under
/// `panic = "abort"` there is nothing to catch. No task is spawned: a tool runs in the future of its
/// call, and is cancelled with it.
///
/// ```
/// use codex_telemetry::tool::{ToolCall, ToolError, ToolService, tool_fn};
/// use serde_json::{Value, json};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ToolError> {
/// let echo = tool_fn(|said: Value, _context| async move { Ok::<_, ToolError>(said) });
/// let tools = ToolService::builder().tool("echo", echo).build();
///
/// tools.set_enabled("echo", false)?;
/// let refused = tools.clone().oneshot(ToolCall::new("echo", json!("hello"))).await;
/// assert!(matches!(refused, Err(ToolError::Disabled { .. })));
///
/// let unknown = tools.oneshot(ToolCall::new("ecko", json!("hello"))).await;
/// assert_eq!(
///     unknown.unwrap_err().to_string(),
///     "no tool is named `ecko`: use one of `echo`"
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ToolService(Arc<Registry>);

struct Registry {
    tools: BTreeMap<Arc<str>, Arc<Entry>>,
    /// The keys of `tools`, to lend to errors.
    names: Arc<[Arc<str>]>,
}

// === impl ToolService ===

impl ToolService {
    /// Returns a builder without any tool.
    pub fn builder() -> ToolServiceBuilder {
        ToolServiceBuilder::default()
    }

    pub(super) fn new(tools: BTreeMap<Arc<str>, Arc<Entry>>) -> Self {
        let names = tools.keys().cloned().collect();
        Self(Arc::new(Registry { tools, names }))
    }

    /// Returns the names of the tools, sorted; disabled ones are among them.
    #[must_use]
    pub fn names(&self) -> &[Arc<str>] {
        &self.0.names
    }

    /// Returns whether there is a tool of this name and it is enabled.
    #[must_use]
    pub fn is_enabled(&self, name: &str) -> bool {
        self.0.tools.get(name).is_some_and(|tool| tool.is_enabled())
    }

    /// Enables or disables a tool, for every clone; calls that have begun go on.
    ///
    /// # Errors
    ///
    /// [`ToolError::NotFound`] when there is no tool of this name.
    pub fn set_enabled(&self, name: &str, enabled: bool) -> Result<(), ToolError> {
        let tool = self.0.tools.get(name).ok_or_else(|| ToolError::NotFound {
            name: name.into(),
            known: Arc::clone(&self.0.names),
        })?;
        tool.set_enabled(enabled);
        Ok(())
    }

    /// Returns what became of the calls so far, for each tool.
    ///
    /// Every call of a tool is counted exactly once, when it ends: refused because the tool is
    /// disabled, answered, failed, or dropped (a failure of class `cancelled`). Its latency runs from
    /// `call` and includes what the tool's own layers wait for, such as an approval. Calls of unknown
    /// names are counted nowhere: a model could invent any number of them.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<Arc<str>, ToolStats> {
        self.each_count(|counts| counts.clone())
    }

    /// Sets all counts to zero and returns what they were; no call is lost between the two.
    ///
    /// A call that is under way is counted when it ends, after the reset.
    pub fn take_stats(&self) -> BTreeMap<Arc<str>, ToolStats> {
        self.each_count(std::mem::take)
    }

    fn each_count(
        &self,
        read: impl Fn(&mut ToolStats) -> ToolStats,
    ) -> BTreeMap<Arc<str>, ToolStats> {
        let tools = self.0.tools.values();
        tools
            .map(|tool| (Arc::clone(&tool.name), read(&mut tool.counts())))
            .collect()
    }
}

impl Service<ToolCall> for ToolService {
    type Response = ToolOutput;
    type Error = ToolError;
    type Future = ResponseFuture;

    /// Always ready: which tool is meant, and so which one would have to be, is not known before the
    /// call. The future waits until the tool is.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: ToolCall) -> Self::Future {
        let Some(entry) = self.0.tools.get(&call.name) else {
            return ResponseFuture::refused(ToolError::NotFound {
                name: call.name,
                known: Arc::clone(&self.0.names),
            });
        };
        call.context.record(names::TOOL_TYPE, "function");
        let tally = Tally::begin(Arc::clone(entry));
        if entry.is_enabled() {
            ResponseFuture::running(entry.service().oneshot(call), tally)
        } else {
            ResponseFuture::disabled(tally)
        }
    }
}

impl fmt::Debug for ToolService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolService")
            .field("tools", &self.0.names)
            .finish_non_exhaustive()
    }
}
