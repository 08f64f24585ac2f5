use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio::io::AsyncRead;

use super::{
    Attachment, AttachmentError, Ttl,
    blocking::{BlockingTask, CancellationToken},
    directory::Directory,
    expiry::TimeRange,
    lease::Lease,
    lock::{self, Wait},
    name::{self, FileKind},
    stage::{Source, stage},
};
use crate::event::Clock;

/// 512 MiB: more than any model accepts, and less than what fills a disk by mistake.
const DEFAULT_MAX_SIZE: u64 = 512 << 20;

/// A directory of attachments: files with a time to live, named by the hash of their content.
///
/// Clones share one handle. Several stores, also of several processes, can share one directory.
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
/// // The same content under the same name is the same attachment. It keeps the longest time to live.
/// let again = store.stage_bytes("notes.txt", "remember the milk", Ttl::Infinite).await?;
/// assert_eq!(again.path, staged.path);
/// assert_eq!(store.list().await?, [again]);
/// # Ok(())
/// # }
/// ```
///
/// Files, uploads, and a lease for an attachment of which a program kept the description:
///
/// ```
/// use codex_telemetry::attachment::{AttachmentStore, Ttl};
/// use tokio::io::AsyncReadExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let (dir, report) = (dir.path().join("store"), dir.path().join("report.csv"));
/// # std::fs::write(&report, "1;2")?;
/// let store = AttachmentStore::builder().open(&dir)?;
/// assert!(store.directory().is_absolute() && store.max_size() == 512 << 20);
///
/// let staged = store.stage_file(&report, Ttl::default()).await?;
/// let renamed = store.stage_file_as(&report, "march.csv", Ttl::default()).await?;
/// assert_eq!((&*staged.name, &*renamed.name), ("report.csv", "march.csv"));
/// let upload = tokio::io::repeat(0).take(1024);
/// assert_eq!(store.stage_reader("upload.bin", upload, Ttl::default()).await?.size, 1024);
///
/// let listed = store.list().await?;
/// assert!(!listed[0].is_leased() && store.lease(&listed[0]).await?.is_leased());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AttachmentStore(pub(super) Arc<Inner>);

/// A builder of an [`AttachmentStore`].
///
/// ```
/// use codex_telemetry::Clock;
/// use codex_telemetry::attachment::{AttachmentStore, CleanupRequest, CleanupService, Ttl};
/// use std::time::{Duration, SystemTime};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let (clock, manual) = Clock::manual(SystemTime::now());
/// let store = AttachmentStore::builder().max_size(1 << 20).clock(clock).open(dir)?;
/// assert_eq!(store.max_size(), 1 << 20);
///
/// store.stage_bytes("notes.txt", "remember the milk", Ttl::default()).await?;
/// manual.advance(Duration::from_secs(25 * 60 * 60));
/// let report = CleanupService::new(store).oneshot(CleanupRequest::expired()).await?;
/// assert_eq!(report.removed, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it opens a store"]
pub struct AttachmentStoreBuilder {
    max_size: u64,
    clock: Option<Clock>,
}

/// What the clones of a store share with the tasks on blocking threads.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) directory: Directory,
    pub(super) time_range: TimeRange,
    pub(super) max_size: u64,
    clock: Option<Clock>,
}

// === impl AttachmentStore ===

