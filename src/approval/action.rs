use std::{fmt, path::PathBuf};

use serde_json::Value;

use super::FileUpdateChange;

/// What a tool would do.
///
/// An approver accepts the kinds that it knows, and declines the others: a new version of Codex may ask for more.
///
/// Its `Debug` shows the kind, names and sizes: commands, paths, changes and arguments may be confidential.
///
/// ```
/// use codex_telemetry::approval::{Action, Decision};
///
/// fn decide(action: &Action) -> Decision {
///     match action {
///         // By the shell of the user, as Codex runs it.
///         Action::Command { command, .. } if command == "/bin/bash -lc 'cargo test'" => Decision::Accept,
///         Action::FileChange { changes, grant_root: None, .. } if changes.len() == 1 => Decision::Accept,
///         _ => Decision::decline("a person has to do that"),
///     }
/// }
///
/// assert_eq!(decide(&Action::command("/bin/bash -lc 'cargo test'")), Decision::Accept);
/// let delete = Action::tool_call("/etc/passwd".into());
/// assert_eq!(decide(&delete).as_str(), "decline");
/// // What a person is shown.
/// assert_eq!(delete.arguments(), Some(&"/etc/passwd".into()));
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// The program's own tool would run with these arguments.
    ToolCall {
        /// The arguments.
        arguments: Value,
    },
    /// Codex would run a command.
    Command {
        /// The command line, with the shell by which Codex runs it, such as `/bin/bash -lc 'cargo test'`.
        command: String,
        /// The working directory of the command.
        cwd: Option<PathBuf>,
        /// Why the model wants to run the command outside of the sandbox, if it says so. A command without a reason may
        /// leave the sandbox, too.
        reason: Option<String>,
        /// The rule that [`Decision::AcceptWithExecpolicyAmendment`](super::Decision) would write: the beginning
        /// of the commands that it allows, word by word. Empty if Codex proposes none.
        execpolicy_amendment: Vec<String>,
        /// What the command would be allowed beside: permissions or access to a host, as Codex describes it.
        permissions: Option<Value>,
    },
    /// Codex would edit files.
    FileChange {
        /// The changes.
        changes: Vec<FileUpdateChange>,
        /// Why Codex asks, if it says so.
        reason: Option<String>,
        /// The directory to which Codex would like to write for the rest of the session.
        grant_root: Option<PathBuf>,
    },
    /// Codex would call the tool of an MCP server.
    McpToolCall {
        /// The name of the server.
        server: String,
        /// The arguments.
        arguments: Value,
        /// The question, in the words of Codex.
        message: String,
    },
    /// Codex would like more permissions.
    Permissions {
        /// The permissions, as Codex describes them.
        permissions: Value,
        /// Why Codex asks, if it says so.
        reason: Option<String>,
    },
}

// === impl Action ===

impl Action {
    /// Returns a command without anything else.
    pub fn command(command: impl Into<String>) -> Self {
        Self::Command {
            command: command.into(),
            cwd: None,
            reason: None,
            execpolicy_amendment: Vec::new(),
            permissions: None,
        }
    }

    /// Returns the call of a tool of the program.
    #[must_use]
    pub const fn tool_call(arguments: Value) -> Self {
        Self::ToolCall { arguments }
    }

    /// Returns the arguments of a tool of the program or of an MCP server, and `None` for anything else.
    #[must_use]
    pub const fn arguments(&self) -> Option<&Value> {
        match self {
            Self::ToolCall { arguments } | Self::McpToolCall { arguments, .. } => Some(arguments),
            Self::Command { .. } | Self::FileChange { .. } | Self::Permissions { .. } => None,
        }
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ToolCall { .. } => f.debug_struct("ToolCall").finish_non_exhaustive(),
            Self::Command { command, .. } => f
                .debug_struct("Command")
                .field("command_bytes", &command.len())
                .finish_non_exhaustive(),
            Self::FileChange { changes, .. } => f
                .debug_struct("FileChange")
                .field("changes", &changes.len())
                .finish_non_exhaustive(),
            Self::McpToolCall { server, .. } => f
                .debug_struct("McpToolCall")
                .field("server", server)
                .finish_non_exhaustive(),
            Self::Permissions { .. } => f.debug_struct("Permissions").finish_non_exhaustive(),
        }
    }
}
