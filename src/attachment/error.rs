use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;

use crate::event::{Classification, ErrorClass};

/// The error of opening a store, or of staging, listing or sweeping its attachments.
///
/// After a failed stage, the attachment is absent, or whole if only the lease or the sync of the directory failed.
/// A file that cannot be removed does not fail a sweep: the [report](super::CleanupReport::failed) counts it.
///
/// ```
/// use codex_telemetry::ErrorClass;
/// use codex_telemetry::attachment::{AttachmentError, AttachmentStore, Ttl};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = AttachmentStore::builder().max_size(4).open(dir)?;
/// let error = store.stage_bytes("notes.txt", "remember the milk", Ttl::default()).await.unwrap_err();
/// assert!(matches!(error, AttachmentError::TooLarge { limit: 4, .. }));
/// assert_eq!(error.classification().class, ErrorClass::InvalidRequest);
/// assert!(store.list().await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachmentError {
    /// The name is not a bare file name.
    #[error("invalid attachment name {name:?}: {reason}; use a bare file name")]
    InvalidName {
        /// The name, truncated.
        name: String,
        /// Why it is invalid.
        reason: &'static str,
    },
    /// The directory cannot be that of a store.
    #[error("attachments in {} could not be used: {reason}; use another directory", path.display())]
    InvalidDirectory {
        /// The absolute path of the directory.
        path: PathBuf,
        /// Why it is invalid.
        reason: &'static str,
    },
    /// The content exceeds the store's size limit.
    #[error(
        "attachment {name:?} is larger than {limit} bytes: stage less, or raise the store's \
         `max_size`"
    )]
    TooLarge {
        /// The attachment's name.
        name: String,
        /// The size limit in bytes.
        limit: u64,
    },
    /// The store does not have the attachment.
    #[error("the attachment {} is gone: stage it again", path.display())]
    NotFound {
        /// Where the attachment was.
        path: PathBuf,
    },
    /// The path does not lead to a regular file.
    #[error("{} is not a regular file: read it and stage the bytes", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {action} {}: {}", path.display(), advice(source))]
    Io {
        /// What failed, as a phrase that precedes the path.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process, or another task of this one, held a lock for half a minute. Usually it is stopped
    /// (SIGSTOP, a debugger), or its disk hangs.
    #[error(
        "the lock {} was held for {timeout:?} by another process: find it with `lslocks`, resume or end \
         it, and try again",
        path.display()
    )]
    LockTimeout {
        /// The locked file.
        path: PathBuf,
        /// How long the lock was waited for.
        timeout: Duration,
    },
    /// The tokio runtime shut down before the operation finished. After a sweep, the next one does the
    /// rest.
    #[error("the tokio runtime shut down before the operation finished: repeat it on another one")]
    Interrupted,
}

// === impl AttachmentError ===

impl AttachmentError {
    /// Returns a function that adds to an I/O error what failed.
    pub(super) fn io(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// Returns the classification of the error: `invalid_request`, `io`, `timeout` or
    /// `interrupted`.
    #[must_use]
    pub fn classification(&self) -> Classification {
        let class = match self {
            Self::InvalidName { .. }
            | Self::InvalidDirectory { .. }
            | Self::TooLarge { .. }
            | Self::NotFound { .. }
            | Self::NotAFile { .. } => ErrorClass::InvalidRequest,
            Self::LockTimeout { .. } => ErrorClass::Timeout,
            Self::Io { .. } => ErrorClass::Io,
            Self::Interrupted => ErrorClass::Interrupted,
        };
        Classification::of(class, self)
    }
}

/// Returns what to do about an I/O error.
fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind as Kind;
    match (
        error.kind(),
        error.raw_os_error().map(Errno::from_raw_os_error),
    ) {
        (Kind::NotFound, _) => "check that it exists",
        (Kind::PermissionDenied, _) => "grant this process access",
        (Kind::StorageFull | Kind::QuotaExceeded, _) => "free disk space",
        (Kind::FileTooLarge, _) => "raise the limit on file sizes (`ulimit -f`)",
        (Kind::ReadOnlyFilesystem, _) => "use a writable directory",
        // ELOOP is a symbolic link that was not followed.
        (Kind::IsADirectory | Kind::NotADirectory, _) | (_, Some(Errno::LOOP)) => {
            "move away the file that is in its place"
        }
        (Kind::Unsupported, _) => "use a directory on another file system",
        (_, Some(Errno::MFILE | Errno::NFILE)) => "raise the limit on open files (`ulimit -n`)",
        (_, Some(Errno::IO)) => "check the disk",
        _ => "see the source of this error",
    }
}
