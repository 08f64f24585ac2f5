use std::fmt;

/// How a call ended.
///
/// ```
/// use codex_telemetry::{Event, Outcome};
///
/// fn worth_a_look(event: &Event) -> bool {
///     matches!(event.outcome(), Some(Outcome::Error | Outcome::Panic))
/// }
/// # let _ = worth_a_look;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The service answered `Ok`.
    Ok,
    /// The service answered `Err`.
    Error,
    /// The future was dropped before it finished.
    Cancelled,
    /// The service panicked.
    Panic,
}

/// Which moment of a call an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The call began.
    Start,
    /// The call ended well.
    Stop,
    /// The call ended by an error, a cancellation or a panic.
    Exception,
}

// === impl Outcome ===

impl Outcome {
    /// Returns the name as it stands in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Panic => "panic",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl EventKind ===

impl EventKind {
    /// Returns the last part of the event's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Exception => "exception",
        }
    }

    /// Returns whether the event is the last of its call.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Start)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
