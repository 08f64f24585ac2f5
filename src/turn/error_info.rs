/// What Codex itself says about the kind of an error: its `codexErrorInfo`.
///
/// Only the app-server tells it. New versions have new kinds.
///
/// ```
/// use codex_telemetry::turn::CodexErrorInfo;
///
/// /// What a user is told.
/// fn advice(info: &CodexErrorInfo) -> &'static str {
///     match (&*info.kind, info.http_status) {
///         ("usageLimitExceeded", _) => "wait, or extend your plan",
///         (_, Some(401)) => "log in again",
///         _ => "try again",
///     }
/// }
///
/// assert_eq!(advice(&CodexErrorInfo::new("usageLimitExceeded")), "wait, or extend your plan");
/// let unauthorized = CodexErrorInfo::new("httpConnectionFailed").with_http_status(401);
/// assert_eq!(advice(&unauthorized), "log in again");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CodexErrorInfo {
    /// Codex's name of the kind, such as `usageLimitExceeded`.
    pub kind: String,
    /// The HTTP status of the provider's answer, if Codex passes it on.
    pub http_status: Option<u16>,
}

impl CodexErrorInfo {
    /// Returns a kind without an HTTP status.
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            http_status: None,
        }
    }

    /// Sets the HTTP status.
    #[must_use]
    pub const fn with_http_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }
}
