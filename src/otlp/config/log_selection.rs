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
    /// None: the signal is off.
    None,
}
