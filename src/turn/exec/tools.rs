//! The tool calls that Codex makes inside a turn, as calls of their own.

use opentelemetry::StringValue;

use crate::{
    call::{CallContext, CallGuard},
    event::{Classification, ErrorClass, Operation, names, truncate},
    turn::{Item, ItemKind, ItemStatus, Sandbox},
};

/// How long a name may be in an event, in bytes.
const LONGEST_NAME: usize = 256;

/// Opens the call of an item that is a tool's, within the turn's call.
pub(super) fn open(turn: &CallContext, item: &Item) -> Option<CallGuard> {
    let (name, kind): (StringValue, _) = match &item.kind {
        ItemKind::CommandExecution { .. } => ("command_execution".into(), "extension"),
        ItemKind::FileChange { .. } => ("file_change".into(), "extension"),
        ItemKind::WebSearch { .. } => ("web_search".into(), "extension"),
        ItemKind::CollabToolCall { tool, .. } => (short(tool), "extension"),
        ItemKind::McpToolCall { tool, .. } => (short(tool), "function"),
        _ => return None,
    };
    let call = turn.open_child(Operation::Tool, Some(name), Some(short(&item.id)));
    call.record(names::TOOL_TYPE, kind);
    if let ItemKind::McpToolCall { server, .. } = &item.kind {
        call.record(names::MCP_SERVER, short(server));
    }
    Some(call)
}

/// A name as others gave it, which may be of any length.
pub(super) fn short(name: &str) -> StringValue {
    let mut name = name.to_owned();
    truncate(&mut name, LONGEST_NAME);
    name.into()
}

/// Closes the call of an item that is complete.
pub(super) fn close(call: CallGuard, item: &Item, sandbox: Option<Sandbox>) {
    if let ItemKind::CommandExecution {
        exit_code: Some(code),
        ..
    } = item.kind
    {
        call.record(names::EXIT_CODE, code);
    }
    match failure(item, sandbox) {
        Some(why) => call.fail(why),
        None => call.finish(),
    }
}

fn failure(item: &Item, sandbox: Option<Sandbox>) -> Option<Classification> {
    let because =
        |class: ErrorClass, message: String| Classification::from(class).with_message(message);
    match &item.kind {
        ItemKind::CommandExecution {
            output,
            exit_code,
            status: ItemStatus::Failed,
            ..
        } => {
            // The output is content and stays out of the message.
            let message = match exit_code {
                Some(code) => format!("the command exited with {code}"),
                None => "the command failed".to_owned(),
            };
            let class = if denied_by_sandbox(output, sandbox) {
                ErrorClass::SandboxDenied
            } else {
                ErrorClass::ToolFailed
            };
            Some(because(class, message))
        }
        ItemKind::McpToolCall {
            error,
            status: ItemStatus::Failed,
            ..
        } => {
            let reported = || "the tool reported a failure".to_owned();
            let message = error.clone().unwrap_or_else(reported);
            Some(because(ErrorClass::ToolFailed, message))
        }
        ItemKind::FileChange {
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

/// A sandboxed command sees the world as a read-only file system. Other refusals of the system look
/// the same with and without a sandbox, so they are not taken for its word.
fn denied_by_sandbox(output: &str, sandbox: Option<Sandbox>) -> bool {
    sandbox != Some(Sandbox::DangerFullAccess) && output.contains("Read-only file system")
}
