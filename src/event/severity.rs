use super::named_enum::named_enum;

named_enum! {
    /// How much attention an event needs. Every sink reports the same one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[non_exhaustive]
    pub enum Severity {
        /// A call began, succeeded, or was cancelled by its caller.
        Info = "INFO",
        /// A call failed, and its caller got the error.
        Warn = "WARN",
        /// A call panicked.
        Error = "ERROR",
    }
}
