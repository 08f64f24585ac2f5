//! What Codex asks in a turn, and the answers in its words.

use std::{path::PathBuf, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::host_calls::{self, HostCall};
use crate::{
    approval::{Action, Answer, Decision, FileUpdateChange},
    event::{Classification, ErrorClass},
    turn::wire::Fields,
};

/// A request of the server.
pub(super) enum Incoming {
    /// A question for the approver.
    Ask(Asked),
    /// A call of a tool of this program.
    Call(HostCall),
    /// A request that nobody is asked about. It has a refusal of its own.
    Refuse(Value),
    /// A request that this program does not know. Left open, it would block its turn for ever.
    Unknown,
}

/// A question for the approver.
pub(super) struct Asked {
    /// The item of the tool, if the question names it.
    pub(super) item_id: Option<String>,
    /// The name of the tool.
    pub(super) tool: Arc<str>,
    pub(super) action: Action,
    kind: Kind,
}

/// The kinds of questions, which have answers of different forms.
#[derive(Clone, Copy)]
enum Kind {
    Command,
    FileChange,
    McpToolCall {
        /// Whether the server offers to remember the answer for the session.
        has_session: bool,
    },
    Permissions,
}

/// Decodes a request. One with a field that cannot be read is refused: an approver that sees the rest of it would not
/// know what it accepts.
pub(super) fn decode(method: &str, params: &Fields<'_>) -> Incoming {
    match method {
        "item/commandExecution/requestApproval" => {
            command(params).unwrap_or_else(|| Incoming::Refuse(json!({"decision": "decline"})))
        }
        "item/fileChange/requestApproval" => {
            file_change(params).unwrap_or_else(|| Incoming::Refuse(json!({"decision": "decline"})))
        }
        "item/permissions/requestApproval" => permissions(params)
            .unwrap_or_else(|| Incoming::Refuse(json!({"permissions": {}, "scope": "turn"}))),
        "mcpServer/elicitation/request" => elicitation(params).unwrap_or_else(|| {
            Incoming::Refuse(json!({"action": "decline", "content": null, "_meta": null}))
        }),
        "item/tool/call" => HostCall::decode(params).map_or_else(
            || {
                Incoming::Refuse(host_calls::refusal(
                    "the call cannot be read: call it in another way",
                ))
            },
            Incoming::Call,
        ),
        _ => Incoming::Unknown,
    }
}

/// Decodes a question about a command, or about input for one that runs.
fn command(params: &Fields<'_>) -> Option<Incoming> {
    let (item_id, tool) = match field::<Option<String>>(params, "kind")?.as_deref() {
        None | Some("command" | "humanCommand") => (params.text("itemId"), "command_execution"),
        // The item is the command that reads it, which may be of an earlier turn, and may run on.
        Some("writeStdin") => (None, "write_stdin"),
        // Of another kind it is unknown what is asked.
        Some(_) => return None,
    };
    let mut permissions = Map::new();
    for key in ["networkApprovalContext", "additionalPermissions"] {
        if let Some(value) = field::<Option<Value>>(params, key)? {
            permissions.insert(key.to_owned(), value);
        }
    }
    let action = Action::Command {
        command: field(params, "command")?,
        cwd: field::<Option<PathBuf>>(params, "cwd")?,
        reason: params.text("reason"),
        execpolicy_amendment: field(params, "proposedExecpolicyAmendment")?,
        permissions: (!permissions.is_empty()).then(|| permissions.into()),
    };
    Some(Incoming::Ask(Asked {
        item_id,
        tool: tool.into(),
        action,
        kind: Kind::Command,
    }))
}

fn file_change(params: &Fields<'_>) -> Option<Incoming> {
    let action = Action::FileChange {
        // The item has them.
        changes: Vec::new(),
        reason: params.text("reason"),
        grant_root: field::<Option<PathBuf>>(params, "grantRoot")?,
    };
    Some(Incoming::Ask(Asked {
        item_id: params.text("itemId"),
        tool: "file_change".into(),
        action,
        kind: Kind::FileChange,
    }))
}

fn permissions(params: &Fields<'_>) -> Option<Incoming> {
    let action = Action::Permissions {
        permissions: field(params, "permissions")?,
        reason: params.text("reason"),
    };
    Some(Incoming::Ask(Asked {
        item_id: params.text("itemId"),
        tool: "request_permissions".into(),
        action,
        kind: Kind::Permissions,
    }))
}

/// Decodes the question of Codex about a tool of an MCP server. One of the server itself asks for more than a yes or a
/// no.
fn elicitation(params: &Fields<'_>) -> Option<Incoming> {
    let about = params.object("_meta")?;
    if about.text("codex_approval_kind").as_deref() != Some("mcp_tool_call") {
        return None;
    }
    let has_session = match about.value("persist") {
        Some(Value::Array(ways)) => ways.iter().any(|way| way == "session"),
        Some(way) => way == "session",
        None => false,
    };
    Some(Incoming::Ask(Asked {
        item_id: None,
        tool: field::<String>(&about, "tool_name")?.into(),
        action: Action::McpToolCall {
            server: field(params, "serverName")?,
            arguments: field(&about, "tool_params")?,
            message: params.text("message").unwrap_or_default(),
        },
        kind: Kind::McpToolCall { has_session },
    }))
}

/// Returns a field, or the default if it is missing; `None` if it is there and cannot be read.
fn field<'a, T: Deserialize<'a> + Default>(params: &Fields<'a>, key: &str) -> Option<T> {
    match params.get(key) {
        Some(_) => params.value(key),
        None => Some(T::default()),
    }
}

// === impl Asked ===

impl Asked {
    /// Returns the server, the tool and its arguments, if the question is about a tool of an MCP server.
    pub(super) fn mcp_tool(&self) -> Option<(&str, &str, &Value)> {
        match &self.action {
            Action::McpToolCall {
                server, arguments, ..
            } => Some((server, &self.tool, arguments)),
            _ => None,
        }
    }

    /// Sets the changes that the item of the tool has.
    pub(super) fn set_changes(&mut self, of_item: &[FileUpdateChange]) {
        if let Action::FileChange { changes, .. } = &mut self.action {
            *changes = of_item.to_vec();
        }
    }

    /// Returns whether an approver can be shown what it would accept. Of an edit it is the item that has the changes.
    pub(super) const fn is_known(&self) -> bool {
        match &self.action {
            Action::FileChange { changes, .. } => !changes.is_empty(),
            Action::Command {
                command,
                permissions,
                ..
            } => !command.is_empty() || permissions.is_some(),
            _ => true,
        }
    }

    /// Returns the refusal.
    pub(super) fn refusal(&self) -> Value {
        self.answer(&Decision::decline(""))
    }

    /// Returns the answer in Codex's words. A decision that the question does not have is a no.
    pub(super) fn answer(&self, decision: &Decision) -> Value {
        match self.kind {
            Kind::Command | Kind::FileChange => json!({"decision": self.decision(decision)}),
            Kind::McpToolCall { has_session } => {
                let (action, persist) = match decision {
                    Decision::Accept => ("accept", false),
                    Decision::AcceptForSession => ("accept", has_session),
                    Decision::Cancel => ("cancel", false),
                    Decision::AcceptWithExecpolicyAmendment | Decision::Decline { .. } => {
                        ("decline", false)
                    }
                };
                let meta = persist.then(|| json!({"persist": "session"}));
                json!({"action": action, "content": {}, "_meta": meta})
            }
            Kind::Permissions => {
                let granted = match (&self.action, self.accepts(decision)) {
                    (Action::Permissions { permissions, .. }, true) => granted(permissions),
                    _ => json!({}),
                };
                let is_for_session = *decision == Decision::AcceptForSession;
                let scope = if is_for_session { "session" } else { "turn" };
                json!({"permissions": granted, "scope": scope})
            }
        }
    }

    fn decision(&self, decision: &Decision) -> Value {
        match decision {
            Decision::Accept => "accept".into(),
            Decision::AcceptForSession => "acceptForSession".into(),
            Decision::Cancel => "cancel".into(),
            Decision::AcceptWithExecpolicyAmendment => match &self.action {
                Action::Command {
                    execpolicy_amendment: rule,
                    ..
                } if !rule.is_empty() => {
                    json!({"acceptWithExecpolicyAmendment": {"execpolicy_amendment": rule}})
                }
                _ => "decline".into(),
            },
            Decision::Decline { .. } => "decline".into(),
        }
    }

    /// Returns whether the tool may run.
    fn accepts(&self, decision: &Decision) -> bool {
        match decision {
            Decision::Accept | Decision::AcceptForSession => true,
            Decision::AcceptWithExecpolicyAmendment => {
                matches!(&self.action, Action::Command { execpolicy_amendment, .. } if !execpolicy_amendment.is_empty())
            }
            Decision::Decline { .. } | Decision::Cancel => false,
        }
    }

    /// Returns whether Codex itself ends the turn when it is told to cancel.
    pub(super) const fn cancels_turn(&self) -> bool {
        matches!(self.kind, Kind::Command | Kind::FileChange)
    }

    /// Returns why the tool may not run; `None` if it may.
    pub(super) fn refused(&self, answer: &Answer) -> Option<Classification> {
        let tool = &self.tool;
        let message = match answer {
            Answer::Decided(decision) if self.accepts(decision) => return None,
            Answer::Decided(Decision::Decline { reason }) => {
                format!("the approver declined {tool}: {reason}")
            }
            Answer::Decided(Decision::Cancel) => {
                format!("the approver of {tool} cancelled the turn")
            }
            Answer::Decided(_) => {
                format!("the approver accepted {tool} with a rule, but Codex proposed none")
            }
            Answer::TimedOut => format!("the approver of {tool} did not answer in time"),
            Answer::Failed(error) => format!("the approver of {tool} failed: {error}"),
        };
        Some(Classification::from(ErrorClass::ApprovalDenied).with_message(message))
    }
}

/// Returns the permissions that Codex asked for, without those that it left open.
fn granted(permissions: &Value) -> Value {
    match permissions {
        Value::Object(all) => {
            let named = all.iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                named
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}
