use crate::event::{Outcome, Phase};

/// How a stretch of a bar is drawn. Each fill differs from the others by its shape as well as by its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// A call without phases, by its outcome.
    Ended(Outcome),
    /// A call that has not ended.
    Open,
    /// A phase of a turn.
    Phase(Phase),
}

// === impl Fill ===

impl Fill {
    /// Returns the character that fills a column.
    pub(super) fn character(self) -> char {
        match self {
            Self::Ended(_) => '█',
            Self::Open => '░',
            Self::Phase(phase) => match phase {
                Phase::Wait => '·',
                Phase::Startup => '▂',
                Phase::Model => '▓',
                Phase::Tools => '█',
                Phase::Approval => '?',
                Phase::Retry => '▞',
                Phase::Other => '─',
            },
        }
    }

    /// Returns the parameters of the ANSI escape sequence.
    ///
    /// No two phases are told apart by red and green alone.
    pub(super) fn ansi(self) -> &'static str {
        match self {
            Self::Ended(Outcome::Ok) => "32",        // green
            Self::Ended(Outcome::Error) => "31",     // red
            Self::Ended(Outcome::Cancelled) => "33", // yellow
            Self::Ended(Outcome::Panic) => "1;35",   // bold magenta
            Self::Open => "36",                      // cyan
            Self::Phase(phase) => match phase {
                Phase::Wait => "90",     // grey
                Phase::Startup => "94",  // bright blue
                Phase::Model => "36",    // cyan
                Phase::Tools => "34",    // blue
                Phase::Approval => "33", // yellow
                Phase::Retry => "35",    // magenta
                Phase::Other => "37",    // white
            },
        }
    }

    /// Returns the name of the fill in a page.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ended(outcome) => outcome.as_str(),
            Self::Open => "open",
            Self::Phase(phase) => phase.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_phases_have_the_same_character_or_colour_and_none_has_that_of_an_open_call() {
        let phases = || Phase::ALL.iter().copied().map(Fill::Phase);
        let characters: HashSet<_> = phases().map(Fill::character).collect();
        assert_eq!(characters.len(), Phase::ALL.len());
        assert!(!characters.contains(&Fill::Open.character()));
        let colors: HashSet<_> = phases().map(Fill::ansi).collect();
        assert_eq!(colors.len(), Phase::ALL.len());
    }
}
