/// When Codex asks for an approval.
///
/// ```
/// use codex_telemetry::turn::{ApprovalPolicy, TurnRequest};
///
/// /// A job at night has nobody to ask.
/// fn policy(is_attended: bool) -> ApprovalPolicy {
///     if is_attended { ApprovalPolicy::OnRequest } else { ApprovalPolicy::Never }
/// }
///
/// let request = TurnRequest::new("Tidy up").with_approval_policy(policy(false));
/// assert_eq!(request.approval_policy().map(|policy| policy.as_str()), Some("never"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "json",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum ApprovalPolicy {
    /// Never. What would need an approval is refused.
    Never,
    /// When the model asks for more than the sandbox allows.
    OnRequest,
    /// Before every command and every edit.
    ///
    /// A command that was accepted may leave the sandbox: if that refuses it in the first moments, Codex runs it again
    /// outside of it, without another question.
    Untrusted,
}

impl ApprovalPolicy {
    /// Returns Codex's name of the policy.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnRequest => "on-request",
            Self::Untrusted => "untrusted",
        }
    }
}
