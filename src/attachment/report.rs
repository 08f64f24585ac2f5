use std::{ffi::CStr, fmt, io};

/// The number of failures that a report describes. It counts all of them.
const MAX_FAILURES: usize = 32;

/// The result of a sweep.
///
/// Another crate can build one from its `Default`, for instance for a fake cleanup service.
///
/// ```
/// use codex_telemetry::attachment::{CleanupFailure, CleanupReport};
///
/// let mut report = CleanupReport::default();
/// report.kept = 2;
/// report.failed = 1;
/// report.failures.push(CleanupFailure::new(".staging-7", "permission denied"));
/// assert_eq!(report.to_string(), "removed 0 (0 bytes), kept 2, failed 1");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CleanupReport {
    /// The number of removed files: attachments and leftovers.
    pub removed: u64,
    /// The number of removed leftovers: partial files of processes that died while they staged.
    pub leftovers: u64,
    /// The size of the removed files in bytes.
    pub removed_bytes: u64,
    /// The number of attachments that are not due, or leased.
    pub kept: u64,
    /// The number of kept attachments that are due and [leased](super::Attachment#leases).
    pub leased: u64,
    /// The number of files that could not be read or removed, and of entries with an attachment's name
    /// that are not regular files.
    pub failed: u64,
    /// The first 32 failures.
    pub failures: Vec<CleanupFailure>,
}

/// A file that a sweep could not read or remove.
///
/// ```
/// use codex_telemetry::attachment::{CleanupFailure, CleanupReport};
///
/// /// What an operator is told of a sweep.
/// fn advice(report: &CleanupReport) -> String {
///     let lines = report.failures.iter().map(|it| format!("{}: {}", it.file_name, it.error));
///     lines.collect::<Vec<_>>().join("\n")
/// }
///
/// let mut report = CleanupReport::default();
/// report.failures.push(CleanupFailure::new(".staging-7", "permission denied"));
/// assert_eq!(advice(&report), ".staging-7: permission denied");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CleanupFailure {
    /// The name of the file in the store's directory.
    pub file_name: String,
    /// The text of the error.
    pub error: String,
}

// === impl CleanupReport ===

impl CleanupReport {
    pub(super) fn count_failed(&mut self, file_name: &CStr, error: &io::Error) {
        self.failed += 1;
        if self.failures.len() < MAX_FAILURES {
            let file_name = file_name.to_string_lossy();
            let failure = CleanupFailure::new(file_name, error.to_string());
            self.failures.push(failure);
        }
    }
}

impl fmt::Display for CleanupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "removed {} ({} bytes), kept {}, failed {}",
            self.removed, self.removed_bytes, self.kept, self.failed
        )
    }
}

// === impl CleanupFailure ===

impl CleanupFailure {
    /// Returns a failure to remove a file.
    pub fn new(file_name: impl Into<String>, error: impl Into<String>) -> Self {
        Self {
            file_name: file_name.into(),
            error: error.into(),
        }
    }
}
