use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, time::Instant};

use super::{
    McpServerBuilder, McpToken,
    access::Access,
    gate::Gate,
    grants::{Grant, Grants},
    handler::Handler,
    listener::{self, End},
};
use crate::{
    tool::HostTools,
    turn::{ToolAccess, ToolServer},
};

/// A grace period that is longer is cut: the clock does not go as far.
const MAX_GRACE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Serves the tools of a program to Codex and to other clients over MCP.
///
/// The server listens on the loopback interface, at a port that the system chooses, and lets in who has a token. Codex
/// gets one with a turn: see [`TurnRequest::with_mcp_server`](crate::turn::TurnRequest::with_mcp_server). For other
/// clients [`issue_token`](Self::issue_token) makes one.
///
/// Clones are cheap and share the server. It ends with the last of them and of the requests that have it, or by
/// [`shutdown`](Self::shutdown).
///
/// ```
/// use codex_telemetry::{
///     MemorySink, TimingLayer, ToolError,
///     mcp::McpServer,
///     tool::{HostTools, ToolService, ToolSpec, tool_fn},
///     turn::TurnRequest,
/// };
/// use serde_json::Value;
/// use std::time::Duration;
/// use tower::Layer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let echo = tool_fn(|value: Value, _context| async move { Ok::<_, ToolError>(value) });
/// let registry = ToolService::builder()
///     .tool(ToolSpec::new("echo", "Returns its arguments"), echo)
///     .build()?;
/// let stack = TimingLayer::new(MemorySink::new()).layer(registry.clone());
/// let tools = HostTools::new(&registry, stack, Duration::from_secs(60));
/// let server = McpServer::start(tools).await?;
///
/// let request = TurnRequest::new("Call echo").with_mcp_server(&server);
/// // … and for a client of another kind:
/// let token = server.issue_token()?;
/// println!("{} takes `Authorization: Bearer` with the token", server.url());
/// # assert!(server.url().starts_with("http://127.0.0.1:"));
/// # let _ = (request, token);
/// server.shutdown(Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
///
/// # What a client can do
///
/// It can list the tools that are enabled and call them, by any version of the protocol that the crate `rmcp` knows.
/// There are no sessions: each request is answered by itself, with JSON. A client that closes the connection of a call
/// cancels the call.
///
/// | what | limit |
/// |---|---|
/// | body of a request | 64 MiB, beyond it HTTP 413 |
/// | requests at once | 256, and others wait for their connection to be accepted |
/// | time to send the head of a request | 10 seconds |
/// | time for a call | that of [`HostTools`](crate::tool::HostTools#the-deadline) |
///
/// A request without a valid token gets HTTP 401, and one with another `Host` than that of the server, or from a web page,
/// HTTP 403. A failure of a tool is a result with `isError` and
/// [the message for the model](crate::tool::ToolError::message_for_model).
///
/// # What it records
///
/// A call of Codex is a child of its turn, or of Codex's own span of the call if that is exported to the same trace. A call
/// of another client is in the trace that its request names. The open call has the attributes of OpenTelemetry's
/// conventions for MCP: the method, the id of the request, the version of the protocol, the transport and the address
/// of the client.
///
/// The crate `rmcp` logs through `tracing`: at the level `info` a few lines for each request, and at `debug` also arguments
/// and results. Keep these out with a filter such as `rmcp=warn`. It never sees a token.
///
/// # Proxies
///
/// Codex follows the variables for proxies in its environment. Where they are set,
/// [`CodexExec`](crate::turn::CodexExec) adds `127.0.0.1` to `NO_PROXY`. The environment of a
/// [`CodexAppServer`](crate::turn::CodexAppServer) is that of all its turns and stays as it is: there `NO_PROXY` needs
/// `127.0.0.1`, or the turn fails.
///
/// # Runtime
///
/// The server runs in tasks of the runtime in which it was started, and needs I/O and time in it.
#[derive(Clone)]
pub struct McpServer(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    url: Arc<str>,
    tools: HostTools,
    grants: Arc<Grants>,
    end: watch::Sender<End>,
    /// Closed when nothing is left of the connections and their requests. Nothing is sent.
    ended: watch::Receiver<()>,
}

