use std::{convert::Infallible, future::Future, io, pin::Pin, sync::Arc};

use serde_json::{Map, Value};

use super::{TurnError, TurnRequest, served_calls::ServedCalls};
use crate::call::CallContext;

/// A server of the program's tools that Codex connects to, by MCP over HTTP.
pub(crate) trait ToolServer: Send + Sync {
    /// Lets a thread of Codex connect, until what is returned is dropped.
    fn open(&self) -> io::Result<Arc<dyn ToolAccess>>;
}

/// How a thread of Codex connects to a [`ToolServer`].
pub(crate) trait ToolAccess: Send + Sync {
    /// Returns the name of the server in Codex's configuration.
    fn server(&self) -> &str;

    /// Returns the URL, by which a server is told from another one.
    fn url(&self) -> &str;

    /// Returns the bearer token of the requests. It is a secret.
    fn token(&self) -> &str;

    /// Returns the configuration of the server, without the token.
    fn config(&self) -> Map<String, Value>;

    /// Runs the calls as a part of a turn, and notes each of them. Without that they are refused.
    ///
    /// The future is never ready. Dropping it drops the calls that run.
    fn serve(&self, turn: CallContext, calls: ServedCalls) -> ServingTools;
}

pub(crate) type ServingTools = Pin<Box<dyn Future<Output = Infallible> + Send>>;

/// Lets Codex connect to the server of a request, if it has one.
pub(super) fn open(request: &TurnRequest) -> Result<Option<Arc<dyn ToolAccess>>, TurnError> {
    let server = request.tool_server();
    let access = server.map(|server| server.open()).transpose();
    access.map_err(|source| TurnError::Io {
        action: "opening the MCP server of the request",
        source,
    })
}

/// Runs the calls of a turn that has a server. Never returns.
pub(super) async fn serve(tools: &mut Option<ServingTools>) -> Infallible {
    match tools {
        Some(tools) => tools.await,
        None => std::future::pending().await,
    }
}
