use std::{fmt, sync::Arc};

use opentelemetry::StringValue;
use serde_json::Value;

use crate::{
    call::{CallContext, CodexRequest},
    event::Operation,
    tool::ToolCall,
};

/// The question to an approver: may this tool run with these arguments?
///
/// Its `Debug` does not show the arguments. It can pass through the crate's layers: behind a
/// [`TimingLayer`](crate::TimingLayer), the approver's answer is a call `codex.approval` within the
/// tool's.
#[derive(Clone)]
#[non_exhaustive]
pub struct ApprovalRequest {
    /// The name of the tool.
    pub tool: Arc<str>,
    /// What the tool would be given.
    pub arguments: Value,
    /// The context of a child of the tool's call.
    pub context: CallContext,
}

/// An approver's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// The tool may run, this once.
    Allow,
    /// The tool may not run.
    Deny {
        /// Why; it stands in the error, for the caller and the model to read.
        reason: String,
    },
}

// === impl ApprovalRequest ===

impl ApprovalRequest {
    /// Returns the question whether `call` may run.
    #[must_use]
    pub fn new(call: &ToolCall) -> Self {
        Self {
            tool: Arc::clone(&call.name),
            arguments: call.arguments.clone(),
            context: call.context.child(),
        }
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
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

// === impl Decision ===

impl Decision {
    /// Returns a denial with this reason.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny {
            reason: reason.into(),
        }
    }
}
