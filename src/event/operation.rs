use std::borrow::Cow;

use super::{EventKind, named_enum::named_enum};

named_enum! {
    /// The kind of work that a call does. Its name is the prefix of the call's event names.
    ///
    /// A turn, for example, emits `codex.turn.start`, then `codex.turn.stop` or `codex.turn.exception`.
    ///
    /// ```
    /// use codex_telemetry::Operation;
    ///
    /// assert_eq!(Operation::Turn.as_str(), "codex.turn");
    /// assert_eq!(Operation::Custom("billing.sync").as_str(), "billing.sync");
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum Operation {
        /// One turn of an agent, from a prompt to a final message.
        Turn = "codex.turn",
        /// One tool call, made by the application or by Codex within a turn.
        Tool = "codex.tool",
        /// One response of the model within a turn.
        Chat = "codex.chat",
        /// One request for approval of a tool call.
        Approval = "codex.approval",
        /// One stage of an attachment.
        AttachmentStage = "codex.attachment.stage",
        /// One sweep of the staged attachments.
        AttachmentCleanup = "codex.attachment.cleanup",
        ;
        /// Work of the application.
        Custom,
    }
}

impl Operation {
    /// Returns the name of this operation's event of one kind.
    ///
    /// With [`ALL`](Self::ALL) and [`EventKind::ALL`] a program can list every event name of the crate, for
    /// instance to generate a dashboard.
    ///
    /// ```
    /// use codex_telemetry::{EventKind, Operation};
    ///
    /// assert_eq!(Operation::Tool.event_name(EventKind::Exception), "codex.tool.exception");
    /// assert_eq!(Operation::Custom("sync").event_name(EventKind::Stop), "sync.stop");
    ///
    /// let mut stops = Operation::ALL.iter().map(|operation| operation.event_name(EventKind::Stop));
    /// assert!(stops.all(|name| name.starts_with("codex.") && name.ends_with(".stop")));
    /// ```
    #[must_use]
    pub fn event_name(self, kind: EventKind) -> Cow<'static, str> {
        match self.known_event_name(kind) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("{self}.{kind}")),
        }
    }

    /// Like [`event_name`](Self::event_name); `None` for an operation of the application.
    pub(super) fn known_event_name(self, kind: EventKind) -> Option<&'static str> {
        use {EventKind as K, Operation as O};
        // Written out, because a sink may ask for the name of every event, and a literal costs nothing.
        Some(match (self, kind) {
            (O::Turn, K::Start) => "codex.turn.start",
            (O::Turn, K::Stop) => "codex.turn.stop",
            (O::Turn, K::Exception) => "codex.turn.exception",
            (O::Tool, K::Start) => "codex.tool.start",
            (O::Tool, K::Stop) => "codex.tool.stop",
            (O::Tool, K::Exception) => "codex.tool.exception",
            (O::Chat, K::Start) => "codex.chat.start",
            (O::Chat, K::Stop) => "codex.chat.stop",
            (O::Chat, K::Exception) => "codex.chat.exception",
            (O::Approval, K::Start) => "codex.approval.start",
            (O::Approval, K::Stop) => "codex.approval.stop",
            (O::Approval, K::Exception) => "codex.approval.exception",
            (O::AttachmentStage, K::Start) => "codex.attachment.stage.start",
            (O::AttachmentStage, K::Stop) => "codex.attachment.stage.stop",
            (O::AttachmentStage, K::Exception) => "codex.attachment.stage.exception",
            (O::AttachmentCleanup, K::Start) => "codex.attachment.cleanup.start",
            (O::AttachmentCleanup, K::Stop) => "codex.attachment.cleanup.stop",
            (O::AttachmentCleanup, K::Exception) => "codex.attachment.cleanup.exception",
            (O::Custom(_), _) => return None,
        })
    }
}
