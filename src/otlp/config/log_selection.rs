use super::value::{InvalidValue, parse_keyword};

/// Which log records are exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LogSelection {
    /// The starts and the ends of calls.
    #[default]
    All,
    /// The ends of calls.
    Ends,
    /// The ends of calls that failed, panicked or were cancelled.
    Exceptions,
    /// No log records: the signal is off.
    None,
}

impl LogSelection {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidValue> {
        const SELECTIONS: &[(&str, LogSelection)] = &[
            ("all", LogSelection::All),
            ("ends", LogSelection::Ends),
            ("exceptions", LogSelection::Exceptions),
            ("none", LogSelection::None),
        ];
        parse_keyword("selection", SELECTIONS, text)
    }
}
