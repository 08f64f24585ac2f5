use std::{fmt, sync::Arc};

use opentelemetry::StringValue;
use serde_json::Value;

use crate::{
    call::{CallContext, CodexRequest},
    event::Operation,
    tool::ToolCall,
};

/// A request to an approver: may this tool run with these arguments?
///
/// Its `Debug` output does not contain the arguments. With a [`TimingLayer`](crate::TimingLayer)
/// around the approver, each request is a call `codex.approval`, as a child of the tool's call.
#[derive(Clone)]
#[non_exhaustive]
pub struct ApprovalRequest {
    /// The name of the tool.
    pub tool: Arc<str>,
    /// The arguments of the call.
    pub arguments: Value,
    /// A child of the context of the tool call.
    pub context: CallContext,
}

/// The answer of an approver.
///
/// With the feature `json` it can be serialized, as `{"decision":"allow"}` or
/// `{"decision":"deny","reason":…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "json",
    derive(serde::Serialize),
    serde(tag = "decision", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Decision {
    /// The tool may run this one call.
    Allow,
    /// The tool may not run.
    Deny {
        /// The reason. It is part of the error that the caller and the model read.
        reason: String,
    },
}

// === impl ApprovalRequest ===

impl ApprovalRequest {
    /// Returns the request to approve `call`, with a child of its context.
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
    /// Returns a denial with a reason.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self::Deny {
            reason: reason.into(),
        }
    }
}
