use std::{collections::HashMap, io, sync::Arc};

use super::McpServer;
use crate::tool::{HostTools, has_name_chars};

/// The default name.
const NAME: &str = "codex_telemetry";
/// The most characters of a name: it is a part of the names of the tools.
const MAX_NAME_LEN: usize = 32;

/// A builder of an [`McpServer`].
///
/// ```
/// use codex_telemetry::{
///     ToolError,
///     mcp::McpServer,
///     tool::{HostTools, ToolService, ToolSpec, tool_fn},
/// };
/// use serde_json::Value;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let echo = tool_fn(|value: Value, _context| async move { Ok::<_, ToolError>(value) });
/// let registry = ToolService::builder().tool(ToolSpec::new("echo", "Returns it"), echo).build()?;
/// let tools = HostTools::new(&registry, registry.clone(), Duration::from_secs(60));
///
/// // The model sees the tool as `mcp__tickets__echo`.
/// let server = McpServer::builder().name("tickets").start(tools.clone()).await?;
/// assert_eq!(server.name(), "tickets");
///
/// let unusable = McpServer::builder().name("tickets and more").start(tools).await;
/// assert!(unusable.is_err_and(|error| error.kind() == std::io::ErrorKind::InvalidInput));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until the server is started"]
pub struct McpServerBuilder {
    name: Arc<str>,
}

impl McpServerBuilder {
    pub(super) fn new() -> Self {
        Self { name: NAME.into() }
    }

    /// Sets the name by which Codex knows the server. The default is `codex_telemetry`.
    ///
    /// Choose one that Codex's own configuration does not have: Codex would merge the two, key by key.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// The system has no port, or, with [`InvalidInput`](io::ErrorKind::InvalidInput), the name is not 1 to 32 of the
    /// characters a-z, A-Z, 0-9, `_` and `-`, or Codex would call two tools by the same name: it takes `-` and the dot
    /// after a namespace for `_`.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime with I/O enabled.
    pub async fn start(self, tools: HostTools) -> io::Result<McpServer> {
        check_name(&self.name)?;
        check_tools(&tools)?;
        McpServer::start_named(self.name, tools).await
    }
}

fn check_name(name: &str) -> io::Result<()> {
    if has_name_chars(name) && name.len() <= MAX_NAME_LEN {
        return Ok(());
    }
    Err(invalid(format!(
        "the name {name:?} of an MCP server is invalid: use 1 to {MAX_NAME_LEN} of the characters a-z, A-Z, 0-9, _ and -"
    )))
}

fn check_tools(tools: &HostTools) -> io::Result<()> {
    let mut seen = HashMap::new();
    for name in tools.registry().names() {
        if let Some(other) = seen.insert(name.replace(['.', '-'], "_"), name) {
            return Err(invalid(format!(
                "Codex would call the tools `{other}` and `{name}` by the same name: give one of the two another name"
            )));
        }
    }
    Ok(())
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
