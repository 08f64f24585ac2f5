use std::{fmt, sync::Arc};

use opentelemetry::StringValue;
use serde_json::Value;

use crate::{
    approval::{Action, ApprovalRequest},
    call::{CallContext, CodexRequest},
    event::Operation,
};

/// A request to run a tool.
///
/// Its `Debug` output does not contain the arguments.
///
/// ```
/// use codex_telemetry::{CallContext, CodexRequest, Operation, tool::ToolCall};
/// use serde_json::json;
///
/// let call = ToolCall::new("weather", json!({ "city": "Oslo" }))
///     .with_context(CallContext::new().with_thread_id("thread-7"))
///     .with_call_id("call_7");
/// assert_eq!(call.operation(), Operation::Tool);
/// assert_eq!((call.context.thread_id(), call.context.call_id()), (Some("thread-7"), Some("call_7")));
/// assert!(!format!("{call:?}").contains("Oslo"));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ToolCall {
    /// The name of the tool in the registry.
    // Shared, because each layer that reports the call clones it.
    pub name: Arc<str>,
    /// The arguments.
    pub arguments: Value,
    /// The context, which holds the call id.
    pub context: CallContext,
}

// === impl ToolCall ===

impl ToolCall {
    /// Returns a call of the tool `name`, with a new context.
    pub fn new(name: impl Into<Arc<str>>, arguments: Value) -> Self {
        Self {
            name: name.into(),
            arguments,
            context: CallContext::new(),
        }
    }

    /// Sets the context.
    #[must_use]
    pub fn with_context(mut self, context: CallContext) -> Self {
        self.context = context;
        self
    }

    /// Sets the call id in the context.
    #[must_use]
    pub fn with_call_id(mut self, id: impl Into<StringValue>) -> Self {
        self.context = self.context.with_call_id(id);
        self
    }
}

impl CodexRequest for ToolCall {
    fn operation(&self) -> Operation {
        Operation::Tool
    }

    fn name(&self) -> Option<StringValue> {
        Some(Arc::clone(&self.name).into())
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn context_mut(&mut self) -> &mut CallContext {
        &mut self.context
    }
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolCall")
            .field("name", &self.name)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// Returns the request to approve the call, with a child of its context.
impl From<&ToolCall> for ApprovalRequest {
    fn from(call: &ToolCall) -> Self {
        Self::new(
            Arc::clone(&call.name),
            Action::tool_call(call.arguments.clone()),
        )
        .with_context(call.context.child())
    }
}
