use std::{
    fs::OpenOptions,
    future::poll_fn,
    io::{self, Read, Write},
    mem,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::ready,
};

use rustix::fs::OFlags;
use tokio::{
    io::{AsyncRead, ReadBuf},
    runtime::Handle,
};

use super::{
    Attachment, AttachmentError, Ttl,
    blocking::{BlockingTask, CancellationToken},
    crash_point::crash_point,
    directory::Directory,
    hash::{BUFFER_SIZE, Hash},
    lease::{Claim, Lease},
    lock::{Lock, Wait},
    name,
    staging_file::StagingFile,
    store::Inner,
};

/// The content to stage.
pub(super) enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
    Reader(Pin<Box<dyn AsyncRead + Send>>),
}

/// A staged attachment.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) attachment: Attachment,
    /// Whether the store had the attachment before.
    pub(super) existed: bool,
}

/// A stage in progress. Dropping it removes the partial file.
#[derive(Debug)]
struct Stage {
    name: String,
    ttl: Ttl,
    store: Arc<Inner>,
    staging: StagingFile,
    hash: Hash,
}

/// A stage that waits for its next part. Dropping it removes the partial file on a blocking thread.
#[derive(Debug)]
struct Waiting(Option<Stage>);

/// What is in the place of an attachment to stage.
#[derive(Debug)]
enum Place {
    /// Nothing that has to stay: it can be replaced.
    Free {
        /// Held until the file is replaced.
        _claim: Claim,
    },
    /// The attachment, which others lease as well.
    Leased(Lease),
}

