use std::fmt;

/// What kind of work a call does.
///
/// The operation names the events of a call: a turn emits `codex.turn.start`, then `codex.turn.stop`
/// or `codex.turn.exception`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// One turn of an agent: a prompt in, a final message out.
    Turn,
    /// One invocation of a tool, whether by the application or by Codex inside a turn.
    Tool,
    /// One question to an approver: may this tool run?
    Approval,
    /// One sweep over staged attachments.
    AttachmentCleanup,
    /// Work of the application's own; the text is the whole prefix of its event names.
    Custom(&'static str),
}

impl Operation {
    /// Every operation of the crate itself, in the order of their documentation.
    pub const ALL: &'static [Self] = &[
        Self::Turn,
        Self::Tool,
        Self::Approval,
        Self::AttachmentCleanup,
    ];

    /// Returns the prefix of this operation's event names.
    ///
    /// ```
    /// use codex_telemetry::Operation;
    ///
    /// assert_eq!(Operation::Turn.as_str(), "codex.turn");
    /// assert_eq!(Operation::Custom("billing.sync").as_str(), "billing.sync");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Turn => "codex.turn",
            Self::Tool => "codex.tool",
            Self::Approval => "codex.approval",
            Self::AttachmentCleanup => "codex.attachment.cleanup",
            Self::Custom(prefix) => prefix,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
