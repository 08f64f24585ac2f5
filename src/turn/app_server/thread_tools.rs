use std::{fmt, sync::Arc};

use serde_json::{Value, json};

use crate::turn::tool_server::ToolAccess;

/// The MCP server that a thread is loaded with. Two are the same if the server is, whatever its token.
#[derive(Clone)]
pub(super) struct ThreadTools(pub(super) Arc<dyn ToolAccess>);

impl ThreadTools {
    /// Returns a key of Codex's configuration and its value, which has the token.
    pub(super) fn config(&self) -> (String, Value) {
        let mut config = self.0.config();
        let authorization = format!("Bearer {}", self.0.token());
        let headers = json!({"Authorization": authorization});
        config.insert("http_headers".to_owned(), headers);
        (format!("mcp_servers.{}", self.0.server()), config.into())
    }
}

impl PartialEq for ThreadTools {
    fn eq(&self, other: &Self) -> bool {
        (self.0.url(), self.0.server()) == (other.0.url(), other.0.server())
    }
}

impl fmt::Debug for ThreadTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThreadTools").field(&self.0.url()).finish()
    }
}
