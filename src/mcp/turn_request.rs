use std::sync::Arc;

use super::McpServer;
use crate::turn::TurnRequest;

impl TurnRequest {
    /// Has Codex call the tools of a server in the turn.
    ///
    /// The service that runs the turn configures Codex for it: with the URL, a token of its own, and a timeout above the
    /// [deadline](crate::tool::HostTools#the-deadline) of the tools. Codex asks nobody before it calls a tool: that is up
    /// to an [`ApprovalLayer`](crate::tool::ApprovalLayer) in the stack. A turn whose Codex cannot reach the server fails.
    ///
    /// The calls run in the future of the turn: when the turn is dropped or ends, they are dropped. After that, the token
    /// is of no use.
    ///
    /// - With [`CodexExec`](crate::turn::CodexExec) the token is in the environment of Codex. Its commands do not get it,
    ///   but one that runs with [`Sandbox::DangerFullAccess`](crate::turn::Sandbox::DangerFullAccess) could read the
    ///   environment of its parent. The program that the user has set as `notify` in Codex's configuration gets it as well.
    /// - With [`CodexAppServer`](crate::turn::CodexAppServer) it is the token of the thread, which has the server for as long
    ///   as it is loaded. It is of no use between turns, or in turns without this server. A turn of a loaded thread that
    ///   has no server or another one fails with [`TurnError::InvalidRequest`](crate::turn::TurnError::InvalidRequest).
    ///   The tools of [`CodexAppServerBuilder::tools`](crate::turn::CodexAppServerBuilder::tools) need no port.
    ///
    /// Of several servers the last one counts.
    ///
    /// ```
    /// use codex_telemetry::{
    ///     mcp::McpServer,
    ///     tool::{HostTools, ToolService},
    ///     turn::{CodexExec, TurnError, TurnRequest},
    /// };
    /// use std::time::Duration;
    /// use tower::ServiceExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let registry = ToolService::builder().build()?;
    /// let tools = HostTools::new(&registry, registry.clone(), Duration::from_secs(60));
    /// let server = McpServer::start(tools).await?;
    /// let request = TurnRequest::new("Which tickets are open?").with_mcp_server(&server);
    ///
    /// // A server that was shut down has no tokens for turns.
    /// server.shutdown(Duration::ZERO).await;
    /// let failed = CodexExec::new().oneshot(request).await;
    /// assert!(matches!(failed, Err(TurnError::Io { .. })));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_mcp_server(self, server: &McpServer) -> Self {
        self.with_tool_server(Arc::new(server.clone()))
    }
}