// === impl McpServer ===

impl McpServer {
    /// Starts a server with the defaults.
    ///
    /// # Errors
    ///
    /// Those of [`McpServerBuilder::start`].
    pub async fn start(tools: HostTools) -> io::Result<Self> {
        Self::builder().start(tools).await
    }

    /// Returns a builder with the defaults.
    ///
    /// ```
    /// use codex_telemetry::{
    ///     mcp::McpServer,
    ///     tool::{HostTools, ToolService},
    /// };
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let registry = ToolService::builder().build()?;
    /// let tools = HostTools::new(&registry, registry.clone(), Duration::from_secs(60));
    /// let default = McpServer::builder().start(tools.clone()).await?;
    /// let tickets = McpServer::builder().name("tickets").start(tools).await?;
    /// assert_eq!((default.name(), tickets.name()), ("codex_telemetry", "tickets"));
    /// assert_ne!(default.url(), tickets.url());
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> McpServerBuilder {
        McpServerBuilder::new()
    }

    pub(super) async fn start_named(name: Arc<str>, tools: HostTools) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let url = format!("http://{}/mcp", listener.local_addr()?).into();
        let grants = Arc::new(Grants::default());
        let handler = Handler::new(Arc::clone(&name), tools.clone());
        let (end, ending) = watch::channel(None);
        let (alive, ended) = watch::channel(());
        let gate = Gate::new(Arc::clone(&grants), handler, alive);
        tokio::spawn(listener::serve(listener, gate, ending));
        Ok(Self(Arc::new(Inner {
            name,
            url,
            tools,
            grants,
            end,
            ended,
        })))
    }

    /// Returns the URL of the server, such as `http://127.0.0.1:40123/mcp`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Returns the name by which Codex knows the server. The model sees the tool `echo` of the server `codex_telemetry` as
    /// `mcp__codex_telemetry__echo`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns a new token, for a client that calls tools outside of a turn.
    ///
    /// # Errors
    ///
    /// The operating system has no random numbers.
    pub fn issue_token(&self) -> io::Result<McpToken> {
        self.0.grants.issue(Grant::Client).map(McpToken::new)
    }

    /// Stops the server and its clones, and waits until all its connections are closed.
    ///
    /// New connections are refused at once. Calls that run after `grace` are dropped; of several calls of this method, the
    /// earliest deadline counts. A turn that is started with the server fails.
    ///
    /// # Cancel safety
    ///
    /// The server stops when the method is called and polled for the first time. It can be called again to go on waiting.
    pub async fn shutdown(&self, grace: Duration) {
        self.0.stop(grace);
        // It returns when the sender is gone.
        let _ = self.0.ended.clone().changed().await;
    }
}

impl ToolServer for McpServer {
    fn open(&self) -> io::Result<Arc<dyn ToolAccess>> {
        if self.0.end.borrow().is_some() {
            let reason = "the MCP server of the request was shut down";
            return Err(io::Error::new(io::ErrorKind::NotConnected, reason));
        }
        Ok(Arc::new(Access {
            issued: self.0.grants.issue(Grant::of_turn())?,
            name: Arc::clone(&self.0.name),
            url: Arc::clone(&self.0.url),
            tools: self.0.tools.clone(),
        }))
    }
}

impl fmt::Debug for McpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServer")
            .field("name", &self.0.name)
            .field("url", &self.0.url)
            .field("tools", &self.0.tools)
            .finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    fn stop(&self, grace: Duration) {
        let deadline = Instant::now() + grace.min(MAX_GRACE);
        self.end.send_if_modified(|end| {
            let is_earlier = end.is_none_or(|end| deadline < end);
            if is_earlier {
                *end = Some(deadline);
            }
            is_earlier
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}