impl AttachmentStore {
    /// Opens the store in a directory with the default limits. Creates the directory if it is missing.
    ///
    /// # Errors
    ///
    /// See [`AttachmentStoreBuilder::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, AttachmentError> {
        Self::builder().open(directory)
    }

    /// Returns a builder with the default limits.
    pub fn builder() -> AttachmentStoreBuilder {
        AttachmentStoreBuilder {
            max_size: DEFAULT_MAX_SIZE,
            clock: None,
        }
    }

    /// Returns the absolute path of the directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.0.directory.path()
    }

    /// Returns the largest size of an attachment in bytes.
    #[must_use]
    pub fn max_size(&self) -> u64 {
        self.0.max_size
    }

    /// Stages bytes under a name.
    ///
    /// The time to live starts now. If the same content is staged under the same name already, the
    /// attachment gets the later one of the two expiries. The returned attachment has a
    /// [lease](Attachment#leases).
    ///
    /// # Errors
    ///
    /// Returns an error if the name is not a bare file name or has a comma, at which Codex would split the
    /// path; if the content is too large; if the store's lock is held for 30 seconds; or if a file operation
    /// fails. A failed stage leaves no part of the attachment behind. It leaves the whole attachment if only
    /// the last step failed, which syncs the directory: a power failure may then undo the stage.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// After the future is dropped, the attachment is whole or absent. A blocking thread stops at the next
    /// step and removes the partial file; it waits for no lock any more.
    pub async fn stage_bytes(
        &self,
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
        ttl: Ttl,
    ) -> Result<Attachment, AttachmentError> {
        self.stage(Source::Bytes(bytes.into()), name.into(), ttl)
            .await
    }

    /// Stages a copy of a file, under the last component of its path.
    ///
    /// If the path is a symbolic link, the store copies the file that it points to.
    ///
    /// # Errors
    ///
    /// As [`stage_bytes`](Self::stage_bytes), and if the path does not lead to a regular file.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// As [`stage_bytes`](Self::stage_bytes).
    pub async fn stage_file(
        &self,
        path: impl Into<PathBuf>,
        ttl: Ttl,
    ) -> Result<Attachment, AttachmentError> {
        let path = path.into();
        let Some(name) = path.file_name().and_then(OsStr::to_str) else {
            return Err(AttachmentError::InvalidName {
                name: path.display().to_string(),
                reason: "the path does not end in a UTF-8 file name",
            });
        };
        let name = name.to_owned();
        self.stage(Source::File(path), name, ttl).await
    }

    /// Stages a copy of a file under a name.
    ///
    /// # Errors
    ///
    /// As [`stage_file`](Self::stage_file).
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// As [`stage_bytes`](Self::stage_bytes).
    pub async fn stage_file_as(
        &self,
        path: impl Into<PathBuf>,
        name: impl Into<String>,
        ttl: Ttl,
    ) -> Result<Attachment, AttachmentError> {
        self.stage(Source::File(path.into()), name.into(), ttl)
            .await
    }

    /// Stages what a reader yields, such as an upload, under a name.
    ///
    /// It holds 128 KiB of the content in memory, and occupies no thread while it waits for the reader. A
    /// reader can take any time: put a timeout around it.
    ///
    /// # Errors
    ///
    /// As [`stage_bytes`](Self::stage_bytes), and if the reader fails.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// As [`stage_bytes`](Self::stage_bytes).
    pub async fn stage_reader(
        &self,
        name: impl Into<String>,
        reader: impl AsyncRead + Send + 'static,
        ttl: Ttl,
    ) -> Result<Attachment, AttachmentError> {
        self.stage(Source::Reader(Box::pin(reader)), name.into(), ttl)
            .await
    }

    /// Returns all attachments, sorted by path, without leases. Expired ones are included until a sweep removes them.
    ///
    /// # Errors
    ///
    /// Returns [`AttachmentError::Io`] if the directory cannot be read.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time. Listing changes nothing.
    pub async fn list(&self) -> Result<Vec<Attachment>, AttachmentError> {
        let store = Arc::clone(&self.0);
        BlockingTask::spawn(move |token| store.list(token)).await
    }

    /// Returns the attachment with a [lease](Attachment#leases), and with its current expiry. An expired
    /// attachment can be leased until a sweep removes it.
    ///
    /// # Errors
    ///
    /// Returns [`AttachmentError::NotFound`] if the store does not have the attachment any more. Otherwise
    /// see [`AttachmentError`].
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped at any time. It changes nothing.
    pub async fn lease(&self, attachment: &Attachment) -> Result<Attachment, AttachmentError> {
        let store = Arc::clone(&self.0);
        let file_name = name::file_name(&attachment.hash, &attachment.name);
        BlockingTask::spawn(move |token| store.lease(&file_name, token)).await
    }

    async fn stage(
        &self,
        source: Source,
        name: String,
        ttl: Ttl,
    ) -> Result<Attachment, AttachmentError> {
        let staged = stage(Arc::clone(&self.0), source, name, ttl).await?;
        Ok(staged.attachment)
    }
}

// === impl AttachmentStoreBuilder ===

