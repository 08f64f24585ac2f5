use super::{EventKind, named_enum::named_enum};

named_enum! {
    /// How a call ended.
    ///
    /// ```
    /// use codex_telemetry::{EventKind, Outcome};
    ///
    /// /// The metric label of a call, which says whether somebody should look at it.
    /// fn label(outcome: Outcome) -> String {
    ///     match outcome {
    ///         Outcome::Ok | Outcome::Cancelled => outcome.to_string(),
    ///         Outcome::Error | Outcome::Panic => format!("{} (!)", outcome.as_str()),
    ///     }
    /// }
    ///
    /// assert_eq!(label(Outcome::Panic), "panic (!)");
    /// let stops = Outcome::ALL.iter().filter(|outcome| outcome.event_kind() == EventKind::Stop);
    /// assert!(stops.eq(&[Outcome::Ok]));
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
