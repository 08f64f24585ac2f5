/// The answer of an approver. The names are those of Codex.
///
/// With the feature `json` it can be serialized, as `{"decision":"accept"}` or
/// `{"decision":"decline","reason":…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "json",
    derive(serde::Serialize),
    serde(tag = "decision", rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Decision {
    /// The tool may do it once.
    Accept,
    /// The tool may do it, and the same again for the rest of the session without a question.
    ///
    /// Codex remembers a command by its text, until its thread is closed. A tool of the program has no session: for
    /// it this is [`Accept`](Self::Accept).
    AcceptForSession,
    /// The command may run, and Codex **writes a rule** into its configuration, by which commands with the same
    /// beginning run without a question. The rule outlives the process.
    ///
    /// For all but a command with a proposed rule it is [`Decline`](Self::Decline).
    AcceptWithExecpolicyAmendment,
    /// The tool may not do it. The turn goes on, and the model is told.
    Decline {
        /// The reason. The caller of a tool of the program reads it, and so does the model; Codex has no place for
        /// it.
        reason: String,
    },
    /// The tool may not do it, and the turn ends.
    ///
    /// For a tool of the program outside of a turn it is [`Decline`](Self::Decline).
    Cancel,
}

// === impl Decision ===

impl Decision {
    /// Returns a refusal with a reason.
    pub fn decline(reason: impl Into<String>) -> Self {
        Self::Decline {
            reason: reason.into(),
        }
    }

    /// Returns the name, as `codex.approval.decision` has it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::AcceptForSession => "accept_for_session",
            Self::AcceptWithExecpolicyAmendment => "accept_with_execpolicy_amendment",
            Self::Decline { .. } => "decline",
            Self::Cancel => "cancel",
        }
    }
}
