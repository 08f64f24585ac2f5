use super::named_enum::named_enum;

named_enum! {
    /// The point in a call that an event reports. Its name is the last part of the event's name.
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