/// Stages a content.
pub(super) async fn stage(
    store: Arc<Inner>,
    source: Source,
    name: String,
    ttl: Ttl,
) -> Result<Staged, AttachmentError> {
    name::check(&name)?;
    let path = match source {
        Source::Reader(reader) => return stage_reader(store, reader, name, ttl).await,
        Source::Bytes(bytes) => {
            let task = BlockingTask::spawn(move |token| {
                let mut stage = Stage::begin(store, name, ttl, token)?;
                for part in bytes.chunks(BUFFER_SIZE) {
                    token.check()?;
                    stage.write(part)?;
                }
                stage.finish(token)
            });
            return task.await;
        }
        Source::File(path) => path,
    };
    let task = BlockingTask::spawn(move |token| {
        let mut file = open_source(&path)?;
        let mut stage = Stage::begin(store, name, ttl, token)?;
        let mut buffer = vec![0; BUFFER_SIZE];
        loop {
            token.check()?;
            match file.read(&mut buffer) {
                Ok(0) => return stage.finish(token),
                // A file can grow while it is copied, so the limit is checked for each part.
                Ok(count) => stage.write(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(AttachmentError::io("read", &path)(error)),
            }
        }
    });
    task.await
}

/// Stages what a reader yields, one buffer at a time.
///
/// Each write is a task on a blocking thread, so that a slow reader does not occupy one.
async fn stage_reader(
    store: Arc<Inner>,
    mut reader: Pin<Box<dyn AsyncRead + Send>>,
    name: String,
    ttl: Ttl,
) -> Result<Staged, AttachmentError> {
    let failed_name = name.clone();
    let begin = BlockingTask::spawn(move |token| Stage::begin(store, name, ttl, token));
    let mut waiting = Waiting(Some(begin.await?));
    let mut buffer = vec![0; BUFFER_SIZE];
    loop {
        let filled = fill(reader.as_mut(), &mut buffer).await;
        let Some(mut stage) = waiting.0.take() else {
            return Err(AttachmentError::Interrupted);
        };
        let count = match filled {
            Ok(count) => count,
            Err(error) => {
                // Awaited, so that the partial file is removed when the caller gets the error.
                let remove = BlockingTask::spawn(move |_| {
                    drop(stage);
                    Ok(())
                });
                remove.await?;
                return Err(AttachmentError::io("read", Path::new(&failed_name))(error));
            }
        };
        if count == 0 {
            return BlockingTask::spawn(move |token| stage.finish(token)).await;
        }
        let write = BlockingTask::spawn(move |_| {
            stage.write(&buffer[..count])?;
            Ok((stage, buffer))
        });
        let written = write.await?;
        waiting.0 = Some(written.0);
        buffer = written.1;
    }
}

/// Reads until the buffer is full or the reader ends. Returns the number of bytes.
async fn fill(
    mut reader: Pin<&mut (dyn AsyncRead + Send)>,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(buffer);
    poll_fn(|cx| {
        while buffer.remaining() > 0 {
            let before = buffer.filled().len();
            ready!(reader.as_mut().poll_read(cx, &mut buffer))?;
            if buffer.filled().len() == before {
                break;
            }
        }
        Ok(buffer.filled().len()).into()
    })
    .await
}

fn open_source(path: &Path) -> Result<std::fs::File, AttachmentError> {
    let failed = AttachmentError::io("read", path);
    // NONBLOCK, because opening a FIFO would wait for its other end.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags).open(path);
    let file = file.map_err(failed)?;
    match file.metadata().map_err(failed)?.is_file() {
        true => Ok(file),
        false => Err(AttachmentError::NotAFile {
            path: path.to_owned(),
        }),
    }
}

// === impl Stage ===

impl Stage {
    /// Creates the staging file.
    fn begin(
        store: Arc<Inner>,
        name: String,
        ttl: Ttl,
        token: &CancellationToken,
    ) -> Result<Self, AttachmentError> {
        token.check()?;
        let failed = AttachmentError::io("stage an attachment in", store.directory.path());
        let lock = Lock::acquire(&store.directory, Wait::new(token), failed)?;
        Ok(Self {
            staging: StagingFile::create(Arc::clone(&store), &lock).map_err(failed)?,
            hash: Hash::default(),
            name,
            ttl,
            store,
        })
    }

    fn write(&mut self, part: &[u8]) -> Result<(), AttachmentError> {
        let limit = self.store.max_size;
        self.hash.update(part);
        if self.hash.size() > limit {
            let name = mem::take(&mut self.name);
            return Err(AttachmentError::TooLarge { name, limit });
        }
        let directory = self.store.directory.path();
        let written = self.staging.file.write_all(part);
        written.map_err(AttachmentError::io("write an attachment in", directory))?;
        crash_point("a part is written");
        Ok(())
    }

    /// Gives the file its name.
    ///
    /// The new file replaces an existing one, even if that has the content already. So a stage never
    /// changes a file that it did not create: that could be truncated, hard linked elsewhere, or of another
    /// owner. A leased file is an exception. Its lease is a lock on the file itself, so the file stays, and
    /// the stage extends its expiry, after it has checked that the content is intact.
    fn finish(self, token: &CancellationToken) -> Result<Staged, AttachmentError> {
        let Self {
            name,
            ttl,
            store,
            staging,
            hash,
        } = self;
        let Inner {
            directory,
            time_range,
            ..
        } = &*store;
        let failed = AttachmentError::io("stage an attachment in", directory.path());
        let mut expiry = time_range.expiry(ttl, store.now());
        staging.seal(time_range.encode(expiry)).map_err(failed)?;

        let (hash, size) = (hash.to_hex(), hash.size());
        let file_name = name::file_name(&hash, &name);
        let path = directory.path().join(&file_name);
        let failed = AttachmentError::io("rename the staged file to", &path);
        let (lock, place) = Place::lock(directory, &file_name, &hash, token, failed)?;
        let existing = directory.metadata(&*file_name).map_err(failed)?;
        let existing = existing.filter(|file| file.is_file());
        // A stage never shortens the expiry.
        let longer = existing.filter(|file| time_range.decode(file.modified) > expiry);
        if let Some(file) = longer {
            expiry = time_range.decode(file.modified);
        }
        let lease = match place {
            Place::Leased(lease) => {
                lease.seal(time_range.encode(expiry)).map_err(failed)?;
                lease
            }
            Place::Free { _claim } => {
                if let Some(file) = longer {
                    // Synced before the rename.
                    staging.seal(file.modified).map_err(failed)?;
                }
                staging.place(&file_name, &lock).map_err(failed)?;
                // Opened again, for reading only: a file that is open for writing keeps a disk from being
                // remounted read-only.
                let lease = Lease::of(directory, &file_name, Wait::new(token), failed)?;
                let removed = || io::Error::other("another program has removed it");
                lease.ok_or_else(|| failed(removed()))?
            }
        };
        drop(lock);
        crash_point("the lock is released");

        directory.sync().map_err(failed)?;
        crash_point("the directory is synced");
        let attachment = Attachment::new(path, name, hash, size, expiry).with_lease(lease);
        Ok(Staged {
            attachment,
            existed: existing.is_some(),
        })
    }
}

// === impl Place ===

impl Place {
    /// Takes the store's lock, and finds out whether a file in the place has to stay.
    fn lock(
        directory: &Directory,
        file_name: &str,
        hash: &str,
        token: &CancellationToken,
        failed: impl Fn(io::Error) -> AttachmentError + Copy,
    ) -> Result<(Lock, Self), AttachmentError> {
        let mut checked: Option<(Lease, bool)> = None;
        loop {
            let lock = Lock::acquire(directory, Wait::new(token), failed)?;
            token.check()?;
            // Another stage can have replaced the file since it was checked.
            if let Some((lease, is_intact)) = checked.take()
                && directory
                    .is_current(file_name, lease.file())
                    .map_err(failed)?
            {
                let place = match is_intact {
                    true => Self::Leased(lease),
                    false => Self::Free {
                        _claim: Claim::Leased,
                    },
                };
                return Ok((lock, place));
            }
            let existing = directory.metadata(file_name).map_err(failed)?;
            let claim = match existing.is_some_and(|file| file.is_file()) {
                true => Claim::of(directory, file_name).map_err(failed)?,
                false => Claim::Missing,
            };
            let lease = match claim {
                Claim::Leased => Lease::try_of(directory, file_name).map_err(failed)?,
                Claim::Free { .. } | Claim::Missing => None,
            };
            let Some(lease) = lease else {
                // Also if another program has locked the file exclusively: then nobody leases it.
                return Ok((lock, Self::Free { _claim: claim }));
            };
            // Reading a large file can take longer than others wait for the lock.
            drop(lock);
            let is_intact = lease.is_intact(hash, token).map_err(failed)?;
            checked = Some((lease, is_intact));
        }
    }
}

// === impl Waiting ===

impl Drop for Waiting {
    fn drop(&mut self) {
        // Removing a large file takes time.
        if let Some(stage) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            drop(runtime.spawn_blocking(move || drop(stage)));
        }
    }
}
