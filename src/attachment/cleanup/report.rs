use std::{fmt, io};

/// How many failures a report tells of by name; all of them are counted.
const TOLD: usize = 32;

/// What a sweep did.
///
/// ```
/// use codex_telemetry::attachment::CleanupReport;
///
/// let report = CleanupReport::default();
/// assert_eq!(report.to_string(), "removed 0 (0 bytes), kept 0, failed 0");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanupReport {
    /// Files that it removed: attachments, and leftovers.
    pub removed: u64,
    /// How many of those were leftovers: half-written files of processes that died.
    pub leftovers: u64,
    /// The bytes of what it removed.
    pub removed_bytes: u64,
    /// Attachments that it left because their time has not come.
    pub kept: u64,
    /// Files that it could not look at or remove, and whatever else bears the name of an attachment
    /// and is no file.
    pub failed: u64,
    /// The first 32 of those.
    pub failures: Vec<CleanupFailure>,
}

/// One file that a sweep could not remove.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CleanupFailure {
    /// The name of the file in the store's directory.
    pub file_name: String,
    /// What the operating system said.
    pub error: String,
}

// === impl CleanupReport ===

impl CleanupReport {
    pub(super) fn remove(&mut self, bytes: u64) {
        self.removed += 1;
        self.removed_bytes += bytes;
    }

    pub(super) fn fail(&mut self, file_name: &std::ffi::CStr, error: &io::Error) {
        self.failed += 1;
        if self.failures.len() < TOLD {
            self.failures.push(CleanupFailure {
                file_name: file_name.to_string_lossy().into_owned(),
                error: error.to_string(),
            });
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
