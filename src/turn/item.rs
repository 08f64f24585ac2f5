use std::{fmt, path::PathBuf};

use serde_json::Value;

/// One thing that the agent said or did within a turn.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Item {
    /// The item's id, unique within the turn.
    pub id: String,
    /// What it is.
    pub kind: ItemKind,
}

/// The kinds of items.
///
/// Its `Debug` shows sizes instead of content.
///
/// ```
/// use codex_telemetry::turn::{ItemKind, Turn};
///
/// /// The commands that a turn ran.
/// fn commands(turn: &Turn) -> impl Iterator<Item = &str> {
///     turn.items.iter().filter_map(|item| match &item.kind {
///         ItemKind::CommandExecution { command, .. } => Some(command.as_str()),
///         _ => None,
///     })
/// }
/// # assert_eq!(commands(&Turn::default()).count(), 0);
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum ItemKind {
    /// A message to the user.
    #[non_exhaustive]
    AgentMessage {
        /// The message, or the JSON that an output schema asked for.
        text: String,
    },
    /// A summary of the model's reasoning.
    #[non_exhaustive]
    Reasoning {
        /// The summary.
        text: String,
    },
    /// A command that Codex ran.
    #[non_exhaustive]
    CommandExecution {
        /// The command line.
        command: String,
        /// What it wrote to standard output and standard error so far.
        output: String,
        /// Its exit code, once it has one.
        exit_code: Option<i64>,
        /// How far it is.
        status: ItemStatus,
    },
    /// Files that Codex changed.
    #[non_exhaustive]
    FileChange {
        /// The changes.
        changes: Vec<Change>,
        /// How far it is.
        status: ItemStatus,
    },
    /// A tool that an MCP server offers.
    #[non_exhaustive]
    McpToolCall {
        /// The server.
        server: String,
        /// The tool.
        tool: String,
        /// The arguments.
        arguments: Value,
        /// What it returned.
        result: Option<Value>,
        /// The error of the call itself; a tool that reports a failure in its result has none.
        error: Option<String>,
        /// How far it is.
        status: ItemStatus,
    },
    /// A tool by which agents work together, such as one that starts another agent.
    ///
    /// The tokens of the other agent are not in the turn's usage.
    #[non_exhaustive]
    CollabToolCall {
        /// The tool.
        tool: String,
        /// How far it is.
        status: ItemStatus,
    },
    /// A search of the web.
    #[non_exhaustive]
    WebSearch {
        /// The query.
        query: String,
    },
    /// The agent's plan.
    #[non_exhaustive]
    TodoList {
        /// The steps.
        steps: Vec<Step>,
    },
    /// A warning; it does not end the turn.
    #[non_exhaustive]
    Warning {
        /// The text.
        message: String,
    },
}

/// A step of the agent's plan.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// What is to be done.
    pub text: String,
    /// Whether it is.
    pub completed: bool,
}

/// A file that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// `add`, `delete` or `update`.
    pub kind: String,
}

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ItemStatus {
    /// It is under way.
    InProgress,
    /// It ended well.
    Completed,
    /// It failed.
    Failed,
    /// It was refused before it ran.
    Declined,
    /// Codex said something that this version of the crate does not know.
    Unknown,
}

// === impl ItemKind ===

impl fmt::Debug for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentMessage { text } => tell(f, "AgentMessage", text, None),
            Self::Reasoning { text } => tell(f, "Reasoning", text, None),
            Self::CommandExecution { output, status, .. } => {
                tell(f, "CommandExecution", output, Some(*status))
            }
            Self::FileChange { changes, status } => f
                .debug_struct("FileChange")
                .field("changes", &changes.len())
                .field("status", status)
                .finish(),
            Self::McpToolCall {
                server,
                tool,
                status,
                ..
            } => f
                .debug_struct("McpToolCall")
                .field("server", server)
                .field("tool", tool)
                .field("status", status)
                .finish_non_exhaustive(),
            Self::CollabToolCall { tool, status } => f
                .debug_struct("CollabToolCall")
                .field("tool", tool)
                .field("status", status)
                .finish(),
            Self::WebSearch { query } => tell(f, "WebSearch", query, None),
            Self::TodoList { steps } => f
                .debug_struct("TodoList")
                .field("steps", &steps.len())
                .finish(),
            Self::Warning { message } => tell(f, "Warning", message, None),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tell(f, "Step", &self.text, None)
    }
}

/// Shows a thing without its content.
fn tell(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    content: &str,
    status: Option<ItemStatus>,
) -> fmt::Result {
    let mut shown = f.debug_struct(name);
    shown.field("content", &hidden(content));
    if let Some(status) = status {
        shown.field("status", &status);
    }
    shown.finish_non_exhaustive()
}

/// Content as it may be shown.
pub(super) fn hidden(content: &str) -> Hidden {
    Hidden(content.len())
}

pub(super) struct Hidden(usize);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*** ({} bytes)", self.0)
    }
}
