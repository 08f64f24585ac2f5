use std::{
    fmt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

#[cfg(feature = "json")]
use serde::{Serialize, Serializer};

use super::{CommandOutput, JsonText};
use crate::approval::FileUpdateChange;

/// Something that the agent said or did in a turn.
///
/// As JSON, with the feature `json`, it has the names of Codex's own output:
/// `{"id":"item_0","type":"command_execution","command":…}`. The times are `started_at_ms` and `completed_at_ms`,
/// in milliseconds since the Unix epoch, and `duration_ms`, where they are known.
///
/// ```
/// use codex_telemetry::turn::{Item, ItemKind, ItemStatus};
/// use std::time::Duration;
///
/// // What a fake of a turn service returns.
/// let mut tests = Item::new(
///     "item_0",
///     ItemKind::CommandExecution {
///         command: "cargo test".into(),
///         cwd: None,
///         output: "test result: ok".into(),
///         exit_code: Some(0),
///         status: ItemStatus::Completed,
///     },
/// );
/// tests.duration = Some(Duration::from_secs(3));
///
/// let ItemKind::CommandExecution { output, .. } = &tests.kind else { panic!("it is a command") };
/// assert!(output.ends_with("ok"));
/// assert!(!format!("{tests:?}").contains("ok"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "json", derive(Serialize))]
#[non_exhaustive]
pub struct Item {
    /// The id, unique within the turn.
    pub id: String,
    /// The kind, with its content.
    #[cfg_attr(feature = "json", serde(flatten))]
    pub kind: ItemKind,
    /// When the item started, by Codex's clock. `codex exec` does not tell it.
    #[cfg_attr(
        feature = "json",
        serde(
            rename = "started_at_ms",
            serialize_with = "unix_millis",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub started_at: Option<SystemTime>,
    /// When the item completed, by Codex's clock. `codex exec` does not tell it.
    #[cfg_attr(
        feature = "json",
        serde(
            rename = "completed_at_ms",
            serialize_with = "unix_millis",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub completed_at: Option<SystemTime>,
    /// How long a tool ran, without its wait for an approval. `codex exec` does not tell it.
    #[cfg_attr(
        feature = "json",
        serde(
            rename = "duration_ms",
            serialize_with = "whole_millis",
            skip_serializing_if = "Option::is_none"
        )
    )]
    pub duration: Option<Duration>,
}

/// The kinds of items.
///
/// Its `Debug` shows sizes instead of content. As JSON, with the feature `json`, it has the names of
/// `codex exec`'s own output: `{"type":"command_execution","command":…,"aggregated_output":…}`. What only the
/// app-server reports has names in the same style, such as `dynamic_tool_call`.
///
/// ```
/// use codex_telemetry::turn::{Item, ItemKind, Turn};
///
/// /// Returns what a turn searched the web for.
/// fn searches(turn: &Turn) -> impl Iterator<Item = &str> {
///     turn.items.iter().filter_map(|item| match &item.kind {
///         ItemKind::WebSearch { query } => Some(query.as_str()),
///         _ => None,
///     })
/// }
///
/// let search = ItemKind::WebSearch { query: "tower layers".into() };
/// let answer = ItemKind::AgentMessage { text: "Found it.".into() };
/// let turn = Turn::new().with_items([Item::new("item_0", search), Item::new("item_1", answer)]);
/// assert!(searches(&turn).eq(["tower layers"]));
/// ```
#[derive(Clone, PartialEq)]
#[cfg_attr(
    feature = "json",
    derive(Serialize),
    serde(tag = "type", rename_all = "snake_case")
)]
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
        /// The working directory. `codex exec` does not tell it.
        #[cfg_attr(feature = "json", serde(skip_serializing_if = "Option::is_none"))]
        cwd: Option<PathBuf>,
        /// The standard output and standard error so far.
        #[cfg_attr(feature = "json", serde(rename = "aggregated_output"))]
        output: CommandOutput,
        /// The exit code, once the command has exited.
        exit_code: Option<i64>,
        /// The state of the command.
        status: ItemStatus,
    },
    /// An edit of files.
    FileChange {
        /// The changed files.
        changes: Vec<FileUpdateChange>,
        /// The state of the edit.
        status: ItemStatus,
    },
    /// A call of an MCP server's tool.
    McpToolCall {
        /// The name of the server.
        server: String,
        /// The name of the tool.
        tool: String,
        /// The arguments.
        arguments: JsonText,
        /// The result; it may itself report a failure.
        result: Option<JsonText>,
        /// The error message, when the call itself failed.
        #[cfg_attr(feature = "json", serde(serialize_with = "error_object"))]
        error: Option<String>,
        /// The state of the call.
        status: ItemStatus,
    },
    /// A call of a tool of this program, which Codex calls a dynamic tool. `codex exec` does not have them.
    DynamicToolCall {
        /// The namespace of the tool, if it has one.
        namespace: Option<String>,
        /// The name of the tool.
        tool: String,
        /// The arguments.
        arguments: JsonText,
        /// What the tool answered, as a list of Codex's content items: `[{"type":"inputText","text":…}]`. More than
        /// 64 KiB of it are not kept if the tool was called in this program, which has them.
        content_items: Option<JsonText>,
        /// The state of the call.
        status: ItemStatus,
    },
    /// A call of a tool with which agents work together, such as one that starts another agent.
    ///
    /// The turn's usage does not include the tokens of the other agent.
    CollabToolCall {
        /// The name of the tool.
        tool: String,
        /// The state of the call.
        status: ItemStatus,
    },
    /// A web search.
    WebSearch {
        /// The query.
        query: String,
    },
    /// The agent's plan.
    TodoList {
        /// The steps of the plan.
        items: Vec<TodoItem>,
    },
    /// A plan that the model wrote as a text. `codex exec` does not report it.
    Plan {
        /// The text.
        text: String,
    },
    /// The model looked at an image, which is a call of a tool. `codex exec` does not report it.
    ImageView {
        /// The path of the image.
        path: PathBuf,
    },
    /// Codex replaced the earlier conversation by a summary, to make room in the model's context window.
    /// `codex exec` does not report it.
    ContextCompaction,
    /// An item of a kind that this version of the crate does not know. As JSON it has the type `unknown`.
    #[cfg_attr(feature = "json", serde(rename = "unknown"))]
    Other {
        /// Codex's name of the kind.
        #[cfg_attr(feature = "json", serde(rename = "kind"))]
        name: String,
    },
    /// A warning; it does not end the turn. Codex calls it an `error`.
    #[cfg_attr(feature = "json", serde(rename = "error"))]
    Warning {
        /// The text.
        message: String,
    },
}

