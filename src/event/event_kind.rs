use super::named_enum::named_enum;

named_enum! {
    /// The point in a call that an event reports. Its name is the last part of the event's name.
    ///
    /// ```
    /// use codex_telemetry::{EventKind, Operation};
    ///
    /// let names = EventKind::ALL.iter().map(|kind| Operation::Turn.event_name(*kind));
    /// assert!(names.eq(["codex.turn.start", "codex.turn.stop", "codex.turn.exception"]));
    ///
    /// let ends = EventKind::ALL.iter().filter(|kind| kind.is_terminal());
    /// assert!(ends.map(|kind| kind.as_str()).eq(["stop", "exception"]));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum EventKind {
        /// The call began.
        Start = "start",
        /// The call ended with an answer.
        Stop = "stop",
        /// The call ended with an error, a cancellation or a panic.
        Exception = "exception",
    }
}

impl EventKind {
    /// Returns whether the event is the last one of its call.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Start)
    }
}
