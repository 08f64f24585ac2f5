//! The tool calls of a turn, as child calls of the turn's call.

use std::time::Duration;

use opentelemetry::StringValue;

use super::content;
use crate::{
    call::{CallContext, CallGuard},
    event::{Classification, ErrorClass, Operation, millis, names, truncate},
    turn::{CommandOutput, Item, ItemKind, ItemStatus, Sandbox, failure},
};

/// The maximum length of a name in an attribute, in bytes. The call itself cuts its own name and ids.
const MAX_NAME: usize = 256;

/// Opens the call of an item; `None` when the item is not a tool call.
pub(super) fn open(turn: &CallContext, item: &Item, has_call_id: bool) -> Option<CallGuard> {
    let (name, kind) = name(item)?;
    let call_id = has_call_id.then(|| short(&item.id));
    let call = turn.open_child(Operation::Tool, Some(name), call_id);
    begin(&call, item, kind, has_call_id);
    Some(call)
}

/// Opens the call of an item that began some time ago.
pub(super) fn open_since(
    turn: &CallContext,
    item: &Item,
    has_call_id: bool,
    ago: Duration,
) -> Option<CallGuard> {
    let (name, kind) = name(item)?;
    let call_id = has_call_id.then(|| short(&item.id));
    let call = turn.open_child_since(ago, Operation::Tool, Some(name), call_id);
    begin(&call, item, kind, has_call_id);
    Some(call)
}

/// Returns the name and the type of a tool; `None` when the item is not a tool call.
fn name(item: &Item) -> Option<(StringValue, &'static str)> {
    let (name, kind): (StringValue, _) = match &item.kind {
        ItemKind::CommandExecution { .. } => ("command_execution".into(), "extension"),
        ItemKind::FileChange { .. } => ("file_change".into(), "extension"),
        ItemKind::WebSearch { .. } => ("web_search".into(), "extension"),
        ItemKind::ImageView { .. } => ("image_view".into(), "extension"),
        ItemKind::CollabToolCall { tool, .. } => (tool.clone().into(), "extension"),
        ItemKind::McpToolCall { tool, .. } => (tool.clone().into(), "function"),
        ItemKind::DynamicToolCall {
            namespace, tool, ..
        } => {
            let name = match namespace {
                // As the registry has it.
                Some(namespace) => format!("{namespace}.{tool}"),
                None => tool.clone(),
            };
            (name.into(), "function")
        }
        _ => return None,
    };
    Some((name, kind))
}

fn begin(call: &CallGuard, item: &Item, kind: &'static str, has_call_id: bool) {
    if !has_call_id {
        call.record(names::ITEM_ID, short(&item.id));
    }
    call.record(names::TOOL_TYPE, kind);
    if let ItemKind::McpToolCall { server, .. } = &item.kind {
        call.record(names::MCP_SERVER, short(server));
    }
    content::record_arguments(call, item);
}

/// Cuts a name from Codex's output, which may have any length.
pub(in crate::turn) fn short(name: &str) -> StringValue {
    let mut name = name.to_owned();
    truncate(&mut name, MAX_NAME);
    name.into()
}

/// Records what a completed item tells on its call. Returns why the call has failed: a refusal by an approver counts
/// before the failure that the item tells, and not for a tool that succeeded.
pub(super) fn close(
    call: &CallGuard,
    item: &Item,
    sandbox: Option<Sandbox>,
    refusal: Option<Classification>,
) -> Option<Classification> {
    // Again: Codex tells the query of a search only at its end.
    content::record_arguments(call, item);
    content::record_result(call, item);
    if let ItemKind::CommandExecution {
        exit_code: Some(code),
        ..
    } = item.kind
    {
        call.record(names::EXIT_CODE, code);
    }
    if let Some(duration) = item.duration {
        call.record(names::ITEM_DURATION, millis(duration));
    }
    classification(item, sandbox).map(|failure| refusal.unwrap_or(failure))
}

/// Ends the call of a tool.
pub(super) fn end(call: CallGuard, failure: Option<Classification>) {
    match failure {
        Some(failure) => call.fail(failure),
        None => call.finish(),
    }
}

fn classification(item: &Item, sandbox: Option<Sandbox>) -> Option<Classification> {
    let failed = |class: ErrorClass, message: String| {
        Some(Classification::from(class).with_message(message))
    };
    match &item.kind {
        ItemKind::CommandExecution {
            output,
            exit_code,
            status: ItemStatus::Failed,
            ..
        } => {
            // Without the output, which is content.
            let message = match exit_code {
                Some(code) => format!("the command exited with {code}"),
                None => "the command failed".to_owned(),
            };
            let class = if denied_by_sandbox(output, sandbox) {
                ErrorClass::SandboxDenied
            } else {
                ErrorClass::ToolFailed
            };
            failed(class, message)
        }
        ItemKind::McpToolCall {
            error,
            status: ItemStatus::Failed,
            ..
        } => {
            // The error is a text of the server, which the item has.
            let (class, message) = failure::of_tool(error.as_deref().unwrap_or_default());
            failed(class, message.to_owned())
        }
        ItemKind::FileChange {
            status: ItemStatus::Failed,
            ..
        }
        | ItemKind::DynamicToolCall {
            status: ItemStatus::Failed,
            ..
        }
        | ItemKind::CollabToolCall {
            status: ItemStatus::Failed,
            ..
        } => Some(ErrorClass::ToolFailed.into()),
        ItemKind::CommandExecution {
            status: ItemStatus::Declined,
            ..
        }
        | ItemKind::FileChange {
            status: ItemStatus::Declined,
            ..
        } => Some(ErrorClass::ApprovalDenied.into()),
        _ => None,
    }
}

/// Returns whether the sandbox denied a write: a command in it sees a read-only file system.
///
/// Other errors look the same with and without a sandbox, so they do not count.
fn denied_by_sandbox(output: &CommandOutput, sandbox: Option<Sandbox>) -> bool {
    sandbox != Some(Sandbox::DangerFullAccess) && output.decode().contains("Read-only file system")
}