/// A step of the agent's plan.
///
/// ```
/// use codex_telemetry::turn::{Progress, TodoItem};
///
/// /// The plan, as a reader sees it.
/// fn plan(progress: &Progress) -> Option<String> {
///     let Progress::PlanUpdated { items } = progress else { return None };
///     let step = |item: &TodoItem| format!("[{}] {}", if item.completed { 'x' } else { ' ' }, item.text);
///     Some(items.iter().map(step).collect::<Vec<_>>().join("\n"))
/// }
///
/// let items = vec![TodoItem::new("read the code", true), TodoItem::new("fix it", false)];
/// assert_eq!(plan(&Progress::PlanUpdated { items }).as_deref(), Some("[x] read the code\n[ ] fix it"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(Serialize))]
#[non_exhaustive]
pub struct TodoItem {
    /// The description of the step.
    pub text: String,
    /// Whether the step is done.
    pub completed: bool,
}

/// The state of an item.
///
/// ```
/// use codex_telemetry::turn::{ItemKind, ItemStatus};
///
/// /// Whether somebody or something kept a tool from running.
/// fn was_declined(kind: &ItemKind) -> bool {
///     match kind {
///         ItemKind::CommandExecution { status, .. } | ItemKind::FileChange { status, .. } => {
///             *status == ItemStatus::Declined
///         }
///         _ => false,
///     }
/// }
///
/// let edit = |status| ItemKind::FileChange { changes: Vec::new(), status };
/// assert!(was_declined(&edit(ItemStatus::Declined)));
/// assert!(!was_declined(&edit(ItemStatus::Other("paused".into()))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "json", derive(Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ItemStatus {
    /// The item is in progress.
    InProgress,
    /// The item succeeded.
    Completed,
    /// The item failed.
    Failed,
    /// The item was denied before it ran.
    Declined,
    /// A status that this version of the crate does not know, as Codex reported it. Empty if it reported none.
    #[cfg_attr(feature = "json", serde(untagged))]
    Other(String),
}

