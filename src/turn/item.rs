use std::path::PathBuf;

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
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ItemKind {
    /// A message to the user.
    AgentMessage {
        /// The message, or the JSON that an output schema asked for.
        text: String,
    },
    /// A summary of the model's reasoning.
    Reasoning {
        /// The summary.
        text: String,
    },
    /// A command that Codex ran.
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
    FileChange {
        /// The changes.
        changes: Vec<Change>,
        /// How far it is.
        status: ItemStatus,
    },
    /// A tool that an MCP server offers.
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
    CollabToolCall {
        /// The tool.
        tool: String,
        /// How far it is.
        status: ItemStatus,
    },
    /// A search of the web.
    WebSearch {
        /// The query.
        query: String,
    },
    /// The agent's plan.
    TodoList {
        /// Each step, and whether it is done.
        steps: Vec<(String, bool)>,
    },
    /// A warning; it does not end the turn.
    Warning {
        /// The text.
        message: String,
    },
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