impl AttachmentStoreBuilder {
    /// Sets the largest size of an attachment in bytes. The default is 512 MiB.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Sets the clock that expiries are computed and checked with, such as a manual one in a test.
    ///
    /// The default is the system's wall clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Opens the store in a directory. Creates the directory for its owner only if it is missing.
    ///
    /// It makes a few system calls and waits for no lock and no sweep, so it can be called from async code.
    ///
    /// # Errors
    ///
    /// Returns [`AttachmentError::InvalidDirectory`] if the absolute path has a comma, at which Codex would
    /// split the path of each attachment in it. Returns [`AttachmentError::Io`] if the directory cannot be
    /// created or opened, or if its file system cannot store a modification time in the future.
    pub fn open(self, directory: impl AsRef<Path>) -> Result<AttachmentStore, AttachmentError> {
        let path = directory.as_ref();
        let failed = AttachmentError::io("open the attachment store in", path);
        let path = std::path::absolute(path).map_err(failed)?;
        if path.as_os_str().as_encoded_bytes().contains(&b',') {
            let reason = "the path has a comma, at which Codex splits the paths of images";
            return Err(AttachmentError::InvalidDirectory { path, reason });
        }
        let directory = Directory::open(path).map_err(failed)?;
        Ok(AttachmentStore(Arc::new(Inner {
            time_range: time_range(&directory).map_err(failed)?,
            directory,
            max_size: self.max_size,
            clock: self.clock,
        })))
    }
}

/// Determines which times the directory's file system can store, with the lock file.
fn time_range(directory: &Directory) -> io::Result<TimeRange> {
    // Without the lock: whoever else sets the time of this file sets it to the same one.
    let file = lock::open(directory)?;
    file.set_modified(TimeRange::probe())?;
    let stored = file.metadata()?.modified()?;
    TimeRange::from_probe(stored, SystemTime::now()).ok_or_else(|| {
        let text = "the file system cannot store a modification time in the future";
        io::Error::new(io::ErrorKind::Unsupported, text)
    })
}

// === impl Inner ===

impl Inner {
    pub(super) fn now(&self) -> SystemTime {
        match &self.clock {
            // Not read through `Clock`, which can be up to a second late to see a changed wall clock.
            None => SystemTime::now(),
            Some(clock) => clock.wall(clock.now()).to_system(),
        }
    }

    fn lease(
        &self,
        file_name: &str,
        token: &CancellationToken,
    ) -> Result<Attachment, AttachmentError> {
        let path = self.directory.path().join(file_name);
        let failed = AttachmentError::io("lease the attachment", &path);
        let FileKind::Attachment { hash, name } = name::kind_of(file_name.as_bytes()) else {
            return Err(AttachmentError::NotFound { path });
        };
        let metadata = self.directory.metadata(file_name).map_err(failed)?;
        let lease = match metadata.filter(|file| file.is_file()) {
            Some(_) => Lease::of(&self.directory, file_name, Wait::new(token), failed)?,
            None => None,
        };
        let Some(lease) = lease else {
            return Err(AttachmentError::NotFound { path });
        };
        let metadata = lease.metadata().map_err(failed)?;
        let expiry = self.time_range.decode(metadata.modified().map_err(failed)?);
        let attachment = Attachment::new(path, name, hash, metadata.len(), expiry);
        Ok(attachment.with_lease(lease))
    }

    fn list(&self, token: &CancellationToken) -> Result<Vec<Attachment>, AttachmentError> {
        let root = self.directory.path();
        let failed = AttachmentError::io("list the attachments in", root);
        let mut attachments = Vec::new();
        for entry in self.directory.entries().map_err(failed)? {
            token.check()?;
            let entry = entry.map_err(io::Error::from).map_err(failed)?;
            let file_name = entry.file_name();
            let FileKind::Attachment { hash, name } = name::kind_of(file_name.to_bytes()) else {
                continue;
            };
            let metadata = self.directory.metadata(file_name).map_err(failed)?;
            if let Some(file) = metadata.filter(|metadata| metadata.is_file()) {
                let path = root.join(name::file_name(hash, name));
                let expiry = self.time_range.decode(file.modified);
                attachments.push(Attachment::new(path, name, hash, file.size, expiry));
            }
        }
        attachments.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(attachments)
    }
}