// === impl Item ===

impl Item {
    /// Returns an item.
    pub fn new(id: impl Into<String>, kind: ItemKind) -> Self {
        Self {
            id: id.into(),
            kind,
            started_at: None,
            completed_at: None,
            duration: None,
        }
    }
}

/// Writes a time as Codex does, in whole milliseconds since the Unix epoch.
#[cfg(feature = "json")]
fn unix_millis<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    let since = |time: &SystemTime| time.duration_since(SystemTime::UNIX_EPOCH);
    // A time before 1970 is no time of Codex.
    let since = time.as_ref().map(|time| since(time).unwrap_or_default());
    whole_millis(&since, serializer)
}

/// Writes a duration as Codex does, in whole milliseconds.
#[cfg(feature = "json")]
fn whole_millis<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let millis = duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    millis.serialize(serializer)
}

// === impl ItemKind ===

impl fmt::Debug for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AgentMessage { text } => fmt_hidden(f, "AgentMessage", text.len(), None),
            Self::Reasoning { text } => fmt_hidden(f, "Reasoning", text.len(), None),
            Self::CommandExecution { output, status, .. } => {
                fmt_hidden(f, "CommandExecution", output.size(), Some(status))
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
            Self::DynamicToolCall { tool, status, .. } => f
                .debug_struct("DynamicToolCall")
                .field("tool", tool)
                .field("status", status)
                .finish_non_exhaustive(),
            Self::CollabToolCall { tool, status } => f
                .debug_struct("CollabToolCall")
                .field("tool", tool)
                .field("status", status)
                .finish(),
            Self::WebSearch { query } => fmt_hidden(f, "WebSearch", query.len(), None),
            Self::TodoList { items } => f
                .debug_struct("TodoList")
                .field("items", &items.len())
                .finish(),
            Self::Plan { text } => fmt_hidden(f, "Plan", text.len(), None),
            Self::ImageView { path } => f.debug_struct("ImageView").field("path", path).finish(),
            Self::ContextCompaction => f.write_str("ContextCompaction"),
            Self::Other { name } => f.debug_struct("Other").field("name", name).finish(),
            Self::Warning { message } => fmt_hidden(f, "Warning", message.len(), None),
        }
    }
}

/// Writes an error as Codex does, `{"message":…}`.
#[cfg(feature = "json")]
fn error_object<S: Serializer>(error: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let object = error.as_ref().map(|message| [("message", message)]);
    let object = object.map(std::collections::HashMap::from);
    object.serialize(serializer)
}

// === impl TodoItem ===

impl TodoItem {
    /// Returns a step.
    pub fn new(text: impl Into<String>, completed: bool) -> Self {
        Self {
            text: text.into(),
            completed,
        }
    }
}

impl fmt::Debug for TodoItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_hidden(f, "TodoItem", self.text.len(), None)
    }
}

/// Formats a value with the size of its content in its place.
fn fmt_hidden(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    size: usize,
    status: Option<&ItemStatus>,
) -> fmt::Result {
    let mut shown = f.debug_struct(name);
    shown.field("content", &Hidden(size));
    if let Some(status) = status {
        shown.field("status", status);
    }
    shown.finish_non_exhaustive()
}

/// Returns a stand-in for content, whose `Debug` shows the size alone.
pub(super) fn hidden(content: &str) -> Hidden {
    Hidden(content.len())
}

/// A stand-in for content of a size, in bytes.
pub(super) struct Hidden(pub(super) usize);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*** ({} bytes)", self.0)
    }
}
