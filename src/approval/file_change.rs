use std::{fmt, path::PathBuf};

/// A changed file.
///
/// Its `Debug` does not show the difference.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FileUpdateChange {
    /// The path of the file.
    pub path: PathBuf,
    /// `add`, `delete` or `update`.
    pub kind: String,
    /// The new path of a file that is moved.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "Option::is_none"))]
    pub move_path: Option<PathBuf>,
    /// The difference, or the content of a new file. `codex exec` does not tell it.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "Option::is_none"))]
    pub diff: Option<String>,
}

// === impl FileUpdateChange ===

impl FileUpdateChange {
    /// Returns a change; `kind` is `add`, `delete` or `update`.
    pub fn new(path: impl Into<PathBuf>, kind: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            kind: kind.into(),
            move_path: None,
            diff: None,
        }
    }

    /// Sets the difference.
    #[must_use]
    pub fn with_diff(mut self, diff: impl Into<String>) -> Self {
        self.diff = Some(diff.into());
        self
    }
}

impl fmt::Debug for FileUpdateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileUpdateChange")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
