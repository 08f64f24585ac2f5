use std::fmt;

use super::grants::Issued;

/// A token for a client of an [`McpServer`](super::McpServer), valid until it is dropped.
///
/// The client sends it with each request, as `Authorization: Bearer …`. `Debug` does not show it.
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
/// let server = McpServer::start(tools).await?;
///
/// let token = server.issue_token()?;
/// let header = format!("Bearer {}", token.as_str());
/// assert_eq!(header.len(), "Bearer ".len() + 64);
/// assert_eq!(format!("{token:?}"), r#"McpToken("***")"#);
/// # Ok(())
/// # }
/// ```
#[must_use = "a dropped token is not valid"]
pub struct McpToken(Issued);

impl McpToken {
    pub(super) const fn new(issued: Issued) -> Self {
        Self(issued)
    }

    /// Returns the text of the token: 64 hexadecimal digits, which are a secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.secret()
    }
}

impl fmt::Debug for McpToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("McpToken").field(&"***").finish()
    }
}
