use super::{EventKind, named_enum::named_enum};

named_enum! {
    /// How a call ended.
    ///
    /// ```
    /// use codex_telemetry::{Event, Outcome};
    ///
    /// fn needs_attention(event: &Event) -> bool {
    ///     matches!(event.outcome(), Some(Outcome::Error | Outcome::Panic))
    /// }
    /// # let _ = needs_attention;
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Outcome {
        /// The service returned `Ok`.
        Ok = "ok",
        /// The service returned `Err`.
        Error = "error",
        /// The future was dropped before it completed.
        Cancelled = "cancelled",
        /// The service panicked.
        Panic = "panic",
    }
}

impl Outcome {
    /// Returns the kind of the terminal event of a call with this outcome.
    #[must_use]
    pub const fn event_kind(self) -> EventKind {
        match self {
            Self::Ok => EventKind::Stop,
            Self::Error | Self::Cancelled | Self::Panic => EventKind::Exception,
        }
    }
}
