use std::{fmt, ops::BitOr};

use super::Event;

/// Which events of a call a sink wants: its start, its end, both or none.
///
/// ```
/// use codex_telemetry::Interest;
///
/// let interest = Interest::ENDS;
/// assert!(interest.in_ends() && !interest.in_starts());
/// assert_eq!(interest | Interest::STARTS, Interest::ALL);
/// ```
///
/// A sink around another one passes on only what that one wants:
///
/// ```
/// use codex_telemetry::{Event, Interest, MemorySink, Sink};
///
/// struct Around<S>(S);
///
/// impl<S: Sink> Sink for Around<S> {
///     fn interest(&self) -> Interest {
///         self.0.interest()
///     }
///
///     fn emit(&self, event: Event) {
///         if self.interest().includes(&event) {
///             self.0.emit(event);
///         }
///     }
/// }
///
/// assert_eq!(Around(MemorySink::new()).interest(), Interest::ALL);
/// // `()` is a sink that is off.
/// assert_eq!(Around(()).interest(), Interest::NONE);
/// assert!(Around(()).interest().is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    starts: bool,
    ends: bool,
}

// === impl Interest ===

impl Interest {
    /// In no event, as of a sink that is off.
    pub const NONE: Self = Self::new(false, false);
    /// In start events alone.
    pub const STARTS: Self = Self::new(true, false);
    /// In terminal events alone.
    pub const ENDS: Self = Self::new(false, true);
    /// In both events of a call.
    pub const ALL: Self = Self::new(true, true);

    const fn new(starts: bool, ends: bool) -> Self {
        Self { starts, ends }
    }

    /// Returns whether start events are wanted.
    #[inline]
    #[must_use]
    pub const fn in_starts(self) -> bool {
        self.starts
    }

    /// Returns whether terminal events are wanted.
    #[inline]
    #[must_use]
    pub const fn in_ends(self) -> bool {
        self.ends
    }

    /// Returns whether this event is wanted.
    #[inline]
    #[must_use]
    pub fn includes(self, event: &Event) -> bool {
        match event.outcome() {
            None => self.starts,
            Some(_) => self.ends,
        }
    }

    /// Returns whether no event is wanted.
    #[inline]
    #[must_use]
    pub const fn is_none(self) -> bool {
        !self.starts && !self.ends
    }
}

/// The interest in what either of the two wants.
impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self::new(self.starts || other.starts, self.ends || other.ends)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.starts, self.ends) {
            (false, false) => "Interest::NONE",
            (true, false) => "Interest::STARTS",
            (false, true) => "Interest::ENDS",
            (true, true) => "Interest::ALL",
        })
    }
}
