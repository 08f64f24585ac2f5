use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Attachment, AttachmentError, AttachmentStoreBuilder, Ttl,
    blocking::Work,
    inner::Inner,
    name,
    stage::{Source, Stage},
};
use crate::event::Clock;

/// Keeps files by the hash of their content, each for its time.
///
/// Clones share one handle; several stores, also of several processes, may share one directory.
///
/// ```
/// use codex_telemetry::attachment::{AttachmentStore, Ttl};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let store = AttachmentStore::open(dir)?;
/// let staged = store.stage_bytes("notes.txt", "remember the milk", Ttl::default()).await?;
/// assert_eq!(std::fs::read_to_string(&staged.path)?, "remember the milk");
///
/// // The same content under the same name is the same attachment; it lives as long as was ever asked.
/// let again = store.stage_bytes("notes.txt", "remember the milk", Ttl::Infinite).await?;
/// assert_eq!(again.path, staged.path);
/// assert_eq!(store.list().await?, [again]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AttachmentStore(Arc<Inner>);

// === impl AttachmentStore ===

impl AttachmentStore {
    /// Opens the store in a directory, which is made when it is not there.
    ///
    /// # Errors
    ///
    /// As of [`AttachmentStoreBuilder::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, AttachmentError> {
        Self::builder().open(directory)
    }

    /// Returns what opens a store with other limits.
    pub fn builder() -> AttachmentStoreBuilder {
        AttachmentStoreBuilder::new()
    }

    pub(super) fn open_as(
        directory: &Path,
        max_size: u64,
        clock: Option<Clock>,
    ) -> Result<Self, AttachmentError> {
        Ok(Self(Arc::new(Inner::open(directory, max_size, clock)?)))
    }

    /// Returns the directory, absolute.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.0.directory.path()
    }

    /// Returns the size in bytes that no attachment may exceed.
    #[must_use]
    pub fn max_size(&self) -> u64 {
        self.0.max_size
    }

    /// Stages bytes under a name.
    ///
    /// The time to live counts from now. Content that is staged already, under the same name, keeps
    /// its expiry if that is later, and is given this one if not.
    ///
    /// # Errors
    ///
    /// [`AttachmentError`] when the name is no bare file name, the content is too large, or the
    /// operating system refuses. Nothing is left behind then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is done, it leaves the attachment whole or absent, and nothing half-written
    /// once its thread has noticed.
    pub async fn stage_bytes(
        &self,
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
        ttl: Ttl,
    ) -> Result<Attachment, AttachmentError> {
        self.stage(Source::Bytes(bytes.into()), name.into(), ttl)
            .await
    }

    /// Stages a copy of a file, under the last part of its path.
    ///
    /// A symbolic link that is given is followed; the copy is of the file that it leads to.
    ///
    /// # Errors
    ///
    /// As of [`stage_bytes`](Self::stage_bytes), and when the path names no regular file.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// As of [`stage_bytes`](Self::stage_bytes).
    pub async fn stage_file(
        &self,
        path: impl Into<PathBuf>,
        ttl: Ttl,
    ) -> Result<Attachment, AttachmentError> {
        let path = path.into();
        let Some(name) = path.file_name().and_then(OsStr::to_str) else {
            return Err(AttachmentError::InvalidName {
                name: path.display().to_string(),
                reason: "its path does not end in a name that is text",
            });
        };
        let name = name.to_owned();
        self.stage(Source::File(path), name, ttl).await
    }

    /// Stages a copy of a file, under a name of its own.
    ///
    /// # Errors
    ///
    /// As of [`stage_file`](Self::stage_file).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// As of [`stage_bytes`](Self::stage_bytes).
    pub async fn stage_file_as(
        &self,
        path: impl Into<PathBuf>,
        name: impl Into<String>,
        ttl: Ttl,
    ) -> Result<Attachment, AttachmentError> {
        self.stage(Source::File(path.into()), name.into(), ttl)
            .await
    }

    /// Returns the attachments that are there, by file name; expired ones too, until they are swept.
    ///
    /// # Errors
    ///
    /// [`AttachmentError::Io`] when the directory cannot be read.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Safe: it changes nothing.
    pub async fn list(&self) -> Result<Vec<Attachment>, AttachmentError> {
        let store = self.inner();
        Work::spawn(move |abandoned| store.list(abandoned)).await?
    }

    async fn stage(
        &self,
        source: Source,
        name: String,
        ttl: Ttl,
    ) -> Result<Attachment, AttachmentError> {
        name::check(&name)?;
        let store = self.inner();
        let stage = Stage { source, name, ttl };
        Work::spawn(move |abandoned| stage.run(&store, abandoned)).await?
    }

    pub(super) fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.0)
    }
}
