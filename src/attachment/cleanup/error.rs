use std::{io, path::PathBuf};

use crate::{
    attachment::{blocking::Interrupted, error::advice},
    event::{Classification, ErrorClass},
};

/// The error of a sweep that could not go on.
///
/// A file that cannot be removed is none: it is counted in the
/// [report](super::CleanupReport::failed).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CleanupError {
    /// The operating system refused the directory or its lock.
    #[error("cannot {doing} {}; {}", path.display(), advice(source))]
    Io {
        /// What was tried, to be read before the path.
        doing: &'static str,
        /// On what it was tried.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The runtime shut down before the sweep was done.
    #[error("the tokio runtime shut down before the sweep was done; the next one does the rest")]
    Interrupted,
}

// === impl CleanupError ===

impl CleanupError {
    /// Returns the failure mode: `io` or `interrupted`.
    #[must_use]
    pub fn classification(&self) -> Classification {
        let class = match self {
            Self::Io { .. } => ErrorClass::Io,
            Self::Interrupted => ErrorClass::Interrupted,
        };
        Classification::of(class, self)
    }
}

impl From<Interrupted> for CleanupError {
    fn from(Interrupted: Interrupted) -> Self {
        Self::Interrupted
    }
}
