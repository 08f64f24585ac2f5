/// The answer of an approver. The names are those of Codex.
///
/// | decision | what Codex asks in a turn | a tool of the program |
/// |---|---|---|
/// | `Accept` | is done once | runs once |
/// | `AcceptForSession` | is done, and Codex remembers it | runs once |
/// | `AcceptWithExecpolicyAmendment` | a command runs, and Codex writes a rule | does not run |
/// | `Decline` | is not done; the turn goes on | does not run |
/// | `Cancel` | is not done; the turn ends | does not run |
///
/// Its `Debug` shows the reason, which is a text of the approver: it is also part of the error of a tool call, and so of
/// what is recorded. A reason should not repeat arguments that are confidential.
///
/// With the feature `json` it can be serialized, as `{"decision":"accept"}` or
/// `{"decision":"decline","reason":…}`; the names are those of [`as_str`](Self::as_str).
///
/// ```
/// use codex_telemetry::Decision;
///
/// /// The button that a person pressed.
/// fn decision(button: &str) -> Decision {
///     match button {
///         "once" => Decision::Accept,
///         "always" => Decision::AcceptForSession,
///         "stop" => Decision::Cancel,
///         _ => Decision::decline("not on a Friday"),
///     }
/// }
///
/// // The name, as `codex.approval.decision` has it.
/// assert_eq!(decision("always").as_str(), "accept_for_session");
/// assert!(matches!(decision("no"), Decision::Decline { reason } if reason == "not on a Friday"));
/// ```
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
    /// The session is the thread, and the turns of it that follow. Codex remembers:
    ///
    /// - a command, by its words, directory and permissions, **whatever the sandbox and the policy of a later turn are**
    /// - the tool of an MCP server, with any arguments
    /// - permissions
    ///
    /// An edit of another file is asked about again, and so is input for a terminal. A tool of the program has no
    /// session: for it this is [`Accept`](Self::Accept), and the next call is asked about.
    AcceptForSession,
    /// The command may run, and Codex **writes a rule** into its configuration, by which commands with the same
    /// beginning run without a question. The rule outlives the process. The model proposes its words, which may allow
    /// more than the command.
    ///
    /// For everything but a command with a proposed rule it is a refusal, because such an approver does not know what
    /// it was asked.
    AcceptWithExecpolicyAmendment,
    /// The tool may not do it. The turn goes on, and the model is told.
    Decline {
        /// The reason. The caller of a tool of the program reads it, and so does the model; Codex has no place for
        /// it.
        reason: String,
    },
    /// The tool may not do it, and the turn ends.
    ///
    /// For a tool of the program it is a [`Decline`](Self::Decline) that says so: there the turn is the program's to
    /// end.
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

    /// Returns the name, as `codex.approval.decision` has it: `accept`, `accept_for_session`,
    /// `accept_with_execpolicy_amendment`, `decline` or `cancel`.
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
