use std::collections::HashMap;

use serde_json::Value;

use super::tool;
use crate::{
    call::{CallContext, CallGuard},
    event::{Classification, ErrorClass},
    turn::{FileUpdateChange, Item, ItemKind, JsonText, Sandbox},
};

/// What is known of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::turn) enum Stage {
    Started,
    Updated,
    Completed,
}

/// The calls of the tools that run in a turn, by the ids of their items.
pub(in crate::turn) struct OpenTools {
    calls: HashMap<String, OpenTool>,
    sandbox: Option<Sandbox>,
    /// Whether the id of an item is the model's own id of the call.
    has_call_ids: bool,
}

struct OpenTool {
    call: CallGuard,
    /// Why an approver did not let the tool run.
    refusal: Option<Classification>,
    /// What a question about the tool does not say.
    subject: Subject,
}

/// What a tool works on.
enum Subject {
    Changes(Vec<FileUpdateChange>),
    McpTool {
        server: String,
        tool: String,
        arguments: JsonText,
    },
    /// Something that a question says, or that was asked about before.
    Known,
}

// === impl OpenTools ===

impl OpenTools {
    /// The most tool calls that are open at once. Each takes many times the memory of its line.
    pub(in crate::turn) const MAX: usize = 1024;

    /// Returns an empty set, for items with ids of their own.
    pub(in crate::turn) fn of_items(sandbox: Option<Sandbox>) -> Self {
        Self {
            calls: HashMap::new(),
            sandbox,
            has_call_ids: false,
        }
    }

    /// Returns an empty set, for items whose ids are the model's own ids of the calls.
    pub(in crate::turn) fn of_calls(sandbox: Option<Sandbox>) -> Self {
        Self {
            has_call_ids: true,
            ..Self::of_items(sandbox)
        }
    }

    /// Opens or closes the call of an item, if it is a tool. Returns whether the call is a new one.
    ///
    /// Codex reports some kinds only once they are complete. A tool for whose call there was no room has its
    /// call then as well.
    pub(in crate::turn) fn apply(&mut self, turn: &CallContext, stage: Stage, item: &Item) -> bool {
        let has_room = self.calls.len() < Self::MAX;
        let known = self.calls.remove(&item.id);
        let is_new = known.is_none();
        let opened = match known {
            None if has_room || stage == Stage::Completed => {
                // Nobody asks about a tool that has ended, or by `codex exec`.
                let is_asked_about = self.has_call_ids && stage != Stage::Completed;
                tool::open(turn, item, self.has_call_ids).map(|call| OpenTool {
                    call,
                    refusal: None,
                    subject: if is_asked_about {
                        Subject::of(item)
                    } else {
                        Subject::Known
                    },
                })
            }
            known => known,
        };
        let Some(open) = opened else {
            return false;
        };
        if stage == Stage::Completed {
            tool::close(open.call, item, self.sandbox, open.refusal);
        } else {
            self.calls.insert(item.id.clone(), open);
        }
        is_new
    }

    /// Returns the context of a call.
    pub(in crate::turn) fn context(&self, id: &str) -> Option<CallContext> {
        Some(self.calls.get(id)?.call.context())
    }

    /// Returns the changes that an edit would make.
    pub(in crate::turn) fn changes(&self, id: &str) -> Option<&[FileUpdateChange]> {
        match &self.calls.get(id)?.subject {
            Subject::Changes(changes) => Some(changes),
            _ => None,
        }
    }

    /// Returns the id of a call of an MCP server's tool, with these arguments if there is one. Of several, each is
    /// returned once.
    ///
    /// The question does not say which call it is about.
    pub(in crate::turn) fn find_mcp_tool(
        &mut self,
        server: &str,
        tool: &str,
        arguments: &Value,
    ) -> Option<String> {
        let has_arguments = |open: &OpenTool| match &open.subject {
            Subject::McpTool {
                server: of,
                tool: name,
                arguments: own,
            } if of == server && name == tool => {
                Some(own.parse().is_ok_and(|own| own == *arguments))
            }
            _ => None,
        };
        let calls = self.calls.iter();
        let (_, id) = calls
            .filter_map(|(id, open)| Some((has_arguments(open)?, id.clone())))
            .max_by_key(|(has_arguments, _)| *has_arguments)?;
        self.calls.get_mut(&id)?.subject = Subject::Known;
        Some(id)
    }

    /// Has a call fail by the refusal of an approver, unless its tool completes.
    pub(in crate::turn) fn refuse(&mut self, id: &str, refusal: Classification) {
        if let Some(open) = self.calls.get_mut(id) {
            open.refusal = Some(refusal);
        }
    }

    pub(in crate::turn) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Ends all calls as failed.
    pub(in crate::turn) fn fail_all(&mut self, class: ErrorClass) {
        for (_, open) in self.calls.drain() {
            open.call.fail(open.refusal.unwrap_or_else(|| class.into()));
        }
    }

    #[cfg(test)]
    pub(in crate::turn) fn len(&self) -> usize {
        self.calls.len()
    }
}

// === impl Subject ===

impl Subject {
    fn of(item: &Item) -> Self {
        match &item.kind {
            ItemKind::FileChange { changes, .. } => Self::Changes(changes.clone()),
            ItemKind::McpToolCall {
                server,
                tool,
                arguments,
                ..
            } => Self::McpTool {
                server: server.clone(),
                tool: tool.clone(),
                arguments: arguments.clone(),
            },
            _ => Self::Known,
        }
    }
}

#[cfg(test)]
mod tests;
