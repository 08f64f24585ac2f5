use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use super::{HostCalls, asked_tool::AskedTool, tool};
use crate::{
    call::{CallContext, CallGuard},
    event::{Classification, ErrorClass, Ticket},
    turn::{FileUpdateChange, Item, ItemKind, JsonText, Sandbox, served_calls::ServedCalls},
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
    /// The calls of the program's own tools.
    pub(in crate::turn) host: HostCalls,
    sandbox: Option<Sandbox>,
    /// Whether the id of an item is the model's own id of the call.
    has_call_ids: bool,
}

struct OpenTool {
    call: CallGuard,
    /// Set while an approver is or was asked about the tool.
    asked: Option<Arc<AskedTool>>,
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
            host: HostCalls::new(false, false),
            sandbox,
            has_call_ids: false,
        }
    }

    /// Returns an empty set, for items whose ids are the model's own ids of the calls. `has_host_tools` is whether the
    /// program runs its own tools.
    pub(in crate::turn) fn of_calls(sandbox: Option<Sandbox>, has_host_tools: bool) -> Self {
        Self {
            has_call_ids: true,
            host: HostCalls::new(has_host_tools, true),
            ..Self::of_items(sandbox)
        }
    }

    /// Sets the MCP server that has the program's own tools.
    pub(in crate::turn) fn set_mcp_server(&mut self, server: Option<(String, ServedCalls)>) {
        self.host.set_mcp_server(server);
    }

    /// Opens or closes the call of an item, if it is a tool. Returns whether the call is a new one.
    ///
    /// Codex reports some kinds only once they are complete. A tool for whose call there was no room has its
    /// call then as well.
    pub(in crate::turn) fn apply(&mut self, turn: &CallContext, stage: Stage, item: &Item) -> bool {
        let has_room = self.make_room();
        if self.host.takes(item) && (has_room || self.host.contains(&item.id)) {
            return self.host.apply(turn, stage, item, self.sandbox);
        }
        let known = self.calls.remove(&item.id);
        let is_new = known.is_none();
        let opened = match known {
            None if has_room || stage == Stage::Completed => {
                // Nobody asks about a tool that has ended, or by `codex exec`.
                let is_asked_about = self.has_call_ids && stage != Stage::Completed;
                tool::open(turn, item, self.has_call_ids).map(|call| OpenTool {
                    call,
                    asked: None,
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
            let OpenTool {
                call,
                asked,
                refusal,
                ..
            } = open;
            let failure = tool::close(&call, item, self.sandbox, refusal);
            end(call, asked.as_deref(), failure);
        } else {
            self.calls.insert(item.id.clone(), open);
        }
        is_new
    }

    /// Notes that a tool of the program is called, with a ticket. Returns `false` if there is no room for it.
    pub(in crate::turn) fn host_called(&mut self, id: &str, ticket: Ticket) -> bool {
        if !self.make_room() && !self.host.contains(id) {
            return false;
        }
        self.host.called(id, ticket);
        true
    }

    /// Notes that an approver is asked about a tool. Returns the context of the tool's call, which is open until the
    /// handle is dropped.
    pub(in crate::turn) fn ask(&mut self, id: &str) -> Option<(CallContext, Arc<AskedTool>)> {
        let open = self.calls.get_mut(id)?;
        let asked = open.asked.get_or_insert_with(|| Arc::new(AskedTool::new()));
        Some((open.call.context(), Arc::clone(asked)))
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

    /// Has a call fail by a refusal, such as that of an approver, unless its tool completes.
    pub(in crate::turn) fn refuse(&mut self, id: &str, refusal: Classification) {
        if let Some(open) = self.calls.get_mut(id) {
            open.refusal = Some(refusal);
        }
    }

    /// Returns whether there is room for a call.
    fn make_room(&mut self) -> bool {
        if self.calls.len() + self.host.len() < Self::MAX {
            return true;
        }
        self.host.forget_answered();
        self.calls.len() + self.host.len() < Self::MAX
    }

    /// Returns whether no tool of the turn itself runs.
    pub(in crate::turn) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.host.is_idle()
    }

    /// Ends all calls of a turn as failed.
    pub(in crate::turn) fn fail_all(&mut self, turn: &CallContext, class: ErrorClass) {
        for (_, open) in self.calls.drain() {
            let failure = open.refusal.unwrap_or_else(|| class.into());
            end(open.call, open.asked.as_deref(), Some(failure));
        }
        self.host.fail_all(turn, class);
    }

    #[cfg(test)]
    pub(in crate::turn) fn len(&self) -> usize {
        self.calls.len()
    }
}

/// Ends the call of a tool, or has it end when nobody is asked about the tool any more.
fn end(call: CallGuard, asked: Option<&AskedTool>, failure: Option<Classification>) {
    match asked {
        Some(asked) => asked.end(call, failure),
        None => tool::end(call, failure),
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
