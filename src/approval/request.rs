use std::{fmt, sync::Arc};

use opentelemetry::StringValue;

use super::Action;
use crate::{
    call::{CallContext, CodexRequest},
    event::Operation,
};

/// A request to an approver: may this tool do this?
///
/// Its `Debug` shows the name of the tool, and of the action its kind, names and sizes.
///
/// ```
/// use codex_telemetry::{
///     CallContext, CodexRequest, Operation,
///     approval::{Action, ApprovalRequest},
/// };
///
/// // What a test of an approver asks.
/// let request = ApprovalRequest::new("command_execution", Action::command("cat notes.txt"))
///     .with_context(CallContext::new().with_thread_id("thread-7"));
/// assert_eq!(request.operation(), Operation::Approval);
/// assert_eq!(request.context.thread_id(), Some("thread-7"));
/// assert!(!format!("{request:?}").contains("notes"));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ApprovalRequest {
    /// The name of the tool. A tool of Codex has the name of its kind of item, such as `command_execution`.
    pub tool: Arc<str>,
    /// What the tool would do.
    pub action: Action,
    /// A child of the context of the tool call.
    pub context: CallContext,
}

// === impl ApprovalRequest ===

impl ApprovalRequest {
    /// Returns a request with an empty context.
    pub fn new(tool: impl Into<Arc<str>>, action: Action) -> Self {
        Self {
            tool: tool.into(),
            action,
            context: CallContext::new(),
        }
    }

    /// Sets the context.
    #[must_use]
    pub fn with_context(mut self, context: CallContext) -> Self {
        self.context = context;
        self
    }
}

impl CodexRequest for ApprovalRequest {
    fn operation(&self) -> Operation {
        Operation::Approval
    }

    fn name(&self) -> Option<StringValue> {
        Some(Arc::clone(&self.tool).into())
    }

    fn context(&self) -> &CallContext {
        &self.context
    }

    fn context_mut(&mut self) -> &mut CallContext {
        &mut self.context
    }
}

impl fmt::Debug for ApprovalRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApprovalRequest")
            .field("tool", &self.tool)
            .field("action", &self.action)
            .field("context", &self.context)
            .finish()
    }
}
