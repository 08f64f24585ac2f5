/// When Codex asks for an approval.
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
    /// Before every command that Codex does not know as harmless.
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
