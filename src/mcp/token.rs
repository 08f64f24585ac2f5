use std::fmt;

use super::grants::Issued;

/// A token for a client of an [`McpServer`](super::McpServer), valid until it is dropped.
///
/// The client sends it with each request, as `Authorization: Bearer …`. `Debug` does not show it.
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
