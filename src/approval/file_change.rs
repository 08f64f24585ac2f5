use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A changed file, in an item of a turn or in a request for an approval.
///
/// Its `Debug` shows the kind and the size of the difference: a path and a difference may be confidential. As JSON,
/// with the feature `json`, it has `move_path` and `diff` only where they are known.
///
/// ```
/// use codex_telemetry::approval::FileUpdateChange;
///
/// let change = FileUpdateChange::new("src/old.rs", "update")
///     .with_move_path("src/new.rs")
///     .with_diff("-let key = 1;\n+let key = 2;\n");
/// assert_eq!(change.move_path(), Some("src/new.rs".as_ref()));
/// assert!(change.diff().is_some_and(|diff| diff.contains("+let key = 2;")));
/// assert!(!format!("{change:?}").contains("key"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FileUpdateChange {
    /// The path of the file.
    pub path: PathBuf,
    /// `add`, `delete` or `update`.
    pub kind: String,
    /// Boxed: an edit can have very many files, and `codex exec` tells nothing more of them.
    #[cfg_attr(feature = "json", serde(flatten))]
    details: Option<Box<Details>>,
}

/// What is known of a changed file beside its path and its kind.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
struct Details {
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "Option::is_none"))]
    move_path: Option<PathBuf>,
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "Option::is_none"))]
    diff: Option<String>,
}

// === impl FileUpdateChange ===

impl FileUpdateChange {
    /// Returns a change; `kind` is `add`, `delete` or `update`.
    pub fn new(path: impl Into<PathBuf>, kind: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            kind: kind.into(),
            details: None,
        }
    }

    /// Sets the new path of a file that is moved.
    #[must_use]
    pub fn with_move_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.details.get_or_insert_default().move_path = Some(path.into());
        self
    }

    /// Sets the difference, or the content of a new file.
    #[must_use]
    pub fn with_diff(mut self, diff: impl Into<String>) -> Self {
        self.details.get_or_insert_default().diff = Some(diff.into());
        self
    }

    /// Returns the new path of a file that is moved. `codex exec` does not tell it.
    #[must_use]
    pub fn move_path(&self) -> Option<&Path> {
        self.details.as_ref()?.move_path.as_deref()
    }

    /// Returns the difference, or the content of a new file. `codex exec` does not tell it.
    #[must_use]
    pub fn diff(&self) -> Option<&str> {
        self.details.as_ref()?.diff.as_deref()
    }
}

impl fmt::Debug for FileUpdateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileUpdateChange")
            .field("kind", &self.kind)
            .field("diff_bytes", &self.diff().map(str::len))
            .finish_non_exhaustive()
    }
}
