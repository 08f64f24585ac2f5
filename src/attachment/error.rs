use std::{io, path::PathBuf};

use rustix::io::Errno;

use super::blocking::Interrupted;
use crate::event::{Classification, ErrorClass};

const IN_THE_WAY: &str = "move away what stands in its place";

/// The error of staging or listing attachments.
///
/// Whatever it says, no part of an attachment was left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachmentError {
    /// The name could lead out of the directory, or is none.
    #[error("the attachment name {name:?} is refused: {reason}; use a bare file name")]
    InvalidName {
        /// The name, or the beginning of a long one.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The content is larger than the store takes.
    #[error(
        "the attachment {name:?} is larger than {limit} bytes; stage less, or raise the store's \
         `max_size`"
    )]
    TooLarge {
        /// The name it was to be staged under.
        name: String,
        /// The largest size in bytes that is taken.
        limit: u64,
    },
    /// What is to be staged is no regular file.
    #[error("{} is not a regular file; stage the bytes that come out of it", path.display())]
    NotAFile {
        /// The path that was given.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}; {}", path.display(), advice(source))]
    Io {
        /// What was tried, to be read before the path.
        doing: &'static str,
        /// On what it was tried.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The runtime shut down before the work was done.
    #[error("the tokio runtime shut down before the attachments were done; try in the next run")]
    Interrupted,
}

// === impl AttachmentError ===

impl AttachmentError {
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing,
            path: path.into(),
            source,
        }
    }

    /// Returns the failure mode: `invalid_request`, `io` or `interrupted`.
    #[must_use]
    pub fn classification(&self) -> Classification {
        let class = match self {
            Self::InvalidName { .. } | Self::TooLarge { .. } | Self::NotAFile { .. } => {
                ErrorClass::InvalidRequest
            }
            Self::Io { .. } => ErrorClass::Io,
            Self::Interrupted => ErrorClass::Interrupted,
        };
        Classification::of(class, self)
    }
}

impl From<Interrupted> for AttachmentError {
    fn from(Interrupted: Interrupted) -> Self {
        Self::Interrupted
    }
}

/// Returns what to do about an error of the operating system.
pub(super) fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "see that it is still there",
        ErrorKind::PermissionDenied => "give this process the right to it",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on its disk",
        ErrorKind::FileTooLarge => "let this process write larger files (`ulimit -f`)",
        ErrorKind::ReadOnlyFilesystem => "use a directory that can be written to",
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => IN_THE_WAY,
        ErrorKind::Unsupported => "use a directory on another file system",
        // `ErrorKind` has no stable name for the rest.
        _ => match error.raw_os_error().map(Errno::from_raw_os_error) {
            // A link that was not followed.
            Some(Errno::LOOP) => IN_THE_WAY,
            Some(Errno::MFILE | Errno::NFILE) => "let this process open more files (`ulimit -n`)",
            Some(Errno::IO) => "see to its disk",
            _ => "see the cause",
        },
    }
}
